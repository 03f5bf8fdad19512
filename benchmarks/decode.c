/* SPDX-License-Identifier: MIT */
/*
 * decode.c - how fast codes are decoded and encoded, next to zstd, lz4 and memcpy over the same
 * bytes; how well threads share the work.
 *
 * Prints Markdown; docs/design.md quotes a run of it. Data sets come one after the other, each a
 * race of its own: contestants, threads and rounds are race.h's.
 */
#include "benchmarks/lib/data.h"
#include "benchmarks/lib/machine.h"
#include "benchmarks/lib/race.h"
#include "benchmarks/lib/report.h"
#include "benchmarks/lib/sharing.h"
#include "mkfs/cli.h"

#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DATA_SIZE = 1 << 20 }; /* generated: about what one request asks the daemon for */

static const char HELP[] =
    "Usage: decode [OPTION...]\n"
    "Decoding and encoding speed against zstd, lz4 and memcpy, as Markdown, with a plot.\n"
    "\n"
    "  --quick          fewer rounds: under 40 seconds\n"
    "  --rounds N       so many rounds, however long they take\n"
    "  --size BYTES     of each generated data set (1M); no more than that of a real one\n"
    "  --threads N      up to N threads (default: one for each processor)\n"
    "  --json FILE      all figures, for programs\n"
    "  --plot FILE      the plot, an SVG (default: decode.svg beside the program)\n"
    "  --help\n"
    "\n"
    "Run from the checkout: the tensors of runtime-demo/model, and of "
    "../shared/models/stories260k\n"
    "where there is one, are measured, too.\n";

struct options {
	struct effort effort;
	size_t size, model_size;
	const char *json, *plot;
	char plot_beside[PATH_MAX];
};

static const char *beside_program(char path[PATH_MAX])
{
	ssize_t size = readlink("/proc/self/exe", path, PATH_MAX - 5);

	if (size < 0)
		fail("find this program");
	strcpy(path + size, ".svg");
	return path;
}

/* 1, 2, 4 and so on up to most. */
static void count_threads(struct effort *effort, unsigned most)
{
	effort->thread_count_count = 0;
	for (unsigned threads = 1; threads < most && effort->thread_count_count < 7; threads *= 2)
		effort->thread_counts[effort->thread_count_count++] = threads;
	effort->thread_counts[effort->thread_count_count++] = most;
}

/* -1: usage error, said. 1: nothing is left to do. */
static int parse_options(int argc, char **argv, struct options *options)
{
	enum { QUICK = 256, ROUNDS, SIZE, THREADS, JSON, PLOT, HELP_ME };
	static const struct option longs[] = {
	    {"quick", no_argument, NULL, QUICK},     {"rounds", required_argument, NULL, ROUNDS},
	    {"size", required_argument, NULL, SIZE}, {"threads", required_argument, NULL, THREADS},
	    {"json", required_argument, NULL, JSON}, {"plot", required_argument, NULL, PLOT},
	    {"help", no_argument, NULL, HELP_ME},    {NULL, 0, NULL, 0},
	};
	uint64_t number, rounds = 0, threads = machine_processors();
	int option;

	*options = (struct options){.effort = {.rounds_least = 10,
					       .rounds_most = 200,
					       .seconds = 15,
					       .sample_seconds = 2e-3},
				    .size = DATA_SIZE,
				    .model_size = SIZE_MAX};
	while ((option = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (option) {
		case QUICK:
			options->effort = (struct effort){.rounds_least = 3,
							  .rounds_most = 30,
							  .seconds = 0.7,
							  .sample_seconds = 1e-3};
			break;
		case ROUNDS:
			if (cli_uint(optarg, 100000, &rounds) || rounds == 0) {
				cli_usage_error("'%s' is no number of rounds", optarg);
				return -1;
			}
			break;
		case SIZE:
			if (cli_bytes(optarg, 1 << 30, &number) || number == 0) {
				cli_usage_error("'%s' is no size up to 1G", optarg);
				return -1;
			}
			options->size = options->model_size = (size_t)number;
			break;
		case THREADS:
			if (cli_uint(optarg, TEAM_MAX / 2, &threads) || threads == 0) {
				cli_usage_error("threads must be 1 to %d", TEAM_MAX / 2);
				return -1;
			}
			break;
		case JSON:
			options->json = optarg;
			break;
		case PLOT:
			options->plot = optarg;
			break;
		case HELP_ME:
			fputs(HELP, stdout);
			return 1;
		default:
			return -1;
		}
	}
	if (optind != argc) {
		cli_usage_error("'%s' is one argument too many", argv[optind]);
		return -1;
	}
	if (rounds > 0)
		options->effort.rounds_least = options->effort.rounds_most = (unsigned)rounds;
	if (!options->plot)
		options->plot = beside_program(options->plot_beside);
	count_threads(&options->effort, threads < TEAM_MAX / 2 ? (unsigned)threads : TEAM_MAX / 2);
	return 0;
}

static void bench(const struct data *data, struct rows *rows, struct team *team,
		  const struct effort *effort)
{
	struct plan plan;

	plan_make(&plan, data);
	race(rows, data, &plan, team, effort);
	report_table(rows, data, &plan);
	fflush(stdout);
	plan_free(&plan);
}

static void bench_model(const char *folder, const char *name, struct rows *rows, struct team *team,
			const struct options *options)
{
	struct data data;

	if (access(folder, R_OK) != 0) {
		printf("%s: skipped: there is no %s here\n\n", name, folder);
		return;
	}
	for (int bits = 8; bits >= 4; bits -= 4) {
		if (data_of_model(&data, folder, name, bits, options->model_size))
			exit(1);
		bench(&data, rows, team, &options->effort);
		data_free(&data);
	}
}

typedef void print_threads(const struct data *, const struct plan *, struct team *,
			   const struct effort *);

static void bench_threads(struct data *data, print_threads *print, struct team *team,
			  const struct options *options)
{
	struct plan plan;

	plan_make(&plan, data);
	print(data, &plan, team, &options->effort);
	fflush(stdout);
	plan_free(&plan);
	data_free(data);
}

int main(int argc, char **argv)
{
	struct options options;
	struct rows rows = {NULL, 0, 0};
	struct data data;
	int result = parse_options(argc, argv, &options);

	if (result)
		return result < 0 ? 2 : 0;
	const struct effort *effort = &options.effort;
	unsigned most = effort->thread_counts[effort->thread_count_count - 1];
	struct team *team;

	printf("# Decoding and encoding\n\n");
	machine_print();
	team = team_create(most, 1);
	for (unsigned which = 0; which < data_generators; which++) {
		data_generate(&data, which, options.size);
		bench(&data, &rows, team, effort);
		data_free(&data);
	}
	bench_model("runtime-demo/model", "novella-7m", &rows, team, &options);
	bench_model("../shared/models/stories260k", "stories260k", &rows, team, &options);

	printf("## Threads\n\n");
	for (unsigned which = 0; which < 2; which++) {
		data_generate(&data, which, options.size);
		bench_threads(&data, print_scaling, team, &options);
	}
	team_destroy(team);
	team = team_create(2 * most, 0);
	data_mix(&data, options.size);
	bench_threads(&data, print_sharing, team, &options);
	team_destroy(team);

	result = report_plot(&rows, options.plot) ? 1 : 0;
	if (options.json && report_json(&rows, options.json))
		result = 1;
	rows_free(&rows);
	if (fflush(stdout) || ferror(stdout))
		fail("write to standard output");
	return result;
}
