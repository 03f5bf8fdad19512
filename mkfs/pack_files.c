/* SPDX-License-Identifier: MIT */
/*
 * pack_files.c - the files of an image that are no tensor's: sidecars, then views, whose headers
 * know everything that came before; see packer.h.
 */
#include "mkfs/cli.h"
#include "mkfs/packer.h"
#include "mkfs/view_gguf.h"
#include "mkfs/view_npy.h"
#include "mkfs/views.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

enum {
	COPY_SIZE = 256 << 10,
	SIDECAR_SAMPLES = 3, /* chunks that are compressed of each, for an estimate */
	WORK_COMPRESS = 400, /* units of progress per byte of a sidecar */
};

int packer_cannot(const struct packer *p, const char *reason)
{
	cli_cannot(p->verb, p->target, "%s", reason);
	return -1;
}

int packer_out_of_memory(const struct packer *p)
{
	return packer_cannot(p, "out of memory");
}

/* A blob under construction and its digest. */
static int begin_blob(struct packer *p, EVP_MD_CTX *digest)
{
	struct image_diag diag = {""};
	if (EVP_DigestInit_ex(digest, EVP_sha256(), NULL) != 1)
		return packer_cannot(p, "SHA-256 is not available");
	return image_writer_begin_blob(p->writer, &diag) ? packer_cannot(p, diag.text) : 0;
}

static int put_blob(struct packer *p, EVP_MD_CTX *digest, const void *data, size_t size)
{
	struct image_diag diag = {""};
	if (image_writer_put_blob(p->writer, data, size, &diag))
		return packer_cannot(p, diag.text);
	return EVP_DigestUpdate(digest, data, size) == 1 ? 0 : packer_cannot(p, "SHA-256 failed");
}

static int end_blob(struct packer *p, EVP_MD_CTX *digest, const char *path, uint64_t size)
{
	struct packed_blob *blob = &p->packed->blobs[p->packed->blob_count];
	struct image_diag diag = {""};

	blob->path = strdup(path);
	if (!blob->path)
		return packer_out_of_memory(p);
	p->packed->blob_count++;
	blob->size = size;
	if (EVP_DigestFinal_ex(digest, blob->digest, NULL) != 1)
		return packer_cannot(p, "SHA-256 failed");
	if (image_writer_end_blob(p->writer, &blob->blob, &blob->stored_size, &diag))
		return packer_cannot(p, diag.text);
	return 0;
}

/* A blob of these bytes; its number is in *blob. */
static int put_bytes(struct packer *p, EVP_MD_CTX *digest, const char *path,
		     const struct text *bytes, uint32_t *blob)
{
	if (begin_blob(p, digest) || put_blob(p, digest, bytes->data, bytes->size) ||
	    end_blob(p, digest, path, bytes->size))
		return -1;
	*blob = p->packed->blobs[p->packed->blob_count - 1].blob;
	return 0;
}

static int add_blob_file(struct packer *p, const char *path, uint64_t size)
{
	const struct packed_blob *blob = &p->packed->blobs[p->packed->blob_count - 1];
	const struct efs_piece piece = {EFS_PIECE_BLOB, blob->blob, 0, size};
	struct image_diag diag = {""};
	if (image_writer_add_file(p->writer, path, &piece, size ? 1 : 0, &diag))
		return packer_cannot(p, diag.text);
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
	return image_writer_extend_blob(p->writer, size, &diag) ? packer_cannot(p, diag.text) : 0;
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

	uint32_t blob;
	view_manifest(p->packed, &text);
	int result =
	    text.failed ? packer_out_of_memory(p) : put_bytes(p, digest, path, &text, &blob);
	if (!result)
		result = add_blob_file(p, path, text.size);
	free(text.data);
	return result;
}

/* The transcode that makes a piece of blocks, which names its tensor still. */
static int add_blocks(struct packer *p, struct efs_piece *piece)
{
	const struct efs_transcode record = {
	    .rule = EFS_GGML_BLOCKS,
	    .ggml_type = (uint8_t)p->packed->tensors[piece->source].result.ggml_type,
	    .tensor = piece->source,
	    .raw_size = piece->length};
	struct image_diag diag = {""};

	return image_writer_add_transcode(p->writer, &record, &piece->source, &diag)
		   ? packer_cannot(p, diag.text)
		   : 0;
}

typedef int view_maker(const struct packed *packed, struct text *bytes, struct efs_piece **pieces,
		       uint32_t *piece_count, struct image_diag *diag);

