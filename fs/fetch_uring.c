/* SPDX-License-Identifier: MIT */
/*
 * fetch_uring.c - reads ahead by io_uring.
 *
 * Any thread submits, under a lock that covers the submission only; one thread reaps. A read that
 * comes back short or interrupted is finished by pread() in that thread, which is rare and simple.
 */
#include "fs/fetch_engine.h"

#include <errno.h>
#include <liburing.h>
#include <pthread.h>
#include <stdlib.h>

struct uring {
	struct io_uring ring;
	struct fetch *fetch;
	pthread_t reaper;
	pthread_mutex_t lock; /* of the submission queue */
	_Atomic unsigned under_way;
	const uint8_t *buffers; /* registered as buffer 0, or NULL */
	size_t buffers_size;
};

static bool is_registered(const struct uring *uring, const struct fetch_request *request,
			  const struct fetch_span *span)
{
	return uring->buffers && request->buffer >= uring->buffers &&
	       span->size <= uring->buffers_size &&
	       (size_t)(request->buffer - uring->buffers) <= uring->buffers_size - span->size;
}

/* Queues one read; false if there is no room. The lock is held. */
static bool queue(struct uring *uring, struct fetch_request *request)
{
	if (atomic_load(&uring->under_way) >= FETCH_AHEAD_MAX)
		return false;
	struct io_uring_sqe *entry = io_uring_get_sqe(&uring->ring);
	if (!entry)
		return false;
	struct fetch_span span = fetch_span_of(uring->fetch, request->offset, request->size);
	int fd = atomic_load(&uring->fetch->fd);
	if (is_registered(uring, request, &span))
		io_uring_prep_read_fixed(entry, fd, request->buffer, (unsigned)span.size,
					 span.offset, 0);
	else
		io_uring_prep_read(entry, fd, request->buffer, (unsigned)span.size, span.offset);
	io_uring_sqe_set_data(entry, request);
	atomic_fetch_add(&uring->under_way, 1);
	return true;
}

static void submit(struct fetch *fetch, struct fetch_request *list)
{
	struct uring *uring = fetch->state;
	pthread_mutex_lock(&uring->lock);
	while (list) {
		struct fetch_request *next = list->next; /* it may be done before we look again */
		if (!queue(uring, list))
			break;
		list = next;
	}
	int submitted;
	do
		submitted = io_uring_submit(&uring->ring);
	while (submitted == -EINTR || submitted == -EAGAIN || submitted == -EBUSY);
	pthread_mutex_unlock(&uring->lock);
	while (list) {
		struct fetch_request *refused = list;
		list = list->next;
		refused->done(refused, -EBUSY);
	}
}

static void complete(struct uring *uring, struct fetch_request *request, int result)
{
	struct fetch_span span = fetch_span_of(uring->fetch, request->offset, request->size);
	size_t have = result > 0 ? (size_t)result : 0;
	int error = 0;
	if (have < span.needed)
		error = fetch_finish(uring->fetch, &span, request->buffer,
				     have & ~(size_t)(uring->fetch->align - 1));
	request->done(request, error);
	atomic_fetch_sub(&uring->under_way, 1);
}

/* Ends at a completion without a request. */
static void *reap(void *argument)
{
	struct uring *uring = argument;
	for (;;) {
		struct io_uring_cqe *entry;
		int error = io_uring_wait_cqe(&uring->ring, &entry);
		if (error == -EINTR || error == -EAGAIN)
			continue;
		if (error)
			return NULL;
		struct fetch_request *request = io_uring_cqe_get_data(entry);
		int result = entry->res;
		/* Pairs with queue(): what the submitting thread wrote comes with the kernel's
		 * completion, but a checker of races sees atomics only. */
		atomic_load(&uring->under_way);
		io_uring_cqe_seen(&uring->ring, entry);
		if (!request)
			return NULL;
		complete(uring, request, result);
	}
}

static void stop(struct fetch *fetch)
{
	struct uring *uring = fetch->state;
	struct io_uring_sqe *entry;
	pthread_mutex_lock(&uring->lock);
	while (!(entry = io_uring_get_sqe(&uring->ring)))
		io_uring_submit(&uring->ring);
	io_uring_prep_nop(entry);
	entry->flags |= IOSQE_IO_DRAIN; /* after all reads */
	io_uring_sqe_set_data(entry, NULL);
	while (io_uring_submit(&uring->ring) < 0)
		;
	pthread_mutex_unlock(&uring->lock);
	pthread_join(uring->reaper, NULL);
	io_uring_queue_exit(&uring->ring);
	pthread_mutex_destroy(&uring->lock);
	free(uring);
}

static const struct fetch_engine engine = {"io_uring", submit, stop};

int fetch_uring_start(struct fetch *fetch, void *buffers, size_t size)
{
	struct uring *uring = calloc(1, sizeof(*uring));
	if (!uring)
		return -ENOMEM;
	uring->fetch = fetch;
	int error = io_uring_queue_init(2 * FETCH_AHEAD_MAX, &uring->ring, 0);
	if (error) {
		free(uring);
		return error;
	}
	/* Fails where memory may not be locked; plain reads then do. */
	struct iovec all = {buffers, size};
	if (buffers && io_uring_register_buffers(&uring->ring, &all, 1) == 0) {
		uring->buffers = buffers;
		uring->buffers_size = size;
	}
	pthread_mutex_init(&uring->lock, NULL);
	error = pthread_create(&uring->reaper, NULL, reap, uring);
	if (error) {
		io_uring_queue_exit(&uring->ring);
		pthread_mutex_destroy(&uring->lock);
		free(uring);
		return -error;
	}
	fetch->state = uring;
	fetch->engine = &engine;
	return 0;
}
