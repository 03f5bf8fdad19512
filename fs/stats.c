/* SPDX-License-Identifier: MIT */
/* stats.c - counters and a histogram of latencies; see stats.h. */
#include "fs/stats.h"

#include <time.h>

uint64_t stats_now(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Bucket 4 * e + f holds values from (4 + f) << (e - 2) on, for e >= 2. */
static unsigned bucket_of(uint64_t value)
{
	if (value < 4)
		return (unsigned)value;
	unsigned exponent = 63 - (unsigned)__builtin_clzll(value);
	unsigned bucket = 4 * (exponent - 1) + (unsigned)(value >> (exponent - 2) & 3);
	return bucket < STATS_BUCKETS ? bucket : STATS_BUCKETS - 1;
}

/* The least value that is beyond a bucket. */
static uint64_t bucket_end(unsigned bucket)
{
	if (bucket < 4)
		return bucket + 1;
	unsigned exponent = bucket / 4 + 1;
	return (uint64_t)(4 + bucket % 4 + 1) << (exponent - 2);
}

void stats_add_latency(struct stats *stats, uint64_t nanoseconds)
{
	atomic_fetch_add_explicit(&stats->latencies[bucket_of(nanoseconds)], 1,
				  memory_order_relaxed);
}

static uint64_t percentile(const uint64_t counts[STATS_BUCKETS], uint64_t total,
			   unsigned per_thousand)
{
	uint64_t wanted = (total * per_thousand + 999) / 1000, seen = 0;
	if (total == 0)
		return 0;
	for (unsigned i = 0; i < STATS_BUCKETS; i++) {
		seen += counts[i];
		if (seen >= wanted)
			return bucket_end(i);
	}
	return bucket_end(STATS_BUCKETS - 1);
}

struct stats_snapshot stats_take(struct stats *stats)
{
	struct stats_snapshot copy;
	uint64_t counts[STATS_BUCKETS], total = 0;
	for (unsigned i = 0; i < STATS_COUNTERS; i++)
		copy.counters[i] = atomic_load_explicit(&stats->counters[i], memory_order_relaxed);
	for (unsigned i = 0; i < STATS_BUCKETS; i++) {
		counts[i] = atomic_load_explicit(&stats->latencies[i], memory_order_relaxed);
		total += counts[i];
	}
	copy.p50 = percentile(counts, total, 500);
	copy.p90 = percentile(counts, total, 900);
	copy.p99 = percentile(counts, total, 990);
	copy.p999 = percentile(counts, total, 999);
	return copy;
}
