/* SPDX-License-Identifier: MIT */
/*
 * mkfs_progress.c - the progress line on terminals of any width, and what it says of the time left.
 */
#include "mkfs/progress.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

Test(mkfs_progress, fits_every_width)
{
	static const double times[] = {-1.0, 0.0, 0.2, 59.5, 3599.0, 86400.0, 1e7, 1e300};
	char line[PROGRESS_LINE_MAX];

	for (unsigned columns = 0; columns <= 300; columns++) {
		for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
			for (double share = 0.0; share <= 1.0; share += 0.125) {
				int size =
				    progress_line(line, columns, "verifying", share, times[i]);
				cr_assert_eq((size_t)size, strlen(line));
				cr_assert(columns == 0 ? !size : (unsigned)size < columns,
					  "%u columns: '%s'", columns, line);
			}
		}
	}
}

Test(mkfs_progress, shows_what_fits)
{
	static const struct {
		unsigned columns;
		double share, left;
		const char *line;
	} cases[] = {
	    {80, 0.5, 61.0,
	     "packing     50 % [########################------------------------]  1:01 left"},
	    {40, 0.999, 0.5, "packing     99 % [#######-]  0:01 left"},
	    {39, 0.999, 0.5, "packing 99 %, 0:01 left"},
	    {20, 0.1, 42.0, "packing 10 %"},
	    {20, 0.1, -1.0, "packing 10 %"},
	    {8, 1.0, 0.0, "100 %"},
	    {4, 1.0, 0.0, ""},
	    {60, 2.0, 0.0, "packing    100 % [############################]  0:00 left"},
	    {39, 0.01, 3600.0 * 30 + 62, "packing 1 %, 30:01:02 left"},
	    {39, 0.01, 86400.0 * 2, "packing 1 %, 2 days left"},
	};
	char line[PROGRESS_LINE_MAX];

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		progress_line(line, cases[i].columns, "packing", cases[i].share, cases[i].left);
		cr_assert_str_eq(line, cases[i].line);
	}
}

/* Runs at a pace to a time; what is left of total then. */
static double run(struct progress_pace *pace, double rate, double until, double total)
{
	while (pace->time < until)
		progress_pace_add(pace, pace->time + 0.1, pace->done + 0.1 * rate);
	return progress_pace_left(pace, total);
}

Test(mkfs_progress, an_even_pace_is_told_exactly)
{
	struct progress_pace pace = {0};

	cr_assert(progress_pace_left(&pace, 1000.0) < 0.0);
	cr_assert(run(&pace, 10.0, 0.5, 1000.0) < 0.0); /* too early to tell */
	for (double time = 2.0; time < 100.0; time += 1.0) {
		double left = run(&pace, 10.0, time, 1000.0);
		cr_assert_float_eq(left, 100.0 - pace.time, 1e-6, "at %g: %g", time, left);
	}
	cr_assert_eq(run(&pace, 10.0, 120.0, 1000.0), 0.0);
}

Test(mkfs_progress, a_new_pace_is_learnt_without_a_jump)
{
	struct progress_pace pace = {0};
	double total = 1e6, before = run(&pace, 1000.0, 100.0, total);

	/* From now on half as fast: 1800 s, and what is told gets there within two minutes. */
	for (double time = 101.0; time < 220.0; time += 1.0) {
		double left = run(&pace, 500.0, time, total);
		cr_assert(left < before * 1.05 && left > before * 0.95, "at %g: %g after %g", time,
			  left, before);
		before = left;
	}
	double true_left = (total - pace.done) / 500.0;
	cr_assert_float_eq(before, true_left, 0.05 * true_left);
}

Test(mkfs_progress, a_work_that_stands_still_promises_nothing)
{
	struct progress_pace pace = {0};
	run(&pace, 1000.0, 10.0, 1e6);
	double left = run(&pace, 0.0, 600.0, 1e6);
	cr_assert(left > 1e6, "%g", left);
	progress_pace_add(&pace, pace.time, pace.done + 1.0); /* no time has passed */
	cr_assert(isfinite(progress_pace_left(&pace, 1e6)));
}
