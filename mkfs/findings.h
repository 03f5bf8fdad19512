/* SPDX-License-Identifier: MIT */
/*
 * findings.h - what is wrong with an image, collected by any thread, told in one order.
 *
 * Findings are kept in the order of the work that they belong to, not of time, so that what is told
 * does not depend on the threads. Memory is bounded: the first FINDINGS_KEPT are kept, all counted.
 */
#ifndef ENTROFS_FINDINGS_H
#define ENTROFS_FINDINGS_H

#include "image/reader.h"
#include "mkfs/json.h"

#include <pthread.h>

enum { FINDINGS_KEPT = 1000, FINDINGS_PRINTED = 100 };

/* By severity of the cause; also bits of fsck's exit code. */
enum check_result {
	CHECK_CLEAN = 0,
	CHECK_DAMAGED = 4, /* the image is not what it should be */
	CHECK_FAILED = 8,  /* reading it, getting memory or writing files failed */
};

/* The severity of a negative errno from image/. */
unsigned check_kind(int error);

enum finding_kind {
	FINDING_IMAGE,     /* it cannot be opened: superblock or catalog */
	FINDING_INDEX,     /* of a stream */
	FINDING_BLOCK,     /* of a stream */
	FINDING_CHUNK,     /* of a blob */
	FINDING_DIGEST,    /* a tensor's bytes are not those of its SHA-256 */
	FINDING_HASH_TREE, /* or the superblock's digest */
	FINDING_PADDING,   /* between extents */
	FINDING_FILE,      /* cannot be extracted */
	FINDING_FOLDER,    /* likewise */
	FINDING_TARGET,    /* the folder to extract to, or what is asked of it */
	FINDING_PROGRAM,   /* no memory, too much work, ... */
};

enum { NOWHERE = -1 };

/* Where; NOWHERE: does not apply. */
struct finding_place {
	int64_t tensor, node, stream, block, blob, chunk;
};
#define FINDING_NOWHERE                                                                            \
	((struct finding_place){NOWHERE, NOWHERE, NOWHERE, NOWHERE, NOWHERE, NOWHERE})

struct finding {
	unsigned phase; /* of the program: the first key of the order */
	uint64_t item;  /* of the phase: the second; findings of one item keep their order */
	unsigned severity;
	enum finding_kind kind;
	struct finding_place place;
	const char *message;
};

struct findings {
	pthread_mutex_t lock; /* over all that follows */
	struct finding *kept; /* FINDINGS_KEPT, sorted; messages malloc'ed */
	size_t count;
	uint64_t damage, failures; /* all, kept or not */
	unsigned result;           /* check_result bits */
};

int findings_init(struct findings *findings); /* -1: out of memory */
void findings_free(struct findings *findings);

/* Any thread. The message is copied. */
void findings_add(struct findings *findings, const struct finding *finding);

/* Prints the first ones to stderr, a line each. image: NULL if it could not be opened. */
void findings_print(struct findings *findings, const struct image *image, const char *path);

/* Adds the array of those kept. */
void findings_json(struct text *text, const struct findings *findings, const struct image *image);

#endif
