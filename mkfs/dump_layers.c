/* SPDX-License-Identifier: MIT */
/* dump_layers.c - tensors by layer; see dump_layers.h. */
#include "mkfs/dump_layers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static int is_separator(char c)
{
	return c == '.' || c == '/';
}

struct image_name dump_layer_name(struct image_name tensor)
{
	size_t size = tensor.size < DUMP_NAME_MAX ? tensor.size : DUMP_NAME_MAX;
	size_t start = 0, last = 0; /* of this part, and the separator before it; 0: none */

	for (size_t at = 0; at <= size; at++) {
		size_t digits = start;

		if (at < size && !is_separator(tensor.text[at]))
			continue;
		while (digits < at && is_digit(tensor.text[digits]))
			digits++;
		if (digits == at && at > start)
			return (struct image_name){tensor.text, at};
		if (at < size) {
			last = at;
			start = at + 1;
		}
	}
	return (struct image_name){tensor.text, last ? last : size};
}

/* The number at *at, which is left behind it: its digits without leading zeros. */
static struct image_name take_number(struct image_name name, size_t *at)
{
	size_t start;

	while (*at < name.size && name.text[*at] == '0')
		++*at;
	start = *at;
	while (*at < name.size && is_digit(name.text[*at]))
		++*at;
	return (struct image_name){name.text + start, *at - start};
}

static int compare_bytes(struct image_name a, struct image_name b)
{
	size_t shorter = a.size < b.size ? a.size : b.size;
	int order = shorter ? memcmp(a.text, b.text, shorter) : 0;

	return order ? order : (a.size > b.size) - (a.size < b.size);
}

int dump_compare_names(struct image_name a, struct image_name b)
{
	size_t i = 0, j = 0;

	while (i < a.size && j < b.size) {
		if (is_digit(a.text[i]) && is_digit(b.text[j])) {
			struct image_name m = take_number(a, &i), n = take_number(b, &j);
			int order =
			    m.size != n.size ? (m.size > n.size ? 1 : -1) : compare_bytes(m, n);

			if (order)
				return order;
		} else if (a.text[i] != b.text[j]) {
			return (unsigned char)a.text[i] > (unsigned char)b.text[j] ? 1 : -1;
		} else {
			i++;
			j++;
		}
	}
	if (i < a.size || j < b.size)
		return i < a.size ? 1 : -1;
	/* Alike but for leading zeros, perhaps: the order has to tell them apart. */
	return compare_bytes(a, b);
}

unsigned dump_group(const struct efs_tensor *tensor)
{
	unsigned group = 0;

	while (dump_groups[group].bits != tensor->bits)
		group++;
	return group;
}

struct member {
	struct image_name layer;
	uint32_t tensor;
};

static int compare_members(const void *a, const void *b)
{
	const struct member *left = a, *right = b;
	int order = dump_compare_names(left->layer, right->layer);

	return order ? order : (left->tensor > right->tensor) - (left->tensor < right->tensor);
}

static uint64_t stored(const struct dump_layer *layer)
{
	uint64_t sum = layer->index + layer->padding;

	for (unsigned i = 0; i < DUMP_GROUPS; i++)
		sum += layer->payload[i];
	return sum;
}

static void add_tensor(struct dump_layer *layer, const struct dump *dump,
		       const struct efs_tensor *tensor)
{
	struct dump_cost cost = dump_cost(dump, tensor);

	layer->tensors++;
	layer->weights += dump_weights(dump->image, tensor);
	layer->payload[dump_group(tensor)] += cost.payload;
	layer->index += cost.index;
	layer->padding += cost.padding;
}

static void merge(struct dump_layer *into, const struct dump_layer *layer)
{
	into->merged += layer->merged;
	into->tensors += layer->tensors;
	into->weights += layer->weights;
	for (unsigned i = 0; i < DUMP_GROUPS; i++)
		into->payload[i] += layer->payload[i];
	into->index += layer->index;
	into->padding += layer->padding;
}

/* Leaves max layers: the largest, and one that has all others. */
static int limit(struct dump_layers *layers, uint32_t tensors, uint32_t max)
{
	struct dump_ranked *ranked = malloc((layers->count + 1u) * sizeof(*ranked));
	uint32_t *moved = calloc(layers->count + 1u, sizeof(*moved)), kept = 0;
	struct dump_layer rest = {0};

	if (!ranked || !moved) {
		free(ranked);
		free(moved);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < layers->count; i++)
		ranked[i] = (struct dump_ranked){stored(&layers->layers[i]), i};
	dump_rank(ranked, layers->count);
	for (uint32_t i = 0; i < max - 1; i++)
		moved[ranked[i].number] = 1;
	for (uint32_t i = 0; i < layers->count; i++) {
		if (moved[i]) {
			layers->layers[kept] = layers->layers[i];
			moved[i] = kept++;
		} else {
			merge(&rest, &layers->layers[i]);
			moved[i] = max - 1;
		}
	}
	layers->layers[kept++] = rest;
	layers->count = kept;
	for (uint32_t i = 0; i < tensors; i++)
		layers->of[i] = moved[layers->of[i]];
	free(ranked);
	free(moved);
	return 0;
}

/* The members in the order of their layers. */
static struct member *sort_members(const struct image *image)
{
	uint32_t count = image_catalog(image)->tensor_count;
	struct member *members = malloc((count + (size_t)1) * sizeof(*members));

	for (uint32_t i = 0; members && i < count; i++)
		members[i] = (struct member){
		    dump_layer_name(image_string(image, image_tensor(image, i)->name)), i};
	if (members)
		qsort(members, count, sizeof(*members), compare_members);
	return members;
}

int dump_layers_init(struct dump_layers *layers, const struct dump *dump, uint32_t max)
{
	uint32_t tensors = image_catalog(dump->image)->tensor_count, used = 0;
	struct member *members = sort_members(dump->image);

	*layers = (struct dump_layers){0};
	layers->of = malloc((tensors + (size_t)1) * sizeof(*layers->of));
	if (!members || !layers->of) {
		free(members);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < tensors; i++) {
		used += !i || compare_bytes(members[i].layer, members[i - 1].layer);
		layers->of[members[i].tensor] = used - 1;
	}
	layers->count = used;
	layers->layers = calloc(used + 1u, sizeof(*layers->layers));
	for (uint32_t i = 0; layers->layers && i < tensors; i++) {
		struct dump_layer *layer = &layers->layers[layers->of[members[i].tensor]];

		layer->name = members[i].layer;
		layer->merged = 1;
		add_tensor(layer, dump, image_tensor(dump->image, members[i].tensor));
	}
	free(members);
	if (!layers->layers)
		return -ENOMEM;
	return used > max ? limit(layers, tensors, max) : 0;
}

void dump_layers_free(struct dump_layers *layers)
{
	free(layers->layers);
	free(layers->of);
	*layers = (struct dump_layers){0};
}
