/* SPDX-License-Identifier: MIT */
/* generate.c - continuing a text. */
#include "runtime-demo/generate.h"

#include "runtime-demo/forward.h"
#include "runtime-demo/sampler.h"
#include "runtime-demo/text_out.h"
#include "runtime-demo/whole_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

double clock_seconds(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

int generate_prompt(const struct tokenizer *tokenizer, const struct config *config,
		    const struct options *options, struct ids *prompt, struct diag *diag)
{
	if (tokenizer_encode(tokenizer, options->prompt, strlen(options->prompt), prompt, diag) !=
	    0)
		return -1;
	if (prompt->count == 0 && config->bos < 0)
		return diag_fail(diag, "cannot begin: the prompt is empty and config.json has no "
				       "bos_token_id");
	if (prompt->count == 0 && ids_append(prompt, config->bos, diag) != 0)
		return -1;
	if (prompt->count > config->context)
		return diag_fail(
		    diag, "cannot use the prompt: its %zu tokens exceed the model's context of %zu",
		    prompt->count, config->context);
	return 0;
}

/* Everything that is at work while a text is written. */
struct writer {
	const struct model *model;
	const struct tokenizer *tokenizer;
	const struct options *options;
	struct sampler sampler;
	struct text_out out;
	struct state state;
	struct team *team;
	char *piece;              /* [tokenizer_longest()] */
	struct whole_file logits; /* not open: not wanted */
};

static int begin(struct writer *w, size_t steps, struct diag *diag)
{
	const char *file = w->options->logits_file;
	const struct config *config = &w->model->config;

	if (state_allocate(&w->state, config, steps, diag) != 0 ||
	    sampler_start(&w->sampler, &w->options->sampling, config->vocab, diag) != 0)
		return -1;
	w->piece = diag_allocate(tokenizer_longest(w->tokenizer), 1, diag);
	w->team = w->piece ? team_start(w->options->threads, diag) : NULL;
	if (w->team == NULL)
		return -1;
	w->out.line_begins = true;
	w->out.skip_space = *w->options->prompt == '\0' && tokenizer_strips_space(w->tokenizer);
	return file ? whole_file_open(&w->logits, file, diag) : 0;
}

static void end(struct writer *w)
{
	whole_file_abandon(&w->logits);
	team_end(w->team);
	sampler_free(&w->sampler);
	state_free(&w->state);
	free(w->piece);
}

/* Runs the prompt, and leaves the logits after its last token in the first row. */
static int run_prompt(struct writer *w, const struct ids *prompt, struct diag *diag)
{
	const size_t vocab = w->model->config.vocab;
	float *logits = w->state.logits;
	size_t count, wanted = 1;

	for (size_t at = 0; at < prompt->count; at += count) {
		count = prompt->count - at < FORWARD_BATCH ? prompt->count - at : FORWARD_BATCH;
		wanted = w->logits.stream ? count : at + count == prompt->count;
		forward(w->model, &w->state, w->team, prompt->at + at, count, at, wanted);
		if (w->logits.stream != NULL)
			fwrite(logits, sizeof(float), wanted * vocab, w->logits.stream);
	}
	memmove(logits, logits + (wanted - 1) * vocab, vocab * sizeof(float));
	return w->logits.stream ? whole_file_finish(&w->logits, diag) : 0;
}

static int show(struct writer *w, int token, struct diag *diag)
{
	size_t n;

	if (tokenizer_is_special(w->tokenizer, token))
		return 0;
	n = tokenizer_decode(w->tokenizer, token, w->piece);
	return text_out_write(&w->out, w->piece, n, diag);
}

/* Runs the prompt, then writes at most so many tokens. */
static int write_tokens(struct writer *w, struct ids *tokens, size_t wanted,
			struct generated *generated, struct diag *diag)
{
	const struct config *config = &w->model->config;

	if (text_out_raw(&w->out, w->options->prompt, strlen(w->options->prompt), diag) != 0 ||
	    run_prompt(w, tokens, diag) != 0)
		return -1;
	while (generated->tokens < wanted) {
		const int token =
		    sampler_next(&w->sampler, w->state.logits, tokens->at, tokens->count, diag);

		if (generated->tokens == 0)
			generated->first_token = clock_seconds();
		if (token < 0)
			return -1;
		if (config_ends_text(config, token))
			break;
		if (show(w, token, diag) != 0 || ids_append(tokens, token, diag) != 0)
			return -1;
		if (++generated->tokens < wanted)
			forward(w->model, &w->state, w->team, &token, 1, tokens->count - 1, 1);
	}
	return 0;
}

static int write_text(struct writer *w, struct ids *tokens, size_t wanted,
		      struct generated *generated, struct diag *diag)
{
	struct diag ending;

	if (write_tokens(w, tokens, wanted, generated, diag) == 0)
		return text_out_end(&w->out, diag);
	if (!w->out.line_begins)
		(void)text_out_end(&w->out, &ending); /* why it ends is more than that */
	return -1;
}

int generate(const struct model *model, const struct tokenizer *tokenizer,
	     const struct options *options, struct ids *tokens, struct generated *generated,
	     struct diag *diag)
{
	const size_t room = model->config.context - tokens->count;
	const size_t wanted = options->tokens < room ? options->tokens : room;
	struct writer writer = {.model = model, .tokenizer = tokenizer, .options = options};
	int result;

	*generated = (struct generated){0};
	result = begin(&writer, tokens->count + wanted, diag);
	if (result == 0)
		result = write_text(&writer, tokens, wanted, generated, diag);
	end(&writer);
	if (result == 0 && generated->tokens == room && options->tokens > room)
		fprintf(stderr, "entrofs-run: stopped at the model's context of %zu tokens\n",
			model->config.context);
	return result;
}
