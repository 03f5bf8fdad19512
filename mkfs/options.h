/* SPDX-License-Identifier: MIT */
/*
 * options.h - the command line of mkentrofs.
 */
#ifndef ENTROFS_OPTIONS_H
#define ENTROFS_OPTIONS_H

#include <regex.h>
#include <stddef.h>

/* --keep or --bits-for: what to do with tensors whose name matches. */
struct rule {
	regex_t regex;
	const char *option, *text; /* as given: "--bits-for", "REGEX=8" */
	int bits;                  /* 8, 4, or 0: keep */
};

/* Files that an image may offer besides sidecars, the tensors' files and their manifest. */
enum view {
	VIEW_MODEL = 1 << 0,     /* the source's weight files, dequantized */
	VIEW_QUANTIZED = 1 << 1, /* quantized/model.safetensors */
	VIEW_NPY = 1 << 2,       /* npy/NAME.npy, as stored */
	VIEW_NPY_FLOAT = 1 << 3, /* npy-float/NAME.npy of quantized tensors, dequantized */
	VIEW_GGUF = 1 << 4,      /* the source's GGUF file, with blocks made of codes */
	VIEW_GIVEN = 1 << 5,     /* the user has chosen */
};

struct options {
	const char *source, *target; /* target: NULL is possible in a dry run */
	int bits;                    /* 8 or 4 */
	struct rule *rules;          /* in the order given: the last that matches wins */
	size_t rule_count;
	unsigned views; /* view bits; without VIEW_GIVEN, what suits the source */
	unsigned jobs;
	int lossless; /* every file as it is; none of the above applies */
	int force, verify, verbose, json, dry_run;
};

enum options_result { OPTIONS_RUN, OPTIONS_DONE, OPTIONS_BAD };

/* OPTIONS_DONE: --help or --version was answered. OPTIONS_BAD: the error has been printed. Call
 * options_free() in any case; strings are argv's. */
enum options_result options_parse(struct options *options, int argc, char **argv);
void options_free(struct options *options);

#endif
