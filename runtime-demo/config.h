/* SPDX-License-Identifier: MIT */
/*
 * config.h - the shape of a model of the Llama, Mistral or Phi-3 architecture, from its
 * config.json.
 */
#ifndef ENTROFS_RUN_CONFIG_H
#define ENTROFS_RUN_CONFIG_H

#include "runtime-demo/rope.h"

#include <jansson.h>
#include <stdbool.h>

#define CONFIG_MAX_EOS 8

/* config.json, under shorter names. */
struct config {
	size_t dim;      /* hidden_size: the width of the model */
	size_t hidden;   /* intermediate_size: the width inside the feed-forward network */
	size_t layers;   /* num_hidden_layers */
	size_t heads;    /* num_attention_heads: query heads */
	size_t kv_heads; /* num_key_value_heads: each serves heads / kv_heads query heads */
	size_t head_dim; /* even */
	size_t vocab;    /* vocab_size */
	size_t context;  /* max_position_embeddings: tokens */
	size_t window;   /* sliding_window: a token looks at so many, itself included; 0: at all */
	float norm_eps;
	struct rope rope;
	bool fused; /* query, key and value are rows of one matrix, as are gate and up */
	bool tied;  /* the output matrix is the embedding matrix */
	int bos;    /* -1: none */
	int eos[CONFIG_MAX_EOS];
	size_t eos_count;
};

/* Whatever would change the arithmetic and is not implemented is refused by name, as is any number
   outside its bounds: products of three of them fit 64 bits. The JSON stays the caller's. Errors:
   see diag.h; they do not name the file. */
int config_read(const json_t *json, struct config *config, struct diag *diag);

/* True if this token ends a text. */
bool config_ends_text(const struct config *config, int id);

#endif
