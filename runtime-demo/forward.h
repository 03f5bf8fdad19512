/* SPDX-License-Identifier: MIT */
/*
 * forward.h - the forward pass: from tokens and those before them to the logits of the next ones.
 *
 * Several tokens that are known, those of a prompt or of a text to measure, go through the model
 * together, which is faster and gives the same numbers as one after the other.
 */
#ifndef ENTROFS_RUN_FORWARD_H
#define ENTROFS_RUN_FORWARD_H

#include "runtime-demo/model.h"

/* Tokens that go together at most. */
enum { FORWARD_BATCH = TENSOR_MAX_BATCH };

/* What the forward pass writes; batch is FORWARD_BATCH. */
struct state {
	size_t steps;     /* positions there is room for */
	float *x;         /* [batch, dim]: the residual stream */
	float *normed;    /* [batch, dim] */
	float *query;     /* [batch, heads * head_dim] */
	float *attended;  /* [batch, heads * head_dim] */
	float *projected; /* [batch, dim]: what a block adds to the residual stream */
	float *gate;      /* [batch, hidden] */
	float *up;        /* [batch, hidden] */
	float *scores;    /* [steps] */
	float *cosine;    /* [batch, head_dim / 2]: the rotation at a position */
	float *sine;      /* [batch, head_dim / 2] */
	float *keys;      /* [layers, steps, kv_heads * head_dim] */
	float *values;    /* [layers, steps, kv_heads * head_dim] */
	float *logits;    /* [batch, vocab] */
};

/* End with state_free(), on failure, too. Errors: see diag.h. */
int state_allocate(struct state *state, const struct config *config, size_t steps,
		   struct diag *diag);

/* Does nothing to a zeroed one. */
void state_free(struct state *state);

/* Takes count tokens, from 1 to FORWARD_BATCH and each below vocab, at this position (below steps)
   and those that follow; all before have been taken since position 0. Fills as many rows of
   state->logits, from the first on, with the logits after the last of them as are wanted, at most
   count. */
void forward(const struct model *model, struct state *state, struct team *team, const int *tokens,
	     size_t count, size_t position, size_t wanted);

#endif
