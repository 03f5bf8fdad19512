/* SPDX-License-Identifier: MIT */
/*
 * safetensors.c - fuzz target: a header that parses describes tensors that fill the data exactly,
 * and gives each a file name that is safe; an index of shards that parses names files without a
 * path, and tensors once.
 *
 * Input: 8 bytes, the size of the data (little-endian), then the text: of a header, and of an
 * index.
 */
#include "mkfs/shard_index.h"
#include "mkfs/views.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition)
{
	if (!condition)
		abort();
}

static void check_file_name(const struct safetensor *tensor, int bits)
{
	static const char safe[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
				   "._-%";
	char *file = view_file_name(tensor, bits);
	require(file && strlen(file) <= 200 + 1 + strlen("f8_e5m2"));
	require(file[0] != '.' && strspn(file, safe) == strlen(file));
	free(file);
}

/* What the shape comes to, and whether it fits in 64 bits. */
static int multiply(const struct safetensor *tensor, uint64_t *count)
{
	int empty = 0, fits = 1;

	*count = 1;
	for (unsigned d = 0; d < tensor->rank; d++) {
		empty |= !tensor->dims[d];
		fits &= !__builtin_mul_overflow(*count, tensor->dims[d], count);
	}
	if (empty)
		*count = 0;
	return fits || empty;
}

static void try_header(const char *text, size_t size, uint64_t data_size)
{
	struct image_diag diag = {""};
	struct safetensors header;
	uint64_t end = 0;

	if (safetensors_parse(text, size, data_size, &header, &diag)) {
		require(diag.text[0] != '\0');
		return;
	}
	for (size_t i = 0; i < header.tensor_count; i++) {
		const struct safetensor *tensor = &header.tensors[i];
		uint64_t count;
		require(tensor->rank <= EFS_RANK_MAX);
		require(multiply(tensor, &count));
		require(count == tensor->count);
		require(tensor->offset == end);
		require(!__builtin_mul_overflow(count, (uint64_t)tensor->dtype->size, &count));
		require(count == tensor->size);
		end += tensor->size;
		for (int bits = 0; bits <= 8; bits += 4)
			check_file_name(tensor, bits);
	}
	require(end == data_size);
	for (size_t i = 1; i < header.metadata_count; i++)
		require(strcmp(header.metadata[i - 1].key, header.metadata[i].key) < 0);
	safetensors_free(&header);
}

static void try_index(const char *text, size_t size)
{
	struct image_diag diag = {""};
	struct shard_index index;

	if (shard_index_parse(text, size, &index, &diag)) {
		require(diag.text[0] != '\0');
		return;
	}
	require(index.shard_count && index.entry_count);
	for (size_t i = 0; i < index.shard_count; i++) {
		const char *name = index.shards[i];
		require(*name && !strchr(name, '/') && strcmp(name, ".") && strcmp(name, ".."));
		require(!i || strcmp(index.shards[i - 1], name) < 0);
		require(shard_index_find(&index, name) == (ssize_t)i);
	}
	for (size_t i = 0; i < index.entry_count; i++) {
		require(index.entries[i].shard < index.shard_count);
		require(!i || strcmp(index.entries[i - 1].tensor, index.entries[i].tensor) < 0);
	}
	shard_index_free(&index);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t data_size;

	if (size < sizeof data_size)
		return 0;
	memcpy(&data_size, data, sizeof data_size);
	const char *text = (const char *)data + sizeof data_size;
	size -= sizeof data_size;
	try_header(text, size, data_size);
	try_index(text, size);
	return 0;
}
