/* SPDX-License-Identifier: MIT */
/*
 * team.c - see team.h.
 *
 * A run has three steps: the members wanted are woken (a mutex and a condition), each reports ready
 * and spins until the clock starts, each reports done. Whoever spins yields, so that more threads
 * than processors still make progress.
 */
#include "benchmarks/lib/team.h"

#include "benchmarks/lib/measure.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

struct member {
	struct team *team;
	pthread_t thread;
	unsigned number;
};

struct team {
	unsigned threads;
	int pinned;
	cpu_set_t before; /* pinned: where the caller might run */
	pthread_mutex_t lock;
	pthread_cond_t wake;
	unsigned run;         /* under lock: counts runs */
	unsigned taking_part; /* under lock: members with a lower number take part in this run */
	int ending;           /* under lock */
	const struct job *job;
	uint32_t *order; /* of segments, for SHARE_SHUFFLED */
	size_t segments;
	atomic_uint ready, started, done;
	atomic_size_t next;
	atomic_int failed;
	struct member members[TEAM_MAX];
};

static void do_segment(struct team *team, unsigned number, unsigned pass, size_t segment)
{
	const struct job *job = team->job;
	size_t piece = segment * job->segment, end = piece + job->segment;

	if (end > job->pieces)
		end = job->pieces;
	for (; piece < end; piece++)
		if (job->work(job->context, number, pass, piece))
			atomic_store(&team->failed, 1);
}

static void do_share(struct team *team, unsigned number)
{
	const struct job *job = team->job;
	size_t total = job->passes * team->segments;

	if (job->sharing == SHARE_COUNTER) {
		size_t item;
		while ((item = atomic_fetch_add_explicit(&team->next, 1, memory_order_relaxed)) <
		       total)
			do_segment(team, number, (unsigned)(item / team->segments),
				   item % team->segments);
		return;
	}
	size_t first = team->segments * number / team->taking_part;
	size_t end = team->segments * (number + 1) / team->taking_part;
	for (unsigned pass = 0; pass < job->passes; pass++)
		for (size_t i = first; i < end; i++)
			do_segment(team, number, pass, team->order[i]);
}

static void *member_main(void *argument)
{
	struct member *member = argument;
	struct team *team = member->team;
	unsigned seen = 0;

	for (;;) {
		pthread_mutex_lock(&team->lock);
		while (!team->ending &&
		       (team->run == seen || member->number >= team->taking_part)) {
			seen = team->run;
			pthread_cond_wait(&team->wake, &team->lock);
		}
		int ending = team->ending;
		seen = team->run;
		pthread_mutex_unlock(&team->lock);
		if (ending)
			return NULL;
		atomic_fetch_add(&team->ready, 1);
		while (atomic_load(&team->started) != seen)
			sched_yield();
		do_share(team, member->number);
		atomic_fetch_add(&team->done, 1);
	}
}

/* To the n-th of the processors that this process may use; to none of them, if there are fewer. */
static void pin(pthread_t thread, const cpu_set_t *allowed, unsigned n)
{
	for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, allowed) || n-- > 0)
			continue;
		cpu_set_t one;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		pthread_setaffinity_np(thread, sizeof one, &one);
		return;
	}
}

struct team *team_create(unsigned threads, int pinned)
{
	struct team *team = calloc(1, sizeof *team);
	cpu_set_t allowed;

	if (!team)
		fail("allocate memory");
	team->threads = threads;
	pinned = pinned && sched_getaffinity(0, sizeof allowed, &allowed) == 0;
	pthread_mutex_init(&team->lock, NULL);
	pthread_cond_init(&team->wake, NULL);
	for (unsigned i = 1; i < threads; i++) {
		team->members[i] = (struct member){.team = team, .number = i};
		if (pthread_create(&team->members[i].thread, NULL, member_main, &team->members[i]))
			fail("start a thread");
		if (pinned)
			pin(team->members[i].thread, &allowed, i);
	}
	if (pinned) {
		team->before = allowed;
		pin(pthread_self(), &allowed, 0);
	}
	team->pinned = pinned;
	return team;
}

void team_destroy(struct team *team)
{
	pthread_mutex_lock(&team->lock);
	team->ending = 1;
	pthread_cond_broadcast(&team->wake);
	pthread_mutex_unlock(&team->lock);
	for (unsigned i = 1; i < team->threads; i++)
		pthread_join(team->members[i].thread, NULL);
	pthread_cond_destroy(&team->wake);
	pthread_mutex_destroy(&team->lock);
	if (team->pinned)
		pthread_setaffinity_np(pthread_self(), sizeof team->before, &team->before);
	free(team->order);
	free(team);
}

/* Fisher and Yates, with a generator of their time; the same order for the same number. */
static void shuffle(struct team *team)
{
	uint64_t state = 1;

	team->order = realloc(team->order, team->segments * sizeof *team->order);
	if (!team->order)
		fail("allocate memory");
	for (size_t i = 0; i < team->segments; i++) {
		state = state * 6364136223846793005u + 1442695040888963407u;
		size_t j = (size_t)((state >> 33) % (i + 1));
		team->order[i] = team->order[j];
		team->order[j] = (uint32_t)i;
	}
}

double team_run(struct team *team, unsigned threads, const struct job *job)
{
	team->segments = (job->pieces + job->segment - 1) / job->segment;
	if (job->sharing == SHARE_SHUFFLED)
		shuffle(team);
	atomic_store(&team->ready, 0);
	atomic_store(&team->done, 0);
	atomic_store(&team->next, 0);
	atomic_store(&team->failed, 0);

	pthread_mutex_lock(&team->lock);
	team->job = job;
	team->taking_part = threads;
	unsigned run = ++team->run;
	pthread_cond_broadcast(&team->wake);
	pthread_mutex_unlock(&team->lock);
	while (atomic_load(&team->ready) < threads - 1)
		sched_yield();

	double start = now();
	atomic_store(&team->started, run);
	do_share(team, 0);
	while (atomic_load(&team->done) < threads - 1)
		sched_yield();
	double taken = now() - start;
	return atomic_load(&team->failed) ? -1 : taken;
}
