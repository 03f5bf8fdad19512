/* SPDX-License-Identifier: MIT */
/*
 * sampler.c - from logits to the next token.
 *
 * Only as many tokens are put in order as are looked at: a heap of all is made, which is linear,
 * and the likeliest are taken from its top.
 */
#include "runtime-demo/sampler.h"

#include "runtime-demo/numbers.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

int sampler_start(struct sampler *s, const struct sampler_settings *settings, size_t vocab,
		  struct diag *diag)
{
	/* Numbers from one seed on are spread over the state first (the splitmix64 step), so that
	   0, 1 and 2 do not begin alike. */
	uint64_t z = settings->seed + 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	z ^= z >> 31;
	*s = (struct sampler){.settings = *settings, .state = z ? z : 1, .vocab = vocab};
	s->candidates = diag_allocate(vocab, sizeof(*s->candidates), diag);
	s->weights = s->candidates ? diag_allocate(vocab, sizeof(*s->weights), diag) : NULL;
	s->marks = s->weights ? diag_allocate(vocab, sizeof(*s->marks), diag) : NULL;
	return s->marks ? 0 : -1;
}

void sampler_free(struct sampler *s)
{
	free(s->candidates);
	free(s->weights);
	free(s->marks);
	*s = (struct sampler){0};
}

static double next_random(struct sampler *s) /* xorshift64*: at least 0, below 1 */
{
	s->state ^= s->state >> 12;
	s->state ^= s->state << 25;
	s->state ^= s->state >> 27;
	return (double)(s->state * 0x2545f4914f6cdd1d >> 11) * 0x1p-53;
}

/* A token is punished once, however often it stood there. */
static void punish_repeats(struct sampler *s, float *logits, const int *tokens, size_t count)
{
	const float penalty = (float)s->settings.repeat_penalty;
	const size_t last = s->settings.repeat_last;

	s->draws++;
	for (size_t i = count > last ? count - last : 0; i < count; i++) {
		float *logit = &logits[tokens[i]];

		if (s->marks[tokens[i]] == s->draws)
			continue;
		s->marks[tokens[i]] = s->draws;
		*logit = *logit > 0 ? *logit / penalty : *logit * penalty;
	}
}

/* --- the likeliest ---------------------------------------------------------------------------- */

static bool is_likelier(const struct candidate *a, const struct candidate *b)
{
	return a->logit != b->logit ? a->logit > b->logit : a->token < b->token;
}

/* Puts the candidate at this slot of the heap of n in its place below. */
static void sift(struct candidate *heap, size_t slot, size_t n)
{
	const struct candidate moved = heap[slot];

	for (size_t child; (child = 2 * slot + 1) < n; slot = child) {
		child += child + 1 < n && is_likelier(&heap[child + 1], &heap[child]);
		if (!is_likelier(&heap[child], &moved))
			break;
		heap[slot] = heap[child];
	}
	heap[slot] = moved;
}

/* Moves the likeliest of the heap of n to its end, which is no longer of the heap then. */
static void take_likeliest(struct candidate *heap, size_t n)
{
	const struct candidate top = heap[0];

	heap[0] = heap[n - 1];
	sift(heap, 0, n - 1);
	heap[n - 1] = top;
}

/* e to the power of x, which is not positive. */
static double weight_of(float x)
{
	numbers_exp(&x, 1);
	return (double)x;
}

/* Makes a heap of all candidates and moves the top_k likeliest, the likeliest last, to its end. */
static size_t keep_top_k(struct sampler *s)
{
	const size_t n = s->vocab, k = s->settings.top_k < n ? s->settings.top_k : n;

	for (size_t slot = n / 2; slot-- > 0;)
		sift(s->candidates, slot, n);
	for (size_t taken = 0; taken < k; taken++)
		take_likeliest(s->candidates, n - taken);
	return k;
}

/* How many of the likeliest, of the kept ones or, if kept is 0, of all, top_p leaves; they are at
   the end of the candidates then. */
static size_t keep_top_p(struct sampler *s, size_t kept)
{
	const size_t n = s->vocab, all = kept ? kept : n;
	const float best = s->candidates[kept ? n - 1 : 0].logit;
	double total = 0, sum = 0;
	size_t taken = 0;

	for (size_t i = n - all; i < n; i++)
		total += weight_of(s->candidates[i].logit - best);
	while (taken < all) {
		if (kept == 0)
			take_likeliest(s->candidates, n - taken);
		sum += weight_of(s->candidates[n - ++taken].logit - best);
		if (sum >= s->settings.top_p * total)
			break;
	}
	return taken;
}

/* One of n candidates, best being the largest of their logits. */
static int draw(struct sampler *s, const struct candidate *candidates, size_t n, float best)
{
	double sum = 0, left;
	int token = -1;

	for (size_t i = 0; i < n; i++)
		s->weights[i] =
		    (float)((double)(candidates[i].logit - best) / s->settings.temperature);
	numbers_exp(s->weights, n);
	for (size_t i = 0; i < n; i++)
		sum += (double)s->weights[i];
	left = next_random(s) * sum;
	for (size_t i = 0; i < n; i++) {
		if ((double)s->weights[i] > left)
			return candidates[i].token;
		left -= (double)s->weights[i];
		if (candidates[i].logit >= best)
			token = candidates[i].token;
	}
	return token; /* all together fell short of the sum by rounding */
}

int sampler_next(struct sampler *s, float *logits, const int *tokens, size_t count,
		 struct diag *diag)
{
	const struct sampler_settings *settings = &s->settings;
	size_t best = 0, kept = 0;

	punish_repeats(s, logits, tokens, count);
	for (size_t i = 0; i < s->vocab; i++) {
		if (!isfinite(logits[i]))
			return diag_fail(diag, "cannot go on: the model's logits are not finite");
		s->candidates[i] = (struct candidate){logits[i], (int)i};
		best = logits[i] > logits[best] ? i : best;
	}
	if (settings->temperature <= 0)
		return (int)best;
	if (settings->top_k > 0 || settings->top_p < 1)
		kept = keep_top_k(s);
	if (settings->top_p < 1)
		kept = keep_top_p(s, kept);
	kept = kept ? kept : s->vocab;
	return draw(s, s->candidates + s->vocab - kept, kept, logits[best]);
}
