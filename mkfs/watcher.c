/* SPDX-License-Identifier: MIT */
/* watcher.c - waits for the signals that end the program; see watcher.h. */
#include "mkfs/watcher.h"

#include "mkfs/interrupts.h"

#include <stddef.h>

static void *watch(void *context)
{
	struct watcher *watcher = context;
	sigset_t one;
	int number;

	if (sigwait(&watcher->signals, &number))
		return NULL;
	/* Whoever stops the watcher now waits for the end. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	watcher->last(watcher->context, number);
	sigemptyset(&one);
	sigaddset(&one, number);
	signal(number, SIG_DFL);
	pthread_sigmask(SIG_UNBLOCK, &one, NULL);
	raise(number);
	return NULL;
}

void watcher_hold(struct watcher *watcher)
{
	interrupts_heeded(&watcher->signals);
	pthread_sigmask(SIG_BLOCK, &watcher->signals, &watcher->mask);
	for (int number = 1; number < NSIG; number++)
		if (sigismember(&watcher->mask, number) == 1)
			sigdelset(&watcher->signals, number);
	watcher->running = 0;
	watcher->held = 1;
}

int watcher_start(struct watcher *watcher, watcher_fn *last, void *context)
{
	watcher->last = last;
	watcher->context = context;
	if (pthread_create(&watcher->thread, NULL, watch, watcher))
		return -1;
	watcher->running = 1;
	return 0;
}

void watcher_stop(struct watcher *watcher)
{
	if (!watcher->running)
		return;
	pthread_cancel(watcher->thread);
	pthread_join(watcher->thread, NULL);
	watcher->running = 0;
}

void watcher_release(struct watcher *watcher)
{
	if (!watcher->held)
		return;
	watcher->held = 0;
	pthread_sigmask(SIG_SETMASK, &watcher->mask, NULL);
}
