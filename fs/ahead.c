/* SPDX-License-Identifier: MIT */
/*
 * ahead.c - readers in order; see ahead.h.
 *
 * A request belongs to a known reader if it begins near where that one's requests ended: within a
 * few of its own sizes, because requests are answered by several threads and may change places.
 * Measured in sizes, small requests at random hardly ever look like a reader in order.
 */
#include "fs/ahead.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

enum {
	READERS = 32,           /* followed at once */
	TOLERANCE = 8,          /* requests that may be on their way at once */
	FIRST_WINDOW = 1 << 20, /* bytes; doubled each time a reader catches up with half of it */
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
	uint64_t pushed; /* end of what was pushed */
	uint64_t push_window;
	uint64_t used; /* tick of the last request; 0: nobody */
};

struct ahead {
	uint64_t most, total;
	pthread_mutex_t lock; /* of all below */
	uint64_t tick;
	struct reader_in_order readers[READERS];
};

int ahead_create(struct ahead **ahead, uint64_t most, uint64_t total)
{
	struct ahead *new = calloc(1, sizeof(*new));
	if (!new)
		return -ENOMEM;
	new->most = most;
	new->total = total;
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

static bool continues(const struct reader_in_order *reader, uint32_t node, uint64_t offset,
		      uint64_t size)
{
	uint64_t end = delivered(reader);
	uint64_t behind = reader->end > offset ? reader->end - offset : 0;
	uint64_t beyond = offset > end ? offset - end : 0;
	return reader->used && reader->node == node && behind <= TOLERANCE * size &&
	       beyond <= TOLERANCE * size;
}

/* The reader that a request belongs to, or the place of one long unheard of, made new. */
static struct reader_in_order *find(struct ahead *ahead, uint32_t node, uint64_t offset,
				    uint64_t size)
{
	struct reader_in_order *oldest = &ahead->readers[0];
	for (unsigned i = 0; i < READERS; i++) {
		struct reader_in_order *reader = &ahead->readers[i];
		if (continues(reader, node, offset, size))
			return reader;
		if (reader->used < oldest->used)
			oldest = reader;
	}
	*oldest = (struct reader_in_order){
	    .node = node,
	    .start = offset,
	    .end = offset,
	    .ahead = offset,
	    .window = FIRST_WINDOW,
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
	uint64_t share = ahead->total / (active ? active : 1);
	return share < ahead->most ? share : ahead->most;
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

static void plan_fetch(const struct ahead *ahead, struct reader_in_order *reader,
		       struct ahead_plan *plan)
{
	uint64_t share = fair_share(ahead);
	uint64_t window = reader->window < share ? reader->window : share;
	if (reader->ahead < delivered(reader))
		reader->ahead = delivered(reader);
	uint64_t to = reach(ahead, reader, window);
	if (reader->ahead - delivered(reader) > window / 2 || to <= reader->ahead)
		return;
	plan->from = reader->ahead;
	plan->to = reader->ahead = to;
	if (reader->window < ahead->most)
		reader->window *= 2;
}

/* A reader that has used up what was pushed gets more. */
static void plan_push(const struct ahead *ahead, struct reader_in_order *reader,
		      struct ahead_plan *plan)
{
	if (reader->requests < PUSH_CONFIRMED || reader->end < reader->pushed)
		return;
	uint64_t window = reader->push_window < ahead->most ? reader->push_window : ahead->most;
	plan->push_from = reader->end;
	plan->push_to = reader->pushed = reach(ahead, reader, window);
	if (reader->push_window < MOST_PUSH)
		reader->push_window *= 2;
}

struct ahead_plan ahead_note(struct ahead *ahead, uint32_t node, uint64_t offset, uint64_t size,
			     bool can_push)
{
	struct ahead_plan plan = {0};
	pthread_mutex_lock(&ahead->lock);
	struct reader_in_order *reader = find(ahead, node, offset, size);
	reader->used = ++ahead->tick;
	reader->requests++;
	if (offset + size > reader->end)
		reader->end = offset + size;
	plan.in_order = reader->requests >= CONFIRMED;
	/* First, as what is fetched lies ahead of what will have been pushed. */
	if (can_push)
		plan_push(ahead, reader, &plan);
	if (plan.in_order)
		plan_fetch(ahead, reader, &plan);
	pthread_mutex_unlock(&ahead->lock);
	return plan;
}
