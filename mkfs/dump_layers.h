/* SPDX-License-Identifier: MIT */
/*
 * dump_layers.h - the tensors of an image by the layer that their names say they belong to.
 */
#ifndef ENTROFS_DUMP_LAYERS_H
#define ENTROFS_DUMP_LAYERS_H

#include "mkfs/dump.h"

/*
 * The layer's part of a tensor's name. The parts of a name are separated by '.' or '/'. A layer's
 * name ends with the first part that is a number ("model.layers.7"); without one it is all but the
 * last part ("model.norm"), or all if there is one part only. Of a name longer than
 * DUMP_NAME_MAX only so much is looked at.
 */
enum { DUMP_NAME_MAX = 240 }; /* bytes */
struct image_name dump_layer_name(struct image_name tensor);

/* Orders names by bytes, but numbers in them by value; < 0, 0, > 0. */
int dump_compare_names(struct image_name a, struct image_name b);

struct dump_layer {
	struct image_name name; /* of text NULL: all layers that have none of their own */
	uint64_t merged;        /* layers in this one: 1, or how many have none of their own */
	uint64_t tensors, weights;
	uint64_t payload[DUMP_GROUPS], index, padding; /* bytes; payload in the order of groups */
};

struct dump_layers {
	struct dump_layer *layers; /* by name; the one of the rest is last */
	uint32_t count;
	uint32_t *of; /* per tensor */
};

/* At most max layers (2 or more), those that take the most bytes; -ENOMEM. Names stay the
 * image's. Free them in any case. */
int dump_layers_init(struct dump_layers *layers, const struct dump *dump, uint32_t max);
void dump_layers_free(struct dump_layers *layers);

/* Which of dump_groups a tensor belongs to. */
unsigned dump_group(const struct efs_tensor *tensor);

#endif
