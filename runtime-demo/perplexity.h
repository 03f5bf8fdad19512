/* SPDX-License-Identifier: MIT */
/*
 * perplexity.h - how well a model predicts a text.
 *
 * The text's tokens t[0], t[1], ..., without what the post-processor would put around them, are
 * looked at through windows of at most `window` tokens. A window holds what the post-processor puts
 * before a text (often the token that begins one, often nothing), then tokens of the text from
 * t[stride * i] on, in window i; the last one ends with the text. In a window the model predicts
 * each token but the first from all before it. The first `skip` predictions of a window do not
 * count, nor do predictions of tokens that are not of the text, or that an earlier window counted.
 *
 * The perplexity is e to the power of the mean of -ln p over the p that count, where p is the
 * probability that the model gave the token that comes.
 */
#ifndef ENTROFS_RUN_PERPLEXITY_H
#define ENTROFS_RUN_PERPLEXITY_H

#include "runtime-demo/model.h"
#include "runtime-demo/options.h"
#include "runtime-demo/tokenizer.h"

struct perplexity {
	size_t tokens;               /* of the text */
	size_t windows, counted;     /* windows; predictions that count */
	size_t window, stride, skip; /* what the options came to */
	double mean, deviation;      /* of -ln p, in natural units */
	double seconds;              /* of computing */
};

/* Measures the text in options->perplexity_file. Progress is shown on the standard error while that
   is a terminal. Errors: see diag.h. */
int perplexity_measure(const struct model *model, const struct tokenizer *tokenizer,
		       const struct options *options, struct perplexity *result, struct diag *diag);

/* Prints it, as JSON if asked to. -1 if the standard output fails: see text_out_failed(). */
int perplexity_print(const struct perplexity *result, bool json, struct diag *diag);

#endif
