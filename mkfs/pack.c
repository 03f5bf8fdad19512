/* SPDX-License-Identifier: MIT */
/*
 * pack.c - a whole model into an image; see pack.h.
 *
 * Order in the image: tensors as in the source, sidecars, then the headers of the views, which know
 * everything that came before.
 */
#include "mkfs/pack.h"

#include "mkfs/cli.h"
#include "mkfs/codes.h"
#include "mkfs/packer.h"
#include "mkfs/verify.h"
#include "mkfs/views.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
		return packer_cannot(p, diag.text);

	const struct efs_piece piece = {EFS_PIECE_STREAM, result->stream, 0, result->raw_size};
	if (image_writer_add_file(p->writer, path, &piece, result->raw_size ? 1 : 0, &diag))
		return packer_cannot(p, diag.text);
	return 0;
}

/* encoder: NULL for an estimate. */
static int pack_tensor(struct packer *p, struct encoder *encoder, size_t i)
{
	struct packed_tensor *tensor = &p->packed->tensors[i];
	struct image_diag diag = {""};

	if (encoder)
		return encode_tensor(encoder, &p->packed->source->shards[tensor->source->shard],
				     &tensor->source->info, tensor->plan->bits,
				     tensor->plan->blocks, &tensor->result);
	if (estimate_put(p->estimate, i, p->writer, &tensor->result, &diag))
		return packer_cannot(p, diag.text);
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
			return packer_out_of_memory(p);
		int result = add_tensor_record(p, tensor, path);
		free(path);
		if (result)
			return -1;
	}
	return 0;
}

static int finish(struct packer *p)
{
	struct image_diag diag = {""};

	if (packer_put_files(p))
		return -1;
	return image_writer_finish(p->writer, &p->packed->overhead, &diag)
		   ? packer_cannot(p, diag.text)
		   : 0;
}

static int pack_all(struct packer *p, const struct plan *plan, struct pool *pool)
{
	struct encoder *encoder = encoder_create(pool, p->writer, p->target, p->progress);
	int result = encoder ? pack_tensors(p, encoder, plan) : packer_out_of_memory(p);

	encoder_destroy(encoder);
	return result ? result : finish(p);
}

uint64_t pack_work(const struct source *source, const struct plan *plan)
{
	uint64_t work = 0;
	for (size_t i = 0; i < source->tensor_count; i++)
		work += encode_work(&source->tensors[i].info, plan[i].bits, plan[i].blocks);
	return work + packer_files_work(source, 0);
}

/* Makes all ready and creates the writer. */
static int start(struct packer *p, const struct source *source, unsigned views, int fd)
{
	struct packed *packed = p->packed;
	struct image_diag diag = {""};

	memset(packed, 0, sizeof *packed);
	packed->source = source;
	packed->views = views;
	packed->tensors = calloc(source->tensor_count + 1, sizeof *packed->tensors);
	packed->blobs = calloc(packer_blobs_max(source), sizeof *packed->blobs);
	if (!packed->tensors || !packed->blobs)
		return packer_out_of_memory(p);
	if (image_writer_create(&p->writer, fd, "mkentrofs " ENTROFS_VERSION, &diag))
		return packer_cannot(p, diag.text);
	return 0;
}

int pack(struct packed *packed, const struct source *source, const struct plan *plan,
	 unsigned views, int fd, const char *target, struct pool *pool, struct progress *progress)
{
	struct packer p = {
	    .packed = packed, .verb = "write", .target = target, .progress = progress};
	int result = start(&p, source, views, fd);

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
	return work + packer_files_work(source, 1);
}

int pack_estimate(struct packed *packed, const struct source *source, const struct plan *plan,
		  unsigned views, struct pool *pool, struct progress *progress)
{
	struct packer p = {
	    .packed = packed, .verb = "pack", .target = source->path, .progress = progress};
	int result = start(&p, source, views, -1);
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

/* --- reading back ----------------------------------------------------------------------------- */

uint64_t packed_verify_work(const struct source *source, const struct plan *plan)
{
	uint64_t size = 0;
	for (size_t i = 0; i < source->tensor_count; i++)
		size += codes_raw_size(&source->tensors[i].info, plan[i].bits);
	for (size_t i = 0; i < source->sidecar_count; i++)
		size += (uint64_t)source->sidecars[i].stat.st_size;
	return verify_work(size);
}

int packed_verify(const struct packed *packed, int fd, const char *target, struct pool *pool,
		  struct progress *progress)
{
	size_t count = 0;
	struct verify_item *items =
	    malloc((packed->tensor_count + packed->blob_count + 1) * sizeof *items);

	if (!items) {
		cli_cannot("verify", target, "out of memory");
		return -1;
	}
	for (size_t i = 0; i < packed->tensor_count; i++) {
		const struct packed_tensor *tensor = &packed->tensors[i];
		items[count++] = (struct verify_item){
		    tensor->source->info.name, VERIFY_STREAM, tensor->result.stream,
		    tensor->result.raw_size, tensor->result.digest};
	}
	for (size_t i = 0; i < packed->blob_count; i++) {
		const struct packed_blob *blob = &packed->blobs[i];
		items[count++] = (struct verify_item){blob->path, VERIFY_BLOB, blob->blob,
						      blob->size, blob->digest};
	}
	int result = verify_image(items, count, fd, target, pool, progress);
	free(items);
	return result;
}
