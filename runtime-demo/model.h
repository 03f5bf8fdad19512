/* SPDX-License-Identifier: MIT */
/*
 * model.h - the weights of a model, found by the names and shapes its configuration asks for.
 */
#ifndef ENTROFS_RUN_MODEL_H
#define ENTROFS_RUN_MODEL_H

#include "runtime-demo/config.h"
#include "runtime-demo/tensor.h"

/* In a fused model query, key and value are parts of one matrix, as are gate and up. */
struct layer {
	float *attention_norm;   /* [dim] */
	struct tensor qkv;       /* [(heads + 2 * kv_heads) * head_dim, dim]; fused models only */
	struct tensor query;     /* [heads * head_dim, dim] */
	struct tensor key;       /* [kv_heads * head_dim, dim] */
	struct tensor value;     /* [kv_heads * head_dim, dim] */
	struct tensor output;    /* [dim, heads * head_dim] */
	float *feedforward_norm; /* [dim] */
	struct tensor gate_up;   /* [2 * hidden, dim]; fused models only */
	struct tensor gate;      /* [hidden, dim] */
	struct tensor up;        /* [hidden, dim] */
	struct tensor down;      /* [dim, hidden] */
};

struct model {
	struct config config;
	struct tensor embedding;  /* [vocab, dim] */
	struct layer *layers;     /* [layers] */
	float *norm;              /* [dim] */
	struct tensor classifier; /* [vocab, dim]: the embedding again if tied */
	uint64_t bytes_mapped;
};

/* Maps the files that quantized/manifest.json in the folder names. On failure, too, end with
   model_free(). Errors: see diag.h. */
int model_load(const struct folder *folder, const struct config *config, struct model *model,
	       struct diag *diag);

/* Does nothing to a zeroed one. */
void model_free(struct model *model);

#endif
