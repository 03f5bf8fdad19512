/* SPDX-License-Identifier: MIT */
/*
 * plan.h - which tensor gets which bits, and why.
 */
#ifndef ENTROFS_PLAN_H
#define ENTROFS_PLAN_H

#include "mkfs/options.h"
#include "mkfs/source.h"

#include <stdint.h>

enum plan_reason {
	PLAN_DEFAULT, /* --bits, given or not */
	PLAN_RULE,    /* --keep or --bits-for */
	PLAN_DTYPE,   /* kept: not of floats that are quantized */
	PLAN_SHAPE,   /* kept: fewer than two dimensions, or no elements */
	PLAN_ROW,     /* kept: its rows are not whole blocks of the view of a GGUF file */
	PLAN_NAME,    /* kept: llama.cpp wants tensors of that name in float */
};

/* What is to become of one tensor. */
struct plan {
	uint8_t bits;   /* 8, 4, or 0: keep */
	uint8_t blocks; /* the parameters are to be such that blocks of ggml can have them */
	enum plan_reason reason;
	const struct rule *rule; /* with PLAN_RULE: the options' */
};

/*
 * A plan for each of the source's tensors, which the caller frees; it refers to the options. NULL
 * after printing why. Prints a line for each rule that decides about no tensor.
 */
struct plan *plan_create(const struct source *source, const struct options *options);

/* plan_gguf.c. Why a tensor that has floats is kept in a view of its GGUF file: PLAN_DEFAULT, if it
 * is not. */
enum plan_reason plan_for_gguf(const struct safetensor *tensor);

#endif
