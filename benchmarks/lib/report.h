/* SPDX-License-Identifier: MIT */
/* report.h - rows as a Markdown table, as JSON, as a plot. */
#ifndef ENTROFS_BENCH_REPORT_H
#define ENTROFS_BENCH_REPORT_H

#include "benchmarks/lib/race.h"

/* The rows of one data set, with its title, and what the plan cost. */
void report_table(const struct rows *rows, const struct data *data, const struct plan *plan);

/* Rows are only of what was verified. A list of objects, one for each data set, codec, kernel and
 * number of threads. -1 after saying why. */
int report_json(const struct rows *rows, const char *path);

/* An SVG by gnuplot: one thread's decoding speed. Says so if there is no gnuplot; -1 if it failed.
 */
int report_plot(const struct rows *rows, const char *path);

#endif
