/* SPDX-License-Identifier: MIT */
/*
 * pool.c - parallel and ordered loops; see pool.h.
 *
 * One mutex guards a loop's bookkeeping; items are large enough (hundreds of kilobytes) for it not
 * to matter. No lock is held while an item is made or taken.
 */
#include "mkfs/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

struct pool_worker {
	struct pool *pool;
	unsigned number;
	pthread_t thread;
};

struct pool {
	pthread_mutex_t lock;
	pthread_cond_t changed; /* a loop starts or a thread leaves it */
	unsigned jobs, started; /* threads besides the caller's that run */
	unsigned busy;          /* of them, in the current loop */
	uint64_t loop;          /* number of the current loop */
	int quit;
	/* The current loop. */
	pool_item_fn *fn;
	void *context;
	uint64_t next, count;
	int result;
	struct pool_worker workers[];
};

unsigned pool_jobs_default(void)
{
	cpu_set_t set;
	int count = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;

	return count < POOL_JOBS_MAX ? (unsigned)count : POOL_JOBS_MAX;
}

static void work(struct pool *pool, unsigned number)
{
	pthread_mutex_lock(&pool->lock);
	while (!pool->result && pool->next < pool->count) {
		uint64_t item = pool->next++;
		pthread_mutex_unlock(&pool->lock);
		int result = pool->fn(pool->context, number, item);
		pthread_mutex_lock(&pool->lock);
		if (result && !pool->result)
			pool->result = result;
	}
	pthread_mutex_unlock(&pool->lock);
}

static void *worker_main(void *argument)
{
	struct pool_worker *worker = argument;
	struct pool *pool = worker->pool;
	uint64_t seen = 0;

	pthread_mutex_lock(&pool->lock);
	for (;;) {
		while (!pool->quit && pool->loop == seen)
			pthread_cond_wait(&pool->changed, &pool->lock);
		if (pool->quit)
			break;
		seen = pool->loop;
		pthread_mutex_unlock(&pool->lock);
		work(pool, worker->number);
		pthread_mutex_lock(&pool->lock);
		pool->busy--;
		pthread_cond_broadcast(&pool->changed);
	}
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

struct pool *pool_create(unsigned jobs)
{
	struct pool *pool = calloc(1, sizeof *pool + jobs * sizeof pool->workers[0]);
	if (!pool)
		return NULL;
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->changed, NULL);
	pool->jobs = jobs;
	for (unsigned i = 1; i < jobs; i++) {
		struct pool_worker *worker = &pool->workers[pool->started];
		*worker = (struct pool_worker){.pool = pool, .number = i};
		if (pthread_create(&worker->thread, NULL, worker_main, worker)) {
			pool_destroy(pool);
			return NULL;
		}
		pool->started++;
	}
	return pool;
}

void pool_destroy(struct pool *pool)
{
	if (!pool)
		return;
	pthread_mutex_lock(&pool->lock);
	pool->quit = 1;
	pthread_cond_broadcast(&pool->changed);
	pthread_mutex_unlock(&pool->lock);
	for (unsigned i = 0; i < pool->started; i++)
		pthread_join(pool->workers[i].thread, NULL);
	pthread_cond_destroy(&pool->changed);
	pthread_mutex_destroy(&pool->lock);
	free(pool);
}

unsigned pool_jobs(const struct pool *pool)
{
	return pool->jobs;
}

int pool_run(struct pool *pool, uint64_t count, pool_item_fn *fn, void *context)
{
	pthread_mutex_lock(&pool->lock);
	pool->fn = fn;
	pool->context = context;
	pool->next = 0;
	pool->count = count;
	pool->result = 0;
	pool->busy = count > 1 ? pool->started : 0;
	if (pool->busy) {
		pool->loop++;
		pthread_cond_broadcast(&pool->changed);
	}
	pthread_mutex_unlock(&pool->lock);
	work(pool, 0);
	pthread_mutex_lock(&pool->lock);
	while (pool->busy)
		pthread_cond_wait(&pool->changed, &pool->lock);
	int result = pool->result;
	pthread_mutex_unlock(&pool->lock);
	return result;
}

struct ordered_run {
	const struct pool_ordered *ordered;
	pthread_mutex_t lock;
	pthread_cond_t freed;            /* a slot became free, or the loop failed */
	uint64_t taken[POOL_TAKERS_MAX]; /* items that each taker has done */
	int taking[POOL_TAKERS_MAX];     /* some thread is at it */
	int failed;
	unsigned char *ready; /* per slot: made, not yet taken by all */
};

static uint64_t oldest(const struct ordered_run *run)
{
	uint64_t low = run->taken[0];
	for (unsigned t = 1; t < run->ordered->takers; t++)
		low = run->taken[t] < low ? run->taken[t] : low;
	return low;
}

/* Takes all that one taker can; called and returns with the lock held. */
static void drain(struct ordered_run *run, unsigned taker)
{
	const struct pool_ordered *ordered = run->ordered;

	if (run->taking[taker])
		return;
	run->taking[taker] = 1;
	while (!run->failed) {
		uint64_t item = run->taken[taker];
		unsigned slot = (unsigned)(item % ordered->slots);
		/* A ready slot may hold an older item that only this taker is done with. */
		if (!run->ready[slot] || item >= oldest(run) + ordered->slots)
			break;
		pthread_mutex_unlock(&run->lock);
		int result = ordered->take[taker](ordered->context, item, slot);
		pthread_mutex_lock(&run->lock);
		if (result) {
			run->failed = result;
			break;
		}
		uint64_t before = oldest(run);
		run->taken[taker]++;
		if (oldest(run) != before) {
			run->ready[slot] = 0;
			pthread_cond_broadcast(&run->freed);
		}
	}
	run->taking[taker] = 0;
	if (run->failed)
		pthread_cond_broadcast(&run->freed);
}

static int make_and_take(void *context, unsigned worker, uint64_t item)
{
	struct ordered_run *run = context;
	const struct pool_ordered *ordered = run->ordered;
	unsigned slot = (unsigned)(item % ordered->slots);

	pthread_mutex_lock(&run->lock);
	/* Items start in ascending order, so the oldest one never waits here. */
	while (!run->failed && item >= oldest(run) + ordered->slots)
		pthread_cond_wait(&run->freed, &run->lock);
	int result = run->failed;
	pthread_mutex_unlock(&run->lock);
	if (result)
		return result;
	result = ordered->make(ordered->context, worker, item, slot);
	pthread_mutex_lock(&run->lock);
	if (result) {
		if (!run->failed)
			run->failed = result;
		pthread_cond_broadcast(&run->freed);
	} else {
		run->ready[slot] = 1;
		for (unsigned taker = 0; taker < ordered->takers; taker++)
			drain(run, taker);
		result = run->failed;
	}
	pthread_mutex_unlock(&run->lock);
	return result;
}

int pool_run_ordered(struct pool *pool, uint64_t count, const struct pool_ordered *ordered)
{
	struct ordered_run run = {.ordered = ordered};

	run.ready = calloc(ordered->slots, 1);
	if (!run.ready)
		return -1;
	pthread_mutex_init(&run.lock, NULL);
	pthread_cond_init(&run.freed, NULL);
	int result = pool_run(pool, count, make_and_take, &run);
	pthread_cond_destroy(&run.freed);
	pthread_mutex_destroy(&run.lock);
	free(run.ready);
	return result;
}
