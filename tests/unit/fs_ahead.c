/* SPDX-License-Identifier: MIT */
/* fs_ahead.c - which readers are read ahead for, and that nothing is planned twice or too far. */
#include "fs/ahead.h"
#include "tests/unit/image_build.h"

#include <criterion/criterion.h>

#define LEAST ((uint64_t)1 << 20)
#define MOST  ((uint64_t)4 << 20)
#define TOTAL ((uint64_t)12 << 20)

static struct ahead *create(uint64_t most)
{
	const struct ahead_limits limits = {most < LEAST ? most : LEAST, most, TOTAL};
	struct ahead *ahead;
	cr_assert_eq(ahead_create(&ahead, &limits), 0);
	return ahead;
}

/* A request that comes at a time, in nanoseconds. */
static struct ahead_plan note_at(struct ahead *ahead, uint64_t time, uint32_t node, uint64_t offset,
				 uint64_t size)
{
	const struct ahead_request request = {node, offset, size, time, false};
	return ahead_note(ahead, &request);
}

/* A request like others that come without a pause. */
static struct ahead_plan note(struct ahead *ahead, uint32_t node, uint64_t offset, uint64_t size)
{
	return note_at(ahead, 0, node, offset, size);
}

/* Reads a file from front to back; gaps in what is planned, or anything planned twice, fail. */
static void read_in_order(struct ahead *ahead, uint32_t node, uint64_t size, uint64_t end)
{
	uint64_t planned = 0;
	for (uint64_t at = 0; at < end; at += size) {
		struct ahead_plan plan = note(ahead, node, at, size);
		cr_assert_eq(plan.in_order, at > 0);
		if (plan.from == plan.to)
			continue;
		cr_assert_geq(plan.from, at + size);
		cr_assert_geq(plan.from, planned);
		cr_assert_leq(plan.to, at + size + MOST);
		if (planned > at + size)
			cr_assert_eq(plan.from, planned);
		planned = plan.to;
	}
	if (end > size)
		cr_assert_geq(planned, end);
}

Test(fs_ahead, in_order)
{
	struct ahead *ahead = create(MOST);
	read_in_order(ahead, 1, 4096, 20 << 20);
	read_in_order(ahead, 2, 131072, 100 << 20);
	read_in_order(ahead, 3, 1 << 20, 100 << 20);
	ahead_destroy(ahead);
}

/* Requests that overtake each other are still one reader. */
Test(fs_ahead, out_of_turn)
{
	static const unsigned turns[] = {1, 0, 2, 4, 5, 3, 7, 6};
	struct ahead *ahead = create(MOST);
	unsigned in_order = 0;
	for (unsigned round = 0; round < 10; round++)
		for (unsigned i = 0; i < 8; i++)
			in_order +=
			    note(ahead, 1, (round * 8 + turns[i]) * UINT64_C(131072), 131072)
				.in_order;
	cr_assert_geq(in_order, 78);
	ahead_destroy(ahead);
}

/* Several readers, in one file and in others, are told apart. */
Test(fs_ahead, several)
{
	struct ahead *ahead = create(MOST);
	unsigned in_order = 0;
	for (uint64_t i = 0; i < 100; i++)
		for (uint64_t reader = 0; reader < 8; reader++)
			in_order +=
			    note(ahead, (uint32_t)(reader / 4), (reader << 30) + i * 131072, 131072)
				.in_order;
	cr_assert_eq(in_order, 8 * 99);
	ahead_destroy(ahead);
}

/* Two threads that share a file: nothing is fetched for the first that the second began with. */
Test(fs_ahead, halves)
{
	const uint64_t half = 6 << 20, size = 131072;
	struct ahead *ahead = create(MOST);
	for (uint64_t at = 0; at < half; at += size) {
		struct ahead_plan first = note(ahead, 1, at, size);
		struct ahead_plan second = note(ahead, 1, half + at, size);
		cr_assert(first.from == first.to || at < size * 2 || first.to <= half);
		cr_assert(second.from == second.to || second.to > half + at + size);
	}
	struct ahead_plan beyond = note(ahead, 1, half, size);
	cr_assert(beyond.in_order);
	ahead_destroy(ahead);
}

