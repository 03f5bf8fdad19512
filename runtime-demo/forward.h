/* SPDX-License-Identifier: MIT */
/*
 * forward.h - the forward pass: from a token and those before it to the logits of the next one.
 */
#ifndef ENTROFS_RUN_FORWARD_H
#define ENTROFS_RUN_FORWARD_H

#include "runtime-demo/model.h"

/* What the forward pass writes. */
struct state {
	size_t steps;     /* positions there is room for */
	float *x;         /* [dim]: the residual stream */
	float *normed;    /* [dim] */
	float *query;     /* [heads * head_dim] */
	float *attended;  /* [heads * head_dim] */
	float *projected; /* [dim]: what a block adds to the residual stream */
	float *gate;      /* [hidden] */
	float *up;        /* [hidden] */
	float *scores;    /* [steps] */
	float *cosine;    /* [head_dim / 2]: the rotation at this position */
	float *sine;      /* [head_dim / 2] */
	float *keys;      /* [layers, steps, kv_heads * head_dim] */
	float *values;    /* [layers, steps, kv_heads * head_dim] */
	float *logits;    /* [vocab] */
};

/* End with state_free(), on failure, too. Errors: see diag.h. */
int state_allocate(struct state *state, const struct config *config, size_t steps,
		   struct diag *diag);

/* Does nothing to a zeroed one. */
void state_free(struct state *state);

/* Takes the token (below vocab) at this position (below steps; all before have been taken since
   position 0); fills state->logits if asked to. */
void forward(const struct model *model, struct state *state, struct team *team, int token,
	     size_t position, bool want_logits);

/* Logits, or anything, into probabilities, in place. n is not 0. */
void softmax(float *x, size_t n);

#endif
