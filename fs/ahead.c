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
	CONFIRMED = 2, /* requests in order that make a reader one worth reading ahead for */
};

struct reader_in_order {
	uint32_t node;
	uint32_t requests; /* in order, up to now */
	uint64_t end;      /* of what was asked for */
	uint64_t ahead;    /* end of what has been fetched */
	uint64_t window;
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

static bool continues(const struct reader_in_order *reader, uint32_t node, uint64_t offset,
		      uint64_t size)
{
	uint64_t distance = offset > reader->end ? offset - reader->end : reader->end - offset;
	return reader->used && reader->node == node && distance <= TOLERANCE * size;
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
	    .node = node, .end = offset, .ahead = offset, .window = FIRST_WINDOW};
	return oldest;
}

/* Readers that were active lately share what all may take. */
static uint64_t fair_share(const struct ahead *ahead)
{
	uint64_t active = 0;
	for (unsigned i = 0; i < READERS; i++)
		active += ahead->readers[i].requests >= CONFIRMED &&
			  ahead->tick - ahead->readers[i].used < 4 * READERS;
	uint64_t share = ahead->total / (active ? active : 1);
	return share < ahead->most ? share : ahead->most;
}

static struct ahead_plan plan(struct ahead *ahead, struct reader_in_order *reader)
{
	struct ahead_plan plan = {.in_order = true};
	uint64_t share = fair_share(ahead);
	uint64_t window = reader->window < share ? reader->window : share;
	if (reader->ahead < reader->end)
		reader->ahead = reader->end;
	if (reader->ahead - reader->end > window / 2)
		return plan;
	plan.from = reader->ahead;
	plan.to = reader->end + window;
	if (plan.to <= plan.from)
		return (struct ahead_plan){.in_order = true};
	reader->ahead = plan.to;
	if (reader->window < ahead->most)
		reader->window *= 2;
	return plan;
}

struct ahead_plan ahead_note(struct ahead *ahead, uint32_t node, uint64_t offset, uint64_t size)
{
	struct ahead_plan result = {0};
	pthread_mutex_lock(&ahead->lock);
	struct reader_in_order *reader = find(ahead, node, offset, size);
	reader->used = ++ahead->tick;
	reader->requests++;
	if (offset + size > reader->end)
		reader->end = offset + size;
	if (reader->requests >= CONFIRMED)
		result = plan(ahead, reader);
	pthread_mutex_unlock(&ahead->lock);
	return result;
}
