/* SPDX-License-Identifier: MIT */
/* sampler.c - from logits to the next token. */
#include "runtime-demo/sampler.h"

#include "runtime-demo/forward.h"

/* Numbers from one seed on are spread over the state first (the splitmix64 step), so that 0, 1 and
   2 do not begin alike. */
void sampler_seed(struct sampler *sampler, uint64_t seed)
{
	uint64_t z = seed + 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	z ^= z >> 31;
	sampler->state = z ? z : 1;
}

static float next_random(struct sampler *sampler) /* xorshift64*: at least 0, below 1 */
{
	sampler->state ^= sampler->state >> 12;
	sampler->state ^= sampler->state << 25;
	sampler->state ^= sampler->state >> 27;
	return (float)(sampler->state * 0x2545f4914f6cdd1d >> 40) * 0x1p-24f;
}

int sampler_next(struct sampler *sampler, float *logits, size_t n)
{
	size_t best = 0;
	float left;

	if (sampler->temperature <= 0) {
		for (size_t i = 1; i < n; i++)
			best = logits[i] > logits[best] ? i : best;
		return (int)best;
	}
	for (size_t i = 0; i < n; i++)
		logits[i] /= sampler->temperature;
	softmax(logits, n);
	left = next_random(sampler);
	for (size_t i = 0; i < n; i++) {
		if (logits[i] > left)
			return (int)i;
		left -= logits[i];
		best = logits[i] > logits[best] ? i : best;
	}
	return (int)best; /* the sum of all fell short of 1 by rounding */
}
