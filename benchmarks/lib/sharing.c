/* SPDX-License-Identifier: MIT */
/* sharing.c - see sharing.h. */
#include "benchmarks/lib/sharing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MEMORY_COPIES = 256 }; /* of 1 MiB: beyond what any one core's share of a cache holds */

static struct contestant ours(void)
{
	struct contestant list[CONTESTANTS_MAX];
	unsigned count = contestants_of_entrofs(list);
	struct contestant chosen = list[count - 1];

	memcpy(chosen.codec, "entrofs", sizeof "entrofs");
	chosen.verifies = 0;
	return chosen;
}

static struct contestant copying(size_t size)
{
	struct contestant list[CONTESTANTS_MAX];
	unsigned count = contestants_of_peers(list, size);

	for (unsigned i = 0; i < count; i++)
		if (strcmp(list[i].codec, "memcpy") == 0)
			return list[i];
	fail("find memcpy");
}

/* A contestant, where its output goes, and what each number of threads took. */
struct course {
	struct entry entry;
	struct decoding decoding;
	unsigned passes[THREAD_COUNTS_MAX];
	struct samples samples[THREAD_COUNTS_MAX];
};

static double course_pass(struct course *course, struct team *team, unsigned threads,
			  unsigned passes)
{
	struct job job = entry_decoding(&course->decoding, passes);
	double seconds = team_run(team, threads, &job);

	if (seconds < 0)
		fail("decode");
	return seconds / passes;
}

static void print_courses(const struct course *courses, const char *const *titles, unsigned count,
			  const struct effort *effort, double size)
{
	printf("| output of | threads | GB/s, best | median | of one thread's best |\n"
	       "| --- | ---: | ---: | ---: | ---: |\n");
	for (unsigned c = 0; c < count; c++) {
		double one = samples_best(&courses[c].samples[0]);
		for (unsigned t = 0; t < effort->thread_count_count; t++) {
			const struct samples *samples = &courses[c].samples[t];
			printf("| %s | %u | %.2f | %.2f | %.2fx |\n", titles[c],
			       effort->thread_counts[t], size / samples_best(samples) / 1e9,
			       size / samples_median(samples) / 1e9, one / samples_best(samples));
		}
	}
	printf("\n");
}

void print_scaling(const struct data *data, const struct plan *plan, struct team *team,
		   const struct effort *effort)
{
	static const char *const titles[] = {"entrofs, to the caches", "memcpy, to the caches",
					     "entrofs, to memory", "memcpy, to memory"};
	enum { COURSES = 4 };
	struct contestant both[2] = {ours(), copying(data->size)};
	struct course courses[COURSES];
	unsigned most = effort->thread_counts[effort->thread_count_count - 1];
	uint8_t *out = allocate(MEMORY_COPIES * data->size);
	double start = now();

	memset(out, 0, MEMORY_COPIES * data->size);
	memset(courses, 0, sizeof courses);
	for (unsigned c = 0; c < COURSES; c++) {
		entry_open(&courses[c].entry, &both[c % 2], data, plan, most);
		courses[c].decoding =
		    (struct decoding){&courses[c].entry, out, c < 2 ? 0 : MEMORY_COPIES};
		for (unsigned t = 0; t < effort->thread_count_count; t++) {
			unsigned threads = effort->thread_counts[t];
			double pass = course_pass(&courses[c], team, threads, 1);
			courses[c].passes[t] =
			    c < 2 ? passes_for(effort, pass, threads) : MEMORY_COPIES;
		}
	}
	for (unsigned round = 0; round < effort->rounds_most; round++) {
		if (round >= effort->rounds_least && now() - start > effort->seconds)
			break;
		for (unsigned c = 0; c < COURSES; c++)
			for (unsigned t = 0; t < effort->thread_count_count; t++)
				samples_add(&courses[c].samples[t],
					    course_pass(&courses[c], team, effort->thread_counts[t],
							courses[c].passes[t]));
	}
	printf("Threads, %s, kernel %s:\n\n", data->title, both[0].kernel->name);
	print_courses(courses, titles, COURSES, effort, (double)data->size);
	for (unsigned c = 0; c < COURSES; c++) {
		for (unsigned t = 0; t < effort->thread_count_count; t++)
			samples_free(&courses[c].samples[t]);
		entry_close(&courses[c].entry);
	}
	free(out);
}

void print_sharing(const struct data *data, const struct plan *plan, struct team *team,
		   const struct effort *effort)
{
	struct contestant contestant = ours();
	unsigned processors = effort->thread_counts[effort->thread_count_count - 1];
	uint8_t *out = allocate(data->size);
	struct decoding decoding;
	struct entry entry;

	entry_open(&entry, &contestant, data, plan, 2 * processors);
	decoding = (struct decoding){&entry, out, 1};
	printf(
	    "Sharing out %zu segments, %s, kernel %s, ms for all:\n\n"
	    "| threads | counter, best | median | shuffled, best | median | shuffled / counter |\n"
	    "| ---: | ---: | ---: | ---: | ---: | ---: |\n",
	    (entry.piece_count + entry.segment - 1) / entry.segment, data->title,
	    contestant.kernel->name);
	for (unsigned threads = processors; threads <= 2 * processors; threads += processors) {
		struct samples samples[2] = {{NULL, 0, 0}, {NULL, 0, 0}};
		struct job job = entry_decoding(&decoding, 1);
		unsigned rounds = 10 * effort->rounds_most;
		double start = now();
		for (unsigned round = 0; round < rounds; round++) {
			if (round >= effort->rounds_least && now() - start > effort->seconds / 4)
				break;
			for (unsigned turn = 0; turn < 2; turn++) {
				unsigned way = (turn + round) % 2; /* none is always first */
				job.sharing = way == 0 ? SHARE_COUNTER : SHARE_SHUFFLED;
				double seconds = team_run(team, threads, &job);
				if (seconds < 0)
					fail("decode");
				samples_add(&samples[way], seconds);
			}
		}
		printf("| %u | %.3f | %.3f | %.3f | %.3f | %.2f |\n", threads,
		       1e3 * samples_best(&samples[0]), 1e3 * samples_median(&samples[0]),
		       1e3 * samples_best(&samples[1]), 1e3 * samples_median(&samples[1]),
		       samples_median(&samples[1]) / samples_median(&samples[0]));
		samples_free(&samples[0]);
		samples_free(&samples[1]);
	}
	printf("\n");
	entry_close(&entry);
	free(out);
}
