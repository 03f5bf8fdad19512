/* SPDX-License-Identifier: MIT */
/*
 * progress.c - the progress line; see progress.h.
 *
 * The terminal is asked for its width whenever a line is drawn, so a change of size needs no
 * signal.
 */
#include "mkfs/progress.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum {
	COLUMNS_DEFAULT = 80,
	BAR_MAX = 50,
	BAR_MIN = 8,
	PACE_SECONDS = 30, /* what the moving average looks back on, about */
};

double progress_clock(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

void progress_pace_add(struct progress_pace *pace, double time, double done)
{
	double passed = time - pace->time;

	if (passed <= 0.0)
		return;
	double weight = -expm1(-passed / PACE_SECONDS);
	double rate = done > pace->done ? (done - pace->done) / passed : 0.0;
	pace->rate += weight * (rate - pace->rate);
	pace->trust += weight * (1.0 - pace->trust);
	pace->time = time;
	pace->done = done;
}

double progress_pace_left(const struct progress_pace *pace, double total)
{
	/* The first second or percent tells of caches and buffers more than of the work. */
	if (pace->time < 1.0 || pace->done < total / 100 || pace->rate <= 0.0)
		return -1.0;
	double left = total - pace->done;
	return left > 0.0 ? left * pace->trust / pace->rate : 0.0;
}

/* "0:42 left", "1:02:03 left", or days; nothing if it is not known. Returns its size. */
static int format_left(char text[32], double seconds)
{
	if (!(seconds >= 0.0)) {
		*text = '\0';
		return 0;
	}
	/* Until the very end something is left. */
	unsigned long long s = seconds < 1e9 ? (unsigned long long)ceil(seconds) : 1000000000;
	if (s >= 2 * 86400)
		return snprintf(text, 32, "%llu days left", s / 86400);
	if (s >= 3600)
		return snprintf(text, 32, "%llu:%02llu:%02llu left", s / 3600, s / 60 % 60, s % 60);
	return snprintf(text, 32, "%llu:%02llu left", s / 60, s % 60);
}

int progress_line(char line[PROGRESS_LINE_MAX], unsigned columns, const char *what, double share,
		  double seconds_left)
{
	char left[32], bar[BAR_MAX + 1];
	unsigned room = columns ? columns - 1 : 0; /* in the last column some terminals wrap */

	share = share > 1.0 ? 1.0 : share > 0.0 ? share : 0.0;
	unsigned percent = (unsigned)(share * 100.0);
	unsigned left_size = (unsigned)format_left(left, seconds_left);
	/* The bar leaves room for a time of usual size, so that it keeps its own. */
	unsigned time_size = left_size > 10 ? left_size : 10;
	unsigned rest = 10 + 1 + 5 + 3 + 2 + time_size; /* phase, percentage, brackets, time */
	if (room >= rest + BAR_MIN) {
		unsigned size = room - rest < BAR_MAX ? room - rest : BAR_MAX;
		unsigned filled = (unsigned)(share * size);
		memset(bar, '-', size);
		memset(bar, '#', filled);
		bar[size] = '\0';
		return snprintf(line, PROGRESS_LINE_MAX, "%-10.10s %3u %% [%s]  %s", what, percent,
				bar, left);
	}
	int size = snprintf(line, PROGRESS_LINE_MAX, "%.10s %u %%%s%s", what, percent,
			    left_size ? ", " : "", left);
	if ((unsigned)size > room)
		size = snprintf(line, PROGRESS_LINE_MAX, "%.10s %u %%", what, percent);
	if ((unsigned)size > room)
		size = snprintf(line, PROGRESS_LINE_MAX, "%u %%", percent);
	if ((unsigned)size > room) {
		*line = '\0';
		size = 0;
	}
	return size;
}

static unsigned columns(void)
{
	struct winsize window;
	return ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col ? window.ws_col
									       : COLUMNS_DEFAULT;
}

static void draw(struct progress *progress)
{
	char line[PROGRESS_LINE_MAX];
	const char *what = progress->what;

	if (!what || atomic_flag_test_and_set(&progress->drawing))
		return;
	uint64_t done = progress->done;
	double total = (double)progress->total;
	progress_pace_add(&progress->pace, progress_clock() - progress->start, (double)done);
	progress_line(line, columns(), what, (double)done / total,
		      progress_pace_left(&progress->pace, total));
	fprintf(stderr, "\r%s\033[K", line);
	atomic_flag_clear(&progress->drawing);
}

void progress_start(struct progress *progress, const char *what, uint64_t total)
{
	progress->what = isatty(STDERR_FILENO) ? what : NULL;
	progress->total = total ? total : 1;
	progress->start = progress_clock();
	progress->done = 0;
	progress->drawn = 0;
	progress->pace = (struct progress_pace){0};
}

void progress_phase(struct progress *progress, const char *what)
{
	if (!progress->what)
		return;
	progress->what = what;
	draw(progress);
}

void progress_add(struct progress *progress, uint64_t units)
{
	atomic_fetch_add(&progress->done, units);
	if (!progress->what)
		return;
	int64_t tick = (int64_t)((progress_clock() - progress->start) * 10.0);
	int64_t drawn = progress->drawn;
	/* Whoever moves the tick draws. */
	if (tick > drawn && atomic_compare_exchange_strong(&progress->drawn, &drawn, tick))
		draw(progress);
}

void progress_silence(struct progress *progress)
{
	static const struct timespec moment = {0, 1000000};

	/* The flag is kept: nobody draws any more. */
	while (atomic_flag_test_and_set(&progress->drawing))
		nanosleep(&moment, NULL);
	if (progress->what)
		fputs("\r\033[K", stderr);
}

void progress_end(struct progress *progress)
{
	if (progress->what)
		fputs("\r\033[K", stderr);
	progress->what = NULL;
}
