/* SPDX-License-Identifier: MIT */
/*
 * watcher.h - a thread that waits for the signals that end the program, and has the last word.
 *
 * SIGINT, SIGTERM and SIGHUP, unless ignored or blocked already, are blocked in every thread and
 * waited for by one of our own: it may call anything, so what is said and undone before the end
 * needs neither a handler nor global state. The process then dies of the signal, as its parent
 * expects.
 */
#ifndef ENTROFS_WATCHER_H
#define ENTROFS_WATCHER_H

#include <pthread.h>
#include <signal.h>

/* The last word; called by the watcher's thread, once, for this signal. */
typedef void watcher_fn(void *context, int number);

struct watcher {
	watcher_fn *last;
	void *context;
	sigset_t signals, mask; /* waited for; the thread's own mask */
	pthread_t thread;
	int held, running;
};

/* Holds the signals back; before any thread is started that shall not get them. */
void watcher_hold(struct watcher *watcher);

/* From here on they end the program, whatever has come meanwhile included. -1: no thread. */
int watcher_start(struct watcher *watcher, watcher_fn *last, void *context);

/* Holds them back again; nothing if it is not running. */
void watcher_stop(struct watcher *watcher);

/* Ends the hold: whatever came meanwhile has its usual effect. Nothing unless held. */
void watcher_release(struct watcher *watcher);

#endif
