/* SPDX-License-Identifier: MIT */
/* codec_kernels.h - what the codec's fuzz targets share: every kernel on the same input, in memory
 * of which the address sanitizer sees the first byte beyond. A target aborts on failure. */
#ifndef ENTROFS_TESTS_FUZZ_CODEC_KERNELS_H
#define ENTROFS_TESTS_FUZZ_CODEC_KERNELS_H

#include "tests/unit/codec_util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* libFuzzer's; not there when the corpus is replayed. */
__attribute__((weak)) size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

static inline void demand(int condition)
{
	if (!condition)
		abort();
}

/* Exactly this large. */
static inline uint8_t *allocate_exactly(size_t size)
{
	uint8_t *memory = malloc(size);

	if (!memory && size > 0)
		abort();
	return memory;
}

/* Writes the reference decoder's output to `first`; every other kernel must agree with it. */
static inline enum codec_result decode_everywhere(const struct codec_tree *tree,
						  const uint8_t *coded, size_t coded_size,
						  uint8_t *first, size_t size,
						  struct codec_scratch *scratch)
{
	uint8_t *input = allocate_exactly(coded_size + CODEC_SLACK), *dst = allocate_exactly(size);
	enum codec_result expected;
	struct codec_fold fold;

	if (coded_size > 0)
		memcpy(input, coded, coded_size);
	memset(input + coded_size, 0xff, CODEC_SLACK);
	codec_scratch_restrict(scratch, size);
	expected = codec_kernels[0]->decode(tree, input, coded_size, first, size, scratch, &fold);
	demand(expected == CODEC_OK || expected == CODEC_CORRUPT);
	for (unsigned k = 1; codec_kernels[k]; k++) {
		if (!codec_kernels[k]->supported())
			continue;
		demand(codec_kernels[k]->decode(tree, input, coded_size, dst, size, scratch,
						&fold) == expected);
		demand(expected != CODEC_OK || memcmp(dst, first, size) == 0);
		demand(expected != CODEC_OK || codec_fold_is_right(&fold, first, size));
	}
	codec_scratch_release(scratch);
	free(dst);
	free(input);
	return expected;
}

/* The reference encoder's output, which every other kernel's must be; NULL if src has a symbol
 * without a code, on which they must agree as well. */
static inline uint8_t *encode_everywhere(const struct codec_tree *tree, const uint8_t *src,
					 size_t size, size_t *coded_size,
					 struct codec_scratch *scratch)
{
	size_t most = 3 * size; /* no code is longer than 22 bits */
	uint8_t *first = allocate_exactly(most), *input = allocate_exactly(size);
	enum codec_result expected;

	memcpy(input, src, size);
	codec_scratch_restrict(scratch, size);
	expected = codec_kernels[0]->encode(tree, input, size, first, most, coded_size, scratch);
	demand(expected == CODEC_OK || expected == CODEC_BAD_TABLE);
	if (expected != CODEC_OK)
		*coded_size = 0;
	for (unsigned k = 1; codec_kernels[k]; k++) {
		const struct codec_kernel *kernel = codec_kernels[k];
		uint8_t *dst = allocate_exactly(*coded_size);
		size_t again = 0;
		if (kernel->supported()) {
			demand(kernel->encode(tree, input, size, dst, *coded_size, &again,
					      scratch) == expected);
			demand(expected != CODEC_OK || again == *coded_size);
			demand(*coded_size == 0 || memcmp(dst, first, *coded_size) == 0);
			if (*coded_size > 0)
				demand(kernel->encode(tree, input, size, dst, *coded_size - 1,
						      &again, scratch) == CODEC_TOO_LARGE);
		}
		free(dst);
	}
	codec_scratch_release(scratch);
	free(input);
	if (expected == CODEC_OK)
		return first;
	free(first);
	return NULL;
}

/* Gives `count` symbols of one code, from `from` on and around, another. */
static inline void recode(struct codec_table *table, unsigned from, unsigned count, unsigned code)
{
	unsigned old = table->code[from];

	for (unsigned i = 0; i < CODEC_SYMBOLS && count > 0; i++) {
		uint8_t *other = &table->code[(from + i) % CODEC_SYMBOLS];
		if (*other == old) {
			*other = (uint8_t)code;
			count--;
		}
	}
}

/* Changes a complete code into another: few other changes would. */
static inline void mutate_table(struct codec_table *table, uint32_t *state)
{
	unsigned from = codec_random(state) % CODEC_SYMBOLS;
	unsigned other = codec_random(state) % CODEC_SYMBOLS;
	unsigned code = table->code[from], depth = code & 15, bits = code >> 4, same = 0;
	uint8_t swapped = table->code[other];

	for (unsigned i = 0; i < CODEC_SYMBOLS; i++)
		same += table->code[i] == code;
	switch (codec_random(state) % 4) {
	case 0: /* a chunk falls apart in two */
		if (code != CODEC_ABSENT && bits > 0 && depth < CODEC_DEPTH_MAX)
			recode(table, from, 1u << bits, (bits - 1) << 4 | (depth + 1));
		break;
	case 1: /* two chunks join */
		if (code != CODEC_ABSENT && bits < CODEC_BITS_MAX && depth > 0 &&
		    same >= 2u << bits)
			recode(table, from, 2u << bits, (bits + 1) << 4 | (depth - 1));
		break;
	case 2: /* a symbol shares its place with a new one */
		if (code != CODEC_ABSENT && bits == 0 && swapped == CODEC_ABSENT)
			table->code[from] = table->code[other] = (uint8_t)(1 << 4 | depth);
		break;
	default:
		table->code[other] = (uint8_t)code;
		table->code[from] = swapped;
	}
}

/* For inputs that have a code table at `offset`. */
static inline size_t mutate_at(size_t offset, uint8_t *data, size_t size, size_t max_size,
			       unsigned seed)
{
	struct codec_table table;
	uint32_t state = seed | 1;

	if (size < offset + sizeof(table) || codec_random(&state) % 2)
		return LLVMFuzzerMutate(data, size, max_size);
	memcpy(&table, data + offset, sizeof(table));
	for (unsigned n = 1 + codec_random(&state) % 8; n > 0; n--)
		mutate_table(&table, &state);
	memcpy(data + offset, &table, sizeof(table));
	return size;
}

#endif
