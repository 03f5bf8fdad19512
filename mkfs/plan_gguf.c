/* SPDX-License-Identifier: MIT */
/*
 * plan_gguf.c - which tensors of a GGUF file can be quantized where llama.cpp is to read them.
 *
 * Its operations take blocks for matrices that are multiplied with, and for the rows of
 * embeddings. What is added, convolved or scaled by has to be in float, and so has what decides
 * about much and is small. Such tensors are known by their names.
 */
#include "mkfs/plan.h"

#include "codec/ggml_blocks.h"

#include <string.h>

/* Parts of names of tensors with two dimensions that are no matrices to multiply with. */
static const char *const names[] = {
    "_norm.",                                                    /* of heads, two dimensions */
    "ffn_gate_inp.",                                             /* which expert */
    "altup",          "laurel",          "per_layer_model_proj", /* Gemma 3n */
    "position_embd.", "token_types.",    "attn_rel_b.",          /* added */
    "conv1d",         "shortconv.conv.", "patch_embd",           /* convolved */
    "time_mix_first", "time_mix_lerp",   "time_mix_decay",       /* RWKV */
    "time_mix_w",     "time_mix_v0",     "time_mix_v1",          "time_mix_v2",
    "time_mix_a",     "time_mix_g1",     "time_mix_g2",
};

static int ends_with(const char *name, const char *end)
{
	size_t size = strlen(name), tail = strlen(end);

	return size >= tail && strcmp(name + size - tail, end) == 0;
}

enum plan_reason plan_for_gguf(const struct safetensor *tensor)
{
	uint64_t row = tensor->dims[tensor->rank - 1];

	/* To ggml, dimensions of 1 behind the first one that is longer are none. */
	if (tensor->count == row)
		return PLAN_SHAPE;
	if (row % GGML_BLOCK)
		return PLAN_ROW;
	/* Biases of experts have two dimensions, too. */
	if (!ends_with(tensor->name, "weight"))
		return PLAN_NAME;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		if (strstr(tensor->name, names[i]))
			return PLAN_NAME;
	}
	return PLAN_DEFAULT;
}
