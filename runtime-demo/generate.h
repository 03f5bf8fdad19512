/* SPDX-License-Identifier: MIT */
/*
 * generate.h - continuing a text.
 */
#ifndef ENTROFS_RUN_GENERATE_H
#define ENTROFS_RUN_GENERATE_H

#include "runtime-demo/model.h"
#include "runtime-demo/options.h"
#include "runtime-demo/tokenizer.h"

struct generated {
	size_t tokens;      /* written */
	double first_token; /* clock_seconds() when the first of them was known */
};

/* Seconds of a clock that never goes back. */
double clock_seconds(void);

/* The prompt's tokens; without any, the token that begins a text. They fit the model's context.
   Errors: see diag.h. */
int generate_prompt(const struct tokenizer *tokenizer, const struct config *config,
		    const struct options *options, struct ids *prompt, struct diag *diag);

/* Writes the prompt and what the model makes of it to the standard output, each token when it is
   known. Appends to the prompt's tokens what is written. On failure, too, the last line of the text
   is ended, if there can be one. Errors: see diag.h; the text is empty if whoever read the output
   is gone. */
int generate(const struct model *model, const struct tokenizer *tokenizer,
	     const struct options *options, struct ids *tokens, struct generated *generated,
	     struct diag *diag);

#endif
