/* SPDX-License-Identifier: MIT */
/* dump_config.c - a model in the words of its config.json; see dump_data.h. */
#include "mkfs/dump_data.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
	CONFIG_MAX = 1 << 20,     /* bytes of a file that is looked at */
	CONFIG_MEMORY = 32 << 20, /* bytes to parse it in */
};

/* The file's bytes, malloc'ed; NULL: there is no such file of sound size, or it cannot be read. */
static char *read_config(struct image *image, size_t *size)
{
	static const char name[] = "config.json";
	int64_t node = image_lookup(image, 0, name, sizeof(name) - 1);
	struct image_scratch *scratch = NULL;
	uint64_t length;
	char *bytes;

	if (node < 0 || image_node(image, (uint32_t)node)->type != EFS_FILE)
		return NULL;
	length = image_node(image, (uint32_t)node)->size;
	if (!length || length > CONFIG_MAX || image_scratch_create(&scratch))
		return NULL;
	*size = (size_t)length;
	bytes = malloc(*size);
	if (bytes && image_read_file(image, (uint32_t)node, 0, bytes, *size, scratch, NULL) !=
			 (ssize_t)length) {
		free(bytes);
		bytes = NULL;
	}
	image_scratch_destroy(scratch);
	return bytes;
}

static void add_value(struct text *text, const char *key, const json_t *value, int *count)
{
	if (!json_is_string(value) && !json_is_integer(value))
		return;
	text_add(text, "%s\"%s\": ", (*count)++ ? ", " : "", key);
	if (json_is_string(value))
		dump_name_add(
		    text, (struct image_name){json_string_value(value), json_string_length(value)});
	else
		text_add(text, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
}

void dump_config_add(struct text *text, struct image *image)
{
	static const char *const keys[] = {"model_type",          "hidden_size",
					   "num_hidden_layers",   "intermediate_size",
					   "num_attention_heads", "num_key_value_heads",
					   "vocab_size",          "max_position_embeddings"};
	size_t size = 0;
	char *bytes = read_config(image, &size);
	json_t *config = bytes ? json_parse(bytes, size, CONFIG_MEMORY, NULL) : NULL;
	int count = 0;

	free(bytes);
	if (!json_is_object(config)) {
		json_decref(config);
		text_add(text, "null");
		return;
	}
	text_add(text, "{");
	add_value(text, "architecture", json_array_get(json_object_get(config, "architectures"), 0),
		  &count);
	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
		add_value(text, keys[i], json_object_get(config, keys[i]), &count);
	text_add(text, "}");
	json_decref(config);
}
