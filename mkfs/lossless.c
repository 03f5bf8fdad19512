/* SPDX-License-Identifier: MIT */
/*
 * lossless.c - files into blobs, streams and what joins them; see lossless.h.
 *
 * Of each file first the text goes into one blob, then each region of records, which fits into
 * memory, into one stream per plane.
 */
#include "mkfs/lossless.h"

#include "mkfs/cli.h"
#include "mkfs/encode.h"
#include "mkfs/layout.h"
#include "mkfs/lossless_report.h"
#include "mkfs/verify.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

enum {
	COPY_SIZE = 256 << 10, /* bytes of text at once */
	PART = 1 << 20,        /* bytes that a thread reads at once */
	SPLIT = 1 << 16,       /* records that a thread splits at once */
	/* Units of progress per byte, whatever it becomes: read, hashed, split, encoded. */
	WORK_READ = 2,
	WORK = WORK_READ + ENCODE_BYTES_WORK,
};

struct lossless_packer {
	struct lossless *lossless;
	struct image_writer *writer;
	struct encoder *encoder;
	const char *target;
	struct pool *pool;
	struct progress *progress;
	EVP_MD_CTX *digest;
	uint8_t *bytes, *planes; /* LAYOUT_REGION_MAX each: of a region */
	/* The file at hand. */
	const struct source_file *file;
	struct lossless_file *result;
	struct efs_piece *pieces; /* by region */
	uint32_t blob;
	/* The region at hand. */
	const struct region *region;
	uint8_t *parts[PLANES_COUNT_MAX]; /* within planes */
};

static int cannot(const struct lossless_packer *p, const char *reason)
{
	cli_cannot("write", p->target, "%s", reason);
	return -1;
}

static int is_text(const struct region *region)
{
	return region->planes.count == 0;
}

static int hash(struct lossless_packer *p, const void *bytes, size_t size)
{
	return EVP_DigestUpdate(p->digest, bytes, size) == 1 ? 0 : cannot(p, "SHA-256 failed");
}

/* --- beforehand ------------------------------------------------------------------------------- */

/* NULL: none. */
static const char *path_fault(const char *path)
{
	size_t manifest = strlen(LOSSLESS_MANIFEST), folder = strcspn(LOSSLESS_MANIFEST, "/");
	unsigned depth = 1;

	if (strncmp(path, LOSSLESS_MANIFEST, folder) == 0 &&
	    (!path[folder] || (strncmp(path, LOSSLESS_MANIFEST, manifest) == 0 &&
			       (!path[manifest] || path[manifest] == '/'))))
		return "an image has its own '" LOSSLESS_MANIFEST "'";
	while ((path = strchr(path, '/'))) {
		path++;
		depth++;
	}
	return depth > EFS_DEPTH_MAX ? "too many folders within each other" : NULL;
}

int lossless_check(const struct tree *tree)
{
	for (size_t i = 0; i < tree->count; i++) {
		const char *fault = path_fault(tree->files[i].name);

		if (fault) {
			cli_cannot("pack", tree->files[i].path, "%s", fault);
			return -1;
		}
		if (tree_open_file(tree, i))
			return -1;
		tree_close_file(tree, i);
	}
	return 0;
}

/* --- text ------------------------------------------------------------------------------------- */

typedef int bytes_fn(struct lossless_packer *p, const void *bytes, size_t size);

static int put_blob(struct lossless_packer *p, const void *bytes, size_t size)
{
	struct image_diag diag = {""};

	if (image_writer_put_blob(p->writer, bytes, size, &diag))
		return cannot(p, diag.text);
	progress_add(p->progress, size * WORK); /* as it goes: text takes longest */
	return 0;
}

static int copy_region(struct lossless_packer *p, const struct region *region, bytes_fn *take)
{
	for (uint64_t at = 0; at < region->size;) {
		uint64_t left = region->size - at;
		size_t part = left < COPY_SIZE ? (size_t)left : COPY_SIZE;

		if (source_read(p->file, region->offset + at, p->bytes, part) ||
		    take(p, p->bytes, part))
			return -1;
		at += part;
	}
	return 0;
}

/* All regions of text, one behind the other, if there are any. */
static int put_text(struct lossless_packer *p, const struct layout *layout)
{
	struct image_diag diag = {""};
	uint64_t stored;

	for (size_t i = 0; i < layout->count; i++)
		p->result->text += is_text(&layout->regions[i]) ? layout->regions[i].size : 0;
	if (!p->result->text)
		return 0;
	if (image_writer_begin_blob(p->writer, &diag))
		return cannot(p, diag.text);
	for (size_t i = 0; i < layout->count; i++) {
		if (is_text(&layout->regions[i]) && copy_region(p, &layout->regions[i], put_blob))
			return -1;
	}
	if (image_writer_end_blob(p->writer, &p->blob, &stored, &diag))
		return cannot(p, diag.text);
	p->result->stored += stored;
	return 0;
}

