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
};

/* What is to become of one tensor. */
struct plan {
	uint8_t bits; /* 8, 4, or 0: keep */
	enum plan_reason reason;
	const struct rule *rule; /* with PLAN_RULE: the options' */
};

/*
 * A plan for each of the source's tensors, which the caller frees; it refers to the options. NULL
 * after printing why. Prints a line for each rule that decides about no tensor.
 */
struct plan *plan_create(const struct source *source, const struct options *options);

#endif
