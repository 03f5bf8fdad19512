/* SPDX-License-Identifier: MIT */
/*
 * mmapscan.c - reads a file as loaders of models do: through a shared mapping, touching every page
 * once.
 *
 *   mmapscan [--populate] [--advice=random|sequential|willneed] [--bytes=N] FILE
 *
 * Prints one JSON object: bytes, seconds from before mmap() until the last page was touched, p50_us
 * and p99_us of the time that a step took: a page with --advice=random, else 1 MiB, where a
 * reader waits for the disk or the server once or not at all. What --populate waits for
 * is in the seconds and in no step.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, LARGE_STEP = 1 << 20 };

struct scan {
	const char *name;
	int flags;    /* of mmap() */
	int advice;   /* for madvise() */
	size_t limit; /* bytes at most */
	size_t bytes;
	size_t step; /* bytes that are timed together */
	size_t step_count;
	double *step_us;
	double seconds;
	uint64_t sum; /* of the bytes touched, so that no compiler leaves the reads out */
};

static void fail(const char *verb, const char *name)
{
	fprintf(stderr, "mmapscan: cannot %s '%s': %s\n", verb, name, strerror(errno));
	exit(1);
}

static double now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void touch(struct scan *scan, const volatile uint8_t *map)
{
	for (size_t i = 0; i < scan->step_count; i++) {
		size_t begin = i * scan->step;
		size_t rest = scan->bytes - begin;
		size_t end = begin + (rest < scan->step ? rest : scan->step);
		double start = now();
		for (size_t at = begin; at < end; at += PAGE)
			scan->sum += map[at];
		scan->step_us[i] = (now() - start) * 1e6;
	}
}

static void run(struct scan *scan, int fd)
{
	double start = now();
	uint8_t *map = mmap(NULL, scan->bytes, PROT_READ, scan->flags, fd, 0);
	if (map == MAP_FAILED)
		fail("map", scan->name);
	if (scan->advice != MADV_NORMAL && madvise(map, scan->bytes, scan->advice))
		fail("advise on", scan->name);
	touch(scan, map);
	scan->seconds = now() - start;
	munmap(map, scan->bytes);
}

static void open_and_run(struct scan *scan)
{
	struct stat attributes;
	int fd = open(scan->name, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &attributes))
		fail("open", scan->name);
	scan->bytes = (size_t)attributes.st_size;
	if (scan->bytes > scan->limit)
		scan->bytes = scan->limit;
	errno = EINVAL;
	if (!scan->bytes)
		fail("map", scan->name);
	scan->step = scan->advice == MADV_RANDOM ? PAGE : LARGE_STEP;
	scan->step_count = (scan->bytes + scan->step - 1) / scan->step;
	scan->step_us = calloc(scan->step_count, sizeof(*scan->step_us));
	if (!scan->step_us)
		fail("scan", scan->name);
	run(scan, fd);
	close(fd);
}

static void report(const struct scan *scan)
{
	qsort(scan->step_us, scan->step_count, sizeof(*scan->step_us), compare);
	printf("{\"bytes\": %zu, \"seconds\": %.6f, \"p50_us\": %.2f, \"p99_us\": %.2f, "
	       "\"step\": %zu, \"sum\": %llu}\n",
	       scan->bytes, scan->seconds, scan->step_us[scan->step_count / 2],
	       scan->step_us[(scan->step_count - 1) * 99 / 100], scan->step,
	       (unsigned long long)scan->sum);
}

static int usage(void)
{
	fprintf(stderr, "usage: mmapscan [--populate] [--advice=random|sequential|willneed] "
			"[--bytes=N] FILE\n");
	return 2;
}

static bool parse_advice(const char *word, int *advice)
{
	static const struct {
		const char *word;
		int advice;
	} known[] = {
	    {"random", MADV_RANDOM}, {"sequential", MADV_SEQUENTIAL}, {"willneed", MADV_WILLNEED}};
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		if (strcmp(word, known[i].word) == 0) {
			*advice = known[i].advice;
			return true;
		}
	}
	return false;
}

static bool parse_bytes(const char *word, size_t *bytes)
{
	char *end;
	errno = 0;
	unsigned long long value = strtoull(word, &end, 10);
	*bytes = (size_t)value;
	return *word >= '0' && *word <= '9' && !*end && !errno && value > 0 && value <= SIZE_MAX;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"populate", no_argument, NULL, 'p'},
						{"advice", required_argument, NULL, 'a'},
						{"bytes", required_argument, NULL, 'b'},
						{NULL, 0, NULL, 0}};
	struct scan scan = {.flags = MAP_SHARED, .advice = MADV_NORMAL, .limit = SIZE_MAX};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		bool good = option == 'p' ||
			    (option == 'a' && parse_advice(optarg, &scan.advice)) ||
			    (option == 'b' && parse_bytes(optarg, &scan.limit));
		if (!good)
			return usage();
		if (option == 'p')
			scan.flags |= MAP_POPULATE;
	}
	if (argc - optind != 1)
		return usage();
	scan.name = argv[optind];
	open_and_run(&scan);
	report(&scan);
	free(scan.step_us);
	return fflush(stdout) ? 1 : 0;
}
