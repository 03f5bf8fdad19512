/* SPDX-License-Identifier: MIT */
/* codec_util.h - what the codec's tests share: working memory, guarded buffers, test data. */
#ifndef ENTROFS_TESTS_CODEC_UTIL_H
#define ENTROFS_TESTS_CODEC_UTIL_H

#include "codec/codec.h"
#include "codec/tree.h"
#include "image/checksum.h"

#include <math.h>
#include <sanitizer/asan_interface.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The next kernel that this CPU supports, in use; NULL after the last. Start with i = 0. */
static inline const char *codec_next_kernel(unsigned *i)
{
	while (codec_kernels[*i]) {
		const char *name = codec_kernels[(*i)++]->name;
		if (codec_use_kernel(name) == 0)
			return name;
	}
	return NULL;
}

struct codec_bench {
	struct codec_table table;
	struct codec_tree *tree;
	struct codec_scratch *scratch;
	struct codec_planner *planner;
};

static inline void *codec_aligned(size_t size)
{
	void *memory = aligned_alloc(64, (size + 63) / 64 * 64);

	if (!memory)
		abort();
	return memory;
}

static inline struct codec_bench codec_bench_create(void)
{
	return (struct codec_bench){.tree = codec_aligned(codec_tree_size),
				    .scratch = codec_aligned(codec_scratch_size),
				    .planner = codec_aligned(codec_planner_size)};
}

static inline void codec_bench_destroy(struct codec_bench *bench)
{
	free(bench->tree);
	free(bench->scratch);
	free(bench->planner);
}

/* Whether a kernel's fold of a block stands for the block's front. */
static inline int codec_fold_is_right(const struct codec_fold *fold, const uint8_t *raw,
				      size_t size)
{
	if (fold->covered == 0)
		return 1;
	return fold->covered <= size && fold->size <= CODEC_FOLD_MAX &&
	       checksum_of_folded(fold, raw, size) == checksum_of(raw, size);
}

static inline int codec_all_equal(const uint8_t *bytes, size_t size, uint8_t value)
{
	return size == 0 || (bytes[0] == value && memcmp(bytes, bytes + 1, size - 1) == 0);
}

/* Scratch memory with a pattern, of which a call for a block of some size leaves what lies behind
 * its lists and their slack. */
enum { CODEC_PATTERN = 0xa5 };

static inline void codec_scratch_fill(struct codec_scratch *scratch)
{
	memset(scratch, CODEC_PATTERN, codec_scratch_size);
}

static inline int codec_scratch_kept(const struct codec_scratch *scratch, size_t size)
{
	size_t used = size + CODEC_LIST_SLACK, rest = CODEC_BLOCK_MAX - size;

	return codec_all_equal(scratch->lists[0] + used, rest, CODEC_PATTERN) &&
	       codec_all_equal(scratch->lists[1] + used, rest, CODEC_PATTERN);
}

/*
 * For blocks of this size, kernels may use so much of the lists and no more. The address sanitizer
 * (without it, nothing happens) sees any access beyond, until codec_scratch_release().
 */
static inline void codec_scratch_restrict(struct codec_scratch *scratch, size_t size)
{
	for (unsigned i = 0; i < 2; i++)
		ASAN_POISON_MEMORY_REGION(scratch->lists[i] + size + CODEC_LIST_SLACK,
					  CODEC_BLOCK_MAX - size);
	(void)scratch, (void)size;
}

static inline void codec_scratch_release(struct codec_scratch *scratch)
{
	ASAN_UNPOISON_MEMORY_REGION(scratch, codec_scratch_size);
	(void)scratch;
}

/* Bytes between two pages that must not be touched, at the end of what may be, or at its start. */
struct guarded {
	uint8_t *bytes;
	size_t size;
	void *mapping;
	size_t mapping_size;
};

static inline struct guarded guarded_create_at(size_t size, int start)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t body = (size + page - 1) / page * page;
	uint8_t *mapping =
	    mmap(NULL, body + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (mapping == MAP_FAILED ||
	    (body > 0 && mprotect(mapping + page, body, PROT_READ | PROT_WRITE) != 0))
		abort();
	return (struct guarded){mapping + page + (start ? 0 : body - size), size, mapping,
				body + 2 * page};
}

static inline struct guarded guarded_create(size_t size)
{
	return guarded_create_at(size, 0);
}

static inline void guarded_destroy(struct guarded *guarded)
{
	munmap(guarded->mapping, guarded->mapping_size);
}

