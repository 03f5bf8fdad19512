/* SPDX-License-Identifier: MIT */
/*
 * race.h - all contestants over one data set, taking turns.
 *
 * In each round everyone codes and decodes once for every number of threads, so that whatever else
 * the machine does meets all of them alike. Buffers are reused, hence warm.
 */
#ifndef ENTROFS_BENCH_RACE_H
#define ENTROFS_BENCH_RACE_H

#include "benchmarks/lib/contestant.h"
#include "benchmarks/lib/team.h"

enum { THREAD_COUNTS_MAX = 8 };

struct effort {
	unsigned rounds_least, rounds_most;
	double seconds; /* for one data set: no new round after that */
	double
	    sample_seconds; /* shortest thing timed: passes are repeated until it lasts so long */
	unsigned thread_counts[THREAD_COUNTS_MAX]; /* ascending from 1 */
	unsigned thread_count_count;
};

/* What one contestant reached with so many threads. Speeds are decoded bytes a second, for coding
 * too. */
struct row {
	char data[32];
	char codec[16];
	const char *kernel; /* of entrofs; else NULL */
	size_t piece_size;
	unsigned threads;
	unsigned rounds;
	double decode_best, decode_median, encode_best, encode_median;
	double bits_per_byte, entropy;
	double clock; /* cycles a second meanwhile; 0: not known */
};

/* Rows of one contestant are together, as are those of a codec; threads ascend. */
struct rows {
	struct row *list;
	size_t count, capacity;
};

/* Appends a row for each contestant and number of threads. */
void race(struct rows *rows, const struct data *data, const struct plan *plan, struct team *team,
	  const struct effort *effort);
void rows_free(struct rows *rows);

/* Of a codec's rows with so many threads (kernel NULL: any) the one that decodes fastest: that is
 * how a peer's frame size is chosen. NULL: there is none. */
const struct row *rows_fastest(const struct rows *rows, const char *data, const char *codec,
			       const char *kernel, unsigned threads);

/* Passes over the entry's data for a sample that lasts long enough; `passes` of them took
 * `seconds`. */
unsigned passes_for(const struct effort *effort, double seconds, unsigned threads);

#endif
