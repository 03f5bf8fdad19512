/* SPDX-License-Identifier: MIT */
/*
 * fetch_uring.c - reads ahead by io_uring.
 *
 * Any thread hands reads over, under a lock that covers a list only; one thread submits and reaps
 * them. It must not be the threads that hand over: the kernel completes a read in the context of
 * the thread that submitted it, when that returns from the kernel. A thread that stores pages may
 * wait there for a page that another request is to fill, and that request for a read of this
 * thread's: neither would ever end.
 *
 * A read that comes back short or interrupted is finished by pread() in that thread, which is rare
 * and simple.
 */
#include "fs/fetch_engine.h"

#include <errno.h>
#include <liburing.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum {
	ENTRIES = 2 * FETCH_AHEAD_MAX, /* all reads under way at once, and the wait for more */
	RETRY_NS = 1000000,            /* after the kernel had no memory for a read */
};

/* What the kernel knows of a buffer. */
enum registration { NOT_TRIED, REGISTERED, REFUSED };

struct uring {
	struct io_uring ring; /* the thread's alone */
	struct fetch *fetch;
	pthread_t thread;
	struct fetch_buffers buffers;
	enum registration *registrations; /* of each of them; NULL: there can be none */
	int wake_fd;                      /* an eventfd: there is something new below */
	uint64_t wakes;                   /* where its value is read to */

	pthread_mutex_t lock;                /* of all below */
	struct fetch_request *first, **last; /* handed over, not yet taken */
	unsigned under_way;                  /* handed over, not yet done */
	bool stopping;
};

/* Refused where no more memory may be locked. */
static enum registration try_to_register(struct uring *uring, unsigned number)
{
	const struct fetch_buffers *buffers = &uring->buffers;
	const struct iovec place = {buffers->memory + number * buffers->size, buffers->size};
	return io_uring_register_buffers_update_tag(&uring->ring, number, &place, NULL, 1) == 1
		   ? REGISTERED
		   : REFUSED;
}

/* The number by which the kernel knows a buffer; below 0: it does not. */
static int number_of(struct uring *uring, const uint8_t *buffer)
{
	const struct fetch_buffers *buffers = &uring->buffers;
	if (!uring->registrations || buffer < buffers->memory)
		return -1;
	size_t number = (size_t)(buffer - buffers->memory) / buffers->size;
	if (number >= buffers->count || buffer != buffers->memory + number * buffers->size)
		return -1;
	enum registration *registration = &uring->registrations[number];
	if (*registration == NOT_TRIED)
		*registration = try_to_register(uring, (unsigned)number);
	return *registration == REGISTERED ? (int)number : -1;
}

/* There is always an entry free: fewer reads are under way than there are entries. */
static void queue(struct uring *uring, struct fetch_request *request)
{
	struct io_uring_sqe *entry = io_uring_get_sqe(&uring->ring);
	struct fetch_span span = fetch_span_of(uring->fetch, request->offset, request->size);
	int fd = atomic_load(&uring->fetch->fd);
	int number = number_of(uring, request->buffer);
	if (number >= 0)
		io_uring_prep_read_fixed(entry, fd, request->buffer, (unsigned)span.size,
					 span.offset, number);
	else
		io_uring_prep_read(entry, fd, request->buffer, (unsigned)span.size, span.offset);
	io_uring_sqe_set_data(entry, request);
}

/* A read of wake_fd, by which whoever hands over wakes the thread; its completion has no request.
 */
static void queue_wait(struct uring *uring)
{
	struct io_uring_sqe *entry = io_uring_get_sqe(&uring->ring);
	io_uring_prep_read(entry, uring->wake_fd, &uring->wakes, sizeof(uring->wakes), 0);
	io_uring_sqe_set_data(entry, NULL);
}

