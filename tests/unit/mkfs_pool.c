/* SPDX-License-Identifier: MIT */
/*
 * mkfs_pool.c - parallel loops: every item once, results taken in order, failures end the loop.
 */
#include "mkfs/pool.h"

#include <criterion/criterion.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { ITEMS = 2000, SLOTS = 5, FAIL_AT = 700 };

static atomic_uint done[ITEMS];

static int count_item(void *context, unsigned worker, uint64_t item)
{
	cr_assert_lt(worker, *(unsigned *)context);
	atomic_fetch_add(&done[item], 1);
	return 0;
}

Test(mkfs_pool, every_item_is_done_once)
{
	for (unsigned jobs = 1; jobs <= 7; jobs += 2) {
		struct pool *pool = pool_create(jobs);
		for (uint64_t count = 0; count <= ITEMS; count += 500) {
			for (int i = 0; i < ITEMS; i++)
				done[i] = 0;
			cr_assert_eq(pool_run(pool, count, count_item, &jobs), 0);
			for (uint64_t i = 0; i < ITEMS; i++)
				cr_assert_eq(done[i], i < count);
		}
		pool_destroy(pool);
	}
}

struct ordered_test {
	uint64_t slot_item[SLOTS];
	atomic_int slot_takers[SLOTS];
	uint64_t next[2];
	uint64_t fail_make, fail_take;
};

static int make(void *context, unsigned worker, uint64_t item, unsigned slot)
{
	struct ordered_test *test = context;
	(void)worker;
	/* The slot is nobody's. */
	cr_assert_eq(test->slot_takers[slot], 0);
	if (item % 3 == 0)
		sched_yield();
	if (item == test->fail_make)
		return -7;
	test->slot_item[slot] = item;
	test->slot_takers[slot] = 2;
	return 0;
}

static int take(struct ordered_test *test, unsigned taker, uint64_t item, unsigned slot)
{
	cr_assert_eq(test->slot_item[slot], item);
	cr_assert_eq(test->next[taker]++, item);
	if (item % (5 + taker) == 0)
		sched_yield();
	if (taker == 1 && item == test->fail_take)
		return -8;
	atomic_fetch_sub(&test->slot_takers[slot], 1);
	return 0;
}

static int take0(void *context, uint64_t item, unsigned slot)
{
	return take(context, 0, item, slot);
}

static int take1(void *context, uint64_t item, unsigned slot)
{
	return take(context, 1, item, slot);
}

static int run_ordered(unsigned jobs, struct ordered_test *test)
{
	const struct pool_ordered loop = {make, {take0, take1}, 2, SLOTS, test};
	struct pool *pool = pool_create(jobs);
	int result = pool_run_ordered(pool, ITEMS, &loop);
	pool_destroy(pool);
	return result;
}

Test(mkfs_pool, results_are_taken_in_order)
{
	for (unsigned jobs = 1; jobs <= 8; jobs++) {
		struct ordered_test test = {.fail_make = UINT64_MAX, .fail_take = UINT64_MAX};
		cr_assert_eq(run_ordered(jobs, &test), 0);
		cr_assert_eq(test.next[0], ITEMS);
		cr_assert_eq(test.next[1], ITEMS);
	}
}

Test(mkfs_pool, a_failure_ends_the_loop_without_hanging)
{
	for (unsigned jobs = 1; jobs <= 8; jobs++) {
		struct ordered_test test = {.fail_make = FAIL_AT, .fail_take = UINT64_MAX};
		cr_assert_eq(run_ordered(jobs, &test), -7);
		cr_assert_leq(test.next[0], FAIL_AT);
		test = (struct ordered_test){.fail_make = UINT64_MAX, .fail_take = FAIL_AT};
		cr_assert_eq(run_ordered(jobs, &test), -8);
		cr_assert_leq(test.next[1], FAIL_AT + 1);
	}
}
