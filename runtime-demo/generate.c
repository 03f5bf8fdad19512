/* SPDX-License-Identifier: MIT */
/* generate.c - continuing a text. */
#include "runtime-demo/generate.h"

#include "runtime-demo/forward.h"
#include "runtime-demo/sampler.h"
#include "runtime-demo/text_out.h"

#include <errno.h>
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
	char *piece;  /* [tokenizer_longest()] */
	FILE *logits; /* NULL: not wanted */
};

static int begin(struct writer *w, size_t steps, struct diag *diag)
{
	const char *file = w->options->logits_file;

	if (state_allocate(&w->state, &w->model->config, steps, diag) != 0)
		return -1;
	w->piece = diag_allocate(tokenizer_longest(w->tokenizer), 1, diag);
	w->team = w->piece ? team_start(w->options->threads, diag) : NULL;
	if (w->team == NULL)
		return -1;
	w->logits = file ? fopen(file, "wb") : NULL;
	if (file != NULL && w->logits == NULL)
		return diag_fail(diag, "cannot write '%s': %s", file, strerror(errno));
	w->sampler.temperature = (float)w->options->temperature;
	sampler_seed(&w->sampler, w->options->seed);
	w->out.skip_space = *w->options->prompt == '\0' && tokenizer_strips_space(w->tokenizer);
	return 0;
}

static int end(struct writer *w, struct diag *diag)
{
	int result = 0;

	if (w->logits != NULL && (ferror(w->logits) | fclose(w->logits)) != 0)
		result = diag_fail(diag, "cannot write '%s': %s", w->options->logits_file,
				   strerror(errno));
	team_end(w->team);
	state_free(&w->state);
	free(w->piece);
	return result;
}

static void show(struct writer *w, int token)
{
	if (!tokenizer_is_special(w->tokenizer, token))
		text_out_write(&w->out, w->piece, tokenizer_decode(w->tokenizer, token, w->piece));
}

/* Runs the prompt, then writes at most so many tokens. */
static void write_text(struct writer *w, const struct ids *prompt, size_t wanted,
		       struct generated *generated)
{
	const struct config *config = &w->model->config;
	int token = prompt->at[0];

	fputs(w->options->prompt, stdout);
	fflush(stdout);
	for (size_t position = 0;; position++) {
		const bool in_prompt = position + 1 < prompt->count;

		forward(w->model, &w->state, w->team, token, position,
			!in_prompt || w->logits != NULL);
		if (w->logits != NULL && position < prompt->count)
			fwrite(w->state.logits, sizeof(float), config->vocab, w->logits);
		if (in_prompt) {
			token = prompt->at[position + 1];
			continue;
		}
		if (generated->tokens == wanted)
			break;
		token = sampler_next(&w->sampler, w->state.logits, config->vocab);
		if (generated->tokens == 0)
			generated->first_token = clock_seconds();
		if (config_ends_text(config, token))
			break;
		show(w, token);
		if (++generated->tokens == wanted)
			break;
	}
	text_out_end(&w->out);
}

int generate(const struct model *model, const struct tokenizer *tokenizer,
	     const struct options *options, const struct ids *prompt, struct generated *generated,
	     struct diag *diag)
{
	const size_t room = model->config.context - prompt->count;
	const size_t wanted = options->tokens < room ? options->tokens : room;
	struct writer writer = {.model = model, .tokenizer = tokenizer, .options = options};
	struct diag ending;

	*generated = (struct generated){0};
	if (begin(&writer, prompt->count + wanted, diag) != 0) {
		end(&writer, &ending);
		return -1;
	}
	write_text(&writer, prompt, wanted, generated);
	if (generated->tokens == room && options->tokens > room)
		fprintf(stderr, "entrofs-run: stopped at the model's context of %zu tokens\n",
			model->config.context);
	return end(&writer, diag);
}
