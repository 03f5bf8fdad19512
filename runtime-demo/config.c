/* SPDX-License-Identifier: MIT */
/* config.c - the shape of a model, from its config.json. */
#include "runtime-demo/config.h"

#include "runtime-demo/fields.h"

#include <string.h>

static int read_token(const json_t *value, const char *key, size_t vocab, int *token,
		      struct diag *diag)
{
	if (!json_is_integer(value) || json_integer_value(value) < 0 ||
	    json_integer_value(value) >= (json_int_t)vocab)
		return diag_fail(diag, "%s is not the number of a token", key);
	*token = (int)json_integer_value(value);
	return 0;
}

/* What is known, and what the fields mean that a config.json may leave out. */
static const struct architecture {
	const char *name, *type; /* architectures, model_type */
	bool fused;
	size_t context, kv_heads; /* kv_heads 0: as many as heads */
	size_t window;            /* 0: none */
	double norm_eps;
} architectures[] = {
    {"LlamaForCausalLM", "llama", false, 2048, 0, 0, 1e-6},
    {"MistralForCausalLM", "mistral", false, 131072, 8, 4096, 1e-6},
    {"Phi3ForCausalLM", "phi3", true, 4096, 0, 0, 1e-5},
};

static const struct architecture *find_architecture(const char *name, const char *type)
{
	for (size_t i = 0; i < sizeof(architectures) / sizeof(*architectures); i++)
		if (name ? strcmp(name, architectures[i].name) == 0
			 : strcmp(type, architectures[i].type) == 0)
			return &architectures[i];
	return NULL;
}

static int read_architecture(const json_t *json, const struct architecture **found,
			     struct diag *diag)
{
	static const char known[] =
	    "only LlamaForCausalLM, MistralForCausalLM and Phi3ForCausalLM are known";
	const json_t *names = json_object_get(json, "architectures");
	const char *name, *type, *act;

	if (!field_is_absent(names) && !json_is_array(names))
		return diag_fail(diag, "architectures is not a list");
	if (field_text(json_array_get(names, 0), "architectures", &name, diag) != 0 ||
	    field_text(json_object_get(json, "model_type"), "model_type", &type, diag) != 0 ||
	    field_text(json_object_get(json, "hidden_act"), "hidden_act", &act, diag) != 0)
		return -1;
	if (name == NULL && type == NULL)
		return diag_fail(diag, "its architecture is not given, %s", known);
	*found = find_architecture(name, type);
	if (*found == NULL)
		return diag_fail(diag, "its architecture is %.100s, %s", name ? name : type, known);
	if (type != NULL && strcmp(type, (*found)->type) != 0)
		return diag_fail(diag, "its architecture is %s, but its model_type %.100s", name,
				 type);
	if (act != NULL && strcmp(act, "silu") != 0)
		return diag_fail(diag, "its activation is %.100s, only silu is known", act);
	return 0;
}

static int check_biases(const json_t *json, struct diag *diag)
{
	static const char *const keys[] = {"attention_bias", "mlp_bias"};

	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		bool biased;

		if (field_flag(json, keys[i], &biased, diag) != 0)
			return -1;
		if (biased)
			return diag_fail(diag,
					 "it has biases (%s), which "
					 "are not supported",
					 keys[i]);
	}
	return 0;
}

/* Where it is not given, the heads share hidden_size: they must, and without a rest. */
static int read_head_dim(const json_t *json, struct config *c, struct diag *diag)
{
	if (field_is_absent(json_object_get(json, "head_dim")) && c->dim % c->heads != 0)
		return diag_fail(diag,
				 "%zu attention heads cannot share a hidden_size of %zu, and "
				 "head_dim is not given",
				 c->heads, c->dim);
	if (field_count(json, "head_dim", 1u << 12, c->dim / c->heads, &c->head_dim, diag) != 0)
		return -1;
	if (c->head_dim > 1u << 12 || c->head_dim % 2 != 0)
		return diag_fail(diag, "heads of %zu numbers cannot be rotated", c->head_dim);
	return 0;
}

/* A window that is null, unlike one that is not there, is none. */
static int read_window(const json_t *json, size_t fallback, struct config *c, struct diag *diag)
{
	const json_t *window = json_object_get(json, "sliding_window");

	c->window = window == NULL ? fallback : 0;
	if (field_is_absent(window))
		return 0;
	return field_count(json, "sliding_window", 1u << 24, 0, &c->window, diag);
}

static int read_shape(const json_t *json, const struct architecture *known, struct config *c,
		      struct diag *diag)
{
	c->fused = known->fused;
	if (field_count(json, "hidden_size", 1u << 16, 0, &c->dim, diag) != 0 ||
	    field_count(json, "intermediate_size", 1u << 20, 0, &c->hidden, diag) != 0 ||
	    field_count(json, "num_hidden_layers", 1u << 12, 0, &c->layers, diag) != 0 ||
	    field_count(json, "num_attention_heads", 1u << 12, 0, &c->heads, diag) != 0 ||
	    field_count(json, "num_key_value_heads", 1u << 12,
			known->kv_heads ? known->kv_heads : c->heads, &c->kv_heads, diag) != 0 ||
	    field_count(json, "vocab_size", 1u << 24, 0, &c->vocab, diag) != 0 ||
	    field_count(json, "max_position_embeddings", 1u << 24, known->context, &c->context,
			diag) != 0 ||
	    read_window(json, known->window, c, diag) != 0 ||
	    field_flag(json, "tie_word_embeddings", &c->tied, diag) != 0)
		return -1;
	if (read_head_dim(json, c, diag) != 0)
		return -1;
	if (c->heads % c->kv_heads != 0)
		return diag_fail(diag, "%zu heads cannot share %zu key-value heads", c->heads,
				 c->kv_heads);
	return 0;
}

static int read_ends(const json_t *json, struct config *config, struct diag *diag)
{
	const json_t *bos = json_object_get(json, "bos_token_id");
	const json_t *eos = json_object_get(json, "eos_token_id");

	config->bos = -1;
	if (!field_is_absent(bos) &&
	    read_token(bos, "bos_token_id", config->vocab, &config->bos, diag) != 0)
		return -1;
	if (field_is_absent(eos))
		return 0;
	config->eos_count = json_is_array(eos) ? json_array_size(eos) : 1;
	if (config->eos_count > CONFIG_MAX_EOS)
		return diag_fail(diag, "more than %d eos_token_id", CONFIG_MAX_EOS);
	for (size_t i = 0; i < config->eos_count; i++)
		if (read_token(json_is_array(eos) ? json_array_get(eos, i) : eos, "eos_token_id",
			       config->vocab, &config->eos[i], diag) != 0)
			return -1;
	return 0;
}

int config_read(const json_t *json, struct config *config, struct diag *diag)
{
	const struct architecture *known = NULL;
	double eps;

	*config = (struct config){0};
	if (read_architecture(json, &known, diag) != 0 || check_biases(json, diag) != 0 ||
	    read_shape(json, known, config, diag) != 0 ||
	    rope_read(json, config->head_dim / 2, config->context, &config->rope, diag) != 0 ||
	    field_number(json, "rms_norm_eps", 1e-30, 1.0, known->norm_eps, &eps, diag) != 0)
		return -1;
	config->norm_eps = (float)eps;
	return read_ends(json, config, diag);
}

bool config_ends_text(const struct config *config, int id)
{
	for (size_t i = 0; i < config->eos_count; i++)
		if (config->eos[i] == id)
			return true;
	return false;
}
