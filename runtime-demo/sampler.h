/* SPDX-License-Identifier: MIT */
/*
 * sampler.h - from logits to the next token.
 *
 * In this order, as users of llama.cpp know it: what stood in the last tokens is made less likely;
 * the likeliest top_k tokens are kept; of those the likeliest that together have at least the
 * probability top_p; the logits are divided by the temperature; one is drawn. Of equal logits the
 * token of the lower number comes first. The same seed draws the same tokens for the same logits on
 * every machine.
 */
#ifndef ENTROFS_RUN_SAMPLER_H
#define ENTROFS_RUN_SAMPLER_H

#include "runtime-demo/diag.h"

#include <stddef.h>
#include <stdint.h>

struct sampler_settings {
	double temperature;    /* 0: always the likeliest */
	size_t top_k;          /* 0: all */
	double top_p;          /* from 0, one token, to 1, all */
	double repeat_penalty; /* at least 1, which changes nothing: a positive logit is divided by
				  it, a negative one multiplied */
	size_t repeat_last;    /* tokens it looks at */
	uint64_t seed;
};

struct candidate {
	float logit;
	int token;
};

struct sampler {
	struct sampler_settings settings;
	uint64_t state; /* never 0 */
	size_t vocab;
	struct candidate *candidates; /* [vocab] */
	float *weights;               /* [vocab] */
	uint64_t *marks;              /* [vocab]: the number of the draw that last saw the token */
	uint64_t draws;
};

/* For so many tokens. End with sampler_free(), on failure, too. Errors: see diag.h. */
int sampler_start(struct sampler *sampler, const struct sampler_settings *settings, size_t vocab,
		  struct diag *diag);

/* Does nothing to a zeroed one. */
void sampler_free(struct sampler *sampler);

/* The next token, by vocab logits after these tokens, each below vocab; -1 if a logit is no finite
   number. Logits of tokens that stood before are changed. */
int sampler_next(struct sampler *sampler, float *logits, const int *tokens, size_t count,
		 struct diag *diag);

#endif
