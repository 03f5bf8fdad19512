/* SPDX-License-Identifier: MIT */
/*
 * codec_cluster.c - kinds of blocks that were planted are found, and none where there are none.
 */
#include "codec/cluster.h"
#include "tests/unit/codec_util.h"

#include <criterion/criterion.h>

enum {
	UNITS = 120,
	SIZE = 16384,
	LEAST = 4000, /* coded bits that a group must save: 500 bytes */
};

static struct codec_unit units[UNITS];
static uint8_t kinds[UNITS];
static struct codec_clusters *work;

static void start(void)
{
	work = codec_aligned(codec_clusters_size);
	memset(work, 0xa5, codec_clusters_size);
	memset(units, 0xa5, sizeof(units));
}

static void stop(void)
{
	free(work);
}

TestSuite(codec_cluster, .init = start, .fini = stop);

static void clear(struct codec_unit *unit)
{
	memset(unit->counts, 0, sizeof(unit->counts));
	unit->size = 0;
}

static void count(struct codec_unit *unit, double value)
{
	unit->counts[(unsigned)codec_clamp(rint(value), 255)]++;
	unit->size++;
}

static void fill_gaussian(struct codec_unit *unit, double mean, double deviation, uint32_t seed)
{
	uint32_t state = seed * 2654435761u + 1;

	clear(unit);
	for (unsigned i = 0; i < SIZE; i++)
		count(unit, mean + deviation * codec_random_gaussian(&state));
}

struct kind {
	double mean, deviation;
};

/* Units of these kinds in an order without order. */
static void plant(const struct kind *list, unsigned kind_count)
{
	uint32_t state = 99;

	for (unsigned i = 0; i < UNITS; i++) {
		kinds[i] = (uint8_t)(codec_random(&state) % kind_count);
		fill_gaussian(&units[i], list[kinds[i]].mean, list[kinds[i]].deviation, i + 1);
	}
}

/* Divides until nothing is gained. */
static unsigned divide(size_t unit_count, uint64_t least)
{
	unsigned groups = 1;

	codec_cluster_start(work, units, unit_count);
	for (;;) {
		int divided = codec_cluster_divide(work, least);
		uint64_t sizes[CODEC_GROUPS_MAX] = {0};
		for (size_t i = 0; i < unit_count; i++)
			sizes[units[i].group] += units[i].size;
		groups += divided >= 0;
		cr_assert_lt(divided, (int)groups);
		cr_assert_leq(groups, CODEC_GROUPS_MAX);
		for (unsigned g = 0; g < CODEC_GROUPS_MAX; g++)
			cr_assert_eq(sizes[g] > 0, g < groups, "group %u", g);
		if (divided < 0)
			return groups;
	}
}

/* Two units have one group if and only if they are of one kind. */
static void assert_found(unsigned kind_count)
{
	cr_assert_eq(divide(UNITS, LEAST), kind_count);
	for (unsigned i = 0; i < UNITS; i++)
		for (unsigned j = 0; j < i; j++)
			cr_assert_eq(units[i].group == units[j].group, kinds[i] == kinds[j],
				     "units %u, %u", i, j);
}

Test(codec_cluster, spreads_are_told_apart)
{
	static const struct kind list[] = {{128, 8}, {128, 10}, {128, 14}};

	plant(list, 2);
	assert_found(2);
	plant(list, 3);
	assert_found(3);
}

/* Of equal entropy: nothing but the place of the values tells them apart. */
Test(codec_cluster, places_are_told_apart)
{
	static const struct kind list[] = {{100, 10}, {108, 10}, {150, 10}, {90, 10}, {160, 10}};

	for (unsigned count = 2; count <= 5; count++) {
		plant(list, count);
		assert_found(count);
	}
}

Test(codec_cluster, one_kind_is_one_group)
{
	static const struct kind wide = {128, 12}, narrow = {8, 0.6};

	plant(&wide, 1);
	cr_assert_eq(divide(UNITS, LEAST), 1);
	plant(&narrow, 1);
	cr_assert_eq(divide(UNITS, LEAST), 1);
	for (unsigned i = 0; i < UNITS; i++)
		cr_assert_eq(units[i].group, 0);
}

