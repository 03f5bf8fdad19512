/* SPDX-License-Identifier: MIT */
/*
 * ahead.h - recognizes readers that go through a file in order, and says how far to be ahead.
 *
 * What is followed is a region of a file, not an open file: several readers may share a descriptor,
 * one reader's requests may overtake each other, and a mapping's faults belong to no descriptor.
 * Any thread may call; a lock covers the bookkeeping.
 */
#ifndef ENTROFS_AHEAD_H
#define ENTROFS_AHEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ahead;

/* Bytes to be ahead, decoded. */
struct ahead_limits {
	uint64_t least; /* of a reader, however slow */
	uint64_t most;  /* of a reader, however fast; 0: never read ahead */
	uint64_t total; /* of all readers */
};

/* 0 or -ENOMEM. */
int ahead_create(struct ahead **ahead, const struct ahead_limits *limits);
void ahead_destroy(struct ahead *ahead); /* NULL does nothing */

struct ahead_plan {
	bool in_order;     /* the request continues what was read before */
	uint64_t from, to; /* bytes of the file to fetch now; may lie beyond its end; empty: none */
	uint64_t push_from, push_to; /* to deliver unasked; likewise */
};

/* A request for bytes of a file. */
struct ahead_request {
	uint32_t node;
	uint64_t offset, size;
	uint64_t time; /* when it came: nanoseconds of a clock that never goes back */
	bool can_push; /* whoever answers can deliver more than was asked for */
};

/* Notes a request and plans what to fetch ahead of the next ones, and to deliver before they come.
 */
struct ahead_plan ahead_note(struct ahead *ahead, const struct ahead_request *request);

#endif
