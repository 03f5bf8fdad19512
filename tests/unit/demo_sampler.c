/* SPDX-License-Identifier: MIT */
/*
 * demo_sampler.c - which tokens are drawn, how often, and that a seed decides it.
 *
 * Frequencies are held against the probabilities by Pearson's chi-squared statistic. Seeds are
 * fixed, so a limit that is passed once is passed always: it need only be one that a right sampler
 * is likely to pass and a wrong one is not.
 */
#include "runtime-demo/sampler.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { VOCAB = 8, DRAWS = 200000 };

static const float logits[VOCAB] = {1.0f, -2.0f, 0.5f, 3.0f, 0.5f, -0.25f, 2.0f, -7.0f};

static struct sampler_settings settings(double temperature, size_t top_k, double top_p)
{
	return (struct sampler_settings){.temperature = temperature,
					 .top_k = top_k,
					 .top_p = top_p,
					 .repeat_penalty = 1,
					 .repeat_last = 64,
					 .seed = 1};
}

/* Draws often from the logits above, after these tokens; counts[] says how often each came. */
static void draw_often(const struct sampler_settings *s, const int *tokens, size_t n,
		       unsigned counts[VOCAB])
{
	struct sampler sampler;
	struct diag diag = {""};

	memset(counts, 0, VOCAB * sizeof(*counts));
	cr_assert_eq(sampler_start(&sampler, s, VOCAB, &diag), 0, "%s", diag.text);
	for (unsigned i = 0; i < DRAWS; i++) {
		float copy[VOCAB];
		int token;

		memcpy(copy, logits, sizeof(copy));
		token = sampler_next(&sampler, copy, tokens, n, &diag);
		cr_assert(token >= 0 && token < VOCAB, "%d: %s", token, diag.text);
		counts[token]++;
	}
	sampler_free(&sampler);
}

/* The counts are those of tokens with probabilities proportional to exp(logit / temperature), of
   the kept ones; no other came. */
static void check_counts(const unsigned counts[VOCAB], const float *own, double temperature,
			 const char kept[VOCAB + 1])
{
	double total = 0, statistic = 0;
	unsigned free = 0;

	for (int i = 0; i < VOCAB; i++)
		total += kept[i] == 'x' ? exp((double)own[i] / temperature) : 0;
	for (int i = 0; i < VOCAB; i++) {
		const double expected = DRAWS * exp((double)own[i] / temperature) / total;

		if (kept[i] != 'x') {
			cr_assert_eq(counts[i], 0, "token %d came %u times", i, counts[i]);
			continue;
		}
		statistic += (counts[i] - expected) * (counts[i] - expected) / expected;
		free++;
	}
	/* The mean is the degrees of freedom, the variance twice that: 4 deviations above. */
	free--;
	cr_assert_lt(statistic, free + 4 * sqrt(2.0 * free) + 1e-9, "chi squared is %g for %u",
		     statistic, free);
}

static void check(double temperature, size_t top_k, double top_p, const char kept[VOCAB + 1])
{
	const struct sampler_settings s = settings(temperature, top_k, top_p);
	unsigned counts[VOCAB];

	draw_often(&s, NULL, 0, counts);
	check_counts(counts, logits, temperature, kept);
}

Test(demo_sampler, temperature)
{
	check(1, 0, 1, "xxxxxxxx");
	check(0.5, 0, 1, "xxxxxxxx");
	check(2, 0, 1, "xxxxxxxx");
	check(1000, 0, 1, "xxxxxxxx");
}

/* In order of likelihood: 3, 6, 0, then 2 and 4, which are equal, 5, 1, 7. */
Test(demo_sampler, top_k)
{
	check(1, 1, 1, "...x....");
	check(1, 2, 1, "...x..x.");
	check(1, 3, 1, "x..x..x.");
	check(1, 4, 1, "x.xx..x.");
	check(1, 5, 1, "x.xxx.x.");
	check(3, 6, 1, "x.xxxxx.");
	check(1, 8, 1, "xxxxxxxx");
	check(1, 1u << 30, 1, "xxxxxxxx");
}

/* Probabilities at temperature 1: 0.584, 0.215, 0.079, 0.048 twice, 0.023, 0.004, 0.00003. The
   token that reaches the sum is kept. */
Test(demo_sampler, top_p)
{
	check(1, 0, 0, "...x....");
	check(1, 0, 0.58, "...x....");
	check(1, 0, 0.59, "...x..x.");
	check(1, 0, 0.79, "...x..x.");
	check(1, 0, 0.81, "x..x..x.");
	check(1, 0, 0.90, "x.xx..x.");
	check(1, 0, 0.94, "x.xxx.x.");
	check(1, 0, 0.9999, "xxxxxxx.");
	check(1, 0, 1, "xxxxxxxx");
}

/* As llama.cpp does it: by the probabilities before the temperature is applied. */
Test(demo_sampler, top_p_comes_before_temperature)
{
	check(10, 0, 0.79, "...x..x.");
	check(0.25, 0, 0.81, "x..x..x.");
}

/* Of three tokens left by top_k the first has 0.665, the second 0.245. */
Test(demo_sampler, top_p_is_of_what_top_k_leaves)
{
	check(1, 3, 0.66, "...x....");
	check(1, 3, 0.67, "...x..x.");
	check(1, 3, 0.90, "...x..x.");
	check(1, 3, 0.92, "x..x..x.");
	check(1, 3, 0.9999, "x..x..x.");
}