static void wake(const struct uring *uring)
{
	const uint64_t one = 1;
	while (write(uring->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

/* Appends the front of a list to what was handed over, as far as there is room; the rest. */
static struct fetch_request *hand_over(struct uring *uring, struct fetch_request *list)
{
	pthread_mutex_lock(&uring->lock);
	bool was_empty = uring->first == NULL;
	while (list && uring->under_way < FETCH_AHEAD_MAX) {
		*uring->last = list;
		uring->last = &list->next;
		list = list->next;
		uring->under_way++;
	}
	*uring->last = NULL;
	bool is_empty = uring->first == NULL;
	pthread_mutex_unlock(&uring->lock);
	if (was_empty && !is_empty)
		wake(uring);
	return list;
}

static void submit(struct fetch *fetch, struct fetch_request *list)
{
	list = hand_over(fetch->state, list);
	while (list) {
		struct fetch_request *refused = list;
		list = list->next;
		refused->done(refused, -EBUSY);
	}
}

/* Queues what was handed over; false: there will be nothing more to do. */
static bool take_over(struct uring *uring)
{
	pthread_mutex_lock(&uring->lock);
	struct fetch_request *list = uring->first;
	uring->first = NULL;
	uring->last = &uring->first;
	bool go_on = uring->under_way > 0 || !uring->stopping;
	pthread_mutex_unlock(&uring->lock);
	for (; list; list = list->next)
		queue(uring, list);
	return go_on;
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
	pthread_mutex_lock(&uring->lock);
	uring->under_way--;
	pthread_mutex_unlock(&uring->lock);
}

static void complete_all(struct uring *uring)
{
	struct io_uring_cqe *entry;
	while (io_uring_peek_cqe(&uring->ring, &entry) == 0) {
		struct fetch_request *request = io_uring_cqe_get_data(entry);
		int result = entry->res;
		io_uring_cqe_seen(&uring->ring, entry);
		if (request)
			complete(uring, request, result);
		else
			queue_wait(uring);
	}
}

/* What the kernel does not take stays queued, and is offered again. */
static void *run(void *argument)
{
	struct uring *uring = argument;
	queue_wait(uring);
	while (take_over(uring)) {
		int result = io_uring_submit_and_wait(&uring->ring, 1);
		if (result < 0 && result != -EINTR) {
			const struct timespec pause = {0, RETRY_NS};
			nanosleep(&pause, NULL);
		}
		complete_all(uring);
	}
	return NULL;
}

static void destroy(struct uring *uring)
{
	io_uring_queue_exit(&uring->ring);
	close(uring->wake_fd);
	pthread_mutex_destroy(&uring->lock);
	free(uring->registrations);
	free(uring);
}

static void stop(struct fetch *fetch)
{
	struct uring *uring = fetch->state;
	pthread_mutex_lock(&uring->lock);
	uring->stopping = true;
	pthread_mutex_unlock(&uring->lock);
	wake(uring);
	pthread_join(uring->thread, NULL);
	destroy(uring);
}

static const struct fetch_engine engine = {"io_uring", submit, stop};

/* A filter of system calls may let a ring be made, and nothing go through it. */
static int try_out(struct io_uring *ring)
{
	struct io_uring_cqe *entry;
	int result;
	io_uring_prep_nop(io_uring_get_sqe(ring));
	do
		result = io_uring_submit_and_wait(ring, 1);
	while (result == -EINTR);
	if (result >= 0)
		result = io_uring_wait_cqe(ring, &entry);
	if (result == 0)
		io_uring_cqe_seen(ring, entry);
	return result;
}

/* A ring that works. */
static int create_ring(struct io_uring *ring)
{
	int error = io_uring_queue_init(ENTRIES, ring, 0);
	if (error)
		return error;
	error = try_out(ring);
	if (error)
		io_uring_queue_exit(ring);
	return error;
}

static int create(struct uring **uring)
{
	struct uring *new = calloc(1, sizeof(*new));
	if (!new)
		return -ENOMEM;
	new->wake_fd = eventfd(0, EFD_CLOEXEC);
	int error = new->wake_fd < 0 ? -errno : create_ring(&new->ring);
	if (error) {
		if (new->wake_fd >= 0)
			close(new->wake_fd);
		free(new);
		return error;
	}
	new->last = &new->first;
	pthread_mutex_init(&new->lock, NULL);
	*uring = new;
	return 0;
}

/* Room for the kernel's table of buffers; without it, reads go to plain memory. */
static void prepare_registration(struct uring *uring, const struct fetch_buffers *buffers)
{
	uring->buffers = *buffers;
	if (!buffers->count || io_uring_register_buffers_sparse(&uring->ring, buffers->count))
		return;
	uring->registrations = calloc(buffers->count, sizeof(*uring->registrations));
}

int fetch_uring_start(struct fetch *fetch, const struct fetch_buffers *buffers)
{
	struct uring *uring;
	int error = create(&uring);
	if (error)
		return error;
	uring->fetch = fetch;
	prepare_registration(uring, buffers);
	error = pthread_create(&uring->thread, NULL, run, uring);
	if (error) {
		destroy(uring);
		return -error;
	}
	fetch->state = uring;
	fetch->engine = &engine;
	return 0;
}
