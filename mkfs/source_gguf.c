/* SPDX-License-Identifier: MIT */
/*
 * source_gguf.c - the tensors of a GGUF file; see source.h.
 *
 * Its shapes name the length of a row first, ours last. Its tensors are put in the order of their
 * data, as those of other files are, whatever the order of its header.
 */
#include "mkfs/source.h"

#include "mkfs/cli.h"
#include "mkfs/gguf_file.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

static const char magic[4] = {'G', 'G', 'U', 'F'};

static int fail(const struct source_file *file, const char *reason)
{
	cli_cannot("read", file->path, "%s", reason);
	return -1;
}

/* By its name, or if that says nothing, by how it begins. */
int source_is_gguf(const struct source *source)
{
	const struct source_file *file = &source->shards[0];
	const char *ending = source->shard_count == 1 ? strrchr(file->name, '.') : NULL;
	char start[sizeof magic];

	if (source->shard_count != 1 || (ending && strcmp(ending, ".safetensors") == 0))
		return 0;
	if (ending && strcmp(ending, ".gguf") == 0)
		return 1;
	return file->stat.st_size >= (off_t)sizeof start &&
	       !source_read(file, 0, start, sizeof start) &&
	       memcmp(start, magic, sizeof magic) == 0;
}

static int read_header(struct source *source)
{
	const struct source_file *file = &source->shards[0];
	struct image_diag diag = {""};
	int result = gguf_read_file(file, &source->gguf_bytes, source->gguf, &diag);

	return result < 0 ? fail(file, diag.text) : result ? -1 : 0;
}

/* NULL: one whose numbers are quantized already. */
static const struct dtype *dtype_of(const struct gguf_type *type)
{
	static const struct {
		uint32_t id;
		enum efs_dtype dtype;
	} types[] = {
	    {GGUF_TYPE_F32, EFS_F32}, {GGUF_TYPE_F16, EFS_F16}, {GGUF_TYPE_BF16, EFS_BF16},
	    {GGUF_TYPE_F64, EFS_F64}, {GGUF_TYPE_I8, EFS_I8},   {GGUF_TYPE_I16, EFS_I16},
	    {GGUF_TYPE_I32, EFS_I32}, {GGUF_TYPE_I64, EFS_I64},
	};

	for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
		if (types[i].id == type->id)
			return dtype_by_code(types[i].dtype);
	}
	return NULL;
}

static int take_tensor(struct source *source, size_t place)
{
	const struct gguf_tensor *from = &source->gguf->tensors[place];
	struct source_tensor *tensor = &source->tensors[place];
	struct safetensor *to = &tensor->info;

	*tensor = (struct source_tensor){.place = (uint32_t)place};
	to->dtype = dtype_of(from->type);
	if (!to->dtype) {
		cli_cannot(
		    "pack", source->shards[0].path,
		    "tensor '%.200s' is quantized already, to %s (mkentrofs --lossless packs "
		    "the file as it is)",
		    from->name, from->type->name);
		return -1;
	}
	to->name = strdup(from->name);
	to->dims = malloc((from->rank + 1) * sizeof *to->dims);
	to->rank = from->rank;
	to->count = from->count;
	to->size = from->size;
	to->offset = source->gguf->data_offset + from->offset;
	source->tensor_count = place + 1;
	if (!to->name || !to->dims)
		return fail(&source->shards[0], "out of memory");
	for (unsigned i = 0; i < from->rank; i++)
		to->dims[i] = from->dims[from->rank - 1 - i];
	return 0;
}

static int compare_places(const void *a, const void *b)
{
	const struct source_tensor *left = a, *right = b;

	if (left->info.offset != right->info.offset)
		return left->info.offset < right->info.offset ? -1 : 1;
	/* Empty tensors come before the one that starts at the same byte. */
	if (left->info.size != right->info.size)
		return left->info.size < right->info.size ? -1 : 1;
	return left->place < right->place ? -1 : left->place > right->place;
}

static int take_tensors(struct source *source)
{
	const struct source_file *file = &source->shards[0];
	size_t count = source->gguf->tensor_count;

	if (!count) {
		cli_cannot("pack", file->path, "it has no tensors");
		return -1;
	}
	source->tensors = malloc(count * sizeof *source->tensors);
	if (!source->tensors)
		return fail(file, "out of memory");
	for (size_t i = 0; i < count; i++) {
		if (take_tensor(source, i))
			return -1;
	}
	qsort(source->tensors, count, sizeof *source->tensors, compare_places);
	for (size_t i = 0; i < count; i++)
		source->tensors[i].order = (uint32_t)i;
	return 0;
}

/* A part of a model would be served as if it were whole. */
static int check_whole(const struct source *source)
{
	uint64_t parts = 0;

	if (gguf_get_unsigned(source->gguf, "split.count", &parts) || parts <= 1)
		return 0;
	cli_cannot("pack", source->shards[0].path,
		   "it is one of %llu parts of a model (llama-gguf-split --merge joins them)",
		   (unsigned long long)parts);
	return -1;
}

int source_read_gguf(struct source *source)
{
	struct gguf *header = calloc(1, sizeof *header);

	if (!header)
		return fail(&source->shards[0], "out of memory");
	source->gguf = header;
	int result = read_header(source);
	if (!result)
		result = check_whole(source);
	if (!result)
		result = take_tensors(source);
	malloc_trim(0);
	return result;
}
