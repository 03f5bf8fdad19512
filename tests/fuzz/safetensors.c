/* SPDX-License-Identifier: MIT */
/*
 * safetensors.c - fuzz target: a header that parses describes tensors that fill the data exactly,
 * and gives each a file name that is safe.
 *
 * Input: 8 bytes, the size of the data (little-endian), then the header's text.
 */
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct image_diag diag = {""};
	struct safetensors header;
	uint64_t data_size, end = 0;

	if (size < sizeof data_size)
		return 0;
	memcpy(&data_size, data, sizeof data_size);
	if (safetensors_parse((const char *)data + 8, size - 8, data_size, &header, &diag)) {
		require(diag.text[0] != '\0');
		return 0;
	}
	for (size_t i = 0; i < header.tensor_count; i++) {
		const struct safetensor *tensor = &header.tensors[i];
		uint64_t count = 1;
		require(tensor->rank <= EFS_RANK_MAX);
		for (unsigned d = 0; d < tensor->rank; d++)
			require(!__builtin_mul_overflow(count, tensor->dims[d], &count));
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
	return 0;
}
