/* SPDX-License-Identifier: MIT */
/*
 * design.c - the code table that makes a stream small without making it slow to decode.
 *
 * An exact search over all codes in which a rarer symbol never has the shorter code. Going down
 * the tree level by level, a state is (symbols placed, most frequent first; nodes open at this
 * level); a step gives codes of this level's length to the next n symbols. The n codes form chunks
 * by n's binary digits, the most frequent symbols in the largest chunk, which lies highest and
 * costs the fewest merges. The price of a step:
 *
 *     length * elements                      bits stored
 *     + CODEC_PRICE_MERGE * depth * elements       each level of the tree is one merge when
 * decoding
 *     + CODEC_PRICE_CHUNK per chunk and block      a chunk means one more merge to start, in every
 * block
 *
 * All in integers: the same counts give the same table everywhere.
 */
#include "codec/tree.h"

#include <string.h>

enum {
	COUNT_LIMIT_LOG2 = 32, /* counts are scaled to sum to less: no sum of prices overflows */
	PLACED = CODEC_SYMBOLS + 1,
	/* Open nodes beyond the symbols left cannot be filled, and below the root they are even. */
	OPEN_PAIRS = CODEC_SYMBOLS / 2 + 1,
};

#define IMPOSSIBLE UINT64_MAX

struct codec_planner {
	unsigned symbol_count;
	uint8_t symbols[CODEC_SYMBOLS]; /* those present, most frequent first */
	uint64_t sums[PLACED];          /* elements of the first k symbols */
	uint64_t chunk_prices[PLACED];  /* of the chunks that n codes make, in all blocks */
	/* Elements times flat bits of the n symbols from k on, as [k][n]. */
	uint64_t flat[PLACED][PLACED];
	/* Least price of all that follows, as [placed][open / 2], at this level and the next. */
	uint64_t prices[2][PLACED][OPEN_PAIRS];
	/* Codes to give out in each state. */
	uint16_t choices[CODEC_LENGTH_MAX + 1][PLACED][OPEN_PAIRS];
};

const size_t codec_planner_size = sizeof(struct codec_planner);

static int comes_before(const uint64_t counts[CODEC_SYMBOLS], uint8_t a, uint8_t b)
{
	return a < b ? counts[a] >= counts[b] : counts[a] > counts[b];
}

/* Shell sort: frequent symbols first, equal counts by symbol. */
static void sort_symbols(struct codec_planner *planner, const uint64_t counts[CODEC_SYMBOLS])
{
	static const uint8_t gaps[] = {57, 23, 10, 4, 1};
	unsigned count = 0;

	for (unsigned symbol = 0; symbol < CODEC_SYMBOLS; symbol++)
		if (counts[symbol] > 0)
			planner->symbols[count++] = (uint8_t)symbol;
	planner->symbol_count = count;
	for (unsigned g = 0; g < sizeof(gaps); g++) {
		for (unsigned i = gaps[g]; i < count; i++) {
			uint8_t moving = planner->symbols[i];
			unsigned j = i;
			for (; j >= gaps[g]; j -= gaps[g]) {
				uint8_t other = planner->symbols[j - gaps[g]];
				if (comes_before(counts, other, moving))
					break;
				planner->symbols[j] = other;
			}
			planner->symbols[j] = moving;
		}
	}
}

static unsigned log2_floor(unsigned value)
{
	unsigned log2 = 0;

	while (value >>= 1)
		log2++;
	return log2;
}

static void prepare(struct codec_planner *planner, const uint64_t counts[CODEC_SYMBOLS],
		    size_t block_size)
{
	uint64_t total = 0, blocks_size, chunk_price;
	unsigned shift = 0, symbols;

	sort_symbols(planner, counts);
	symbols = planner->symbol_count;
	for (unsigned k = 0; k < symbols; k++)
		total += counts[planner->symbols[k]];
	while (total >> shift >> (COUNT_LIMIT_LOG2 - 1))
		shift++;
	planner->sums[0] = 0;
	for (unsigned k = 0; k < symbols; k++) {
		uint64_t scaled = counts[planner->symbols[k]] >> shift;
		planner->sums[k + 1] = planner->sums[k] + (scaled > 0 ? scaled : 1);
	}

	blocks_size = planner->sums[symbols] > block_size ? planner->sums[symbols] : block_size;
	/* NOLINTNEXTLINE(clang-analyzer-core.DivideZero): no block is empty */
	chunk_price = CODEC_PRICE_CHUNK * blocks_size / block_size;
	planner->chunk_prices[0] = 0;
	for (unsigned n = 1; n <= symbols; n++)
		planner->chunk_prices[n] = planner->chunk_prices[n & (n - 1)] + chunk_price;

	for (unsigned k = symbols + 1; k-- > 0;) {
		planner->flat[k][0] = 0;
		for (unsigned n = 1; n <= symbols - k; n++) {
			unsigned bits = log2_floor(n), size = 1u << bits;
			planner->flat[k][n] = bits * (planner->sums[k + size] - planner->sums[k]) +
					      planner->flat[k + size][n - size];
		}
	}
}

