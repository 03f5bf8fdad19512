/* SPDX-License-Identifier: MIT */
/*
 * options.h - the command line of entrofs-run.
 */
#ifndef ENTROFS_RUN_OPTIONS_H
#define ENTROFS_RUN_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Texts are of argv. */
struct options {
	const char *folder, *prompt, *logits_file;
	size_t tokens, threads;
	double temperature;
	uint64_t seed;
	bool stats, tokenize;
};

/* Ends the program for --help and --version (0) and on a usage error (2), which it reports. */
void run_options_parse(int argc, char **argv, struct options *options);

#endif
