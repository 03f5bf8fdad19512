/* SPDX-License-Identifier: MIT */
/*
 * codec_optimal.c - no code has a lower price than the one designed, at any prices: by trying all
 * codes of small alphabets, by a plain search over all states for large ones, and, where merges
 * and chunks are free, by package-merge (Larmore and Hirschberg 1990), which knows nothing of
 * trees.
 */
#include "codec/tree.h"
#include "tests/unit/codec_util.h"

#include <criterion/criterion.h>

static const struct codec_prices usual = {CODEC_PRICE_BIT, CODEC_PRICE_MERGE, CODEC_PRICE_CHUNK};

/* What is designed for: prices are linear in all of this. */
struct task {
	struct codec_prices prices;
	uint64_t
	    counts[CODEC_SYMBOLS]; /* descending; less than 2^31 in all, so that none is scaled */
	unsigned symbols;
	uint64_t block_size;
};

static uint64_t chunk_price(const struct task *task)
{
	uint64_t total = 0;

	for (unsigned i = 0; i < task->symbols; i++)
		total += task->counts[i];
	if (total < task->block_size)
		total = task->block_size;
	return task->prices.chunk * total / task->block_size;
}

/* The price of a table by the definition, from nothing but the table. */
static uint64_t price_of(const struct codec_table *table, const struct task *task)
{
	uint64_t price = 0, chunks_16384 = 0;

	for (unsigned i = 0; i < CODEC_SYMBOLS; i++) {
		if (table->code[i] == CODEC_ABSENT)
			continue;
		uint64_t depth = table->code[i] & 15u, bits = table->code[i] >> 4;
		price += task->counts[i] *
			 (task->prices.bit * (depth + bits) + task->prices.merge * depth);
		chunks_16384 += 16384u >> bits; /* a symbol's share of its chunk */
	}
	return price + chunk_price(task) * (chunks_16384 / 16384);
}

/* The price of the table designed, which must be a complete one. */
static uint64_t designed_price(const struct codec_bench *bench, const struct task *task)
{
	struct codec_table table;

	codec_design_at(&task->prices, task->counts, task->block_size, bench->planner, &table);
	cr_assert_eq(codec_tree_build(bench->tree, &table), CODEC_OK);
	return price_of(&table, task);
}

/* From flat to steep, with ties. */
static void random_task(struct task *task, unsigned symbols, uint32_t *state)
{
	uint64_t value = 1 + codec_random(state) % 3, most = (UINT64_C(1) << 31) / symbols - 1;
	unsigned steepness = codec_random(state) % 7;

	*task = (struct task){.prices = usual, .symbols = symbols};
	for (unsigned i = symbols; i-- > 0;) {
		task->counts[i] = value;
		if (codec_random(state) % 4)
			value += codec_random(state) % (1 + value * steepness / 3);
		value = value < most ? value : most;
	}
	task->block_size = codec_random(state) % 3 ? 4096u << codec_random(state) % 5 : 1u << 30;
	if (codec_random(state) % 2)
		task->prices =
		    (struct codec_prices){1 + codec_random(state) % 1000,
					  codec_random(state) % 1000, codec_random(state) % 65536};
}

/* Lengths for symbols 0.. in order (which is by frequency), cut in chunks by binary digits. */
static void table_of(const unsigned *lengths, unsigned symbols, struct codec_table *table)
{
	memset(table->code, CODEC_ABSENT, sizeof(table->code));
	for (unsigned first = 0; first < symbols;) {
		unsigned count = 1, bits = CODEC_BITS_MAX;
		while (first + count < symbols && lengths[first + count] == lengths[first])
			count++;
		while (1u << bits > count)
			bits--;
		for (unsigned i = 0; i < 1u << bits; i++, first++)
			table->code[first] = (uint8_t)(bits << 4 | (lengths[first] - bits));
	}
}

