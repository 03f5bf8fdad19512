/* SPDX-License-Identifier: MIT */
/* perplexity.c - how well a model predicts a text. */
#include "runtime-demo/perplexity.h"

#include "runtime-demo/file.h"
#include "runtime-demo/forward.h"
#include "runtime-demo/generate.h"
#include "runtime-demo/numbers.h"
#include "runtime-demo/text_out.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TEXT_LIMIT = 16 << 20 }; /* bytes */

/* Everything that is at work. */
struct meter {
	const struct model *model;
	struct state state;
	struct team *team;
	struct ids text;
	struct ids prefix; /* what begins each window */
	int *tokens;       /* [window] */
	size_t next;       /* token of the text: those before have counted */
	double sum, squares;
	struct perplexity *result;
	bool progress;
};

static int read_text(struct meter *m, const struct tokenizer *tokenizer, const char *name,
		     struct diag *diag)
{
	size_t size;
	char *text = file_read(NULL, name, TEXT_LIMIT, &size, diag);
	int result;

	if (text == NULL)
		return -1;
	result = tokenizer_encode_bare(tokenizer, text, size, &m->text, diag);
	free(text);
	if (result == 0)
		result = tokenizer_prefix(tokenizer, &m->prefix, diag);
	m->result->tokens = m->text.count;
	return result;
}

/* What the options come to with this model and text. */
static int set_windows(struct meter *m, const struct options *options, struct diag *diag)
{
	const size_t context = m->model->config.context, before = m->prefix.count;
	struct perplexity *r = m->result;

	r->window = options->window ? options->window : context;
	r->skip = options->skip;
	if (r->window > context)
		return diag_fail(diag,
				 "cannot use a window of %zu tokens: the model's context is %zu",
				 r->window, context);
	if (before >= r->window || r->skip + 1 >= r->window)
		return diag_fail(diag,
				 "cannot use a window of %zu tokens: it leaves nothing to predict",
				 r->window);
	r->stride = options->stride ? options->stride : r->window - before;
	if (r->stride > r->window - before)
		return diag_fail(
		    diag, "cannot use a stride of %zu tokens: a window holds %zu of the text",
		    r->stride, r->window - before);
	return 0;
}

static int begin(struct meter *m, const struct options *options, struct diag *diag)
{
	m->tokens = diag_allocate(m->result->window, sizeof(*m->tokens), diag);
	if (m->tokens == NULL ||
	    state_allocate(&m->state, &m->model->config, m->result->window, diag) != 0)
		return -1;
	m->team = team_start(options->threads, diag);
	m->progress = isatty(STDERR_FILENO);
	return m->team ? 0 : -1;
}

static void end(struct meter *m)
{
	team_end(m->team);
	state_free(&m->state);
	free(m->tokens);
	free(m->text.at);
	free(m->prefix.at);
}

/* Counts -ln p of this token, given the logits; they are changed. */
static int count(struct meter *m, float *logits, int token, struct diag *diag)
{
	const size_t vocab = m->model->config.vocab;
	const double own = (double)logits[token], max = (double)numbers_max(logits, vocab);
	double sum = 0, surprise = NAN;

	for (size_t i = 0; i < vocab; i++)
		logits[i] -= (float)max;
	numbers_exp(logits, vocab);
	for (size_t i = 0; i < vocab; i++)
		sum += (double)logits[i];
	if (sum > 0) /* as it is, unless a logit is no number */
		surprise = log(sum) + max - own;
	if (!isfinite(surprise))
		return diag_fail(diag, "cannot go on: the model's logits are not finite");
	m->sum += surprise;
	m->squares += surprise * surprise;
	m->result->counted++;
	return 0;
}

/* The window that begins with this token of the text. */
static int measure_window(struct meter *m, size_t first, struct diag *diag)
{
	const size_t before = m->prefix.count, left = m->text.count - first;
	const size_t room = m->result->window - before;
	const size_t n = before + (left < room ? left : room), vocab = m->model->config.vocab;
	size_t count_from = m->result->skip; /* number of a prediction: of the token after it */

	if (before > 0)
		memcpy(m->tokens, m->prefix.at, before * sizeof(int));
	memcpy(m->tokens + before, m->text.at + first, (n - before) * sizeof(int));
	/* Prediction k is of token first + k + 1 - before. */
	if (m->next > first && count_from + first + 1 < m->next + before)
		count_from = m->next + before - first - 1;
	if (count_from + 1 < before)
		count_from = before - 1;
	for (size_t at = 0, taken; at + 1 < n; at += taken) {
		taken = n - 1 - at < FORWARD_BATCH ? n - 1 - at : FORWARD_BATCH;
		const size_t end = at + taken, from = count_from > at ? count_from : at;
		const size_t wanted = end > from ? end - from : 0;

		forward(m->model, &m->state, m->team, m->tokens + at, taken, at, wanted);
		for (size_t i = 0; i < wanted; i++)
			if (count(m, m->state.logits + i * vocab, m->tokens[from + i + 1], diag) !=
			    0)
				return -1;
	}
	m->next = first + n - before;
	m->result->windows++;
	return 0;
}

static void show_progress(const struct meter *m)
{
	const struct perplexity *r = m->result;

	if (m->progress && r->counted > 0)
		fprintf(stderr, "\r%5.1f %%  perplexity %.4f ",
			100.0 * (double)m->next / (double)r->tokens,
			exp(m->sum / (double)r->counted));
}

static int measure(struct meter *m, struct diag *diag)
{
	struct perplexity *r = m->result;
	const double started = clock_seconds();

	for (size_t first = 0; m->next < m->text.count; first += r->stride) {
		if (measure_window(m, first, diag) != 0)
			return -1;
		show_progress(m);
	}
	r->seconds = clock_seconds() - started;
	if (r->counted == 0)
		return diag_fail(diag,
				 "cannot measure the text: its %zu tokens leave nothing to predict",
				 r->tokens);
	r->mean = m->sum / (double)r->counted;
	r->deviation = sqrt(fmax(m->squares / (double)r->counted - r->mean * r->mean, 0));
	return 0;
}

int perplexity_measure(const struct model *model, const struct tokenizer *tokenizer,
		       const struct options *options, struct perplexity *result, struct diag *diag)
{
	struct meter m = {.model = model, .result = result};
	int status = -1;

	*result = (struct perplexity){0};
	if (read_text(&m, tokenizer, options->perplexity_file, diag) == 0 &&
	    set_windows(&m, options, diag) == 0 && begin(&m, options, diag) == 0)
		status = measure(&m, diag);
	if (m.progress && m.next > 0)
		fputs("\r\033[K", stderr);
	end(&m);
	return status;
}

int perplexity_print(const struct perplexity *r, bool json, struct diag *diag)
{
	const double value = exp(r->mean);
	const double error = value * r->deviation / sqrt((double)r->counted);

	if (json)
		printf("{\"perplexity\": %.6f, \"standard_error\": %.6f, \"mean_nll\": %.8f, "
		       "\"tokens\": %zu, \"counted\": %zu, \"windows\": %zu, \"window\": %zu, "
		       "\"stride\": %zu, \"skip\": %zu}\n",
		       value, error, r->mean, r->tokens, r->counted, r->windows, r->window,
		       r->stride, r->skip);
	else
		printf("perplexity   %10.4f +- %.4f\n"
		       "predictions  %10zu of %zu tokens\n"
		       "windows      %10zu of %zu tokens, stride %zu, skip %zu\n",
		       value, error, r->counted, r->tokens, r->windows, r->window, r->stride,
		       r->skip);
	return fflush(stdout) != 0 ? text_out_failed(diag) : 0;
}
