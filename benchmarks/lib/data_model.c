/* SPDX-License-Identifier: MIT */
/* data_model.c - the codes of a real model's tensors, by way of the quantizer; see data.h. */
#include "benchmarks/lib/data.h"

#include "benchmarks/lib/measure.h"
#include "mkfs/source.h"
#include "quantizer/quantizer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The rule of mkentrofs: float tensors of two dimensions or more. */
static int is_quantized(const struct safetensor *tensor)
{
	return tensor->dtype->quantizes >= 0 && tensor->rank >= 2 && tensor->count > 0;
}

static size_t coded_bytes(const struct safetensor *tensor, int bits)
{
	return bits == 4 ? (size_t)(tensor->count + 1) / 2 : (size_t)tensor->count;
}

/* Writes the tensor's codes to out. Returns -1 if it has none: then mkentrofs keeps it as it is. */
static int quantize(const struct source *source, const struct source_tensor *tensor, int bits,
		    uint8_t *out)
{
	const struct safetensor *info = &tensor->info;
	enum quant_type type = (enum quant_type)info->dtype->quantizes;
	struct quant_range range = quant_range_none();
	struct quant_params params;
	void *values = allocate(info->size);
	int result = -1;

	if (source_read(&source->shards[tensor->shard], info->offset, values, info->size) == 0) {
		quant_range_add(&range, type, values, info->count, 0);
		if (range.bad_index == UINT64_MAX && quant_choose(&range, bits, &params) == 0)
			result = 0;
	}
	if (result == 0 && bits == 8) {
		quant_encode(&params, type, values, info->count, out, NULL);
	} else if (result == 0) {
		uint8_t *codes = allocate(info->count);
		quant_encode(&params, type, values, info->count, codes, NULL);
		quant_pack4(codes, info->count, out);
		free(codes);
	}
	free(values);
	return result;
}

int data_of_model(struct data *data, const char *folder, const char *name, int bits, size_t most)
{
	struct source source;
	size_t total = 0;

	if (source_open(&source, folder, 0))
		return -1;
	*data = (struct data){.size = 0};
	snprintf(data->name, sizeof data->name, "%s-u%d", name, bits);
	snprintf(data->title, sizeof data->title, "%s, %s codes of all quantized tensors", name,
		 bits == 4 ? "packed uint4" : "uint8");
	for (size_t i = 0; i < source.tensor_count; i++)
		if (is_quantized(&source.tensors[i].info))
			total += coded_bytes(&source.tensors[i].info, bits);
	data->bytes = allocate(total);
	data->parts = allocate(source.tensor_count * sizeof *data->parts);
	for (size_t i = 0; i < source.tensor_count && data->size < most; i++) {
		const struct source_tensor *tensor = &source.tensors[i];
		size_t size = coded_bytes(&tensor->info, bits);
		if (!is_quantized(&tensor->info) ||
		    quantize(&source, tensor, bits, data->bytes + data->size))
			continue;
		if (size > most - data->size)
			size = most - data->size;
		data->parts[data->part_count++] = (struct part){data->size, size};
		data->size += size;
	}
	source_close(&source);
	if (data->size == 0) {
		fprintf(stderr, "%s: cannot use '%s': no tensor to quantize\n",
			program_invocation_short_name, folder);
		data_free(data);
		return -1;
	}
	data_measure_entropy(data);
	return 0;
}
