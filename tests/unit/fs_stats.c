/* SPDX-License-Identifier: MIT */
/* fs_stats.c - counters add up, percentiles are right to within a quarter of a power of two. */
#include "fs/stats.h"

#include <criterion/criterion.h>

Test(fs_stats, counters)
{
	static struct stats stats;
	stats_add(&stats, STATS_READS, 3);
	stats_add(&stats, STATS_READS, 4);
	stats_add(&stats, STATS_ERRORS, 1);
	struct stats_snapshot copy = stats_take(&stats);
	cr_assert_eq(copy.counters[STATS_READS], 7);
	cr_assert_eq(copy.counters[STATS_ERRORS], 1);
	cr_assert_eq(copy.counters[STATS_BYTES_SERVED], 0);
	cr_assert_eq(copy.p50, 0);
	cr_assert_eq(copy.p999, 0);
}

static void about(uint64_t got, uint64_t wanted)
{
	cr_assert_geq(got, wanted);
	cr_assert_leq(got, wanted + wanted / 4 + 1, "%llu for %llu", (unsigned long long)got,
		      (unsigned long long)wanted);
}

Test(fs_stats, percentiles)
{
	static struct stats stats;
	for (uint64_t i = 1; i <= 10000; i++)
		stats_add_latency(&stats, i * 100);
	struct stats_snapshot copy = stats_take(&stats);
	about(copy.p50, 500000);
	about(copy.p90, 900000);
	about(copy.p99, 990000);
	about(copy.p999, 999000);
}

/* Any value has a bucket, and only one. */
Test(fs_stats, every_size)
{
	for (unsigned shift = 0; shift < 64; shift++) {
		for (int delta = -1; delta <= 1; delta++) {
			struct stats stats = {0};
			uint64_t value = (UINT64_C(1) << shift) + (uint64_t)delta;
			if (value > UINT64_C(1) << 32)
				continue; /* beyond four seconds, all are alike */
			stats_add_latency(&stats, value);
			struct stats_snapshot copy = stats_take(&stats);
			cr_assert_gt(copy.p50, value);
			cr_assert_leq(copy.p50, value + value / 4 + 1);
		}
	}
}
