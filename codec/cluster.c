/* SPDX-License-Identifier: MIT */
/*
 * cluster.c - groups of blocks that are alike; see cluster.h.
 *
 * A group has a MODEL: how long each symbol's code would be, in fractions of a bit, had the group a
 * table of its own. A real table has nearly these lengths and takes hundreds of times as long to
 * design. A group is divided by turns: each unit goes to that of two models which makes it shorter,
 * then the models follow their units; the beginning is made by the two units that are least alike.
 */
#include "codec/cluster.h"

#include <string.h>

enum {
	BIT = 1024, /* lengths are in units of 1/1024 bit */
	BIT_LOG2 = 10,
	LENGTH_MOST = CODEC_LENGTH_MAX * BIT,
	LENGTH_ABSENT = LENGTH_MOST + BIT, /* of a symbol that would have to join the table */
	ROUNDS = 8,                        /* most groups stop changing before */
	LOG_STEPS_LOG2 = 8,
	LOG_STEPS = 1 << LOG_STEPS_LOG2,
	LOG_FRACTION = 16, /* fractional bits of a logarithm */
};

struct model {
	uint64_t counts[CODEC_SYMBOLS];
	uint16_t lengths[CODEC_SYMBOLS];
	uint64_t cost; /* of all its units: coded bits, in 1/BIT bit */
};

struct group {
	struct model model;
	int tried;       /* to divide it ... */
	uint64_t saving; /* ... as its units' sides say; 1/BIT bit */
};

struct codec_clusters {
	struct codec_unit *units;
	size_t count;
	unsigned group_count;
	uint32_t logs[LOG_STEPS + 1]; /* log2(1 + i / LOG_STEPS) */
	struct model halves[2];
	struct group groups[CODEC_GROUPS_MAX];
};

const size_t codec_clusters_size = sizeof(struct codec_clusters);

/* A bit of the logarithm at a time: squaring doubles it, and its integer part is the next bit. */
static void tabulate_logs(uint32_t logs[LOG_STEPS + 1])
{
	for (unsigned i = 0; i < LOG_STEPS; i++) {
		/* From 1 to 2, with 31 fractional bits. */
		uint64_t x = (uint64_t)(LOG_STEPS + i) << (31 - LOG_STEPS_LOG2);
		uint32_t log = 0;
		for (unsigned bit = 0; bit < LOG_FRACTION; bit++) {
			x = x * x >> 31;
			log = log << 1 | (uint32_t)(x >> 32);
			x >>= x >> 32;
		}
		logs[i] = log;
	}
	logs[LOG_STEPS] = 1u << LOG_FRACTION;
}

/* For x > 0; between the steps on straight lines, which is exact to 3 millionths. */
static uint32_t log2_fixed(const uint32_t logs[LOG_STEPS + 1], uint64_t x)
{
	unsigned whole = 63 - (unsigned)__builtin_clzll(x);
	uint64_t mantissa = x << (63 - whole) << 1; /* what follows the leading one */
	unsigned step = (unsigned)(mantissa >> (64 - LOG_STEPS_LOG2));
	uint64_t between = mantissa << LOG_STEPS_LOG2 >> (64 - LOG_FRACTION);

	return (whole << LOG_FRACTION) + logs[step] +
	       (uint32_t)((logs[step + 1] - logs[step]) * between >> LOG_FRACTION);
}

/* The length of a unit with these codes, in 1/BIT bit: less than 2^30. */
static uint32_t unit_cost(const struct codec_unit *unit, const uint16_t lengths[CODEC_SYMBOLS])
{
	uint32_t cost = 0;

	for (unsigned symbol = 0; symbol < CODEC_SYMBOLS; symbol++)
		cost += (uint32_t)unit->counts[symbol] * lengths[symbol];
	return cost;
}

/* The length of a symbol's code where one symbol in 2^one, a logarithm, would be counted once. */
static uint16_t length_of(const struct codec_clusters *work, uint32_t one, uint64_t count)
{
	if (!count)
		return LENGTH_ABSENT;
	uint32_t length = (one - log2_fixed(work->logs, count)) >> (LOG_FRACTION - BIT_LOG2);
	return (uint16_t)(length < LENGTH_MOST ? length : LENGTH_MOST);
}

/*
 * Finds the lengths that a model's counts call for. No code is shorter than one bit: a symbol that
 * is more than half of all gets one, the others share the other half of the codes, and so on.
 */
