/* SPDX-License-Identifier: MIT */
/*
 * verify.c - reads an image back; see verify.h.
 *
 * It goes through the reader, as every later user of the image does: all blocks are decoded, and
 * the SHA-256 of each item is compared with that of the bytes that went into the encoder.
 */
#include "mkfs/verify.h"

#include "image/reader.h"
#include "mkfs/cli.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
	CHUNK = 256 << 10,
	SLOTS_MAX = 96,
	/* Units of progress per decoded byte: for decoding it, and for hashing what it is stored
	 * as, the size of which is not known when the work is announced. */
	WORK_VERIFY = 2,
	WORK_HASH = 1,
};

struct verifier {
	const struct verify_item *items;
	size_t count;
	struct image *image;
	const char *target;
	struct pool *pool;
	struct progress *progress;
	struct image_scratch **scratch; /* per worker */
	uint8_t **slots;                /* CHUNK each */
	unsigned slot_count;
	EVP_MD_CTX *digest;
	uint64_t raw_size, hashed; /* all decoded bytes; bytes of the image hashed */
	/* What is being compared; its number, also of a file. */
	const struct verify_item *item;
	uint32_t number;
};

static int fail(const struct verifier *v, const char *reason)
{
	cli_cannot("verify", v->target, "%s", reason);
	return -1;
}

static size_t part_size(const struct verifier *v, uint64_t part)
{
	uint64_t left = v->item->size - part * CHUNK;
	return left < CHUNK ? (size_t)left : CHUNK;
}

static ssize_t read_bytes(struct verifier *v, uint64_t offset, void *buffer, size_t size,
			  struct image_scratch *scratch, struct image_diag *diag)
{
	switch (v->item->kind) {
	case VERIFY_STREAM:
		return image_read_stream(v->image, v->number, offset, buffer, size, scratch, diag);
	case VERIFY_BLOB:
		return image_read_blob(v->image, v->number, offset, buffer, size, scratch, diag);
	default:
		return image_read_file(v->image, v->number, offset, buffer, size, scratch, diag);
	}
}

static int read_part(void *context, unsigned worker, uint64_t part, unsigned slot)
{
	struct verifier *v = context;
	struct image_diag diag = {""};
	size_t size = part_size(v, part);
	ssize_t n = read_bytes(v, part * CHUNK, v->slots[slot], size, v->scratch[worker], &diag);
	if (n < 0)
		return fail(v, diag.text);
	if ((size_t)n != size) {
		cli_cannot("verify", v->target, "'%s' is too short", v->item->name);
		return -1;
	}
	progress_add(v->progress, size * WORK_VERIFY);
	return 0;
}

static int hash_part(void *context, uint64_t part, unsigned slot)
{
	struct verifier *v = context;
	return EVP_DigestUpdate(v->digest, v->slots[slot], part_size(v, part)) == 1
		   ? 0
		   : fail(v, "SHA-256 failed");
}

/* The node of a path; -1: there is none, or it is no file of this size. */
static int64_t find_file(const struct image *image, const char *path, uint64_t size)
{
	int64_t node = 0;

	for (const char *name = path; node >= 0;) {
		size_t length = strcspn(name, "/");
		node = image_lookup(image, (uint32_t)node, name, length);
		if (!name[length])
			break;
		name += length + 1;
	}
	return node >= 0 && image_node(image, (uint32_t)node)->type == EFS_FILE &&
		       image_node(image, (uint32_t)node)->size == size
		   ? node
		   : -1;
}

/* Sets what is being compared. */
static int take_item(struct verifier *v, const struct verify_item *item)
{
	int64_t node =
	    item->kind == VERIFY_FILE ? find_file(v->image, item->name, item->size) : item->number;

	v->item = item;
	v->number = (uint32_t)node;
	if (node >= 0)
		return 0;
	cli_cannot("verify", v->target, "'%s' is missing or of another size", item->name);
	return -1;
}

