/* SPDX-License-Identifier: MIT */
/*
 * rope.h - rotary position embedding: how far each pair of a head turns from one position to the
 * next.
 *
 * Pair k of half = head_dim / 2 turns by theta^(-k / half). LongRoPE (arXiv 2402.13753), which
 * stretches a model's context, divides that by a factor of each pair: there is one list of factors
 * for texts within the context the model was first trained for, and one for longer ones. Rotated
 * vectors become longer then, by sqrt(1 + ln(context / original) / ln(original)), unless
 * config.json names another number.
 */
#ifndef ENTROFS_RUN_ROPE_H
#define ENTROFS_RUN_ROPE_H

#include "runtime-demo/diag.h"

#include <jansson.h>

/* Pairs for which there can be factors. */
enum { ROPE_MAX_FACTORS = 256 };

struct rope {
	double theta;
	double magnitude; /* what rotated vectors are multiplied by */
	size_t original;  /* positions within which factors[0] are used; 0: there are no factors */
	double factors[2][ROPE_MAX_FACTORS];
};

/* Reads rope_theta, and rope_scaling or rope_parameters, of a config.json whose heads have half
   pairs and whose context has so many positions. A kind of scaling that is not known is refused by
   name. Errors: see diag.h. */
int rope_read(const json_t *json, size_t half, size_t context, struct rope *rope,
	      struct diag *diag);

/* Radians per position of pair k of half, in a text for which there is room for steps positions. */
double rope_rate(const struct rope *rope, size_t steps, size_t k, size_t half);

#endif
