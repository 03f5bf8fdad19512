/* SPDX-License-Identifier: MIT */
/* push.c - what a reader will ask for, before it does; see push.h. */
#include "fs/push.h"

#include "fs/pages.h"

#include <sched.h>

/* A place among those that push, if there is one. */
static bool take_place(struct push *push)
{
	int idle = atomic_load(&push->idle);
	while (idle > 0)
		if (atomic_compare_exchange_weak(&push->idle, &idle, idle - 1))
			return true;
	return false;
}

bool push_begin(struct push *push, size_t size)
{
	return size <= PUSH_REQUEST_MAX && take_place(push);
}

void push_end(struct push *push)
{
	atomic_fetch_add(&push->idle, 1);
}

void push_store(struct push *push, struct reader *reader, const struct read_next *next)
{
	struct read_lease lease;
	if (!next->size || reader_read_next(reader, next, &lease))
		return;
	pages_store(push->session, (fuse_ino_t)next->node + 1, next->offset, lease.data,
		    lease.size);
	reader_release(reader, &lease);
}

void push_stop(struct push *push)
{
	for (int stopped = 0; stopped < PUSH_THREADS; sched_yield())
		stopped += take_place(push);
}
