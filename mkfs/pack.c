/* SPDX-License-Identifier: MIT */
/*
 * pack.c - a whole model into an image; see pack.h.
 *
 * Order in the image: tensors as in the source, sidecars, then the headers of the views, which know
 * everything that came before.
 */
#include "mkfs/pack.h"

#include "mkfs/cli.h"
#include "mkfs/estimate.h"
#include "mkfs/views.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

enum {
	COPY_SIZE = 256 << 10,
	SIDECAR_SAMPLES = 3, /* chunks that are compressed of each, for an estimate */
	WORK_COMPRESS = 400, /* units of progress per byte of a sidecar */
};

struct packer {
	struct packed *packed;
	struct image_writer *writer;
	const struct estimate *estimate; /* NULL: packing in earnest */
	const char *verb, *target;       /* for errors */
	struct progress *progress;
};

static int cannot_write(const struct packer *p, const char *reason)
{
	cli_cannot(p->verb, p->target, "%s", reason);
	return -1;
}

static int out_of_memory(const struct packer *p)
{
	return cannot_write(p, "out of memory");
}

static int add_tensor_record(struct packer *p, const struct packed_tensor *tensor, const char *path)
{
	const struct source_tensor *source = tensor->source;
	const struct safetensor *info = &source->info;
	const struct encoded_tensor *result = &tensor->result;
	struct image_diag diag = {""};
	const struct efs_param param = {result->params.scale, result->params.zero_point};
	struct image_tensor_spec spec = {
	    .name = info->name,
	    .name_size = strlen(info->name),
	    .shard = p->packed->source->shards[source->shard].name,
	    .path = path,
	    .dims = info->dims,
	    .params = &param,
	    .stream = result->stream,
	    .record =
		{
		    .source_order = source->order,
		    .source_dtype = (uint8_t)info->dtype->code,
		    .rank = (uint8_t)info->rank,
		    .bits = (uint8_t)result->bits,
		    .scheme = result->bits ? (uint8_t)result->params.scheme : EFS_KEPT,
		    .param_count = result->bits ? 1 : 0,
		    .entropy = result->entropy,
		    .sqnr = result->sqnr,
		    .max_error = result->max_error,
		},
	};
	memcpy(spec.record.digest, result->digest, sizeof result->digest);
	if (image_writer_add_tensor(p->writer, &spec, &diag))
		return cannot_write(p, diag.text);

	const struct efs_piece piece = {EFS_PIECE_STREAM, result->stream, 0, result->raw_size};
	if (image_writer_add_file(p->writer, path, &piece, result->raw_size ? 1 : 0, &diag))
		return cannot_write(p, diag.text);
	return 0;
}

/* encoder: NULL for an estimate. */
static int pack_tensor(struct packer *p, struct encoder *encoder, size_t i)
{
	struct packed_tensor *tensor = &p->packed->tensors[i];
	struct image_diag diag = {""};

	if (encoder)
		return encode_tensor(encoder, &p->packed->source->shards[tensor->source->shard],
				     &tensor->source->info, tensor->plan->bits, &tensor->result);
	if (estimate_put(p->estimate, i, p->writer, &tensor->result, &diag))
		return cannot_write(p, diag.text);
	return 0;
}

static int pack_tensors(struct packer *p, struct encoder *encoder, const struct plan *plan)
{
	struct packed *packed = p->packed;
	const struct source *source = packed->source;

	for (size_t i = 0; i < source->tensor_count; i++) {
		struct packed_tensor *tensor = &packed->tensors[i];
		tensor->source = &source->tensors[i];
		tensor->plan = &plan[i];
		packed->tensor_count = i + 1;
		if (pack_tensor(p, encoder, i))
			return -1;
		tensor->file = view_file_name(&tensor->source->info, tensor->result.bits);
		char *path;
		if (!tensor->file || asprintf(&path, "quantized/tensors/%s", tensor->file) < 0)
			return out_of_memory(p);
		int result = add_tensor_record(p, tensor, path);
		free(path);
		if (result)
			return -1;
	}
	return 0;
}

/* A blob under construction and its digest. */
static int begin_blob(struct packer *p, EVP_MD_CTX *digest)
{
	struct image_diag diag = {""};
	if (EVP_DigestInit_ex(digest, EVP_sha256(), NULL) != 1)
		return cannot_write(p, "SHA-256 is not available");
	return image_writer_begin_blob(p->writer, &diag) ? cannot_write(p, diag.text) : 0;
}

static int put_blob(struct packer *p, EVP_MD_CTX *digest, const void *data, size_t size)
{
	struct image_diag diag = {""};
	if (image_writer_put_blob(p->writer, data, size, &diag))
		return cannot_write(p, diag.text);
	return EVP_DigestUpdate(digest, data, size) == 1 ? 0 : cannot_write(p, "SHA-256 failed");
}

