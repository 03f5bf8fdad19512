/* SPDX-License-Identifier: MIT */
/* mkfs_dump.c - tensors by layer: what a layer is called, and in which order layers come. */
#include "mkfs/dump_layers.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static struct image_name name_of(const char *text)
{
	return (struct image_name){text, strlen(text)};
}

/* A layer's name is a part of the tensor's, so it is told by its size. */
Test(mkfs_dump, layers_end_with_the_first_number_or_before_the_last_part)
{
	static const struct {
		const char *tensor, *layer;
	} cases[] = {
	    {"model.layers.7.self_attn.q_proj.weight", "model.layers.7"},
	    {"model.layers.10.mlp.experts.3.up_proj.weight", "model.layers.10"},
	    {"transformer.h.0.attn.bias", "transformer.h.0"},
	    {"blk/12/ffn", "blk/12"},
	    {"encoder.0", "encoder.0"},
	    {"7.weight", "7"},
	    {"7", "7"},
	    {"model.norm.weight", "model.norm"},
	    {"model.layers.7b.weight", "model.layers.7b"},
	    {"lm_head.weight", "lm_head"},
	    {"w", "w"},
	    {"", ""},
	    {".", "."},
	    {".hidden", ".hidden"},
	    {"a.", "a"},
	    {"a..1", "a..1"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct image_name name = name_of(cases[i].tensor);
		struct image_name layer = dump_layer_name(name);

		cr_expect(layer.text == name.text && layer.size == strlen(cases[i].layer),
			  "'%s': '%.*s', not '%s'", cases[i].tensor, (int)layer.size, layer.text,
			  cases[i].layer);
	}
}

/* The name ends where readable memory does: nothing behind DUMP_NAME_MAX or the end is read. */
Test(mkfs_dump, long_names_are_looked_at_up_to_a_limit)
{
	size_t size = DUMP_NAME_MAX + 100;
	char *text = malloc(size);

	cr_assert(text);
	memset(text, 'x', size);
	cr_expect_eq(dump_layer_name((struct image_name){text, size}).size, DUMP_NAME_MAX);
	memcpy(text + DUMP_NAME_MAX - 2, ".12.y", 5);
	cr_expect_eq(dump_layer_name((struct image_name){text, size}).size, DUMP_NAME_MAX);
	cr_expect_eq(dump_layer_name((struct image_name){text, 2}).size, 2);
	cr_expect_eq(dump_layer_name((struct image_name){NULL, 0}).size, 0);
	free(text);
}

/* Each comes before the next; that it is an order at all is tested by all pairs. */
Test(mkfs_dump, numbers_in_names_are_ordered_by_value)
{
	static const char *const ordered[] = {"",
					      "layers",
					      "layers.0",
					      "layers.00",
					      "layers.01",
					      "layers.1",
					      "layers.2",
					      "layers.9.x",
					      "layers.09.y",
					      "layers.10",
					      "layers.10.a",
					      "layers.99999999999999999999",
					      "layers.100000000000000000000",
					      "layers.x",
					      "norm",
					      "\xff"};
	size_t count = sizeof(ordered) / sizeof(*ordered);

	for (size_t i = 0; i < count; i++) {
		for (size_t j = 0; j < count; j++) {
			int order = dump_compare_names(name_of(ordered[i]), name_of(ordered[j]));

			cr_expect((order > 0) - (order < 0) == (i > j) - (i < j),
				  "'%s' and '%s': %d", ordered[i], ordered[j], order);
		}
	}
}