/* The least price over all lengths that ascend with the symbol and fill the tree. */
static void try_all(unsigned *lengths, unsigned placed, unsigned open_4096ths,
		    const struct task *task, uint64_t *best)
{
	struct codec_table table;

	if (placed == task->symbols) {
		if (open_4096ths > 0)
			return;
		table_of(lengths, task->symbols, &table);
		uint64_t price = price_of(&table, task);
		*best = price < *best ? price : *best;
		return;
	}
	for (unsigned length = placed ? lengths[placed - 1] : 0; length <= CODEC_LENGTH_MAX;
	     length++) {
		unsigned share = 4096u >> length;
		if (share > open_4096ths)
			continue;
		lengths[placed] = length;
		try_all(lengths, placed + 1, open_4096ths - share, task, best);
	}
}

Test(codec_optimal, among_all_codes_of_small_alphabets)
{
	struct codec_bench bench = codec_bench_create();
	uint32_t state = 12345;

	for (unsigned round = 0; round < 150; round++) {
		unsigned lengths[11];
		uint64_t best = UINT64_MAX;
		struct task task;
		random_task(&task, 1 + round % 11, &state);
		try_all(lengths, 0, 4096, &task, &best);
		cr_assert_eq(designed_price(&bench, &task), best, "round %u, %u symbols", round,
			     task.symbols);
	}
	codec_bench_destroy(&bench);
}

/* What n codes of this length cost from symbol k on: chunks by n's binary digits. */
static uint64_t step_price(const struct task *task, uint64_t chunk, unsigned length, unsigned k,
			   unsigned n)
{
	uint64_t price = 0;

	for (unsigned bits = CODEC_BITS_MAX + 1; bits-- > 0;) {
		if (!(n >> bits & 1))
			continue;
		for (unsigned end = k + (1u << bits); k < end; k++)
			price += task->counts[k] *
				 (task->prices.bit * length + task->prices.merge * (length - bits));
		price += chunk;
	}
	return price;
}

enum { ENDLESS = 0x7f };

/* least[k][open] of what follows a level, from that of the level below. */
static void search_level(const struct task *task, unsigned level,
			 uint64_t least[CODEC_SYMBOLS + 1][CODEC_SYMBOLS + 1],
			 uint64_t below[CODEC_SYMBOLS + 1][CODEC_SYMBOLS + 1])
{
	static uint64_t prices[CODEC_SYMBOLS + 1];
	uint64_t chunk = chunk_price(task);

	memset(least, ENDLESS, (CODEC_SYMBOLS + 1) * sizeof(least[0]));
	least[task->symbols][0] = 0;
	for (unsigned k = 0; k < task->symbols; k++) {
		unsigned left = task->symbols - k;
		for (unsigned n = 0; n <= left; n++)
			prices[n] = step_price(task, chunk, level, k, n);
		for (unsigned open = 1; open <= left; open++) {
			for (unsigned n = 0; n <= open; n++) {
				if (2 * (open - n) > CODEC_SYMBOLS)
					continue;
				uint64_t price = prices[n] + below[k + n][2 * (open - n)];
				if (price < least[k][open])
					least[k][open] = price;
			}
		}
	}
}

static uint64_t search(const struct task *task)
{
	static uint64_t tables[2][CODEC_SYMBOLS + 1][CODEC_SYMBOLS + 1];

	if (task->symbols == 1)
		return chunk_price(task);
	memset(tables[1], ENDLESS, sizeof(tables[1]));
	tables[1][task->symbols][0] = 0;
	for (unsigned level = CODEC_LENGTH_MAX; level > 0; level--)
		search_level(task, level, tables[level % 2 == 0 ? 0 : 1],
			     tables[level % 2 == 0 ? 1 : 0]);
	return tables[1][0][2];
}

Test(codec_optimal, among_all_states_of_large_alphabets)
{
	struct codec_bench bench = codec_bench_create();
	uint32_t state = 4242;

	for (unsigned round = 0; round < 60; round++) {
		struct task task;
		random_task(&task, round % 6 ? 1 + codec_random(&state) % 256 : 256, &state);
		cr_assert_eq(designed_price(&bench, &task), search(&task), "round %u, %u symbols",
			     round, task.symbols);
	}
	codec_bench_destroy(&bench);
}

