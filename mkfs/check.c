/* SPDX-License-Identifier: MIT */
/* check.c - checks an open image for damage; see check.h. */
#include "mkfs/check.h"

#include "mkfs/span.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Units of progress, measured: per decoded byte and per byte of the image. */
enum { WORK_DECODE = 3, WORK_HASH = 1 };

struct check {
	struct image *image;
	struct findings *findings;
	struct pool *pool;
	struct progress *progress;
	struct span_reader *readers;
	/* Tensors by stream: the first of each stream and the next of each tensor, or NOWHERE. */
	int64_t *first_tensor, *next_tensor;
	/* What no tensor has belongs to a file: of each stream and blob the first, or NOWHERE. */
	int64_t *stream_file, *blob_file;
	uint8_t *bad_index; /* per stream: its data cannot be looked at */
	_Atomic uint64_t decoded;
};

static struct finding about(unsigned phase, uint64_t item)
{
	return (struct finding){.phase = phase, .item = item, .place = FINDING_NOWHERE};
}

static struct finding about_stream(const struct check *check, unsigned phase, uint64_t item,
				   uint32_t stream)
{
	struct finding finding = about(phase, item);

	finding.place.tensor = check->first_tensor[stream];
	if (finding.place.tensor == NOWHERE)
		finding.place.node = check->stream_file[stream];
	return finding;
}

static int check_index(void *context, unsigned worker, uint64_t item)
{
	struct check *check = context;
	struct finding finding = about_stream(check, CHECK_INDEXES, item, (uint32_t)item);
	struct image_diag diag;
	int err = image_hold_index(check->image, (uint32_t)item, &diag);

	(void)worker;
	if (err) {
		check->bad_index[item] = 1;
		span_bad_index(check->findings, &finding, (uint32_t)item, err, diag.text);
	} else {
		image_release_index(check->image, (uint32_t)item);
	}
	return 0;
}

/* Bytes on their way through a check. */
struct passing {
	struct check *check;
	EVP_MD_CTX *digest; /* NULL: not hashed */
};

static int pass(void *context, const uint8_t *bytes, size_t size)
{
	struct passing *passing = context;

	passing->check->decoded += size;
	progress_add(passing->check->progress, size * WORK_DECODE);
	return passing->digest && EVP_DigestUpdate(passing->digest, bytes, size) != 1 ? -1 : 0;
}

static void compare_digests(struct check *check, const struct finding *at, uint32_t stream,
			    const uint8_t *digest)
{
	struct finding finding = *at;

	finding.severity = CHECK_DAMAGED;
	finding.kind = FINDING_DIGEST;
	finding.message = "its bytes do not have the SHA-256 that is recorded";
	finding.place.stream = stream;
	for (int64_t i = check->first_tensor[stream]; i != NOWHERE; i = check->next_tensor[i]) {
		if (memcmp(image_tensor(check->image, (uint32_t)i)->digest, digest,
			   EFS_DIGEST_SIZE) == 0)
			continue;
		finding.place.tensor = i;
		findings_add(check->findings, &finding);
	}
}

static void no_memory(struct check *check, const struct finding *at)
{
	struct finding finding = *at;

	finding.severity = CHECK_FAILED;
	finding.kind = FINDING_PROGRAM;
	finding.message = "out of memory";
	findings_add(check->findings, &finding);
}

static void check_stream(struct check *check, uint64_t item, uint32_t stream,
			 struct span_reader *reader)
{
	int hashed = check->first_tensor[stream] != NOWHERE, result = -1;
	struct passing passing = {check, hashed ? EVP_MD_CTX_new() : NULL};
	struct span span = {EFS_PIECE_STREAM, stream, 0,
			    image_stream(check->image, stream)->raw_size};
	struct finding at = about_stream(check, CHECK_DATA, item, stream);
	uint8_t sum[EFS_DIGEST_SIZE];

	if (!hashed ||
	    (passing.digest && EVP_DigestInit_ex(passing.digest, EVP_sha256(), NULL) == 1))
		result =
		    span_read(check->image, &span, reader, check->findings, &at, pass, &passing);
	if (!result && hashed && EVP_DigestFinal_ex(passing.digest, sum, NULL) != 1)
		result = -1;
	if (result < 0)
		no_memory(check, &at);
	else if (!result && hashed)
		compare_digests(check, &at, stream, sum);
	EVP_MD_CTX_free(passing.digest);
}

static void check_blob(struct check *check, uint64_t item, uint32_t blob,
		       struct span_reader *reader)
{
	struct passing passing = {check, NULL};
	struct span span = {EFS_PIECE_BLOB, blob, 0, image_blob(check->image, blob)->raw_size};
	struct finding at = about(CHECK_DATA, item);

	at.place.node = check->blob_file[blob];
	span_read(check->image, &span, reader, check->findings, &at, pass, &passing);
}

static void pass_hashed(void *context, uint64_t bytes)
{
	struct check *check = context;

	progress_add(check->progress, bytes * WORK_HASH);
}

/* kind: FINDING_HASH_TREE or FINDING_PADDING */
static void check_whole(struct check *check, uint64_t item, enum finding_kind kind)
{
	struct finding finding = about(CHECK_DATA, item);
	struct image_diag diag;
	int err = kind == FINDING_HASH_TREE
		      ? image_verify_hashes_telling(check->image, pass_hashed, check, &diag)
		      : image_verify_padding(check->image, &diag);

	if (!err)
		return;
	finding.severity = check_kind(err);
	finding.kind = kind;
	finding.message = diag.text;
	findings_add(check->findings, &finding);
}

