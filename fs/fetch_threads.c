/* SPDX-License-Identifier: MIT */
/*
 * fetch_threads.c - reads ahead by threads that call pread(), where there is no io_uring: old
 * kernels, containers that forbid it, emulation.
 */
#include "fs/fetch_engine.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

enum { THREADS = 2 }; /* one read under way while the next is being started */

struct threads {
	struct fetch *fetch;
	pthread_t threads[THREADS];
	unsigned count;       /* of threads */
	pthread_mutex_t lock; /* of all below */
	pthread_cond_t more;
	struct fetch_request *first, **last;
	bool stopping;
};

static struct fetch_request *next_request(struct threads *threads)
{
	pthread_mutex_lock(&threads->lock);
	while (!threads->first && !threads->stopping)
		pthread_cond_wait(&threads->more, &threads->lock);
	struct fetch_request *request = threads->first;
	if (request) {
		threads->first = request->next;
		if (!threads->first)
			threads->last = &threads->first;
	}
	pthread_mutex_unlock(&threads->lock);
	return request;
}

static void *work(void *argument)
{
	struct threads *threads = argument;
	struct fetch_request *request;
	while ((request = next_request(threads)))
		request->done(request, fetch_read(threads->fetch, request->offset, request->size,
						  request->buffer));
	return NULL;
}

static void submit(struct fetch *fetch, struct fetch_request *list)
{
	struct threads *threads = fetch->state;
	pthread_mutex_lock(&threads->lock);
	*threads->last = list;
	while (*threads->last)
		threads->last = &(*threads->last)->next;
	pthread_cond_broadcast(&threads->more);
	pthread_mutex_unlock(&threads->lock);
}

static void stop(struct fetch *fetch)
{
	struct threads *threads = fetch->state;
	pthread_mutex_lock(&threads->lock);
	threads->stopping = true;
	pthread_cond_broadcast(&threads->more);
	pthread_mutex_unlock(&threads->lock);
	for (unsigned i = 0; i < threads->count; i++)
		pthread_join(threads->threads[i], NULL);
	pthread_cond_destroy(&threads->more);
	pthread_mutex_destroy(&threads->lock);
	free(threads);
}

static const struct fetch_engine engine = {"pread", submit, stop};

int fetch_threads_start(struct fetch *fetch)
{
	struct threads *threads = calloc(1, sizeof(*threads));
	if (!threads)
		return -ENOMEM;
	threads->fetch = fetch;
	threads->last = &threads->first;
	pthread_mutex_init(&threads->lock, NULL);
	pthread_cond_init(&threads->more, NULL);
	fetch->state = threads;
	fetch->engine = &engine;
	while (threads->count < THREADS &&
	       pthread_create(&threads->threads[threads->count], NULL, work, threads) == 0)
		threads->count++;
	if (threads->count)
		return 0;
	fetch->engine = NULL;
	stop(fetch);
	return -EAGAIN;
}