/* --- records ---------------------------------------------------------------------------------- */

static int read_item(void *context, unsigned worker, uint64_t item)
{
	struct lossless_packer *p = context;
	uint64_t at = item * PART, left = p->region->size - at;

	(void)worker;
	return source_read(p->file, p->region->offset + at, p->bytes + at,
			   left < PART ? (size_t)left : PART);
}

/* The first item hashes all bytes, while other threads split them. */
static int split_item(void *context, unsigned worker, uint64_t item)
{
	struct lossless_packer *p = context;
	const struct planes *planes = &p->region->planes;
	uint64_t records = p->region->size / planes->unit;
	uint8_t *parts[PLANES_COUNT_MAX];

	(void)worker;
	if (item == 0)
		return hash(p, p->bytes, (size_t)p->region->size);
	uint64_t first = (item - 1) * SPLIT, left = records - first;
	for (unsigned k = 0; k < planes->count; k++)
		parts[k] = p->parts[k] + first * planes->size[k];
	planes_split(planes, p->bytes + first * planes->unit, left < SPLIT ? (size_t)left : SPLIT,
		     parts);
	return 0;
}

static uint64_t parts_of(uint64_t size, uint64_t part)
{
	return size / part + (size % part != 0);
}

/* The bytes of a region, hashed, and its planes. */
static int load_region(struct lossless_packer *p)
{
	const struct region *region = p->region;
	uint64_t records = region->size / region->planes.unit;
	uint8_t *at = p->planes;

	for (unsigned k = 0; k < region->planes.count; k++) {
		p->parts[k] = at;
		at += records * region->planes.size[k];
	}
	if (pool_run(p->pool, parts_of(region->size, PART), read_item, p) ||
	    pool_run(p->pool, 1 + parts_of(records, SPLIT), split_item, p))
		return -1;
	progress_add(p->progress, region->size * WORK_READ);
	return 0;
}

/* A stream for each plane; the number of the first. */
static int put_planes(struct lossless_packer *p, uint32_t *first)
{
	const struct region *region = p->region;
	uint64_t records = region->size / region->planes.unit;

	for (unsigned k = 0; k < region->planes.count; k++) {
		struct encoded_tensor stream;

		if (encode_bytes(p->encoder, p->parts[k],
				 (size_t)(records * region->planes.size[k]), &stream))
			return -1;
		if (k == 0)
			*first = stream.stream;
		p->result->stored += stream.cost.payload + stream.cost.index + stream.cost.padding;
	}
	return 0;
}

/* Single bytes need no transcode: their stream is them. */
static int put_records(struct lossless_packer *p, struct efs_piece *piece)
{
	const struct region *region = p->region;
	struct efs_transcode record = {.rule = EFS_JOIN,
				       .word = region->planes.word,
				       .plane_count = region->planes.count,
				       .raw_size = region->size};
	struct image_diag diag = {""};
	uint32_t first = 0;

	if (load_region(p) || put_planes(p, &first))
		return -1;
	*piece = (struct efs_piece){EFS_PIECE_STREAM, first, 0, region->size};
	if (region->planes.unit == 1)
		return 0;
	p->result->records += region->size;
	record.first_stream = first;
	for (unsigned k = 0; k < region->planes.count; k++)
		record.plane_size[k] = region->planes.size[k];
	piece->kind = EFS_PIECE_TRANSCODE;
	return image_writer_add_transcode(p->writer, &record, &piece->source, &diag)
		   ? cannot(p, diag.text)
		   : 0;
}

/* --- files ------------------------------------------------------------------------------------ */

/* All regions in order, so that the digest is the file's. */
static int put_regions(struct lossless_packer *p, const struct layout *layout)
{
	uint64_t text = 0;

	for (size_t i = 0; i < layout->count; i++) {
		p->region = &layout->regions[i];
		if (!is_text(p->region)) {
			if (put_records(p, &p->pieces[i]))
				return -1;
			continue;
		}
		p->pieces[i] = (struct efs_piece){EFS_PIECE_BLOB, p->blob, text, p->region->size};
		text += p->region->size;
		if (copy_region(p, p->region, hash))
			return -1;
	}
	return 0;
}

static int put_layout(struct lossless_packer *p, const struct layout *layout)
{
	struct image_diag diag = {""};

	p->pieces = malloc((layout->count + 1) * sizeof *p->pieces);
	int result = p->pieces ? put_text(p, layout) : cannot(p, "out of memory");
	if (!result)
		result = put_regions(p, layout);
	if (!result && image_writer_add_file(p->writer, p->file->name, p->pieces,
					     (uint32_t)layout->count, &diag))
		result = cannot(p, diag.text);
	free(p->pieces);
	return result;
}

