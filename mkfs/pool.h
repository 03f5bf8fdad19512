/* SPDX-License-Identifier: MIT */
/*
 * pool.h - threads that share the items of a loop, and loops whose results are taken in order.
 *
 * What is computed never depends on the number of threads: items are fixed pieces of work, results
 * are kept per item or taken in the items' order.
 */
#ifndef ENTROFS_POOL_H
#define ENTROFS_POOL_H

#include <stdint.h>

enum { POOL_JOBS_MAX = 128 };

struct pool;

/* As many threads as this process may use CPUs; 1 to POOL_JOBS_MAX. */
unsigned pool_jobs_default(void);

/* jobs threads, the caller's included. NULL if they cannot be had. */
struct pool *pool_create(unsigned jobs);
void pool_destroy(struct pool *pool);
unsigned pool_jobs(const struct pool *pool);

/* Does one item; worker < jobs tells the threads apart. Non-zero ends the loop. */
typedef int pool_item_fn(void *context, unsigned worker, uint64_t item);

/*
 * Runs fn for the items 0 to count - 1, taken in ascending order, and waits for all. 0, or the
 * first non-zero result seen, after which no new item starts.
 */
int pool_run(struct pool *pool, uint64_t count, pool_item_fn *fn, void *context);

/* How the results of an ordered loop are taken; called for the items in order, one at a time. */
typedef int pool_take_fn(void *context, uint64_t item, unsigned slot);
typedef int pool_make_fn(void *context, unsigned worker, uint64_t item, unsigned slot);

enum { POOL_TAKERS_MAX = 2 };

struct pool_ordered {
	pool_make_fn *make;                  /* in parallel: fills the slot */
	pool_take_fn *take[POOL_TAKERS_MAX]; /* each in order; different ones may run at once */
	unsigned takers;
	unsigned slots; /* results that may wait; item i uses slot i % slots until all took it */
	void *context;
};

/*
 * As pool_run(): every item is made by any thread, then taken in order. Whichever thread finishes
 * an item takes what has become takeable, so that serial work (hashing, writing) goes on beside
 * parallel work without threads of its own.
 */
int pool_run_ordered(struct pool *pool, uint64_t count, const struct pool_ordered *ordered);

#endif
