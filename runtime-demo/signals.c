/* SPDX-License-Identifier: MIT */
/*
 * signals.c - the program's end by a signal.
 *
 * Handlers do all of it: a computation cannot go on without the page that is missing, and a loop
 * that asked for signals would not be asked itself while it waits for a slow disk. They use what is
 * safe in a handler, which is why the state is here.
 */
#include "runtime-demo/signals.h"

#include "runtime-demo/file.h"

#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t line_is_open;
static const char *volatile unfinished;

static void write_text(int fd, const char *text)
{
	if (write(fd, text, strlen(text)) < 0)
		return; /* there is nobody left to tell */
}

static void end_output(void)
{
	if (line_is_open)
		write_text(STDOUT_FILENO, "\n");
	line_is_open = 0;
	if (unfinished != NULL)
		unlink(unfinished);
	unfinished = NULL;
}

/* The handler is reset on entry: what is raised comes when it returns. */
static void on_end(int number)
{
	end_output();
	raise(number);
}

/* One write, so that the line stays whole. The name is shown as a diagnostic would (see diag.h). */
static void say_unreadable(const char *path)
{
	static const char before[] = "entrofs-run: cannot read '",
			  after[] = "': Input/output error\n";
	char line[sizeof(before) + 4096 + sizeof(after)];
	size_t length = sizeof(before) - 1;

	memcpy(line, before, length);
	for (; *path != '\0' && length < sizeof(before) + 4096; path++)
		line[length++] = (unsigned char)*path < ' ' || *path == 0x7f ? '?' : *path;
	memcpy(line + length, after, sizeof(after));
	write_text(STDERR_FILENO, line);
}

static void on_bus_error(int number, siginfo_t *info, void *context)
{
	static atomic_flag said = ATOMIC_FLAG_INIT;
	const char *path = file_mapped_at(info->si_addr);

	(void)context;
	if (path == NULL) { /* a defect of the program, not of a file: as without a handler */
		signal(number, SIG_DFL);
		raise(number);
		return;
	}
	while (atomic_flag_test_and_set(&said))
		pause(); /* another thread is saying it */
	end_output();
	say_unreadable(path);
	_exit(1);
}

void signals_handle(void)
{
	static const int ends[] = {SIGINT, SIGTERM, SIGHUP};
	const struct sigaction end = {.sa_handler = on_end, .sa_flags = (int)SA_RESETHAND};
	const struct sigaction bus = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO};
	struct sigaction before;

	for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++)
		if (sigaction(ends[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
			sigaction(ends[i], &end, NULL);
	sigaction(SIGBUS, &bus, NULL);
}

void signals_line_is_open(bool open)
{
	line_is_open = open;
}

void signals_unfinished_file(const char *path)
{
	unfinished = path;
}
