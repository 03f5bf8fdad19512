/* SPDX-License-Identifier: MIT */
/* model.c - the weights of a model, found by the names and shapes its configuration asks for. */
#include "runtime-demo/model.h"

#include "runtime-demo/manifest.h"

#include <stdio.h>
#include <stdlib.h>

static float *load_norm(const struct manifest *manifest, const char *name, size_t dim,
			struct diag *diag)
{
	struct tensor tensor;
	float *norm;

	if (manifest_tensor(manifest, name, 0, dim, &tensor, diag) != 0)
		return NULL;
	norm = diag_allocate(dim, sizeof(*norm), diag);
	if (norm != NULL)
		tensor_values(&tensor, 0, dim, norm);
	file_unmap(&tensor.file);
	return norm;
}

static int load_matrix(struct model *model, const struct manifest *manifest, const char *name,
		       size_t rows, size_t cols, struct tensor *tensor, struct diag *diag)
{
	if (manifest_tensor(manifest, name, rows, cols, tensor, diag) != 0)
		return -1;
	model->bytes_mapped += tensor->file.mapping ? tensor->file.size : 0;
	return 0;
}

/* In the order of their rows. */
static void take_apart(const struct config *c, struct layer *layer)
{
	const size_t query_dim = c->heads * c->head_dim, kv_dim = c->kv_heads * c->head_dim;

	layer->query = tensor_part(&layer->qkv, 0, query_dim);
	layer->key = tensor_part(&layer->qkv, query_dim, kv_dim);
	layer->value = tensor_part(&layer->qkv, query_dim + kv_dim, kv_dim);
	layer->gate = tensor_part(&layer->gate_up, 0, c->hidden);
	layer->up = tensor_part(&layer->gate_up, c->hidden, c->hidden);
}

enum use { ALWAYS, IF_FUSED, IF_APART };

static int load_layer(struct model *model, const struct manifest *manifest, size_t number,
		      struct diag *diag)
{
	const struct config *c = &model->config;
	const size_t query_dim = c->heads * c->head_dim, kv_dim = c->kv_heads * c->head_dim;
	struct layer *layer = &model->layers[number];
	const struct {
		const char *name;
		struct tensor *tensor;
		size_t rows, cols;
		enum use use;
	} matrices[] = {
	    {"self_attn.qkv_proj", &layer->qkv, query_dim + 2 * kv_dim, c->dim, IF_FUSED},
	    {"self_attn.q_proj", &layer->query, query_dim, c->dim, IF_APART},
	    {"self_attn.k_proj", &layer->key, kv_dim, c->dim, IF_APART},
	    {"self_attn.v_proj", &layer->value, kv_dim, c->dim, IF_APART},
	    {"self_attn.o_proj", &layer->output, c->dim, query_dim, ALWAYS},
	    {"mlp.gate_up_proj", &layer->gate_up, 2 * c->hidden, c->dim, IF_FUSED},
	    {"mlp.gate_proj", &layer->gate, c->hidden, c->dim, IF_APART},
	    {"mlp.up_proj", &layer->up, c->hidden, c->dim, IF_APART},
	    {"mlp.down_proj", &layer->down, c->dim, c->hidden, ALWAYS},
	};
	char name[96];

	for (size_t i = 0; i < sizeof(matrices) / sizeof(*matrices); i++) {
		if (matrices[i].use == (c->fused ? IF_APART : IF_FUSED))
			continue;
		snprintf(name, sizeof(name), "model.layers.%zu.%s.weight", number,
			 matrices[i].name);
		if (load_matrix(model, manifest, name, matrices[i].rows, matrices[i].cols,
				matrices[i].tensor, diag) != 0)
			return -1;
	}
	if (c->fused)
		take_apart(c, layer);
	snprintf(name, sizeof(name), "model.layers.%zu.input_layernorm.weight", number);
	layer->attention_norm = load_norm(manifest, name, c->dim, diag);
	if (layer->attention_norm == NULL)
		return -1;
	snprintf(name, sizeof(name), "model.layers.%zu.post_attention_layernorm.weight", number);
	layer->feedforward_norm = load_norm(manifest, name, c->dim, diag);
	return layer->feedforward_norm == NULL ? -1 : 0;
}

static int load_tensors(struct model *model, const struct manifest *manifest, struct diag *diag)
{
	const struct config *c = &model->config;

	if (load_matrix(model, manifest, "model.embed_tokens.weight", c->vocab, c->dim,
			&model->embedding, diag) != 0)
		return -1;
	if (c->tied)
		model->classifier = model->embedding;
	else if (load_matrix(model, manifest, "lm_head.weight", c->vocab, c->dim,
			     &model->classifier, diag) != 0)
		return -1;
	model->norm = load_norm(manifest, "model.norm.weight", c->dim, diag);
	model->layers = diag_allocate(c->layers, sizeof(*model->layers), diag);
	if (model->norm == NULL || model->layers == NULL)
		return -1;
	for (size_t i = 0; i < c->layers; i++)
		if (load_layer(model, manifest, i, diag) != 0)
			return -1;
	return 0;
}

int model_load(const struct folder *folder, const struct config *config, struct model *model,
	       struct diag *diag)
{
	struct manifest manifest;
	int result;

	*model = (struct model){.config = *config};
	if (manifest_open(folder, &manifest, diag) != 0)
		return -1;
	result = load_tensors(model, &manifest, diag);
	manifest_close(&manifest);
	return result;
}

static void free_layer(const struct config *config, struct layer *layer)
{
	struct tensor *always[] = {&layer->qkv, &layer->output, &layer->gate_up, &layer->down};
	struct tensor *apart[] = {&layer->query, &layer->key, &layer->value, &layer->gate,
				  &layer->up};

	for (size_t k = 0; k < sizeof(always) / sizeof(*always); k++)
		file_unmap(&always[k]->file);
	for (size_t k = 0; !config->fused && k < sizeof(apart) / sizeof(*apart); k++)
		file_unmap(&apart[k]->file);
	free(layer->attention_norm);
	free(layer->feedforward_norm);
}

void model_free(struct model *model)
{
	for (size_t i = 0; model->layers != NULL && i < model->config.layers; i++)
		free_layer(&model->config, &model->layers[i]);
	if (!model->config.tied)
		file_unmap(&model->classifier.file);
	file_unmap(&model->embedding.file);
	free(model->layers);
	free(model->norm);
	*model = (struct model){0};
}
