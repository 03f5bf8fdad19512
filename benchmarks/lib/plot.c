/* SPDX-License-Identifier: MIT */
/* plot.c - decoding speeds of one thread as bars, drawn by gnuplot; see report.h. */
#include "benchmarks/lib/report.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the bars of a group are, from left to right; as far as there are such rows. */
struct bar {
	const char *codec, *kernel, *title, *colour;
};

static const struct bar bars[] = {
    {"lz4", NULL, "lz4", "#c8c8c8"},
    {"zstd-3", NULL, "zstd -3", "#8f8f8f"},
    {"zstd-1", NULL, "zstd -1", "#6f6f6f"},
    {"entrofs", "scalar", "entrofs, scalar", "#b7d3ea"},
    {"entrofs", "bmi2", "entrofs, bmi2", "#7fb2d9"},
    {"entrofs", "neon", "entrofs, neon", "#7fb2d9"},
    {"entrofs", "avx2", "entrofs, avx2", "#3f83b8"},
    {"entrofs", "avx512", "entrofs, avx512", "#13507f"},
};
enum { BARS = sizeof bars / sizeof bars[0] };

static const char STYLE[] = "set logscale y 2\n"
			    "set yrange [0.25:128]\n"
			    "set ylabel 'decoded GB/s, one thread, median (log scale)'\n"
			    "set style data histogram\n"
			    "set style histogram clustered gap 1\n"
			    "set style fill solid border -1\n"
			    "set boxwidth 0.9\n"
			    "set grid ytics\n"
			    "set xtics rotate by -20\n"
			    "set key outside top center horizontal\n";

static int has_bar(const struct rows *rows, const struct bar *bar)
{
	for (size_t i = 0; i < rows->count; i++)
		if (strcmp(rows->list[i].codec, bar->codec) == 0 &&
		    (!bar->kernel || strcmp(rows->list[i].kernel, bar->kernel) == 0))
			return 1;
	return 0;
}

/* One line for each data set: its name, then a value for each bar. */
static void write_values(FILE *out, const struct rows *rows)
{
	const char *last = "";

	fprintf(out, "$speeds << END\n");
	for (size_t i = 0; i < rows->count; i++) {
		const char *data = rows->list[i].data;
		if (strcmp(data, last) == 0)
			continue;
		last = data;
		fprintf(out, "%s", data);
		for (unsigned k = 0; k < BARS; k++) {
			const struct row *row =
			    rows_fastest(rows, data, bars[k].codec, bars[k].kernel, 1);
			if (row)
				fprintf(out, " %.3f", row->decode_median / 1e9);
			else
				fprintf(out, " NaN");
		}
		fprintf(out, "\n");
	}
	fprintf(out, "END\n");
}

int report_plot(const struct rows *rows, const char *path)
{
	const char *separator = "plot ";
	FILE *out;

	if (system("command -v gnuplot > /dev/null") != 0) {
		fprintf(stderr, "%s: no plot: gnuplot is not installed\n",
			program_invocation_short_name);
		return 0;
	}
	if (strpbrk(path, "'\n\\")) {
		fprintf(stderr, "%s: cannot write '%s': gnuplot would not read this name\n",
			program_invocation_short_name, path);
		return -1;
	}
	out = popen("gnuplot", "w");
	if (!out) {
		fprintf(stderr, "%s: cannot run gnuplot: %s\n", program_invocation_short_name,
			strerror(errno));
		return -1;
	}
	fprintf(out,
		"set terminal svg size 1100,480 font 'sans,12' background '#ffffff'\n"
		"set output '%s'\n%s",
		path, STYLE);
	write_values(out, rows);
	for (unsigned k = 0; k < BARS; k++) {
		if (!has_bar(rows, &bars[k]))
			continue;
		fprintf(out, "%s$speeds using %u:xtic(1) title '%s' linecolor rgb '%s'", separator,
			k + 2, bars[k].title, bars[k].colour);
		separator = ", ";
	}
	fprintf(out, "\n");
	if (pclose(out) != 0) {
		fprintf(stderr, "%s: cannot write '%s': gnuplot failed\n",
			program_invocation_short_name, path);
		return -1;
	}
	return 0;
}
