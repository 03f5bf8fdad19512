/* SPDX-License-Identifier: MIT */
/*
 * signals.h - SIGTERM, SIGINT and SIGHUP end the daemon, SIGUSR1 makes it report.
 *
 * A thread of its own waits for them: before the session ends, whoever calls the kernel must have
 * come back, as such a call may wait for a request that then nobody would answer.
 */
#ifndef ENTROFS_SIGNALS_H
#define ENTROFS_SIGNALS_H

#include "fs/libfuse.h"

/* Blocks them in the calling thread and those it starts: they wait for signals_start(). */
void signals_block(void);

struct signals_actions {
	void (*report)(void *context);
	void (*before_end)(void *context); /* called once, while requests are still answered */
	void *context;
};

/*
 * Starts the thread, after any fork, from the thread that will serve the session. Calls actions in
 * the new thread. 0 or a negative errno.
 */
struct signals;
int signals_start(struct signals **signals, struct fuse_session *session,
		  const struct signals_actions *actions);

/* Once the session has been served, by a signal or otherwise; before_end() has then been called.
 * NULL does nothing. */
void signals_stop(struct signals *signals);

#endif