static int compare(struct verifier *v, const struct verify_item *item)
{
	const struct pool_ordered loop = {read_part, {hash_part}, 1, v->slot_count, v};
	uint64_t parts = item->size / CHUNK + (item->size % CHUNK != 0);
	uint8_t digest[EFS_DIGEST_SIZE];

	if (take_item(v, item))
		return -1;
	if (EVP_DigestInit_ex(v->digest, EVP_sha256(), NULL) != 1)
		return fail(v, "SHA-256 failed");
	if (pool_run_ordered(v->pool, parts, &loop))
		return -1;
	if (EVP_DigestFinal_ex(v->digest, digest, NULL) != 1)
		return fail(v, "SHA-256 failed");
	if (memcmp(digest, item->digest, sizeof digest) != 0) {
		cli_cannot("verify", v->target, "'%s' does not come back as it was packed",
			   item->name);
		return -1;
	}
	return 0;
}

static int compare_all(struct verifier *v)
{
	int result = 0;

	for (size_t i = 0; !result && i < v->count; i++)
		result = compare(v, &v->items[i]);
	return result;
}

static void pass_hashed(void *context, uint64_t bytes)
{
	struct verifier *v = context;
	double whole = (double)image_hashed_size(v->image), work = (double)v->raw_size * WORK_HASH;
	double before = (double)v->hashed / whole;

	v->hashed += bytes;
	progress_add(v->progress,
		     (uint64_t)(work * ((double)v->hashed / whole)) - (uint64_t)(work * before));
}

/* The hash tree is one long serial computation: it runs beside the comparison. */
static void *check_hashes(void *context)
{
	struct verifier *v = context;
	struct image_diag diag = {""};
	if (image_verify_hashes_telling(v->image, pass_hashed, v, &diag) ||
	    image_verify_padding(v->image, &diag)) {
		fail(v, diag.text);
		return v;
	}
	return NULL;
}

static int run(struct verifier *v)
{
	pthread_t thread;
	void *failed = NULL;
	int beside = pool_jobs(v->pool) > 1 && pthread_create(&thread, NULL, check_hashes, v) == 0;

	int result = compare_all(v);
	if (beside)
		pthread_join(thread, &failed);
	else if (!result)
		failed = check_hashes(v);
	return result || failed ? -1 : 0;
}

static int allocate(struct verifier *v)
{
	unsigned jobs = pool_jobs(v->pool);
	v->slot_count = 2 * jobs + 2 < SLOTS_MAX ? 2 * jobs + 2 : SLOTS_MAX;
	v->scratch = calloc(jobs, sizeof(struct image_scratch *));
	v->slots = calloc(v->slot_count, sizeof *v->slots);
	v->digest = EVP_MD_CTX_new();
	int good = v->scratch && v->slots && v->digest;
	for (unsigned i = 0; good && i < jobs; i++)
		good = image_scratch_create(&v->scratch[i]) == 0;
	for (unsigned i = 0; good && i < v->slot_count; i++)
		good = (v->slots[i] = malloc(CHUNK)) != NULL;
	return good ? 0 : fail(v, "out of memory");
}

static void release(struct verifier *v)
{
	for (unsigned i = 0; v->scratch && i < pool_jobs(v->pool); i++) {
		if (v->scratch[i])
			image_scratch_destroy(v->scratch[i]);
	}
	for (unsigned i = 0; v->slots && i < v->slot_count; i++)
		free(v->slots[i]);
	free(v->scratch);
	free(v->slots);
	EVP_MD_CTX_free(v->digest);
	if (v->image)
		image_close(v->image);
}

uint64_t verify_work(uint64_t size)
{
	return size * (WORK_VERIFY + WORK_HASH);
}

int verify_image(const struct verify_item *items, size_t count, int fd, const char *target,
		 struct pool *pool, struct progress *progress)
{
	struct verifier v = {
	    .items = items, .count = count, .target = target, .pool = pool, .progress = progress};
	struct image_diag diag = {""};

	for (size_t i = 0; i < count; i++)
		v.raw_size += items[i].size;
	int result = image_open(&v.image, fd, 0, &diag) ? fail(&v, diag.text) : allocate(&v);
	if (!result) {
		/* A large model has many indexes, each of which is of use once. */
		image_set_index_budget(v.image, 0);
		progress_phase(progress, "verifying");
		result = run(&v);
	}
	release(&v);
	return result;
}