/* xorshift32; state is not 0 */
static inline uint32_t codec_random(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

static inline double codec_random_gaussian(uint32_t *state)
{
	double sum = 0;

	for (unsigned i = 0; i < 12; i++)
		sum += codec_random(state) / 4294967296.0;
	return sum - 6;
}

enum codec_shape {
	SHAPE_ONE,
	SHAPE_TWO,
	SHAPE_FLAT,
	SHAPE_FIBONACCI,
	SHAPE_GAUSSIAN, /* bytes, 5.6 bits of entropy */
	SHAPE_NIBBLES,  /* two nibbles, 2.9 bits of entropy */
};

static inline double codec_clamp(double value, double most)
{
	return value < 0 ? 0 : value > most ? most : value;
}

static inline void codec_fill(enum codec_shape shape, uint8_t *out, size_t size, uint32_t seed)
{
	uint32_t state = seed * 2654435761u + 1;

	for (size_t i = 0; i < size; i++) {
		uint32_t random = codec_random(&state);
		double low, high;
		switch (shape) {
		case SHAPE_ONE:
			out[i] = 42;
			break;
		case SHAPE_TWO:
			out[i] = random % 10 == 0 ? 255 : 0;
			break;
		case SHAPE_FLAT:
			out[i] = (uint8_t)(random >> 8);
			break;
		case SHAPE_FIBONACCI: /* each symbol 0.618 times as frequent as the one before */
			out[i] = 0;
			while (out[i] < 60 && codec_random(&state) % 1000 >= 382)
				out[i]++;
			break;
		case SHAPE_GAUSSIAN:
			low = rint(128 + 11.55 * codec_random_gaussian(&state));
			out[i] = (uint8_t)codec_clamp(low, 255);
			break;
		case SHAPE_NIBBLES:
			low = codec_clamp(rint(8 + 0.59 * codec_random_gaussian(&state)), 15);
			high = codec_clamp(rint(8 + 0.59 * codec_random_gaussian(&state)), 15);
			out[i] = (uint8_t)((unsigned)low | (unsigned)high << 4);
			break;
		}
	}
}

/* The deepest possible tree: one leaf at each depth, two at the last. */
static inline void codec_deepest_table(struct codec_table *table)
{
	memset(table->code, CODEC_ABSENT, sizeof(table->code));
	for (unsigned depth = 1; depth <= CODEC_DEPTH_MAX; depth++)
		table->code[depth - 1] = (uint8_t)depth;
	table->code[CODEC_DEPTH_MAX] = CODEC_DEPTH_MAX;
}

/* The same with 128 symbols instead of the last one: codes of 22 bits, the longest there are. */
static inline void codec_longest_table(struct codec_table *table)
{
	codec_deepest_table(table);
	for (unsigned i = 0; i < 128; i++)
		table->code[CODEC_DEPTH_MAX + i] = 7 << 4 | CODEC_DEPTH_MAX;
}

/* A random complete code: a tree split at random, its leaves random chunks. */
static inline void codec_random_table(struct codec_table *table, uint32_t seed)
{
	uint32_t state = seed * 2654435761u + 1;
	uint8_t order[CODEC_SYMBOLS], depths[CODEC_SYMBOLS];
	unsigned leaves = 1, used = 0, wanted = 1 + codec_random(&state) % 60;

	for (unsigned i = 0; i < CODEC_SYMBOLS; i++)
		order[i] = (uint8_t)i;
	for (unsigned i = CODEC_SYMBOLS - 1; i > 0; i--) {
		unsigned j = codec_random(&state) % (i + 1);
		uint8_t swapped = order[i];
		order[i] = order[j];
		order[j] = swapped;
	}
	depths[0] = 0;
	for (unsigned tries = 0; leaves < wanted && tries < 1000; tries++) {
		unsigned i = codec_random(&state) % leaves;
		if (depths[i] == CODEC_DEPTH_MAX)
			continue;
		depths[leaves++] = ++depths[i];
	}
	memset(table->code, CODEC_ABSENT, sizeof(table->code));
	for (unsigned i = 0; i < leaves; i++) {
		unsigned spare = CODEC_SYMBOLS - used - (leaves - i), bits = 0;
		while (bits < CODEC_BITS_MAX && (2u << bits) - 1 <= spare &&
		       codec_random(&state) % 3 > 0)
			bits++;
		for (unsigned n = 0; n < 1u << bits; n++)
			table->code[order[used++]] = (uint8_t)(bits << 4 | depths[i]);
	}
}

#endif
