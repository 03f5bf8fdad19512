/* SPDX-License-Identifier: MIT */
/*
 * signals.c - a thread that waits for signals; see signals.h.
 *
 * libfuse's loops notice that a session is to end when a system call of theirs is interrupted. A
 * signal that comes just before the call would be lost, so the serving thread is interrupted again
 * and again until it has come back.
 */
#include "fs/signals.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

enum {
	INTERRUPT = SIGUSR2,
	PATIENCE = 10 * 1000000, /* nanoseconds between interruptions */
};

struct signals {
	struct fuse_session *session;
	struct signals_actions actions;
	pthread_t server; /* the thread that serves the session */
	pthread_t thread;
	atomic_bool served;
};

static void signal_set(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGHUP);
	sigaddset(set, SIGUSR1);
}

static void do_nothing(int number)
{
	(void)number;
}

void signals_block(void)
{
	sigset_t set;
	struct sigaction interrupt = {.sa_handler = do_nothing}; /* no SA_RESTART */
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	signal_set(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	sigaction(INTERRUPT, &interrupt, NULL);
	sigaction(SIGPIPE, &ignore, NULL); /* a reader of our messages that is gone */
}

static void end(struct signals *signals)
{
	struct timespec nap = {0, PATIENCE};
	signals->actions.before_end(signals->actions.context);
	fuse_session_exit(signals->session);
	while (!atomic_load(&signals->served)) {
		pthread_kill(signals->server, INTERRUPT);
		nanosleep(&nap, NULL);
	}
}

static void *wait_for_signals(void *argument)
{
	struct signals *signals = argument;
	sigset_t set;
	int number;
	signal_set(&set);
	while (sigwait(&set, &number) == 0 && number == SIGUSR1 && !atomic_load(&signals->served))
		signals->actions.report(signals->actions.context);
	end(signals);
	return NULL;
}

int signals_start(struct signals **signals, struct fuse_session *session,
		  const struct signals_actions *actions)
{
	struct signals *new = calloc(1, sizeof(*new));
	if (!new)
		return -ENOMEM;
	*new = (struct signals){session, *actions, .server = pthread_self()};
	int error = pthread_create(&new->thread, NULL, wait_for_signals, new);
	if (error) {
		free(new);
		return -error;
	}
	*signals = new;
	return 0;
}

void signals_stop(struct signals *signals)
{
	if (!signals)
		return;
	atomic_store(&signals->served, true);
	pthread_kill(signals->thread, SIGUSR1);
	pthread_join(signals->thread, NULL);
	free(signals);
}