/* A file of a blob and of what is there already. */
static int pack_view(struct packer *p, EVP_MD_CTX *digest, const char *path, view_maker *make)
{
	struct text bytes = {0};
	struct efs_piece *pieces = NULL;
	uint32_t count = 0;
	struct image_diag diag = {""};

	int result = make(p->packed, &bytes, &pieces, &count, &diag);
	if (result)
		result = packer_cannot(p, diag.text);
	uint32_t blob = 0;
	if (!result)
		result = put_bytes(p, digest, path, &bytes, &blob);
	for (uint32_t i = 0; !result && i < count; i++) {
		if (pieces[i].kind == EFS_PIECE_BLOB)
			pieces[i].source = blob;
		else if (pieces[i].kind == EFS_PIECE_TRANSCODE)
			result = add_blocks(p, &pieces[i]);
	}
	if (!result && image_writer_add_file(p->writer, path, pieces, count, &diag))
		result = packer_cannot(p, diag.text);
	free(bytes.data);
	free(pieces);
	return result;
}

/* --- the source's weight files, dequantized --------------------------------------------------- */

/* The header of a weight file as it is, with the size before it. */
static int copy_header(struct packer *p, const struct source_file *shard, EVP_MD_CTX *digest,
		       uint8_t *buffer, uint64_t *size)
{
	uint64_t header;

	if (source_read(shard, 0, &header, sizeof header))
		return -1;
	*size = SAFETENSORS_PREFIX + header;
	if (header > SAFETENSORS_HEADER_MAX)
		return packer_cannot(p, "its source changed while it was read");
	for (uint64_t at = 0; at < *size;) {
		size_t part = *size - at < COPY_SIZE ? (size_t)(*size - at) : COPY_SIZE;
		if (source_read(shard, at, buffer, part) || put_blob(p, digest, buffer, part))
			return -1;
		at += part;
	}
	return 0;
}

/* The piece that makes the numbers of a quantized tensor, as this dtype. */
static int add_numbers(struct packer *p, size_t tensor, enum efs_dtype dtype,
		       struct efs_piece *piece)
{
	uint64_t size = p->packed->tensors[tensor].source->info.count * dtype_by_code(dtype)->size;
	const struct efs_transcode record = {.rule = EFS_DEQUANTIZE,
					     .dtype = (uint8_t)dtype,
					     .tensor = (uint32_t)tensor,
					     .raw_size = size};
	struct image_diag diag = {""};

	*piece = (struct efs_piece){EFS_PIECE_TRANSCODE, 0, 0, size};
	return image_writer_add_transcode(p->writer, &record, &piece->source, &diag)
		   ? packer_cannot(p, diag.text)
		   : 0;
}

/* The piece of a tensor's stream: codes, or what was kept. */
static struct efs_piece stream_piece(const struct packed_tensor *tensor)
{
	return (struct efs_piece){EFS_PIECE_STREAM, tensor->result.stream, 0,
				  tensor->result.raw_size};
}

/* A tensor as its source has it. */
static int add_tensor(struct packer *p, size_t tensor, struct efs_piece *piece)
{
	const struct packed_tensor *packed = &p->packed->tensors[tensor];

	*piece = stream_piece(packed);
	return packed->result.bits ? add_numbers(p, tensor, packed->source->info.dtype->code, piece)
				   : 0;
}

/* A weight file: its header and the tensors from number *next on, which becomes the next file's. */
static int pack_shard(struct packer *p, uint32_t shard, size_t *next, EVP_MD_CTX *digest,
		      uint8_t *buffer)
{
	const struct packed *packed = p->packed;
	const struct source_file *file = &packed->source->shards[shard];
	struct efs_piece *pieces = malloc((packed->tensor_count + 1) * sizeof *pieces);
	struct image_diag diag = {""};
	uint32_t count = 1;
	uint64_t size = 0;

	int result = pieces ? begin_blob(p, digest) : packer_out_of_memory(p);
	if (!result)
		result = copy_header(p, file, digest, buffer, &size);
	if (!result)
		result = end_blob(p, digest, file->name, size);
	if (!result)
		*pieces = (struct efs_piece){EFS_PIECE_BLOB,
					     packed->blobs[packed->blob_count - 1].blob, 0, size};
	for (; !result && *next < packed->tensor_count &&
	       packed->tensors[*next].source->shard == shard;
	     ++*next) {
		if (packed->tensors[*next].source->info.size)
			result = add_tensor(p, *next, &pieces[count++]);
	}
	if (!result && image_writer_add_file(p->writer, file->name, pieces, count, &diag))
		result = packer_cannot(p, diag.text);
	free(pieces);
	return result;
}

static int pack_model(struct packer *p, EVP_MD_CTX *digest, uint8_t *buffer)
{
	const struct source *source = p->packed->source;
	size_t next = 0;

	for (uint32_t i = 0; i < source->shard_count; i++) {
		if (pack_shard(p, i, &next, digest, buffer))
			return -1;
	}
	for (size_t i = 0; i < source->index_count; i++) {
		if (pack_sidecar(p, &source->index[i], digest, buffer))
			return -1;
	}
	return 0;
}

/* --- .npy files ------------------------------------------------------------------------------- */

