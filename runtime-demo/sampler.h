/* SPDX-License-Identifier: MIT */
/*
 * sampler.h - from logits to the next token.
 */
#ifndef ENTROFS_RUN_SAMPLER_H
#define ENTROFS_RUN_SAMPLER_H

#include <stddef.h>
#include <stdint.h>

struct sampler {
	float temperature; /* 0: always the likeliest */
	uint64_t state;    /* never 0 */
};

/* The same seed gives the same tokens for the same logits. */
void sampler_seed(struct sampler *sampler, uint64_t seed);

/* The next of n tokens, by logits that are changed on the way. */
int sampler_next(struct sampler *sampler, float *logits, size_t n);

#endif