static void fit(const struct codec_clusters *work, struct model *model)
{
	uint64_t rest = 0, cost = 0;
	uint8_t fixed[CODEC_SYMBOLS] = {0};
	unsigned depth = 0;

	for (unsigned symbol = 0; symbol < CODEC_SYMBOLS; symbol++)
		rest += model->counts[symbol];
	while (depth < CODEC_LENGTH_MAX) {
		unsigned symbol = 0;
		while (symbol < CODEC_SYMBOLS &&
		       (fixed[symbol] || model->counts[symbol] <= rest / 2))
			symbol++;
		if (symbol == CODEC_SYMBOLS || model->counts[symbol] == rest)
			break;
		rest -= model->counts[symbol];
		model->lengths[symbol] = (uint16_t)(++depth * BIT);
		fixed[symbol] = 1;
	}
	uint32_t one = rest ? log2_fixed(work->logs, rest) + (depth << LOG_FRACTION) : 0;
	for (unsigned symbol = 0; symbol < CODEC_SYMBOLS; symbol++) {
		uint64_t count = model->counts[symbol];
		if (!fixed[symbol])
			model->lengths[symbol] = length_of(work, one, count);
		cost += count * model->lengths[symbol];
	}
	model->cost = cost;
}

static void add(struct model *model, const struct codec_unit *unit)
{
	for (unsigned symbol = 0; symbol < CODEC_SYMBOLS; symbol++)
		model->counts[symbol] += unit->counts[symbol];
}

static void clear(struct model *model)
{
	memset(model->counts, 0, sizeof(model->counts));
}

static void fit_unit(const struct codec_clusters *work, struct model *model,
		     const struct codec_unit *unit)
{
	clear(model);
	add(model, unit);
	fit(work, model);
}

/* Its unit that loses most by these lengths, against lengths of its own. */
static const struct codec_unit *farthest(const struct codec_clusters *work, unsigned group,
					 const uint16_t lengths[CODEC_SYMBOLS])
{
	const struct codec_unit *found = NULL;
	int64_t most = INT64_MIN;

	for (size_t i = 0; i < work->count; i++) {
		const struct codec_unit *unit = &work->units[i];
		if (unit->group != group || !unit->size)
			continue;
		int64_t loss = (int64_t)unit_cost(unit, lengths) - unit->own;
		if (loss > most) {
			most = loss;
			found = unit;
		}
	}
	return found;
}

/* One turn: sides for the group's units, models for the sides. Whether any unit changed sides. */
static int take_turn(struct codec_clusters *work, unsigned group)
{
	const struct model old[2] = {work->halves[0], work->halves[1]};
	int changed = 0;

	clear(&work->halves[0]);
	clear(&work->halves[1]);
	for (size_t i = 0; i < work->count; i++) {
		struct codec_unit *unit = &work->units[i];
		if (unit->group != group)
			continue;
		unsigned side = unit_cost(unit, old[1].lengths) < unit_cost(unit, old[0].lengths);
		changed |= unit->side != side;
		unit->side = (uint8_t)side;
		add(&work->halves[side], unit);
	}
	fit(work, &work->halves[0]);
	fit(work, &work->halves[1]);
	return changed;
}

/* Finds the best division of a group and what it saves, which is nothing if one side is empty. */
static void try_division(struct codec_clusters *work, unsigned number)
{
	struct group *group = &work->groups[number];
	struct model *halves = work->halves;

	fit_unit(work, &halves[0], farthest(work, number, group->model.lengths));
	fit_unit(work, &halves[1], farthest(work, number, halves[0].lengths));
	take_turn(work, number);
	for (unsigned round = 1; round < ROUNDS && take_turn(work, number); round++)
		;
	uint64_t cost = halves[0].cost + halves[1].cost;
	group->saving = cost < group->model.cost ? group->model.cost - cost : 0;
	group->tried = 1;
}

/* Makes the model of a group from its units. */
static void fit_group(struct codec_clusters *work, unsigned number)
{
	struct group *group = &work->groups[number];

	clear(&group->model);
	for (size_t i = 0; i < work->count; i++)
		if (work->units[i].group == number)
			add(&group->model, &work->units[i]);
	fit(work, &group->model);
	group->tried = 0;
}

void codec_cluster_start(struct codec_clusters *work, struct codec_unit *units, size_t count)
{
	work->units = units;
	work->count = count;
	work->group_count = 1;
	tabulate_logs(work->logs);
	for (size_t i = 0; i < count; i++) {
		units[i].group = 0;
		units[i].side = 0;
		fit_unit(work, &work->halves[0], &units[i]);
		units[i].own = (uint32_t)work->halves[0].cost;
	}
	fit_group(work, 0);
}

int codec_cluster_divide(struct codec_clusters *work, uint64_t least)
{
	unsigned best = 0, made = work->group_count;

	if (made == CODEC_GROUPS_MAX)
		return -1;
	for (unsigned g = 0; g < work->group_count; g++) {
		if (!work->groups[g].tried)
			try_division(work, g);
		if (work->groups[g].saving > work->groups[best].saving)
			best = g;
	}
	if (!work->groups[best].saving || work->groups[best].saving / BIT < least)
		return -1;
	for (size_t i = 0; i < work->count; i++) {
		struct codec_unit *unit = &work->units[i];
		if (unit->group == best && unit->side)
			unit->group = (uint8_t)made;
	}
	work->group_count++;
	fit_group(work, best);
	fit_group(work, made);
	return (int)best;
}
