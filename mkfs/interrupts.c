/* SPDX-License-Identifier: MIT */
/* interrupts.c - signals that a loop asks for; see interrupts.h. */
#include "mkfs/interrupts.h"

#include <stddef.h>
#include <time.h>

static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};

void interrupts_heeded(sigset_t *signals)
{
	sigemptyset(signals);
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		struct sigaction action;

		if (sigaction(numbers[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
			sigaddset(signals, numbers[i]);
	}
}

void interrupts_hold(struct interrupts *interrupts)
{
	interrupts_heeded(&interrupts->held);
	pthread_sigmask(SIG_BLOCK, &interrupts->held, &interrupts->before);
}

int interrupts_waiting(const struct interrupts *interrupts)
{
	sigset_t pending;

	if (sigpending(&pending))
		return 0;
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		if (sigismember(&interrupts->held, numbers[i]) && sigismember(&pending, numbers[i]))
			return 1;
	return 0;
}

void interrupts_end(struct interrupts *interrupts)
{
	static const struct timespec at_once = {0, 0};

	while (sigtimedwait(&interrupts->held, NULL, &at_once) > 0)
		;
	pthread_sigmask(SIG_SETMASK, &interrupts->before, NULL);
}
