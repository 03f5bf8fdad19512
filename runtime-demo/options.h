/* SPDX-License-Identifier: MIT */
/*
 * options.h - the command line of entrofs-run.
 */
#ifndef ENTROFS_RUN_OPTIONS_H
#define ENTROFS_RUN_OPTIONS_H

#include "runtime-demo/sampler.h"

#include <stdbool.h>
#include <stddef.h>

/* Texts are of argv. */
struct options {
	const char *folder, *prompt, *logits_file;
	size_t tokens, threads;
	struct sampler_settings sampling;
	bool stats, tokenize;
	const char *perplexity_file; /* NULL: write text */
	size_t window, stride, skip; /* in tokens; 0: as long as the context, as far as the window
					reaches, nothing */
	bool json;
};

/* Ends the program for --help and --version (0) and on a usage error (2), which it reports. */
void run_options_parse(int argc, char **argv, struct options *options);

#endif