/* What dtype a quantized tensor's numbers have there: NumPy does not know BF16. */
static enum efs_dtype npy_dtype(const struct packed_tensor *tensor)
{
	enum efs_dtype dtype = tensor->source->info.dtype->code;

	return dtype == EFS_BF16 ? EFS_F32 : dtype;
}

static int add_npy_file(struct packer *p, const char *folder, size_t tensor, int numbers,
			struct efs_piece header)
{
	const struct packed_tensor *packed = &p->packed->tensors[tensor];
	struct efs_piece pieces[2] = {header, stream_piece(packed)};
	struct image_diag diag = {""};
	char *path;

	if (numbers && packed->source->info.count &&
	    add_numbers(p, tensor, npy_dtype(packed), &pieces[1]))
		return -1;
	/* The file's name but for its extension, which tells the bits. */
	if (asprintf(&path, "%s/%.*s.npy", folder, (int)(strrchr(packed->file, '.') - packed->file),
		     packed->file) < 0)
		return packer_out_of_memory(p);
	int result = image_writer_add_file(p->writer, path, pieces, pieces[1].length ? 2 : 1, &diag)
			 ? packer_cannot(p, diag.text)
			 : 0;
	free(path);
	return result;
}

/* numbers: those of quantized tensors; else all tensors as they are stored. All headers are in one
 * blob. */
static int pack_npy(struct packer *p, EVP_MD_CTX *digest, const char *folder, int numbers)
{
	const struct packed *packed = p->packed;
	uint64_t *starts = malloc((packed->tensor_count + 1) * sizeof *starts);
	struct text headers = {0};
	uint32_t blob = 0;

	for (size_t i = 0; starts && i < packed->tensor_count; i++) {
		const struct packed_tensor *tensor = &packed->tensors[i];
		starts[i] = headers.size;
		if (tensor->result.bits || !numbers)
			view_npy_header(
			    &headers, &tensor->source->info, numbers ? 0 : tensor->result.bits,
			    numbers ? npy_dtype(tensor) : tensor->source->info.dtype->code);
	}
	int result = !starts || headers.failed ? packer_out_of_memory(p) : 0;
	if (!result && headers.size)
		result = put_bytes(p, digest, folder, &headers, &blob);
	for (size_t i = 0; !result && i < packed->tensor_count; i++) {
		uint64_t end = i + 1 < packed->tensor_count ? starts[i + 1] : headers.size;
		struct efs_piece header = {EFS_PIECE_BLOB, blob, starts[i], end - starts[i]};
		if (header.length)
			result = add_npy_file(p, folder, i, numbers, header);
	}
	free(headers.data);
	free(starts);
	return result;
}

/* --- all of them ------------------------------------------------------------------------------ */

int packer_put_files(struct packer *p)
{
	const struct source *source = p->packed->source;
	unsigned views = p->packed->views;
	EVP_MD_CTX *digest = EVP_MD_CTX_new();
	uint8_t *buffer = malloc(COPY_SIZE);
	int result = digest && buffer ? 0 : packer_out_of_memory(p);

	for (size_t i = 0; !result && i < source->sidecar_count; i++)
		result = pack_sidecar(p, &source->sidecars[i], digest, buffer);
	if (!result && (views & VIEW_MODEL))
		result = pack_model(p, digest, buffer);
	if (!result && (views & VIEW_GGUF))
		result = pack_view(p, digest, source->shards[0].name, view_gguf);
	if (!result && (views & VIEW_QUANTIZED))
		result = pack_view(p, digest, "quantized/model.safetensors", view_safetensors);
	if (!result && (views & VIEW_NPY))
		result = pack_npy(p, digest, "npy", 0);
	if (!result && (views & VIEW_NPY_FLOAT))
		result = pack_npy(p, digest, "npy-float", 1);
	if (!result)
		result = pack_manifest(p, digest);
	EVP_MD_CTX_free(digest);
	free(buffer);
	return result;
}

static uint64_t sidecar_work(const struct source_file *file, int sampled)
{
	uint64_t size = (uint64_t)file->stat.st_size;

	return (sampled && is_sampled(size) ? (uint64_t)SIDECAR_SAMPLES * EFS_CHUNK_SIZE : size) *
	       WORK_COMPRESS;
}

uint64_t packer_files_work(const struct source *source, int sampled)
{
	uint64_t work = 0;

	for (size_t i = 0; i < source->sidecar_count; i++)
		work += sidecar_work(&source->sidecars[i], sampled);
	for (size_t i = 0; i < source->index_count; i++)
		work += sidecar_work(&source->index[i], sampled);
	return work;
}

size_t packer_blobs_max(const struct source *source)
{
	enum { OTHER_VIEWS = 3, MANIFEST = 1 };

	return source->sidecar_count + source->shard_count + source->index_count + OTHER_VIEWS +
	       MANIFEST;
}