/* Real shapes: a peak with two flanks, and pairs of such. */
Test(codec_optimal, among_all_states_for_weights)
{
	static const enum codec_shape shapes[] = {SHAPE_TWO, SHAPE_FLAT, SHAPE_FIBONACCI,
						  SHAPE_GAUSSIAN, SHAPE_NIBBLES};
	static uint8_t src[1 << 18];
	struct codec_bench bench = codec_bench_create();

	for (unsigned i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		struct task task = {.prices = usual, .block_size = 16384};
		uint64_t counts[CODEC_SYMBOLS] = {0};
		codec_fill(shapes[i], src, sizeof(src), 1);
		codec_histogram(src, sizeof(src), counts);
		/* Descending, by insertion. */
		for (unsigned s = 0; s < CODEC_SYMBOLS; s++) {
			if (counts[s] == 0)
				continue;
			unsigned at = task.symbols++;
			for (; at > 0 && task.counts[at - 1] < counts[s]; at--)
				task.counts[at] = task.counts[at - 1];
			task.counts[at] = counts[s];
		}
		cr_assert_eq(designed_price(&bench, &task), search(&task), "shape %u", i);
	}
	codec_bench_destroy(&bench);
}

/*
 * The fewest bits that codes of at most CODEC_LENGTH_MAX bits take. Each symbol is a coin of every
 * denomination 2^-1 to 2^-CODEC_LENGTH_MAX; from the smallest up, coins are packed in pairs, which
 * are offered along with the coins of the next denomination. The cheapest 2n - 2 items of the
 * largest pay for n - 1: a symbol is in as many of them as its code has bits.
 */
static uint64_t package_merge(const struct task *task)
{
	uint64_t items[2 * CODEC_SYMBOLS], merged[2 * CODEC_SYMBOLS], bits = 0;
	unsigned count = 0, symbols = task->symbols;

	for (unsigned level = 0; level < CODEC_LENGTH_MAX; level++) {
		unsigned packages = count / 2, package = 0, coin = symbols, out = 0;
		while (package < packages || coin > 0) {
			uint64_t pair = package < packages
					    ? items[2 * package] + items[2 * package + 1]
					    : UINT64_MAX;
			if (coin > 0 && task->counts[coin - 1] <= pair) {
				merged[out++] = task->counts[--coin];
			} else {
				merged[out++] = pair;
				package++;
			}
		}
		count = out;
		memcpy(items, merged, count * sizeof(items[0]));
	}
	for (unsigned i = 0; i < 2 * symbols - 2; i++)
		bits += items[i];
	return bits;
}

Test(codec_optimal, as_few_bits_as_package_merge)
{
	struct codec_bench bench = codec_bench_create();
	uint32_t state = 777;

	for (unsigned round = 0; round < 200; round++) {
		struct task task;
		random_task(&task, 1 + codec_random(&state) % 256, &state);
		task.prices = (struct codec_prices){.bit = 1};
		cr_assert_eq(designed_price(&bench, &task), package_merge(&task),
			     "round %u, %u symbols", round, task.symbols);
	}
	codec_bench_destroy(&bench);
}

/* Where the limit of lengths bites: Fibonacci numbers, whose codes would have up to 24 bits. */
Test(codec_optimal, as_few_bits_as_package_merge_at_the_limit)
{
	struct codec_bench bench = codec_bench_create();

	for (unsigned symbols = 2; symbols <= 256; symbols += symbols < 40 ? 1 : 27) {
		struct task task = {{.bit = 1}, .symbols = symbols, .block_size = 16384};
		for (unsigned i = symbols; i-- > 0;) {
			unsigned rarer = symbols - 1 - i;
			uint64_t sum = rarer < 2 ? 1 : task.counts[i + 1] + task.counts[i + 2];
			task.counts[i] = rarer < 25 ? sum : task.counts[i + 1];
		}
		cr_assert_eq(designed_price(&bench, &task), package_merge(&task), "%u symbols",
			     symbols);
	}
	codec_bench_destroy(&bench);
}