Test(demo_sampler, temperature_zero_takes_the_likeliest)
{
	const struct sampler_settings s = settings(0, 5, 0.5);
	unsigned counts[VOCAB];

	draw_often(&s, NULL, 0, counts);
	cr_assert_eq(counts[3], DRAWS);
}

/* Of equals the lower number comes first, whatever is asked for. */
Test(demo_sampler, equal_logits)
{
	const size_t top_k[] = {0, 1, 1, 0};
	const double top_p[] = {1, 1, 0.5, 1e-9}, temperature[] = {0, 1, 1, 1};

	for (unsigned i = 0; i < 4; i++) {
		const struct sampler_settings s = settings(temperature[i], top_k[i], top_p[i]);
		float equal[100];
		struct sampler sampler;
		struct diag diag;

		for (int k = 0; k < 100; k++)
			equal[k] = k < 17 ? 1.0f : 2.0f;
		cr_assert_eq(sampler_start(&sampler, &s, 100, &diag), 0);
		cr_assert_eq(sampler_next(&sampler, equal, NULL, 0, &diag), 17);
		sampler_free(&sampler);
	}
}

/* What stood there is punished once, towards minus infinity on either side of 0. */
Test(demo_sampler, repeat_penalty)
{
	const int tokens[] = {7, 3, 3, 1, 3, 6};
	const float punished[VOCAB] = {1.0f, -3.0f, 0.5f, 2.0f, 0.5f, -0.25f, 2.0f / 1.5f, -10.5f};
	struct sampler_settings s = settings(1, 0, 1);
	unsigned counts[VOCAB];

	s.repeat_penalty = 1.5;
	draw_often(&s, tokens, 6, counts);
	check_counts(counts, punished, 1, "xxxxxxxx");
	s.top_k = 1;
	draw_often(&s, tokens, 6, counts);
	check_counts(counts, punished, 1, "...x....");
}

Test(demo_sampler, repeat_penalty_looks_at_the_last_tokens_only)
{
	const int tokens[] = {6, 3, 0, 5, 2};
	struct sampler_settings s = settings(0, 0, 1);
	/* How far back the penalty, which is enormous, looks, and what is the likeliest then. */
	static const struct {
		size_t last;
		unsigned likeliest;
	} cases[] = {{0, 3}, {1, 3}, {3, 3}, {4, 6}, {5, 4}, {64, 4}};
	unsigned counts[VOCAB];

	s.repeat_penalty = 1000;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		s.repeat_last = cases[i].last;
		draw_often(&s, tokens, 5, counts);
		cr_assert_eq(counts[cases[i].likeliest], DRAWS, "looking at %zu", cases[i].last);
	}
}

/* The first draws of some seeds, as they must come on every machine; a few lines of Python that do
   what sampler.h says drew the same. */
Test(demo_sampler, seeds)
{
	static const struct {
		uint64_t seed;
		const char *drawn;
	} cases[] = {
	    {0, "36463330636333663230"},
	    {1, "63603523340436642326"},
	    {2, "34346330443432063363"},
	    {UINT64_MAX, "54033336302303660263"},
	    {UINT64_C(0x61c8864680b583eb), "63364333636023330433"}}; /* whose mixed state is 0 */

	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct sampler_settings s = settings(1.25, i % 2 ? 7 : 0, i % 3 ? 0.99 : 1);
		struct sampler sampler;
		struct diag diag;
		char drawn[21] = "";

		s.seed = cases[i].seed;
		cr_assert_eq(sampler_start(&sampler, &s, VOCAB, &diag), 0);
		for (unsigned k = 0; k < 20; k++) {
			float copy[VOCAB];

			memcpy(copy, logits, sizeof(copy));
			drawn[k] = (char)('0' + sampler_next(&sampler, copy, NULL, 0, &diag));
		}
		sampler_free(&sampler);
		cr_expect_str_eq(drawn, cases[i].drawn, "seed %llu drew %s",
				 (unsigned long long)cases[i].seed, drawn);
	}
}

Test(demo_sampler, logits_that_are_no_numbers)
{
	const float bad[] = {NAN, INFINITY, -INFINITY};

	for (unsigned i = 0; i < 3 * VOCAB; i++) {
		const struct sampler_settings s = settings(i % 2, i % 3, 0.5);
		struct sampler sampler;
		struct diag diag = {""};
		float copy[VOCAB];

		memcpy(copy, logits, sizeof(copy));
		copy[i / 3] = bad[i % 3];
		cr_assert_eq(sampler_start(&sampler, &s, VOCAB, &diag), 0);
		cr_assert_eq(sampler_next(&sampler, copy, NULL, 0, &diag), -1);
		cr_assert_str_eq(diag.text, "cannot go on: the model's logits are not finite");
		sampler_free(&sampler);
	}
}

/* Extremes that are numbers, and temperatures that make infinities of their differences. */
Test(demo_sampler, extreme_logits)
{
	const double temperatures[] = {1e-300, 1e-30, 1, 1000};

	for (unsigned i = 0; i < 4; i++) {
		struct sampler_settings s = settings(temperatures[i], 0, 0.999);
		float extreme[4] = {-3e38f, 3e38f, 0, -1e-38f};
		struct sampler sampler;
		struct diag diag;

		s.repeat_penalty = 1.0;
		cr_assert_eq(sampler_start(&sampler, &s, 4, &diag), 0);
		cr_assert_eq(sampler_next(&sampler, extreme, NULL, 0, &diag), 1);
		sampler_free(&sampler);
	}
}
