/* SPDX-License-Identifier: MIT */
/* config.c - the shape of a Llama-architecture model, from its config.json. */
#include "runtime-demo/config.h"

#include <string.h>

static bool is_absent(const json_t *value)
{
	return value == NULL || json_is_null(value);
}

/* A whole number from 1 to max; fallback if absent or null, 0 for none. */
static int read_count(const json_t *json, const char *key, size_t max, size_t fallback,
		      size_t *count, struct diag *diag)
{
	const json_t *value = json_object_get(json, key);

	*count = fallback;
	if (is_absent(value) && fallback != 0)
		return 0;
	if (!json_is_integer(value) || json_integer_value(value) < 1 ||
	    json_integer_value(value) > (json_int_t)max)
		return diag_fail(diag, "%s is not a whole number from 1 to %zu", key, max);
	*count = (size_t)json_integer_value(value);
	return 0;
}

/* A number within bounds, which are finite. */
static int read_number(const json_t *json, const char *key, double min, double max, double fallback,
		       double *number, struct diag *diag)
{
	const json_t *value = json_object_get(json, key);

	*number = fallback;
	if (is_absent(value))
		return 0;
	if (!json_is_number(value) ||
	    !(json_number_value(value) >= min && json_number_value(value) <= max))
		return diag_fail(diag, "%s is not a number from %g to %g", key, min, max);
	*number = json_number_value(value);
	return 0;
}

/* A text, NULL if absent or null. */
static int read_text(const json_t *value, const char *key, const char **text, struct diag *diag)
{
	*text = json_string_value(value);
	if (!is_absent(value) && *text == NULL)
		return diag_fail(diag, "%s is not a text", key);
	return 0;
}

static int read_flag(const json_t *json, const char *key, bool *flag, struct diag *diag)
{
	const json_t *value = json_object_get(json, key);

	*flag = json_is_true(value);
	if (!is_absent(value) && !json_is_boolean(value))
		return diag_fail(diag, "%s is neither true nor false", key);
	return 0;
}

static int read_token(const json_t *value, const char *key, size_t vocab, int *token,
		      struct diag *diag)
{
	if (!json_is_integer(value) || json_integer_value(value) < 0 ||
	    json_integer_value(value) >= (json_int_t)vocab)
		return diag_fail(diag, "%s is not the number of a token", key);
	*token = (int)json_integer_value(value);
	return 0;
}

static int check_architecture(const json_t *json, struct diag *diag)
{
	const json_t *names = json_object_get(json, "architectures");
	const char *name, *type, *act;

	if (!is_absent(names) && !json_is_array(names))
		return diag_fail(diag, "architectures is not a list");
	if (read_text(json_array_get(names, 0), "architectures", &name, diag) != 0 ||
	    read_text(json_object_get(json, "model_type"), "model_type", &type, diag) != 0 ||
	    read_text(json_object_get(json, "hidden_act"), "hidden_act", &act, diag) != 0)
		return -1;
	if (name == NULL && type == NULL)
		return diag_fail(diag, "its architecture is not given, only LlamaForCausalLM is "
				       "known");
	if (name != NULL ? strcmp(name, "LlamaForCausalLM") != 0 : strcmp(type, "llama") != 0)
		return diag_fail(diag,
				 "its architecture is %.100s, only "
				 "LlamaForCausalLM is known",
				 name ? name : type);
	if (act != NULL && strcmp(act, "silu") != 0)
		return diag_fail(diag, "its activation is %.100s, only silu is known", act);
	return 0;
}

static int check_biases(const json_t *json, struct diag *diag)
{
	static const char *const keys[] = {"attention_bias", "mlp_bias"};

	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		bool biased;

		if (read_flag(json, keys[i], &biased, diag) != 0)
			return -1;
		if (biased)
			return diag_fail(diag,
					 "it has biases (%s), which "
					 "are not supported",
					 keys[i]);
	}
	return 0;
}

