/* SPDX-License-Identifier: MIT */
/* race.c - see race.h. */
#include "benchmarks/lib/race.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PASSES_MAX = 1000 };

/* An entry's two jobs with one number of threads. */
struct lane {
	struct entry *entry;
	unsigned threads;
	unsigned encode_passes, decode_passes;
	struct samples encode, decode;
};

unsigned passes_for(const struct effort *effort, double seconds, unsigned threads)
{
	double passes = 1 + effort->sample_seconds / seconds * threads;

	return passes < PASSES_MAX ? (unsigned)passes : PASSES_MAX;
}

/* Seconds of one pass, after another that fetches into the caches what the others drove out. */
static double timed(struct team *team, unsigned threads, const struct job *job)
{
	struct job warm_up = *job;
	double seconds;

	warm_up.passes = 1;
	if (team_run(team, threads, &warm_up) < 0)
		fail("encode or decode");
	seconds = team_run(team, threads, job);
	if (seconds < 0)
		fail("encode or decode");
	return seconds / job->passes;
}

static double encode_pass(struct lane *lane, struct team *team)
{
	struct job job = entry_encoding(lane->entry, lane->encode_passes);

	return timed(team, lane->threads, &job);
}

static double decode_pass(struct lane *lane, struct team *team, uint8_t *out)
{
	struct decoding decoding = {lane->entry, out, 0};
	struct job job = entry_decoding(&decoding, lane->decode_passes);

	return timed(team, lane->threads, &job);
}

static void append_row(struct rows *rows, const struct lane *lane, double clock)
{
	const struct entry *entry = lane->entry;
	const struct contestant *contestant = entry->contestant;
	double size = (double)entry->data->size;
	struct row row = {.kernel = contestant->kernel ? contestant->kernel->name : NULL,
			  .piece_size = contestant->piece_size,
			  .threads = lane->threads,
			  .rounds = lane->decode.count,
			  .decode_best = size / samples_best(&lane->decode),
			  .decode_median = size / samples_median(&lane->decode),
			  .encode_best = size / samples_best(&lane->encode),
			  .encode_median = size / samples_median(&lane->encode),
			  .bits_per_byte = entry_bits_per_byte(entry),
			  .entropy = entry->data->entropy,
			  .clock = clock};

	memcpy(row.data, entry->data->name, sizeof row.data);
	memcpy(row.codec, contestant->codec, sizeof row.codec);
	if (rows->count == rows->capacity) {
		rows->capacity = 2 * rows->capacity + 64;
		rows->list = realloc(rows->list, rows->capacity * sizeof *rows->list);
		if (!rows->list)
			fail("allocate memory");
	}
	rows->list[rows->count++] = row;
}

static void run_rounds(struct lane *lanes, unsigned count, struct team *team, uint8_t *out,
		       const struct effort *effort, struct samples *clock)
{
	double start = now();

	for (unsigned i = 0; i < count; i++) {
		struct lane *lane = &lanes[i];
		lane->encode_passes = lane->decode_passes = 1;
		lane->encode_passes = passes_for(effort, encode_pass(lane, team), lane->threads);
		lane->decode_passes =
		    passes_for(effort, decode_pass(lane, team, out), lane->threads);
	}
	for (unsigned round = 0; round < effort->rounds_most; round++) {
		if (round >= effort->rounds_least && now() - start > effort->seconds)
			return;
		for (unsigned i = 0; i < count; i++)
			samples_add(&lanes[i].decode, decode_pass(&lanes[i], team, out));
		for (unsigned i = 0; i < count; i++)
			samples_add(&lanes[i].encode, encode_pass(&lanes[i], team));
		double cycles = measure_clock();
		if (cycles > 0)
			samples_add(clock, cycles);
	}
}

void race(struct rows *rows, const struct data *data, const struct plan *plan, struct team *team,
	  const struct effort *effort)
{
	struct contestant contestants[CONTESTANTS_MAX];
	struct entry entries[CONTESTANTS_MAX];
	struct lane lanes[CONTESTANTS_MAX * THREAD_COUNTS_MAX];
	struct samples clock = {NULL, 0, 0};
	unsigned most = effort->thread_counts[effort->thread_count_count - 1];
	unsigned count = contestants_of_entrofs(contestants), lane_count = 0;
	uint8_t *out = allocate(most * data->size);

	count += contestants_of_peers(contestants + count, data->size);
	for (unsigned i = 0; i < count; i++) {
		entry_open(&entries[i], &contestants[i], data, plan, most);
		for (unsigned t = 0; t < effort->thread_count_count; t++)
			lanes[lane_count++] = (struct lane){.entry = &entries[i],
							    .threads = effort->thread_counts[t]};
	}
	run_rounds(lanes, lane_count, team, out, effort, &clock);
	for (unsigned i = 0; i < lane_count; i++) {
		append_row(rows, &lanes[i], clock.count > 0 ? samples_median(&clock) : 0);
		samples_free(&lanes[i].encode);
		samples_free(&lanes[i].decode);
	}
	for (unsigned i = 0; i < count; i++)
		entry_close(&entries[i]);
	samples_free(&clock);
	free(out);
}

void rows_free(struct rows *rows)
{
	free(rows->list);
	*rows = (struct rows){NULL, 0, 0};
}

const struct row *rows_fastest(const struct rows *rows, const char *data, const char *codec,
			       const char *kernel, unsigned threads)
{
	const struct row *fastest = NULL;

	for (size_t i = 0; i < rows->count; i++) {
		const struct row *row = &rows->list[i];
		if (strcmp(row->data, data) != 0 || strcmp(row->codec, codec) != 0 ||
		    row->threads != threads)
			continue;
		if (kernel && (!row->kernel || strcmp(row->kernel, kernel) != 0))
			continue;
		if (!fastest || row->decode_median > fastest->decode_median)
			fastest = row;
	}
	return fastest;
}
