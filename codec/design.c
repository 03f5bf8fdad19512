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
 *     bit * length * elements         bits stored
 *     + merge * depth * elements      each level of the tree is one merge when decoding
 *     + chunk per chunk and block     a chunk means one more merge to start, in every block
 *
 * There are tens of thousands of states with a hundred steps each; all but a few hundred are left
 * out by a bound. Let a code take any number of the tree's nodes, but at a rent: `rent` for the
 * whole tree, half of it for a node of level 1, and so on. How many nodes are open does not matter
 * then, so that least prices for all (level, symbols placed) are found in a table of one dimension
 * less: `relaxed`. As a true code takes exactly the nodes that are open, whatever the rent, going
 * on from a state costs
 *
 *     at least relaxed[level][placed] - (rent of the open nodes)
 *
 * (This is Lagrangian relaxation of Kraft's equation.) The search keeps the states for which the
 * price so far and this bound stay within a limit, and raises the limit until it finds a code.
 * Any rent is right; the one that a perfect code would pay makes the bound tight.
 *
 * All in integers: the same counts give the same table everywhere. Of codes with equal prices, the
 * one is taken that gives fewer symbols the first length in which they differ.
 */
#include "codec/tree.h"

#include <string.h>

enum {
	COUNT_LIMIT_LOG2 = 32, /* counts are scaled to sum to less: no sum of prices overflows */
	PLACED = CODEC_SYMBOLS + 1,
	/* Open nodes beyond the symbols left cannot be filled, and below the root they are even. */
	OPEN_PAIRS = CODEC_SYMBOLS / 2 + 1,
	/*
	 * With k symbols placed there are at most (256 - k) / 2 pairs: less than this in all. Four
	 * levels may have so many; the others, of which the first can open few nodes and the last
	 * must open as many as there are symbols left, have less together.
	 */
	LEVEL_STATES = OPEN_PAIRS * OPEN_PAIRS,
	STATES = 5 * LEVEL_STATES,
	LEVELS = CODEC_LENGTH_MAX + 2, /* 0 is not used; the last has nothing left to do */
	NO_STATE = UINT16_MAX,
};

static const int64_t impossible = INT64_MAX / 4; /* may be added to a price */

/* Some symbols placed, and twice as many open nodes as there are pairs, at some level. */
struct state {
	int64_t price;   /* of all before; once the search is over, of all after */
	uint16_t choice; /* codes to give out */
	uint8_t placed;
	uint8_t pairs;
};

struct codec_planner {
	unsigned symbol_count;
	uint8_t symbols[CODEC_SYMBOLS]; /* those present, most frequent first */
	int64_t length_price; /* of an element's code becoming longer by one bit and one merge */
	int64_t sums[PLACED]; /* elements of the first k symbols */
	/*
	 * What the n codes from symbol k on cost beside their length, as [k][n]: their chunks,
	 * minus the merges that flat bits save.
	 */
	int64_t chunks[PLACED][PLACED];
	int64_t rent; /* of the tree; a multiple of 2^CODEC_LENGTH_MAX */
	int64_t relaxed[LEVELS][PLACED];
	/* Of a step to k symbols placed, and on: its part that depends on where it leads. */
	int64_t onwards[LEVELS][PLACED];
	struct state states[STATES];
	unsigned starts[LEVELS + 1]; /* of each level's states */
	uint16_t places[PLACED]
		       [OPEN_PAIRS]; /* of the states of one level among them, or NO_STATE */
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

static unsigned least_of(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

static unsigned log2_floor(unsigned value)
{
	unsigned log2 = 0;

	while (value >>= 1)
		log2++;
	return log2;
}

/* sums[] of counts that are scaled, and at least 1. */
static void add_up(struct codec_planner *planner, const uint64_t counts[CODEC_SYMBOLS])
{
	uint64_t total = 0;
	unsigned shift = 0;

	for (unsigned k = 0; k < planner->symbol_count; k++)
		total += counts[planner->symbols[k]];
	while (total >> shift >> (COUNT_LIMIT_LOG2 - 1))
		shift++;
	planner->sums[0] = 0;
	for (unsigned k = 0; k < planner->symbol_count; k++) {
		int64_t scaled = (int64_t)(counts[planner->symbols[k]] >> shift);
		planner->sums[k + 1] = planner->sums[k] + (scaled > 0 ? scaled : 1);
	}
}

/* n codes are a largest chunk and what n less its symbols are. */
static void price_chunks(struct codec_planner *planner, int64_t merge, int64_t chunk)
{
	unsigned symbols = planner->symbol_count;

	for (unsigned k = symbols + 1; k-- > 0;) {
		planner->chunks[k][0] = 0;
		for (unsigned bits = 0; 1u << bits <= symbols - k; bits++) {
			unsigned size = 1u << bits, rest = least_of(size, symbols - k - size + 1);
			int64_t elements = planner->sums[k + size] - planner->sums[k];
			int64_t price = chunk - merge * bits * elements;
			for (unsigned i = 0; i < rest; i++)
				planner->chunks[k][size + i] = price + planner->chunks[k + size][i];
		}
	}
}

static void prepare(struct codec_planner *planner, const struct codec_prices *prices,
		    const uint64_t counts[CODEC_SYMBOLS], size_t block_size)
{
	uint64_t total;

	sort_symbols(planner, counts);
	add_up(planner, counts);
	total = (uint64_t)planner->sums[planner->symbol_count];
	if (total < block_size)
		total = block_size;
	/* NOLINTNEXTLINE(clang-analyzer-core.DivideZero): no block is empty */
	price_chunks(planner, prices->merge, (int64_t)(prices->chunk * total / block_size));
	planner->length_price = prices->bit + prices->merge;
}

/*
 * In a perfect code, of lengths -log2(share of all elements), a node more or less is worth the
 * price of one bit longer codes for its elements, over ln 2: 1477 / 1024.
 */
static void set_rent(struct codec_planner *planner)
{
	uint64_t all = (uint64_t)planner->sums[planner->symbol_count];
	uint64_t first = (uint64_t)planner->sums[1];

	/* No code is shorter than one bit: then the others share what is left. */
	if (first > all / 2)
		all = 2 * (all - first);
	all = all * (uint64_t)planner->length_price * 1477 >> (10 + CODEC_LENGTH_MAX);
	planner->rent = (int64_t)(all << CODEC_LENGTH_MAX);
}

/* The least a[i] + b[i]. Two at a time, lest each wait for the one before. */
static int64_t least_sum(const int64_t *a, const int64_t *b, unsigned count)
{
	int64_t even = impossible, odd = impossible;
	unsigned i = 0;

	for (; i + 1 < count; i += 2) {
		int64_t next = a[i] + b[i], after = a[i + 1] + b[i + 1];
		even = next < even ? next : even;
		odd = after < odd ? after : odd;
	}
	if (i < count && a[i] + b[i] < even)
		even = a[i] + b[i];
	return even < odd ? even : odd;
}

/* From the longest codes up. Of 2^level nodes, any symbol placed before took two or more. */
static void relax(struct codec_planner *planner)
{
	unsigned symbols = planner->symbol_count;

	for (unsigned level = CODEC_LENGTH_MAX + 1; level > 0; level--) {
		int64_t *relaxed = planner->relaxed[level], *onwards = planner->onwards[level];
		int64_t length_price = planner->length_price * level, rent = planner->rent >> level;
		for (unsigned k = 0; k < symbols; k++)
			relaxed[k] = impossible;
		relaxed[symbols] = 0;
		if (level > CODEC_LENGTH_MAX)
			continue;
		for (unsigned k = 0; k <= symbols; k++)
			onwards[k] = length_price * planner->sums[k] + rent * k +
				     planner->relaxed[level + 1][k];
		for (unsigned k = 0; k < symbols && 2 * k < 1u << level; k++) {
			unsigned most = least_of(symbols - k, (1u << level) - 2 * k);
			relaxed[k] = least_sum(planner->chunks[k], onwards + k, most + 1) -
				     length_price * planner->sums[k] - rent * k;
		}
	}
}

/*
 * The steps from a state that can end well: with fewer than `least` codes, an open node would find
 * no symbol; with more than `most`, the symbols left over would not fit below the nodes left over,
 * where each makes room for 2^below of them. There always is one, if the state itself can.
 */
struct steps {
	unsigned least, most;
};

static struct steps steps_from(const struct codec_planner *planner, unsigned level,
			       const struct state *state)
{
	unsigned left = planner->symbol_count - state->placed, open = 2u * state->pairs;
	unsigned room = 1u << (CODEC_LENGTH_MAX - level);
	unsigned most = room > 1 ? (open * room - left) / (room - 1) : open;

	return (struct steps){2 * open > left ? 2 * open - left : 0,
			      least_of(most, least_of(open, left))};
}

static int64_t step_price(const struct codec_planner *planner, unsigned level, unsigned k,
			  unsigned n)
{
	return planner->length_price * level * (planner->sums[k + n] - planner->sums[k]) +
	       planner->chunks[k][n];
}

static uint16_t *place_of(struct codec_planner *planner, const struct state *state)
{
	return &planner->places[state->placed][state->pairs];
}

static void forget_places(struct codec_planner *planner, unsigned level)
{
	for (unsigned i = planner->starts[level]; i < planner->starts[level + 1]; i++)
		*place_of(planner, &planner->states[i]) = NO_STATE;
}

static void find_places(struct codec_planner *planner, unsigned level)
{
	for (unsigned i = planner->starts[level]; i < planner->starts[level + 1]; i++)
		*place_of(planner, &planner->states[i]) = (uint16_t)(i - planner->starts[level]);
}

/* Adds a state to the level that is being filled, or makes one cheaper. */
static void reach(struct codec_planner *planner, unsigned level, struct state reached)
{
	struct state *states = planner->states + planner->starts[level];
	uint16_t *place = place_of(planner, &reached);

	if (*place == NO_STATE) {
		*place = (uint16_t)(planner->starts[level + 1] - planner->starts[level]);
		planner->starts[level + 1]++;
		states[*place] = reached;
	} else if (reached.price < states[*place].price) {
		states[*place].price = reached.price;
	}
}

/* Takes the steps from a state that may stay within the limit; lowers it to a code that is found.
 */
static void take_steps(struct codec_planner *planner, unsigned level, struct state state,
		       int64_t *limit, int *found)
{
	struct steps steps = steps_from(planner, level, &state);
	const int64_t *chunks = planner->chunks[state.placed];
	const int64_t *onwards = planner->onwards[level] + state.placed;
	unsigned open = 2u * state.pairs;
	/* What the bounds of all these steps have in common. */
	int64_t price = state.price - (planner->rent >> level) * (state.placed + open) -
			planner->length_price * level * planner->sums[state.placed];

	for (unsigned n = steps.least; n <= steps.most; n++) {
		if (price + chunks[n] + onwards[n] > *limit)
			continue;
		struct state next = {.price =
					 state.price + step_price(planner, level, state.placed, n),
				     .placed = (uint8_t)(state.placed + n),
				     .pairs = (uint8_t)(open - n)};
		if (next.pairs > 0) {
			reach(planner, level + 1, next);
		} else {
			*limit = next.price;
			*found = 1;
		}
	}
}

/* Goes down to all states that a code within the limit passes. False if there is no such code. */
static int go_down(struct codec_planner *planner, int64_t limit)
{
	int found = 0;

	planner->states[0] = (struct state){.pairs = 1};
	planner->starts[1] = 0;
	planner->starts[2] = 1;
	for (unsigned level = 1; level <= CODEC_LENGTH_MAX; level++) {
		planner->starts[level + 2] = planner->starts[level + 1];
		for (unsigned i = planner->starts[level]; i < planner->starts[level + 1]; i++)
			take_steps(planner, level, planner->states[i], &limit, &found);
		forget_places(planner, level + 1);
	}
	return found;
}

/* Finds the best step from a state, given the prices of what follows all states of the next level.
 */
static void choose(struct codec_planner *planner, unsigned level, struct state *state)
{
	const struct state *next = planner->states + planner->starts[level + 1];
	struct steps steps = steps_from(planner, level, state);
	unsigned open = 2u * state->pairs;

	state->price = impossible;
	for (unsigned n = steps.least; n <= steps.most; n++) {
		int64_t price = step_price(planner, level, state->placed, n);
		if (n < open) {
			uint16_t place = planner->places[state->placed + n][open - n];
			if (place == NO_STATE)
				continue;
			price += next[place].price;
		}
		if (price < state->price) {
			state->price = price;
			state->choice = (uint16_t)n;
		}
	}
}

static void go_up(struct codec_planner *planner)
{
	for (unsigned level = CODEC_LENGTH_MAX; level > 0; level--) {
		for (unsigned i = planner->starts[level]; i < planner->starts[level + 1]; i++)
			choose(planner, level, &planner->states[i]);
		forget_places(planner, level + 1);
		find_places(planner, level);
	}
}

/*
 * The limit starts where the bound for all codes is, plus 1/512 bit per element, and that grows by
 * halves. A code of at most CODEC_LENGTH_MAX bits exists, so it is found.
 */
static void solve(struct codec_planner *planner)
{
	unsigned symbols = planner->symbol_count;
	int64_t bound, more;

	set_rent(planner);
	relax(planner);
	memset(planner->places, 0xff, sizeof(planner->places));
	bound = planner->relaxed[1][0] - planner->rent;
	more = planner->length_price * planner->sums[symbols] / 512 + 1;
	while (!go_down(planner, bound + more))
		more += more / 2 + 1;
	go_up(planner);
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

/* Walks along the choices. */
static void assign_all(const struct codec_planner *planner, struct codec_table *table)
{
	const struct state *state = planner->states;

	for (unsigned level = 1;; level++) {
		unsigned n = state->choice, k = state->placed, pairs = 2u * state->pairs - n;
		assign(planner, level, k, n, table);
		if (pairs == 0)
			return;
		state = planner->states + planner->starts[level + 1];
		while (state->placed != k + n || state->pairs != pairs)
			state++;
	}
}

void codec_design_at(const struct codec_prices *prices, const uint64_t counts[CODEC_SYMBOLS],
		     size_t block_size, struct codec_planner *planner, struct codec_table *table)
{
	prepare(planner, prices, counts, block_size);
	memset(table->code, CODEC_ABSENT, sizeof(table->code));
	if (planner->symbol_count <= 1) {
		assign(planner, 0, 0, planner->symbol_count, table);
		return;
	}
	solve(planner);
	assign_all(planner, table);
}

void codec_design(const uint64_t counts[CODEC_SYMBOLS], size_t block_size,
		  struct codec_planner *planner, struct codec_table *table)
{
	static const struct codec_prices prices = {CODEC_PRICE_BIT, CODEC_PRICE_MERGE,
						   CODEC_PRICE_CHUNK};

	codec_design_at(&prices, counts, block_size, planner, table);
}
