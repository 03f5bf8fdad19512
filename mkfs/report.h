/* SPDX-License-Identifier: MIT */
/*
 * report.h - what packing came to, for a person or for a program.
 */
#ifndef ENTROFS_REPORT_H
#define ENTROFS_REPORT_H

#include "mkfs/pack.h"

/* A summary on stdout; verbose: with a line per tensor. */
void report_print(const struct packed *packed, const char *target, double seconds, int verbose);

/* All figures as one JSON document on stdout. -1: out of memory. */
int report_json(const struct packed *packed, const char *target, double seconds);

#endif
