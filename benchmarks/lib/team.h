/* SPDX-License-Identifier: MIT */
/*
 * team.h - threads that do the pieces of a job together, on the clock.
 *
 * Pieces are taken by SEGMENTS, runs of consecutive pieces. Threads exist before the clock starts
 * and wait for it awake, so that what is measured is the work and its sharing, not the waking.
 */
#ifndef ENTROFS_BENCH_TEAM_H
#define ENTROFS_BENCH_TEAM_H

#include <stddef.h>
#include <stdint.h>

enum { TEAM_MAX = 64 };

enum sharing {
	SHARE_COUNTER,  /* whoever is free takes the next segment: one atomic counter */
	SHARE_SHUFFLED, /* EntroLLM's: segments in random order, dealt out before the start */
};

struct job {
	size_t pieces;
	size_t segment;  /* pieces */
	unsigned passes; /* over all pieces */
	enum sharing sharing;
	/* Does one piece; worker < threads tells the threads apart. Non-zero: it failed. */
	int (*work)(void *context, unsigned worker, unsigned pass, size_t piece);
	void *context;
};

struct team;

/*
 * Up to `threads` of them, the caller's included; 1 <= threads <= TEAM_MAX. With `pinned` each
 * keeps to a processor of its own, as far as there are any: the caller's to the same one whenever
 * it works alone, since on shared machines one processor may be faster than the next.
 */
struct team *team_create(unsigned threads, int pinned);
void team_destroy(struct team *team);

/* Does the job with that many threads; from the common start to the last one's end in seconds, or
 * -1 if any piece failed. */
double team_run(struct team *team, unsigned threads, const struct job *job);

#endif