static int put_file(struct lossless_packer *p, size_t number)
{
	struct layout layout;

	p->file = &p->lossless->tree->files[number];
	p->result = &p->lossless->files[number];
	p->result->size = (uint64_t)p->file->stat.st_size;
	if (EVP_DigestInit_ex(p->digest, EVP_sha256(), NULL) != 1)
		return cannot(p, "SHA-256 is not available");
	int result = layout_of_file(p->file, &layout);
	if (result)
		return -1;
	result = put_layout(p, &layout);
	layout_free(&layout);
	if (!result && EVP_DigestFinal_ex(p->digest, p->result->digest, NULL) != 1)
		result = cannot(p, "SHA-256 failed");
	return result;
}

static int put_files(struct lossless_packer *p)
{
	const struct tree *tree = p->lossless->tree;

	for (size_t i = 0; i < tree->count; i++) {
		if (tree_open_file(tree, i))
			return -1;
		int result = put_file(p, i);
		tree_close_file(tree, i);
		if (result)
			return -1;
	}
	return 0;
}

static int put_manifest(struct lossless_packer *p)
{
	struct lossless_file *result = &p->lossless->manifest;
	struct image_diag diag = {""};
	struct text text = {0};
	uint32_t blob;

	lossless_add_manifest(p->lossless, &text);
	result->size = text.size;
	int failed = text.failed ? cannot(p, "out of memory") : 0;
	if (!failed &&
	    EVP_Digest(text.data, text.size, result->digest, NULL, EVP_sha256(), NULL) != 1)
		failed = cannot(p, "SHA-256 failed");
	if (!failed && (image_writer_begin_blob(p->writer, &diag) ||
			image_writer_put_blob(p->writer, text.data, text.size, &diag) ||
			image_writer_end_blob(p->writer, &blob, &result->stored, &diag)))
		failed = cannot(p, diag.text);
	if (!failed) {
		const struct efs_piece piece = {EFS_PIECE_BLOB, blob, 0, text.size};
		if (image_writer_add_file(p->writer, LOSSLESS_MANIFEST, &piece, 1, &diag))
			failed = cannot(p, diag.text);
	}
	free(text.data);
	return failed;
}

static int put_all(struct lossless_packer *p)
{
	struct image_diag diag = {""};

	p->digest = EVP_MD_CTX_new();
	p->encoder = encoder_create(p->pool, p->writer, p->target, p->progress);
	p->bytes = malloc(LAYOUT_REGION_MAX);
	p->planes = malloc(LAYOUT_REGION_MAX);
	if (!p->digest || !p->encoder || !p->bytes || !p->planes)
		return cannot(p, "out of memory");
	if (put_files(p) || put_manifest(p))
		return -1;
	return image_writer_finish(p->writer, &p->lossless->overhead, &diag) ? cannot(p, diag.text)
									     : 0;
}

uint64_t lossless_work(const struct tree *tree)
{
	return tree_size(tree) * WORK;
}

int lossless_pack(struct lossless *lossless, const struct tree *tree, int fd, const char *target,
		  struct pool *pool, struct progress *progress)
{
	struct lossless_packer p = {.lossless = lossless,
				    .target = target ? target : tree->path,
				    .pool = pool,
				    .progress = progress};
	struct image_diag diag = {""};

	*lossless = (struct lossless){.tree = tree, .estimated = fd < 0};
	lossless->files = calloc(tree->count, sizeof *lossless->files);
	int result = lossless->files ? 0 : cannot(&p, "out of memory");
	if (!result && image_writer_create(&p.writer, fd, "mkentrofs " ENTROFS_VERSION, &diag))
		result = cannot(&p, diag.text);
	if (!result)
		result = put_all(&p);
	EVP_MD_CTX_free(p.digest);
	encoder_destroy(p.encoder);
	free(p.bytes);
	free(p.planes);
	image_writer_destroy(p.writer);
	return result;
}

void lossless_free(struct lossless *lossless)
{
	free(lossless->files);
	lossless->files = NULL;
}

/* --- reading back ----------------------------------------------------------------------------- */

uint64_t lossless_verify_work(const struct tree *tree)
{
	return verify_work(tree_size(tree));
}

int lossless_verify(const struct lossless *lossless, int fd, const char *target, struct pool *pool,
		    struct progress *progress)
{
	size_t count = lossless->tree->count;
	struct verify_item *items = malloc((count + 1) * sizeof *items);

	if (!items) {
		cli_cannot("verify", target, "out of memory");
		return -1;
	}
	for (size_t i = 0; i < count; i++)
		items[i] = (struct verify_item){.name = lossless->tree->files[i].name,
						.kind = VERIFY_FILE,
						.size = lossless->files[i].size,
						.digest = lossless->files[i].digest};
	items[count] = (struct verify_item){.name = LOSSLESS_MANIFEST,
					    .kind = VERIFY_FILE,
					    .size = lossless->manifest.size,
					    .digest = lossless->manifest.digest};
	int result = verify_image(items, count + 1, fd, target, pool, progress);
	free(items);
	return result;
}
