/* SPDX-License-Identifier: MIT */
/*
 * push.h - stores decoded data in the kernel's page cache before it is asked for.
 *
 * Where the kernel does not read ahead (a mapping that is MADV_RANDOM), a reader in order asks for
 * a page at a time, and each takes a round trip between two processes. What it will ask for next
 * goes to the page cache in one call instead.
 *
 * The call waits for pages that the kernel has asked for and not got yet. So whoever makes it must
 * leave enough threads to answer: it is made after the thread's own reply, and by PUSH_THREADS at
 * once at most, fewer than serve a session.
 */
#ifndef ENTROFS_PUSH_H
#define ENTROFS_PUSH_H

#include "fs/libfuse.h"
#include "fs/read.h"

#include <stdatomic.h>
#include <stdbool.h>

enum {
	PUSH_THREADS = 1, /* at once */
	/* Bytes. Larger requests are the kernel's own read-ahead, which needs no help. */
	PUSH_REQUEST_MAX = 128 << 10,
};

struct push {
	struct fuse_session *session;
	_Atomic int idle; /* threads that may begin; 0 from the first: nobody pushes */
};

/* Before a request of this size is answered: whether its thread may push afterwards. If so,
 * push_end() follows. */
bool push_begin(struct push *push, size_t size);

/* After the reply. Nothing is stored if next is unknown, or cannot be read. */
void push_store(struct push *push, struct reader *reader, const struct read_next *next);
void push_end(struct push *push);

/* Waits for those under way, and lets none begin, from now on. */
void push_stop(struct push *push);

#endif
