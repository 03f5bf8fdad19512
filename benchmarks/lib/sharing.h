/* SPDX-License-Identifier: MIT */
/*
 * sharing.h - how well threads share decoding: speed-up, and two ways to deal out segments.
 */
#ifndef ENTROFS_BENCH_SHARING_H
#define ENTROFS_BENCH_SHARING_H

#include "benchmarks/lib/race.h"

/*
 * Prints a table: the kernel in use with more and more threads, its output staying in the caches or
 * going on to memory, next to memcpy.
 */
void print_scaling(const struct data *data, const struct plan *plan, struct team *team,
		   const struct effort *effort);

/*
 * Prints a table: one pass over the data, its segments taken by an atomic counter against the
 * shuffled static assignment of EntroLLM (arXiv 2505.02380), for as many threads as processors
 * and for twice as many. The team has that many.
 */
void print_sharing(const struct data *data, const struct plan *plan, struct team *team,
		   const struct effort *effort);

#endif