static int end_blob(struct packer *p, EVP_MD_CTX *digest, const char *path, uint64_t size)
{
	struct packed_blob *blob = &p->packed->blobs[p->packed->blob_count];
	struct image_diag diag = {""};

	blob->path = strdup(path);
	if (!blob->path)
		return out_of_memory(p);
	p->packed->blob_count++;
	blob->size = size;
	if (EVP_DigestFinal_ex(digest, blob->digest, NULL) != 1)
		return cannot_write(p, "SHA-256 failed");
	if (image_writer_end_blob(p->writer, &blob->blob, &blob->stored_size, &diag))
		return cannot_write(p, diag.text);
	return 0;
}

static int add_blob_file(struct packer *p, const char *path, uint64_t size)
{
	const struct packed_blob *blob = &p->packed->blobs[p->packed->blob_count - 1];
	const struct efs_piece piece = {EFS_PIECE_BLOB, blob->blob, 0, size};
	struct image_diag diag = {""};
	if (image_writer_add_file(p->writer, path, &piece, size ? 1 : 0, &diag))
		return cannot_write(p, diag.text);
	return 0;
}

static int copy_sidecar(struct packer *p, const struct source_file *file, EVP_MD_CTX *digest,
			uint8_t *buffer)
{
	uint64_t size = (uint64_t)file->stat.st_size;

	for (uint64_t at = 0; at < size;) {
		size_t part = size - at < COPY_SIZE ? (size_t)(size - at) : COPY_SIZE;
		if (source_read(file, at, buffer, part) || put_blob(p, digest, buffer, part))
			return -1;
		progress_add(p->progress, part * WORK_COMPRESS);
		at += part;
	}
	return 0;
}

/* Whether only a sample of a file of this size is looked at. */
static int is_sampled(uint64_t size)
{
	return size > (uint64_t)SIDECAR_SAMPLES * EFS_CHUNK_SIZE;
}

/* Takes chunks from the middle of equal parts of the file for all of it. */
static int sample_sidecar(struct packer *p, const struct source_file *file, EVP_MD_CTX *digest,
			  uint8_t *buffer)
{
	uint64_t size = (uint64_t)file->stat.st_size, chunks = size / EFS_CHUNK_SIZE;
	struct image_diag diag = {""};

	for (uint64_t i = 0; i < SIDECAR_SAMPLES; i++) {
		uint64_t chunk = (2 * i + 1) * chunks / (2 * (uint64_t)SIDECAR_SAMPLES);
		if (source_read(file, chunk * EFS_CHUNK_SIZE, buffer, EFS_CHUNK_SIZE) ||
		    put_blob(p, digest, buffer, EFS_CHUNK_SIZE))
			return -1;
		progress_add(p->progress, (uint64_t)EFS_CHUNK_SIZE * WORK_COMPRESS);
	}
	size -= (uint64_t)SIDECAR_SAMPLES * EFS_CHUNK_SIZE;
	return image_writer_extend_blob(p->writer, size, &diag) ? cannot_write(p, diag.text) : 0;
}

static int pack_sidecar(struct packer *p, const struct source_file *file, EVP_MD_CTX *digest,
			uint8_t *buffer)
{
	uint64_t size = (uint64_t)file->stat.st_size;

	if (begin_blob(p, digest))
		return -1;
	if (p->estimate && is_sampled(size) ? sample_sidecar(p, file, digest, buffer)
					    : copy_sidecar(p, file, digest, buffer))
		return -1;
	if (end_blob(p, digest, file->name, size))
		return -1;
	return add_blob_file(p, file->name, size);
}

static int pack_manifest(struct packer *p, EVP_MD_CTX *digest)
{
	static const char path[] = "quantized/manifest.json";
	struct text text = {0};

	view_manifest(p->packed, &text);
	int result = text.failed ? out_of_memory(p) : begin_blob(p, digest);
	if (!result)
		result = put_blob(p, digest, text.data, text.size);
	if (!result)
		result = end_blob(p, digest, path, text.size);
	if (!result)
		result = add_blob_file(p, path, text.size);
	free(text.data);
	return result;
}

static int pack_safetensors(struct packer *p, EVP_MD_CTX *digest)
{
	static const char path[] = "quantized/model.safetensors";
	struct text bytes = {0};
	struct efs_piece *pieces = NULL;
	uint32_t count = 0;
	struct image_diag diag = {""};

	int result = view_safetensors(p->packed, &bytes, &pieces, &count, &diag);
	if (result)
		result = cannot_write(p, diag.text);
	if (!result)
		result = begin_blob(p, digest);
	if (!result)
		result = put_blob(p, digest, bytes.data, bytes.size);
	if (!result)
		result = end_blob(p, digest, path, bytes.size);
	if (!result) {
		uint32_t blob = p->packed->blobs[p->packed->blob_count - 1].blob;
		for (uint32_t i = 0; i < count; i++) {
			if (pieces[i].kind == EFS_PIECE_BLOB)
				pieces[i].source = blob;
		}
		if (image_writer_add_file(p->writer, path, pieces, count, &diag))
			result = cannot_write(p, diag.text);
	}
	free(bytes.data);
	free(pieces);
	return result;
}

