/* SPDX-License-Identifier: MIT */
/*
 * interrupts.h - lets a loop end in order when the user wants the program to stop.
 *
 * SIGINT, SIGTERM and SIGHUP are held back, those that are ignored (nohup) stay so, and loops ask
 * now and then whether one has come. No handler, no thread, no global state.
 */
#ifndef ENTROFS_INTERRUPTS_H
#define ENTROFS_INTERRUPTS_H

#include <signal.h>

struct interrupts {
	sigset_t held, before;
};

/* Which of the three end the program: those that are ignored do not. */
void interrupts_heeded(sigset_t *signals);

/* From here on, for this thread and those it will start. */
void interrupts_hold(struct interrupts *interrupts);

/* Has one come? Any thread. */
int interrupts_waiting(const struct interrupts *interrupts);

/* Takes back the hold and forgets what has come: whoever asked is told by the exit code. */
void interrupts_end(struct interrupts *interrupts);

#endif
