/* SPDX-License-Identifier: MIT */
/* check.c - checks an open image for damage; see check.h. */
#include "mkfs/check.h"

#include "mkfs/cli.h"
#include "mkfs/names.h"
#include "mkfs/progress.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	BUFFER = 1 << 20,  /* decoded bytes per read */
	REPORTS_MAX = 100, /* findings that are printed */
	NO_TENSOR = -1,
};

struct worker {
	struct image_scratch *scratch;
	uint8_t *buffer;
};

struct check {
	struct image *image;
	const char *path;
	struct pool *pool;
	struct progress progress;
	struct worker *workers;
	/* Tensors by stream: the first of each stream and the next of each tensor, or NO_TENSOR. */
	int64_t *first_tensor, *next_tensor;
	char **findings; /* per item, malloc'ed; NULL: nothing wrong */
	_Atomic unsigned result;
};

unsigned check_kind(int error)
{
	return error == -EUCLEAN ? CHECK_DAMAGED : CHECK_FAILED;
}

/* Keeps what an item found; of several findings the first. */
static void found(struct check *check, uint64_t item, int error, const char *what,
		  const char *detail)
{
	char *text;

	atomic_fetch_or(&check->result, check_kind(error));
	if (check->findings[item])
		return;
	if (asprintf(&text, "%s%s%s", what, *what ? ": " : "", detail) >= 0)
		check->findings[item] = text;
}

static void found_in_tensor(struct check *check, uint64_t item, int64_t tensor, int error,
			    const char *detail)
{
	const struct efs_tensor *record = image_tensor(check->image, (uint32_t)tensor);
	char *name = names_show(image_string(check->image, record->name), NAMES_FOR_TERMINAL);
	char *what;

	if (name && asprintf(&what, "tensor '%s'", name) >= 0) {
		found(check, item, error, what, detail);
		free(what);
	} else {
		found(check, item, -ENOMEM, "", "out of memory");
	}
	free(name);
}

static void found_in_stream(struct check *check, uint64_t item, uint32_t stream, int error,
			    const char *detail)
{
	if (check->first_tensor[stream] == NO_TENSOR)
		found(check, item, error, "", detail);
	else
		found_in_tensor(check, item, check->first_tensor[stream], error, detail);
}

static int check_index(void *context, unsigned worker, uint64_t item)
{
	struct check *check = context;
	struct image_diag diag;
	int err = image_load_index(check->image, (uint32_t)item, &diag);

	(void)worker;
	if (err)
		found_in_stream(check, item, (uint32_t)item, err, diag.text);
	image_unload_index(check->image, (uint32_t)item);
	return 0;
}

static void compare_digests(struct check *check, uint64_t item, uint32_t stream,
			    const uint8_t *digest)
{
	for (int64_t i = check->first_tensor[stream]; i != NO_TENSOR; i = check->next_tensor[i])
		if (memcmp(image_tensor(check->image, (uint32_t)i)->digest, digest,
			   EFS_DIGEST_SIZE) != 0)
			found_in_tensor(check, item, i, -EUCLEAN,
					"its bytes do not have the SHA-256 that is recorded");
}

/* Decodes a stream whole; digest (NULL: none) is updated with its bytes. */
static int decode_stream(struct check *check, uint32_t stream, struct worker *worker,
			 EVP_MD_CTX *digest, struct image_diag *diag)
{
	uint64_t size = image_stream(check->image, stream)->raw_size;

	for (uint64_t at = 0; at < size; at += BUFFER) {
		ssize_t got = image_read_stream(check->image, stream, at, worker->buffer, BUFFER,
						worker->scratch, diag);

		if (got < 0)
			return (int)got;
		if (digest && EVP_DigestUpdate(digest, worker->buffer, (size_t)got) != 1)
			return image_fail(diag, -ENOMEM, "out of memory");
		progress_add(&check->progress, (uint64_t)got);
	}
	return 0;
}

static void check_stream(struct check *check, uint64_t item, uint32_t stream, struct worker *worker)
{
	int hashed = check->first_tensor[stream] != NO_TENSOR;
	EVP_MD_CTX *digest = hashed ? EVP_MD_CTX_new() : NULL;
	uint8_t sum[EFS_DIGEST_SIZE];
	struct image_diag diag;
	int err = 0;

	if (hashed && (!digest || EVP_DigestInit_ex(digest, EVP_sha256(), NULL) != 1))
		err = image_fail(&diag, -ENOMEM, "out of memory");
	if (!err)
		err = decode_stream(check, stream, worker, digest, &diag);
	if (!err && hashed && EVP_DigestFinal_ex(digest, sum, NULL) != 1)
		err = image_fail(&diag, -ENOMEM, "out of memory");
	if (err)
		found_in_stream(check, item, stream, err, diag.text);
	else if (hashed)
		compare_digests(check, item, stream, sum);
	EVP_MD_CTX_free(digest);
	image_unload_index(check->image, stream);
}