/* Items: hash tree, padding, then the streams, then the blobs. */
static int check_deep(void *context, unsigned worker, uint64_t item)
{
	struct check *check = context;
	uint64_t streams = image_catalog(check->image)->stream_count;

	if (item == 0)
		check_whole(check, item, FINDING_HASH_TREE);
	else if (item == 1)
		check_whole(check, item, FINDING_PADDING);
	else if (item - 2 >= streams)
		check_blob(check, item, (uint32_t)(item - 2 - streams), &check->readers[worker]);
	else if (!check->bad_index[item - 2])
		check_stream(check, item, (uint32_t)(item - 2), &check->readers[worker]);
	return 0;
}

static void link_tensors(struct check *check)
{
	const struct efs_catalog_header *catalog = image_catalog(check->image);

	for (uint32_t i = 0; i < catalog->stream_count; i++)
		check->first_tensor[i] = NOWHERE;
	for (uint32_t i = catalog->tensor_count; i--;) {
		uint32_t stream = image_tensor(check->image, i)->first_stream;

		check->next_tensor[i] = check->first_tensor[stream];
		check->first_tensor[stream] = i;
	}
}

static void link_piece(struct check *check, const struct efs_piece *piece, uint32_t node)
{
	const struct efs_transcode *transcode;

	switch (piece->kind) {
	case EFS_PIECE_BLOB:
		check->blob_file[piece->source] = node;
		break;
	case EFS_PIECE_STREAM:
		check->stream_file[piece->source] = node;
		break;
	default:
		/* Others are made of tensors. */
		transcode = image_transcode(check->image, piece->source);
		for (unsigned k = 0; transcode->rule == EFS_JOIN && k < transcode->plane_count; k++)
			check->stream_file[transcode->first_stream + k] = node;
	}
}

/* The last ones first, so that the first one stays. */
static void link_files(struct check *check)
{
	const struct efs_catalog_header *catalog = image_catalog(check->image);

	for (uint32_t i = 0; i < catalog->stream_count; i++)
		check->stream_file[i] = NOWHERE;
	for (uint32_t i = 0; i < catalog->blob_count; i++)
		check->blob_file[i] = NOWHERE;
	for (uint32_t i = catalog->node_count; i--;) {
		const struct efs_node *node = image_node(check->image, i);

		for (uint32_t k = 0; node->type == EFS_FILE && k < node->count; k++)
			link_piece(check, image_piece(check->image, node->first + k), i);
	}
}

static uint64_t add(uint64_t sum, uint64_t more)
{
	return __builtin_add_overflow(sum, more, &sum) ? UINT64_MAX : sum;
}

static uint64_t total_size(const struct image *image)
{
	uint64_t total = 0;

	for (uint32_t i = 0; i < image_catalog(image)->stream_count; i++)
		total = add(total, image_stream(image, i)->raw_size);
	for (uint32_t i = 0; i < image_catalog(image)->blob_count; i++)
		total = add(total, image_blob(image, i)->raw_size);
	return total;
}

uint64_t check_claimed_size(const struct image *image)
{
	return add(total_size(image), image_superblock(image)->image_size);
}

uint64_t check_stored_size(const struct image *image, int fd)
{
	uint64_t size = image_superblock(image)->image_size;
	struct stat st;

	/* Some file systems do not count blocks. */
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_blocks > 0 &&
	    (uint64_t)st.st_blocks * 512 < size)
		return (uint64_t)st.st_blocks * 512;
	return size;
}

int check_is_inflated(uint64_t claimed, uint64_t stored)
{
	return claimed > CHECK_FREE && (claimed - CHECK_FREE) / CHECK_RATIO > stored;
}

static uint64_t run(struct check *check, int deep)
{
	const struct efs_catalog_header *catalog = image_catalog(check->image);

	link_tensors(check);
	link_files(check);
	pool_run(check->pool, catalog->stream_count, check_index, check);
	if (!deep)
		return 0;
	uint64_t work = image_hashed_size(check->image) * WORK_HASH;
	for (unsigned i = 0; i < WORK_DECODE; i++)
		work = add(work, total_size(check->image));
	progress_start(check->progress, "checking", work);
	pool_run(check->pool, (uint64_t)catalog->stream_count + catalog->blob_count + 2, check_deep,
		 check);
	progress_end(check->progress);
	return check->decoded;
}

static int prepare(struct check *check)
{
	const struct efs_catalog_header *catalog = image_catalog(check->image);

	check->first_tensor = malloc((catalog->stream_count + 1u) * sizeof(int64_t));
	check->next_tensor = malloc((catalog->tensor_count + 1u) * sizeof(int64_t));
	check->stream_file = malloc((catalog->stream_count + 1u) * sizeof(int64_t));
	check->blob_file = malloc((catalog->blob_count + 1u) * sizeof(int64_t));
	check->bad_index = calloc(catalog->stream_count + 1u, 1);
	check->readers = span_readers_create(pool_jobs(check->pool));
	return check->first_tensor && check->next_tensor && check->stream_file &&
		       check->blob_file && check->bad_index && check->readers
		   ? 0
		   : -1;
}

uint64_t check_image(struct image *image, int deep, struct pool *pool, struct findings *findings,
		     struct progress *progress)
{
	struct check check = {
	    .image = image, .findings = findings, .pool = pool, .progress = progress};
	struct finding whole = about(CHECK_INDEXES, 0);
	uint64_t done = 0;

	if (prepare(&check))
		no_memory(&check, &whole);
	else
		done = run(&check, deep);
	span_readers_destroy(check.readers, pool_jobs(pool));
	free(check.first_tensor);
	free(check.next_tensor);
	free(check.stream_file);
	free(check.blob_file);
	free(check.bad_index);
	return done;
}
