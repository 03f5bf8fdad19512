/* SPDX-License-Identifier: MIT */
/* machine.h - what a benchmark ran on. */
#ifndef ENTROFS_BENCH_MACHINE_H
#define ENTROFS_BENCH_MACHINE_H

/* Processors that this process may use. */
unsigned machine_processors(void);

/* Prints a list: processor, clock, caches, kernel, load, versions. */
void machine_print(void);

#endif
