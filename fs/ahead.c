/* SPDX-License-Identifier: MIT */
/*
 * ahead.c - readers in order; see ahead.h.
 *
 * A request belongs to a known reader if it begins near where that one's requests ended: within a
 * few of its own sizes, because requests are answered by several threads and may change places.
 * Measured in sizes, small requests at random hardly ever look like a reader in order.
 *
 * How far to be ahead is a matter of time: what a reader takes in AHEAD_TIME at the speed it has
 * had. A fast disk has many reads under way at once, and to be ahead of it takes memory; where
 * storage is slow, so is its reader, and memory is mostly scarce.
 */
#include "fs/ahead.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

enum {
	READERS = 32,           /* followed at once */
	TOLERANCE = 8,          /* requests that may be on their way at once */
	FIRST_WINDOW = 1 << 20, /* bytes; doubled each time a reader catches up with half of it */
	AHEAD_TIME = 10000000,  /* nanoseconds */
	CONFIRMED = 2,      /* requests in order that make a reader one worth reading ahead for */
	PUSH_CONFIRMED = 4, /* and one worth pushing to */
	FIRST_PUSH = 64 << 10, /* bytes; doubled each time a reader gets to the end of a push */
	MOST_PUSH = 1 << 20,
};

struct reader_in_order {
	uint32_t node;
	uint32_t requests; /* in order, up to now */
	uint64_t start;    /* of its first request */
	uint64_t end;      /* of what was asked for */
	uint64_t ahead;    /* end of what has been fetched */
	uint64_t window;
	uint64_t enough;      /* bytes that a window need not exceed, by the reader's speed */
	uint64_t timed_from;  /* its speed is measured from this place */
	uint64_t timed_since; /* and time on */
	uint64_t pushed;      /* end of what was pushed */
	uint64_t push_window;
	uint64_t used; /* tick of the last request; 0: nobody */
};

struct ahead {
	struct ahead_limits limits;
	pthread_mutex_t lock; /* of all below */
	uint64_t tick;
	struct reader_in_order readers[READERS];
};

int ahead_create(struct ahead **ahead, const struct ahead_limits *limits)
{
	struct ahead *new = calloc(1, sizeof(*new));
	if (!new)
		return -ENOMEM;
	new->limits = *limits;
	pthread_mutex_init(&new->lock, NULL);
	*ahead = new;
	return 0;
}

void ahead_destroy(struct ahead *ahead)
{
	if (!ahead)
		return;
	pthread_mutex_destroy(&ahead->lock);
	free(ahead);
}

/* The end of what a reader has, asked for or not. */
static uint64_t delivered(const struct reader_in_order *reader)
{
	return reader->end > reader->pushed ? reader->end : reader->pushed;
}

static bool continues(const struct reader_in_order *reader, const struct ahead_request *request)
{
	uint64_t end = delivered(reader), offset = request->offset;
	uint64_t behind = reader->end > offset ? reader->end - offset : 0;
	uint64_t beyond = offset > end ? offset - end : 0;
	return reader->used && reader->node == request->node &&
	       behind <= TOLERANCE * request->size && beyond <= TOLERANCE * request->size;
}

/* The reader that a request belongs to, or the place of one long unheard of, made new. */
static struct reader_in_order *find(struct ahead *ahead, const struct ahead_request *request)
{
	struct reader_in_order *oldest = &ahead->readers[0];
	for (unsigned i = 0; i < READERS; i++) {
		struct reader_in_order *reader = &ahead->readers[i];
		if (continues(reader, request))
			return reader;
		if (reader->used < oldest->used)
			oldest = reader;
	}
	*oldest = (struct reader_in_order){
	    .node = request->node,
	    .start = request->offset,
	    .end = request->offset,
	    .ahead = request->offset,
	    .window = FIRST_WINDOW,
	    .enough = ahead->limits.least,
	    .timed_from = request->offset,
	    .timed_since = request->time,
	    .push_window = FIRST_PUSH,
	};
	return oldest;
}

