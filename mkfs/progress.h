/* SPDX-License-Identifier: MIT */
/*
 * progress.h - a line that tells how far a long work is and when it will be done, on a terminal
 * only.
 *
 * One bar for the whole work, which never goes back: everything to come is announced when it
 * starts, in units that take about the same time wherever they are spent (about a nanosecond of one
 * processor). The time left follows from the pace of the last half minute, and is not shown before
 * there is a pace to speak of.
 */
#ifndef ENTROFS_PROGRESS_H
#define ENTROFS_PROGRESS_H

#include <stdatomic.h>
#include <stdint.h>

/* Where the work is, seen at one moment; one thread at a time. */
struct progress_pace {
	double time;  /* seconds since the start */
	double done;  /* units, never less than before */
	double rate;  /* units per second, a moving average; not yet divided by trust */
	double trust; /* how much of that average has been seen, 0 to 1 */
};

struct progress {
	const char *_Atomic what; /* "packing"; NULL: nothing is shown */
	uint64_t total;           /* units */
	double start;             /* seconds, monotonic */
	_Atomic uint64_t done;
	_Atomic int64_t drawn; /* when last, in tenths of a second */
	atomic_flag drawing;   /* whoever sets it may draw */
	struct progress_pace pace;
};

/* Nothing is shown. */
#define PROGRESS_INIT                                                                              \
	{                                                                                          \
		.drawing = ATOMIC_FLAG_INIT                                                        \
	}

/* Starts a work of total units; progress has been PROGRESS_INIT. what: its first phase. */
void progress_start(struct progress *progress, const char *what, uint64_t total);

/* Another phase of the same work; draws. */
void progress_phase(struct progress *progress, const char *what);

/* Units done; any thread may call it. */
void progress_add(struct progress *progress, uint64_t units);

/* Wipes the line; once, when no other thread works any more. */
void progress_end(struct progress *progress);

/* Wipes the line for good, while other threads may go on with their work: before a last word. */
void progress_silence(struct progress *progress);

/* Seconds on a clock that only goes forward. */
double progress_clock(void);

/* Takes in how much is done at a time; both count from the start. */
void progress_pace_add(struct progress_pace *pace, double time, double done);

/* Seconds until total; negative: it cannot be told yet. */
double progress_pace_left(const struct progress_pace *pace, double total);

enum { PROGRESS_LINE_MAX = 160 };

/*
 * The line for a terminal of so many columns, all of which but the last it may use: as many of
 * phase, bar, percentage and time left (unless negative) as fit. share is 0 to 1. Returns its size.
 */
int progress_line(char line[PROGRESS_LINE_MAX], unsigned columns, const char *what, double share,
		  double seconds_left);

#endif