static void check_blob(struct check *check, uint64_t item, uint32_t blob, struct worker *worker)
{
	uint64_t size = image_blob(check->image, blob)->raw_size;
	struct image_diag diag;

	for (uint64_t at = 0; at < size; at += BUFFER) {
		ssize_t got = image_read_blob(check->image, blob, at, worker->buffer, BUFFER,
					      worker->scratch, &diag);

		if (got < 0) {
			found(check, item, (int)got, "", diag.text);
			return;
		}
		progress_add(&check->progress, (uint64_t)got);
	}
}

/* Items: hash tree, padding, then the streams, then the blobs. */
static int check_deep(void *context, unsigned worker, uint64_t item)
{
	struct check *check = context;
	uint64_t streams = image_catalog(check->image)->stream_count;
	struct image_diag diag;
	int err = 0;

	if (item == 0)
		err = image_verify_hashes(check->image, &diag);
	else if (item == 1)
		err = image_verify_padding(check->image, &diag);
	else if (item - 2 < streams)
		check_stream(check, item, (uint32_t)(item - 2), &check->workers[worker]);
	else
		check_blob(check, item, (uint32_t)(item - 2 - streams), &check->workers[worker]);
	if (err)
		found(check, item, err, "", diag.text);
	return 0;
}

static void report(struct check *check, uint64_t items)
{
	uint64_t count = 0;

	for (uint64_t i = 0; i < items; i++) {
		if (!check->findings[i])
			continue;
		if (count++ < REPORTS_MAX)
			cli_cannot("verify", check->path, "%s", check->findings[i]);
		free(check->findings[i]);
		check->findings[i] = NULL;
	}
	if (count > REPORTS_MAX)
		cli_cannot("verify", check->path, "and %llu more",
			   (unsigned long long)(count - REPORTS_MAX));
}

static void link_tensors(struct check *check)
{
	const struct efs_catalog_header *catalog = image_catalog(check->image);

	for (uint32_t i = 0; i < catalog->stream_count; i++)
		check->first_tensor[i] = NO_TENSOR;
	for (uint32_t i = catalog->tensor_count; i--;) {
		uint32_t stream = image_tensor(check->image, i)->first_stream;

		check->next_tensor[i] = check->first_tensor[stream];
		check->first_tensor[stream] = i;
	}
}

static uint64_t total_size(const struct image *image)
{
	uint64_t total = 0;

	for (uint32_t i = 0; i < image_catalog(image)->stream_count; i++)
		total += image_stream(image, i)->raw_size;
	for (uint32_t i = 0; i < image_catalog(image)->blob_count; i++)
		total += image_blob(image, i)->raw_size;
	return total;
}

static void run(struct check *check, int deep)
{
	const struct efs_catalog_header *catalog = image_catalog(check->image);
	uint64_t items = (uint64_t)catalog->stream_count + catalog->blob_count + 2;

	link_tensors(check);
	pool_run(check->pool, catalog->stream_count, check_index, check);
	report(check, catalog->stream_count);
	/* Streams without an index would be reported twice. */
	if (!deep || check->result)
		return;
	progress_start(&check->progress, "checking", total_size(check->image));
	pool_run(check->pool, items, check_deep, check);
	progress_end(&check->progress);
	report(check, items);
}

static int prepare(struct check *check)
{
	const struct efs_catalog_header *catalog = image_catalog(check->image);
	size_t items = (size_t)catalog->stream_count + catalog->blob_count + 2;

	check->findings = calloc(items, sizeof(*check->findings));
	check->first_tensor = malloc((catalog->stream_count + 1u) * sizeof(int64_t));
	check->next_tensor = malloc((catalog->tensor_count + 1u) * sizeof(int64_t));
	check->workers = calloc(pool_jobs(check->pool), sizeof(*check->workers));
	if (!check->findings || !check->first_tensor || !check->next_tensor || !check->workers)
		return -1;
	for (unsigned i = 0; i < pool_jobs(check->pool); i++) {
		check->workers[i].buffer = malloc(BUFFER);
		if (!check->workers[i].buffer || image_scratch_create(&check->workers[i].scratch))
			return -1;
	}
	return 0;
}

unsigned check_image(struct image *image, const char *path, int deep, struct pool *pool)
{
	struct check check = {.image = image, .path = path, .pool = pool};

	if (prepare(&check)) {
		cli_cannot("verify", path, "out of memory");
		check.result = CHECK_FAILED;
	} else {
		run(&check, deep);
	}
	for (unsigned i = 0; check.workers && i < pool_jobs(pool); i++) {
		image_scratch_destroy(check.workers[i].scratch);
		free(check.workers[i].buffer);
	}
	free(check.workers);
	free(check.findings);
	free(check.first_tensor);
	free(check.next_tensor);
	return check.result;
}
