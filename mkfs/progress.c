/* SPDX-License-Identifier: MIT */
/*
 * progress.c - the progress line; see progress.h.
 */
#include "mkfs/progress.h"

#include "mkfs/cli.h"

#include <stdio.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { WIDTH = 80 }; /* columns that the whole line needs */

double progress_clock(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

void progress_start(struct progress *progress, const char *what, uint64_t total)
{
	progress->what = isatty(STDERR_FILENO) ? what : NULL;
	progress->total = total ? total : 1;
	progress->start = progress_clock();
	progress->done = 0;
	progress->drawn = 0;
}

static void draw(const struct progress *progress, uint64_t done, double elapsed)
{
	static const char bar[] = "##############################";
	struct winsize window;
	char rate[CLI_SIZE_TEXT];
	double share = (double)done / (double)progress->total;
	share = share > 1.0 ? 1.0 : share;
	int filled = (int)(share * (double)(sizeof bar - 1));
	double left = share > 0.0 ? elapsed * (1.0 - share) / share : 0.0;

	cli_size((uint64_t)((double)done / elapsed), rate);
	/* A line that wraps could not be drawn over. */
	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col &&
	    window.ws_col < WIDTH)
		fprintf(stderr, "\r%s %d %% \033[K", progress->what, (int)(share * 100.0));
	else
		fprintf(stderr, "\r%-10s %3d %% [%-30.*s] %s/s, %.0f s left \033[K", progress->what,
			(int)(share * 100.0), filled, bar, rate, left);
}

void progress_add(struct progress *progress, uint64_t bytes)
{
	uint64_t done = atomic_fetch_add(&progress->done, bytes) + bytes;
	if (!progress->what)
		return;
	double elapsed = progress_clock() - progress->start;
	int64_t tick = (int64_t)(elapsed * 10.0), drawn = progress->drawn;
	/* Whoever moves the tick draws. */
	if (tick > drawn && atomic_compare_exchange_strong(&progress->drawn, &drawn, tick))
		draw(progress, done, elapsed);
}

void progress_end(struct progress *progress)
{
	if (progress->what)
		fputs("\r\033[K", stderr);
	progress->what = NULL;
}