/* Small requests at random: hardly any is taken for a reader in order. */
Test(fs_ahead, at_random)
{
	struct ahead *ahead = create(MOST);
	uint64_t seed = 5;
	unsigned in_order = 0;
	for (unsigned i = 0; i < 10000; i++)
		in_order +=
		    note(ahead, 1, build_random(&seed) % (1 << 30) / 4096 * 4096, 4096).in_order;
	cr_assert_lt(in_order, 100);
	ahead_destroy(ahead);
}

/* Nothing is planned when nothing may be. */
Test(fs_ahead, never)
{
	struct ahead *ahead = create(0);
	for (uint64_t i = 0; i < 100; i++) {
		struct ahead_plan plan = note(ahead, 1, i * 4096, 4096);
		cr_assert_eq(plan.from, plan.to);
	}
	ahead_destroy(ahead);
}

/* Reads on from *at for so many bytes, at so many nanoseconds a MiB; how far ahead it was at most
 * while it read the last half. */
static uint64_t read_at_speed(struct ahead *ahead, uint64_t *at, uint64_t *time, uint64_t bytes,
			      uint64_t nanoseconds)
{
	const uint64_t size = 1 << 20, begin = *at;
	uint64_t most = 0;
	for (; *at < begin + bytes; *at += size) {
		struct ahead_plan plan = note_at(ahead, *time += nanoseconds, 1, *at, size);
		uint64_t beyond = plan.to > *at + size ? plan.to - (*at + size) : 0;
		if (*at >= begin + bytes / 2 && beyond > most)
			most = beyond;
	}
	return most;
}

/* The faster a reader is, the further ahead of it is fetched. */
Test(fs_ahead, speed)
{
	const uint64_t bytes = 64 << 20, slow = 20000000, medium = 5000000, fast = 1000000;
	struct ahead *ahead = create(MOST);
	uint64_t at = 0, time = 0;
	cr_assert_eq(read_at_speed(ahead, &at, &time, bytes, slow), LEAST);
	cr_assert_eq(read_at_speed(ahead, &at, &time, bytes, fast), MOST);
	uint64_t between = read_at_speed(ahead, &at, &time, bytes, medium);
	cr_assert(between > LEAST && between < MOST, "%d", (int)between);
	cr_assert_eq(read_at_speed(ahead, &at, &time, bytes, slow), LEAST);
	ahead_destroy(ahead);
}

static struct ahead_plan note_pushable(struct ahead *ahead, uint64_t offset)
{
	const struct ahead_request request = {1, offset, 4096, 0, true};
	return ahead_note(ahead, &request);
}

/* Small requests are soon replaced by pushes without a gap, up to a limit; a request that comes
 * while one is on its way starts no other. */
Test(fs_ahead, pushed)
{
	struct ahead *ahead = create(MOST);
	uint64_t requests = 0, pushed = 0, end = 64 << 20;
	for (uint64_t at = 0; at < end;) {
		struct ahead_plan plan = note_pushable(ahead, at);
		requests++;
		at += 4096;
		if (plan.push_from == plan.push_to)
			continue;
		cr_assert_eq(plan.push_from, at);
		cr_assert_leq(plan.push_to - plan.push_from, 1 << 20);
		pushed += plan.push_to - plan.push_from;
		at += 4096;
		cr_assert(note_pushable(ahead, at - 4096).in_order);
		at = plan.push_to;
	}
	cr_assert_lt(requests, 80);
	cr_assert_gt(pushed, end - (1 << 20));
	struct ahead_plan plan = note(ahead, 1, end, 4096);
	cr_assert_eq(plan.push_from, plan.push_to);
	ahead_destroy(ahead);
}
