/* SPDX-License-Identifier: MIT */
/* push.c - what a reader will ask for, by fuse_lowlevel_notify_store(); see push.h. */
#include "fs/push.h"

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
	struct fuse_bufvec data = FUSE_BUFVEC_INIT(lease.size);
	data.buf[0].mem = (void *)lease.data;
	fuse_lowlevel_notify_store(push->session, next->node + 1, (off_t)next->offset, &data, 0);
	reader_release(reader, &lease);
}

void push_stop(struct push *push)
{
	for (int stopped = 0; stopped < PUSH_THREADS; sched_yield())
		stopped += take_place(push);
}