static int check_rope(const json_t *json, struct diag *diag)
{
	static const char *const keys[] = {"rope_scaling", "rope_parameters"};

	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		const json_t *rope = json_object_get(json, keys[i]);
		const json_t *kind = json_object_get(rope, "rope_type");

		kind = kind ? kind : json_object_get(rope, "type");
		if (!is_absent(rope) &&
		    (!json_is_string(kind) || strcmp(json_string_value(kind), "default") != 0))
			return diag_fail(
			    diag, "its %s is %.100s, only the default is known", keys[i],
			    json_is_string(kind) ? json_string_value(kind) : "of unknown type");
	}
	return 0;
}

/* Where it is not given, the heads share hidden_size: they must, and without a rest. */
static int read_head_dim(const json_t *json, struct config *c, struct diag *diag)
{
	if (is_absent(json_object_get(json, "head_dim")) && c->dim % c->heads != 0)
		return diag_fail(diag,
				 "%zu attention heads cannot share a hidden_size of %zu, and "
				 "head_dim is not given",
				 c->heads, c->dim);
	if (read_count(json, "head_dim", 1u << 12, c->dim / c->heads, &c->head_dim, diag) != 0)
		return -1;
	if (c->head_dim > 1u << 12 || c->head_dim % 2 != 0)
		return diag_fail(diag, "heads of %zu numbers cannot be rotated", c->head_dim);
	return 0;
}

static int read_shape(const json_t *json, struct config *c, struct diag *diag)
{
	if (read_count(json, "hidden_size", 1u << 16, 0, &c->dim, diag) != 0 ||
	    read_count(json, "intermediate_size", 1u << 20, 0, &c->hidden, diag) != 0 ||
	    read_count(json, "num_hidden_layers", 1u << 12, 0, &c->layers, diag) != 0 ||
	    read_count(json, "num_attention_heads", 1u << 12, 0, &c->heads, diag) != 0 ||
	    read_count(json, "num_key_value_heads", 1u << 12, c->heads, &c->kv_heads, diag) != 0 ||
	    read_count(json, "vocab_size", 1u << 24, 0, &c->vocab, diag) != 0 ||
	    read_count(json, "max_position_embeddings", 1u << 24, 2048, &c->context, diag) != 0 ||
	    read_flag(json, "tie_word_embeddings", &c->tied, diag) != 0)
		return -1;
	if (read_head_dim(json, c, diag) != 0)
		return -1;
	if (c->heads % c->kv_heads != 0)
		return diag_fail(diag, "%zu heads cannot share %zu key-value heads", c->heads,
				 c->kv_heads);
	return 0;
}

static int read_numbers(const json_t *json, struct config *config, struct diag *diag)
{
	const json_t *rope = json_object_get(json, "rope_parameters");
	double eps;

	rope = json_object_get(rope, "rope_theta") ? rope : json;
	if (read_number(json, "rms_norm_eps", 1e-30, 1.0, 1e-6, &eps, diag) != 0 ||
	    read_number(rope, "rope_theta", 1.0, 1e12, 1e4, &config->rope_theta, diag) != 0)
		return -1;
	config->norm_eps = (float)eps;
	return 0;
}

static int read_ends(const json_t *json, struct config *config, struct diag *diag)
{
	const json_t *bos = json_object_get(json, "bos_token_id");
	const json_t *eos = json_object_get(json, "eos_token_id");

	config->bos = -1;
	if (!is_absent(bos) &&
	    read_token(bos, "bos_token_id", config->vocab, &config->bos, diag) != 0)
		return -1;
	if (is_absent(eos))
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
	*config = (struct config){0};
	if (check_architecture(json, diag) != 0 || check_biases(json, diag) != 0 ||
	    check_rope(json, diag) != 0 || read_shape(json, config, diag) != 0 ||
	    read_numbers(json, config, diag) != 0)
		return -1;
	return read_ends(json, config, diag);
}

bool config_ends_text(const struct config *config, int id)
{
	for (size_t i = 0; i < config->eos_count; i++)
		if (config->eos[i] == id)
			return true;
	return false;
}
