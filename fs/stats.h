/* SPDX-License-Identifier: MIT */
/*
 * stats.h - what the daemon counts.
 *
 * Counters are relaxed atomics that any thread adds to; a reader of several sees them within a few
 * requests of each other.
 */
#ifndef ENTROFS_STATS_H
#define ENTROFS_STATS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum stats_counter {
	STATS_READS,         /* READ requests answered */
	STATS_BYTES_SERVED,  /* decoded bytes in their replies */
	STATS_BYTES_PUSHED,  /* delivered before they were asked for */
	STATS_BYTES_FETCHED, /* stored bytes read for them, alignment included, metadata not */
	STATS_BLOCKS_DECODED,
	STATS_BLOCKS_FOUND,   /* decoded blocks found in memory */
	STATS_SEGMENTS_FOUND, /* stored segments found in memory, or on their way */
	STATS_SEGMENTS_AHEAD, /* fetched ahead of their use */
	STATS_SPLIT_DECODES,  /* runs of blocks that several threads decoded */
	STATS_ERRORS,         /* reads that failed, damage included */
	STATS_COUNTERS
};

enum {
	STATS_BUCKETS = 128, /* of latencies: four to each power of two, nanoseconds */
};

struct stats {
	_Atomic uint64_t counters[STATS_COUNTERS];
	_Atomic uint64_t latencies[STATS_BUCKETS];
};

static inline void stats_add(struct stats *stats, enum stats_counter counter, uint64_t amount)
{
	atomic_fetch_add_explicit(&stats->counters[counter], amount, memory_order_relaxed);
}

/* Nanoseconds of a clock that never goes back. */
uint64_t stats_now(void);

/* Counts one READ that took so long. */
void stats_add_latency(struct stats *stats, uint64_t nanoseconds);

/* A copy to look at. */
struct stats_snapshot {
	uint64_t counters[STATS_COUNTERS];
	uint64_t p50, p90, p99, p999; /* nanoseconds, to within a quarter of a power of two */
};
struct stats_snapshot stats_take(struct stats *stats);

#endif