/* The two least alike of these are two odd ones that do not pay; what pays is the spread. */
Test(codec_cluster, odd_blocks_do_not_hide_the_others)
{
	static const struct kind list[] = {{128, 9}, {128, 11}};

	plant(list, 2);
	fill_gaussian(&units[7], 122, 10, 7);
	fill_gaussian(&units[8], 134, 10, 8);
	cr_assert_eq(divide(UNITS, 2 * LEAST), 2);
	for (unsigned i = 9; i < UNITS; i++)
		for (unsigned j = 9; j < i; j++)
			cr_assert_eq(units[i].group == units[j].group, kinds[i] == kinds[j]);
}

/*
 * Where one symbol is nearly everything, codes cannot become shorter than a bit: kinds that differ
 * by how much of everything it is would need the same table.
 */
Test(codec_cluster, a_code_has_at_least_one_bit)
{
	uint32_t state = 5;

	for (unsigned i = 0; i < UNITS; i++) {
		unsigned others = i % 2 ? 2 : 20; /* in 100 */
		clear(&units[i]);
		for (unsigned n = 0; n < SIZE; n++) {
			unsigned random = codec_random(&state) % 100;
			count(&units[i], random < others ? 1 + random % 2 : 0);
		}
	}
	cr_assert_eq(divide(UNITS, LEAST), 1);
}

/* By the bits of all units together. */
Test(codec_cluster, nothing_is_divided_for_less_than_its_price)
{
	static const struct kind list[] = {{128, 10}, {128, 11}};

	plant(list, 2);
	cr_assert_eq(divide(UNITS, LEAST), 2);
	cr_assert_eq(divide(UNITS, (uint64_t)UNITS * SIZE), 1);
}

Test(codec_cluster, few_units)
{
	fill_gaussian(&units[0], 128, 3, 1);
	cr_assert_eq(divide(1, 0), 1);
	cr_assert_eq(units[0].group, 0);

	units[1] = units[0];
	cr_assert_eq(divide(2, 0), 1, "equal units were divided");

	fill_gaussian(&units[1], 100, 3, 1);
	cr_assert_eq(divide(2, LEAST), 2);
}

Test(codec_cluster, units_without_size_do_not_count)
{
	static const struct kind list[] = {{128, 8}, {128, 12}};

	plant(list, 2);
	for (unsigned i = 0; i < UNITS; i += 3)
		clear(&units[i]);
	cr_assert_eq(divide(UNITS, LEAST), 2);
	for (unsigned i = 0; i < UNITS; i++)
		for (unsigned j = 0; j < i; j++)
			if (units[i].size && units[j].size)
				cr_assert_eq(units[i].group == units[j].group,
					     kinds[i] == kinds[j]);
}

/* The largest counts there may be, a short unit, and as many kinds as units. */
Test(codec_cluster, extremes)
{
	for (unsigned i = 0; i < UNITS; i++) {
		clear(&units[i]);
		units[i].counts[2 * i] = 65534;
		units[i].counts[2 * i + 1] = 1;
		units[i].size = 65535;
	}
	clear(&units[UNITS - 1]);
	count(&units[UNITS - 1], 255);
	cr_assert_eq(divide(UNITS, 1), CODEC_GROUPS_MAX);
}

/* What the working memory held before makes no difference. */
Test(codec_cluster, same_groups_from_the_same_counts)
{
	static const struct kind list[] = {{128, 8}, {128, 9}, {128, 10}, {128, 12}, {120, 12}};
	uint8_t first[UNITS];

	plant(list, 5);
	unsigned groups = divide(UNITS, 500);
	cr_assert_gt(groups, 2);
	for (unsigned i = 0; i < UNITS; i++)
		first[i] = units[i].group;
	memset(work, 0, codec_clusters_size);
	for (unsigned i = 0; i < UNITS; i++) {
		units[i].group = units[i].side = (uint8_t)i;
		units[i].own = i;
	}
	cr_assert_eq(divide(UNITS, 500), groups);
	for (unsigned i = 0; i < UNITS; i++)
		cr_assert_eq(units[i].group, first[i]);
}
