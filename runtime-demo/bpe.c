/* SPDX-License-Identifier: MIT */
/*
 * bpe.c - merging pairs of tokens.
 *
 * The tokens form a doubly linked list, so that a merge touches its neighbours only, and the pairs
 * that merge wait in a heap. A pair in the heap is not taken out when one of its tokens merges with
 * another; it is recognised when it comes up, as what is there then does not merge by its rule.
 */
#include "runtime-demo/bpe.h"

#include <stdlib.h>

#define NOWHERE SIZE_MAX

struct node {
	int id; /* -1: merged into the one before */
	size_t previous, next;
};

struct pair {
	const struct merge *merge;
	size_t at; /* its left token */
};

struct work {
	const struct vocabulary *vocabulary;
	struct node *nodes; /* [count] */
	size_t count;
	struct pair *heap; /* room for 3 * count: each merge takes one pair and may bring two */
	size_t heap_count;
};

static bool comes_before(const struct pair *a, const struct pair *b)
{
	return a->merge->rank != b->merge->rank ? a->merge->rank < b->merge->rank : a->at < b->at;
}

/* The pair that begins here, if it merges. */
static void push(struct work *w, size_t at)
{
	struct pair pair = {.at = at};
	size_t slot = w->heap_count;

	if (at == NOWHERE || w->nodes[at].next == NOWHERE)
		return;
	pair.merge =
	    vocabulary_merge(w->vocabulary, w->nodes[at].id, w->nodes[w->nodes[at].next].id);
	if (pair.merge == NULL)
		return;
	w->heap_count++;
	for (size_t parent; slot > 0; slot = parent) {
		parent = (slot - 1) / 2;
		if (!comes_before(&pair, &w->heap[parent]))
			break;
		w->heap[slot] = w->heap[parent];
	}
	w->heap[slot] = pair;
}

static struct pair pop(struct work *w)
{
	const struct pair first = w->heap[0], last = w->heap[--w->heap_count];
	size_t slot = 0;

	for (size_t child; (child = 2 * slot + 1) < w->heap_count; slot = child) {
		if (child + 1 < w->heap_count && comes_before(&w->heap[child + 1], &w->heap[child]))
			child++;
		if (!comes_before(&w->heap[child], &last))
			break;
		w->heap[slot] = w->heap[child];
	}
	w->heap[slot] = last;
	return first;
}

static bool is_still_there(const struct work *w, const struct pair *pair)
{
	const struct node *left = &w->nodes[pair->at];

	return left->id == pair->merge->left && left->next != NOWHERE &&
	       w->nodes[left->next].id == pair->merge->right;
}

static void apply(struct work *w, const struct pair *pair)
{
	struct node *left = &w->nodes[pair->at], *right = &w->nodes[left->next];

	left->id = pair->merge->result;
	left->next = right->next;
	if (right->next != NOWHERE)
		w->nodes[right->next].previous = pair->at;
	right->id = -1;
	push(w, left->previous);
	push(w, pair->at);
}

static void merge_all(struct work *w)
{
	for (size_t i = 0; i < w->count; i++)
		push(w, i);
	while (w->heap_count > 0) {
		const struct pair pair = pop(w);

		if (is_still_there(w, &pair))
			apply(w, &pair);
	}
}

int bpe_merge(const struct vocabulary *v, struct ids *ids, size_t begin, struct diag *diag)
{
	struct work w = {.vocabulary = v, .count = ids->count - begin};
	size_t room;

	if (w.count < 2)
		return 0;
	if (__builtin_mul_overflow(w.count, (size_t)3, &room))
		return diag_fail(diag, "cannot allocate room for %zu tokens", w.count);
	w.nodes = diag_allocate(w.count, sizeof(*w.nodes), diag);
	w.heap = w.nodes ? diag_allocate(room, sizeof(*w.heap), diag) : NULL;
	if (w.heap == NULL) {
		free(w.nodes);
		return -1;
	}
	for (size_t i = 0; i < w.count; i++)
		w.nodes[i] = (struct node){.id = ids->at[begin + i],
					   .previous = i == 0 ? NOWHERE : i - 1,
					   .next = i + 1 == w.count ? NOWHERE : i + 1};
	merge_all(&w);
	ids->count = begin;
	for (size_t i = 0; i < w.count; i++)
		if (w.nodes[i].id >= 0)
			ids->at[ids->count++] = w.nodes[i].id;
	free(w.heap);
	free(w.nodes);
	return 0;
}