static int pack_blobs(struct packer *p)
{
	const struct source *source = p->packed->source;
	EVP_MD_CTX *digest = EVP_MD_CTX_new();
	uint8_t *buffer = malloc(COPY_SIZE);
	int result = digest && buffer ? 0 : out_of_memory(p);

	for (size_t i = 0; !result && i < source->sidecar_count; i++)
		result = pack_sidecar(p, &source->sidecars[i], digest, buffer);
	if (!result)
		result = pack_safetensors(p, digest);
	if (!result)
		result = pack_manifest(p, digest);
	EVP_MD_CTX_free(digest);
	free(buffer);
	return result;
}

static int finish(struct packer *p)
{
	struct image_diag diag = {""};

	if (pack_blobs(p))
		return -1;
	return image_writer_finish(p->writer, &p->packed->overhead, &diag)
		   ? cannot_write(p, diag.text)
		   : 0;
}

static int pack_all(struct packer *p, const struct plan *plan, struct pool *pool)
{
	struct encoder *encoder = encoder_create(pool, p->writer, p->target, p->progress);
	int result = encoder ? pack_tensors(p, encoder, plan) : out_of_memory(p);

	encoder_destroy(encoder);
	return result ? result : finish(p);
}

uint64_t pack_work(const struct source *source, const struct plan *plan)
{
	uint64_t work = 0;
	for (size_t i = 0; i < source->tensor_count; i++)
		work += encode_work(&source->tensors[i].info, plan[i].bits);
	for (size_t i = 0; i < source->sidecar_count; i++)
		work += (uint64_t)source->sidecars[i].stat.st_size * WORK_COMPRESS;
	return work;
}

/* Makes all ready and creates the writer. */
static int start(struct packer *p, const struct source *source, int fd)
{
	struct packed *packed = p->packed;
	struct image_diag diag = {""};
	enum { VIEW_BLOBS = 2 };

	memset(packed, 0, sizeof *packed);
	packed->source = source;
	packed->tensors = calloc(source->tensor_count + 1, sizeof *packed->tensors);
	packed->blobs = calloc(source->sidecar_count + VIEW_BLOBS, sizeof *packed->blobs);
	if (!packed->tensors || !packed->blobs)
		return out_of_memory(p);
	if (image_writer_create(&p->writer, fd, "mkentrofs " ENTROFS_VERSION, &diag))
		return cannot_write(p, diag.text);
	return 0;
}

int pack(struct packed *packed, const struct source *source, const struct plan *plan, int fd,
	 const char *target, struct pool *pool, struct progress *progress)
{
	struct packer p = {
	    .packed = packed, .verb = "write", .target = target, .progress = progress};
	int result = start(&p, source, fd);

	if (!result)
		result = pack_all(&p, plan, pool);
	image_writer_destroy(p.writer);
	return result;
}

uint64_t pack_estimate_work(const struct source *source, const struct plan *plan)
{
	uint64_t work = 0;
	for (size_t i = 0; i < source->tensor_count; i++)
		work += estimate_work(&source->tensors[i].info, plan[i].bits);
	for (size_t i = 0; i < source->sidecar_count; i++) {
		uint64_t size = (uint64_t)source->sidecars[i].stat.st_size;
		if (is_sampled(size))
			size = (uint64_t)SIDECAR_SAMPLES * EFS_CHUNK_SIZE;
		work += size * WORK_COMPRESS;
	}
	return work;
}

int pack_estimate(struct packed *packed, const struct source *source, const struct plan *plan,
		  struct pool *pool, struct progress *progress)
{
	struct packer p = {
	    .packed = packed, .verb = "pack", .target = source->path, .progress = progress};
	int result = start(&p, source, -1);
	struct estimate *estimate = NULL;

	packed->estimated = 1;
	if (!result)
		p.estimate = estimate = estimate_create(source, plan, pool, progress);
	result = !estimate ? -1 : pack_tensors(&p, NULL, plan) ? -1 : finish(&p);
	image_writer_destroy(p.writer);
	estimate_destroy(estimate);
	return result;
}

void packed_free(struct packed *packed)
{
	for (size_t i = 0; i < packed->tensor_count; i++)
		free(packed->tensors[i].file);
	for (size_t i = 0; i < packed->blob_count; i++)
		free(packed->blobs[i].path);
	free(packed->tensors);
	free(packed->blobs);
	memset(packed, 0, sizeof *packed);
}
