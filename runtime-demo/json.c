/* SPDX-License-Identifier: MIT */
/*
 * json.c - parsing JSON of unknown origin in bounded memory.
 *
 * jansson lets its allocator be replaced, for the whole program and without a context: hence the
 * one piece of static state. A block says how large it is, so that freeing it gives that back.
 */
#include "runtime-demo/json.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

static size_t left = SIZE_MAX; /* of the budget */
static bool exceeded;

/* In front of each block; keeps what follows aligned for anything. */
struct block {
	_Alignas(max_align_t) size_t size;
};

static void *allocate(size_t size)
{
	const size_t whole = size + sizeof(struct block);
	struct block *block;

	if (whole < size || whole > left) {
		exceeded = true;
		return NULL;
	}
	block = malloc(whole);
	if (block == NULL)
		return NULL;
	block->size = whole;
	left -= whole;
	return block + 1;
}

static void release(void *memory)
{
	struct block *block = memory;

	if (block == NULL)
		return;
	block--;
	left += block->size;
	free(block);
}

json_t *bounded_json_load(const char *text, size_t size, size_t budget, struct diag *diag)
{
	const size_t before = left;
	size_t used;
	json_error_t error;
	json_t *json;

	json_set_alloc_funcs(allocate, release);
	left = budget;
	exceeded = false;
	json = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
	used = budget - left;
	left = before - used;
	if (json != NULL)
		return json;
	if (exceeded)
		diag_fail(diag, "it would take more than %zu MiB of memory", budget >> 20);
	else
		diag_fail(diag, "line %d: %s", error.line, error.text);
	return NULL;
}