/* The price of giving the n symbols from k on codes of this length. */
static uint64_t step_price(const struct codec_planner *planner, unsigned length, unsigned k,
			   unsigned n)
{
	uint64_t bits = length * (planner->sums[k + n] - planner->sums[k]);

	return CODEC_PRICE_BIT * bits + CODEC_PRICE_MERGE * (bits - planner->flat[k][n]) +
	       planner->chunk_prices[n];
}

/*
 * Finds the best step from a state, given the prices of all states of the next level. Of the steps,
 * those are left out that cannot end well: with fewer than `least` codes, an open node would find
 * no symbol; with more than `most`, the symbols left over would not fit below the nodes left over,
 * where each makes room for 2^below of them.
 */
static void solve_state(struct codec_planner *planner, unsigned level, unsigned k, unsigned open)
{
	uint64_t(*next)[OPEN_PAIRS] = planner->prices[~level & 1];
	unsigned left = planner->symbol_count - k;
	unsigned room = 1u << (CODEC_LENGTH_MAX - level);
	unsigned least = 2 * open > left ? 2 * open - left : 0;
	unsigned most = room > 1 ? (open * room - left) / (room - 1) : open;
	uint64_t best = IMPOSSIBLE;
	unsigned choice = 0;

	if (most > open)
		most = open;
	for (unsigned n = least; n <= most && n <= left; n++) {
		uint64_t rest = next[k + n][open - n];
		uint64_t price;
		if (rest == IMPOSSIBLE)
			continue;
		price = step_price(planner, level, k, n) + rest;
		if (price < best) {
			best = price;
			choice = n;
		}
	}
	planner->prices[level & 1][k][open / 2] = best;
	planner->choices[level][k][open / 2] = (uint16_t)choice;
}

/*
 * From the longest codes up. A state can only come about if the k symbols placed, each of which
 * took two or more of this level's 2^level nodes, leave `open` of them.
 */
static void solve(struct codec_planner *planner)
{
	unsigned symbols = planner->symbol_count;

	/* Below the longest codes only the state with nothing left to do is good. */
	memset(planner->prices[~CODEC_LENGTH_MAX & 1], 0xff, sizeof(planner->prices[0]));
	planner->prices[~CODEC_LENGTH_MAX & 1][symbols][0] = 0;
	for (unsigned level = CODEC_LENGTH_MAX; level > 0; level--) {
		uint64_t(*prices)[OPEN_PAIRS] = planner->prices[level & 1];
		memset(prices, 0xff, sizeof(planner->prices[0]));
		prices[symbols][0] = 0;
		for (unsigned k = 0; k < symbols && 2 * k < 1u << level; k++) {
			unsigned left = symbols - k, most = (1u << level) - 2 * k;
			if (most > left)
				most = left;
			for (unsigned open = 2; open <= most; open += 2)
				if (left <= open << (CODEC_LENGTH_MAX - level))
					solve_state(planner, level, k, open);
		}
	}
}

/* Gives codes of one length to the n symbols from k on. */
static void assign(const struct codec_planner *planner, unsigned length, unsigned k, unsigned n,
		   struct codec_table *table)
{
	while (n > 0) {
		unsigned bits = log2_floor(n), size = 1u << bits;
		for (unsigned i = 0; i < size; i++)
			table->code[planner->symbols[k + i]] =
			    (uint8_t)(bits << 4 | (length - bits));
		k += size;
		n -= size;
	}
}

void codec_design(const uint64_t counts[CODEC_SYMBOLS], size_t block_size,
		  struct codec_planner *planner, struct codec_table *table)
{
	unsigned k = 0, open = 2;

	prepare(planner, counts, block_size);
	memset(table->code, CODEC_ABSENT, sizeof(table->code));
	if (planner->symbol_count <= 1) {
		assign(planner, 0, 0, planner->symbol_count, table);
		return;
	}
	solve(planner);
	for (unsigned level = 1; open > 0; level++) {
		unsigned n = planner->choices[level][k][open / 2];
		assign(planner, level, k, n, table);
		k += n;
		open = 2 * (open - n);
	}
}