static bool is_active(const struct ahead *ahead, const struct reader_in_order *reader)
{
	return reader->requests >= CONFIRMED && ahead->tick - reader->used < 4 * READERS;
}

/* Readers that were active lately share what all may take. */
static uint64_t fair_share(const struct ahead *ahead)
{
	uint64_t active = 0;
	for (unsigned i = 0; i < READERS; i++)
		active += is_active(ahead, &ahead->readers[i]);
	uint64_t share = ahead->limits.total / (active ? active : 1);
	return share < ahead->limits.most ? share : ahead->limits.most;
}

/* Where the next reader of the same file began. Threads that share a file's rows stop there, and
 * what lies beyond has been fetched for the other one. */
static uint64_t next_start(const struct ahead *ahead, const struct reader_in_order *reader)
{
	uint64_t next = UINT64_MAX;
	for (unsigned i = 0; i < READERS; i++) {
		const struct reader_in_order *other = &ahead->readers[i];
		if (other != reader && other->node == reader->node && other->start >= reader->end &&
		    other->start < next && is_active(ahead, other))
			next = other->start;
	}
	return next;
}

/* The end of a window ahead of what a reader has; no further than where another one began. */
static uint64_t reach(const struct ahead *ahead, const struct reader_in_order *reader,
		      uint64_t window)
{
	uint64_t end = delivered(reader), next = next_start(ahead, reader);
	return end + window < next ? end + window : next;
}

/* Measured over as much as a window can be, since requests come several at once. */
static void note_speed(const struct ahead_limits *limits, struct reader_in_order *reader,
		       uint64_t time)
{
	uint64_t bytes = reader->end - reader->timed_from;
	if (bytes < limits->most || time <= reader->timed_since)
		return;
	double speed = (double)bytes / (double)(time - reader->timed_since);
	uint64_t enough = (uint64_t)(speed * AHEAD_TIME);
	if (enough > limits->most)
		enough = limits->most;
	reader->enough = enough > limits->least ? enough : limits->least;
	reader->timed_from = reader->end;
	reader->timed_since = time;
}

static void plan_fetch(const struct ahead *ahead, struct reader_in_order *reader,
		       struct ahead_plan *plan)
{
	uint64_t share = fair_share(ahead);
	if (reader->window > reader->enough)
		reader->window = reader->enough;
	uint64_t window = reader->window < share ? reader->window : share;
	if (reader->ahead < delivered(reader))
		reader->ahead = delivered(reader);
	uint64_t to = reach(ahead, reader, window);
	if (reader->ahead - delivered(reader) > window / 2 || to <= reader->ahead)
		return;
	plan->from = reader->ahead;
	plan->to = reader->ahead = to;
	reader->window *= 2;
}

/* A reader that has used up what was pushed gets more. */
static void plan_push(const struct ahead *ahead, struct reader_in_order *reader,
		      struct ahead_plan *plan)
{
	if (reader->requests < PUSH_CONFIRMED || reader->end < reader->pushed)
		return;
	uint64_t most = ahead->limits.most;
	uint64_t window = reader->push_window < most ? reader->push_window : most;
	plan->push_from = reader->end;
	plan->push_to = reader->pushed = reach(ahead, reader, window);
	if (reader->push_window < MOST_PUSH)
		reader->push_window *= 2;
}

struct ahead_plan ahead_note(struct ahead *ahead, const struct ahead_request *request)
{
	struct ahead_plan plan = {0};
	pthread_mutex_lock(&ahead->lock);
	struct reader_in_order *reader = find(ahead, request);
	reader->used = ++ahead->tick;
	reader->requests++;
	if (request->offset + request->size > reader->end)
		reader->end = request->offset + request->size;
	note_speed(&ahead->limits, reader, request->time);
	plan.in_order = reader->requests >= CONFIRMED;
	/* First, as what is fetched lies ahead of what will have been pushed. */
	if (request->can_push)
		plan_push(ahead, reader, &plan);
	if (plan.in_order)
		plan_fetch(ahead, reader, &plan);
	pthread_mutex_unlock(&ahead->lock);
	return plan;
}
