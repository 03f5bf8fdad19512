/* SPDX-License-Identifier: MIT */
/* forward.c - the forward pass. */
#include "runtime-demo/forward.h"

#include "runtime-demo/numbers.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Each of count vectors of n numbers. */
static void normalize(const float *x, const float *weight, float eps, size_t n, size_t count,
		      float *out)
{
	for (; count > 0; count--, x += n, out += n) {
		const float factor = 1.0f / sqrtf(numbers_dot(x, x, n) / (float)n + eps);

		for (size_t i = 0; i < n; i++)
			out[i] = weight[i] * (x[i] * factor);
	}
}

/* *array = a * b * c zero floats. */
static int allocate_floats(float **array, size_t a, size_t b, size_t c, struct diag *diag)
{
	size_t product;

	if (__builtin_mul_overflow(a, b, &product) || __builtin_mul_overflow(product, c, &product))
		return diag_fail(diag, "cannot allocate %zu x %zu x %zu numbers", a, b, c);
	*array = diag_allocate(product, sizeof(float), diag);
	return *array == NULL ? -1 : 0;
}

int state_allocate(struct state *s, const struct config *c, size_t steps, struct diag *diag)
{
	const size_t query_dim = c->heads * c->head_dim, kv_dim = c->kv_heads * c->head_dim;
	const struct {
		float **array;
		size_t a, b, c;
	} arrays[] = {
	    {&s->x, FORWARD_BATCH, c->dim, 1},
	    {&s->normed, FORWARD_BATCH, c->dim, 1},
	    {&s->query, FORWARD_BATCH, query_dim, 1},
	    {&s->attended, FORWARD_BATCH, query_dim, 1},
	    {&s->projected, FORWARD_BATCH, c->dim, 1},
	    {&s->gate, FORWARD_BATCH, c->hidden, 1},
	    {&s->up, FORWARD_BATCH, c->hidden, 1},
	    {&s->scores, steps, 1, 1},
	    {&s->cosine, FORWARD_BATCH, c->head_dim / 2, 1},
	    {&s->sine, FORWARD_BATCH, c->head_dim / 2, 1},
	    {&s->keys, c->layers, steps, kv_dim},
	    {&s->values, c->layers, steps, kv_dim},
	    {&s->logits, FORWARD_BATCH, c->vocab, 1},
	};

	*s = (struct state){.steps = steps};
	for (size_t i = 0; i < sizeof(arrays) / sizeof(*arrays); i++)
		if (allocate_floats(arrays[i].array, arrays[i].a, arrays[i].b, arrays[i].c, diag) !=
		    0)
			return -1;
	return 0;
}

void state_free(struct state *s)
{
	float *all[] = {s->x,      s->normed, s->query, s->attended, s->projected, s->gate,  s->up,
			s->scores, s->cosine, s->sine,  s->keys,     s->values,    s->logits};

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		free(all[i]);
	*s = (struct state){0};
}

/* The angles grow with the position. */
static void set_rotations(const struct config *c, struct state *s, size_t count, size_t position)
{
	const size_t half = c->head_dim / 2;

	for (size_t k = 0; k < half; k++) {
		const double rate = rope_rate(&c->rope, s->steps, k, half);
		const double size = c->rope.magnitude;

		for (size_t i = 0; i < count; i++) {
			s->cosine[i * half + k] =
			    (float)(size * cos((double)(position + i) * rate));
			s->sine[i * half + k] = (float)(size * sin((double)(position + i) * rate));
		}
	}
}

/* Rotates each pair (k, k + head_dim / 2) of each head of each of count vectors. */
static void rotate(const struct state *s, float *x, size_t heads, size_t head_dim, size_t count)
{
	const size_t half = head_dim / 2;

	for (size_t i = 0; i < count; i++) {
		const float *cosine = s->cosine + i * half, *sine = s->sine + i * half;

		for (size_t head = 0; head < heads; head++, x += head_dim) {
			for (size_t k = 0; k < half; k++) {
				const float a = x[k], b = x[k + half];

				x[k] = a * cosine[k] - b * sine[k];
				x[k + half] = b * cosine[k] + a * sine[k];
			}
		}
	}
}

/* At one position every query head looks at all so far that lie in its window, through its share
   of the key-value heads. keys and values are those of the layer. */
static void attend(const struct config *c, const float *keys, const float *values,
		   const float *query, size_t position, float *scores, float *out)
{
	const size_t kv_dim = c->kv_heads * c->head_dim, group = c->heads / c->kv_heads;
	const float scale = 1.0f / sqrtf((float)c->head_dim);
	const size_t count = position + 1;
	const size_t first = c->window > 0 && count > c->window ? count - c->window : 0;

	memset(out, 0, c->heads * c->head_dim * sizeof(*out));
	for (size_t head = 0; head < c->heads; head++) {
		const size_t shared = head / group * c->head_dim, own = head * c->head_dim;

		for (size_t t = first; t < count; t++)
			scores[t] = scale * numbers_dot(query + own, keys + t * kv_dim + shared,
							c->head_dim);
		numbers_softmax(scores + first, count - first);
		for (size_t t = first; t < count; t++)
			for (size_t k = 0; k < c->head_dim; k++)
				out[own + k] += scores[t] * values[t * kv_dim + shared + k];
	}
}

static void add(float *x, const float *y, size_t n)
{
	for (size_t i = 0; i < n; i++)
		x[i] += y[i];
}

static void attention_block(const struct model *model, size_t number, struct state *s,
			    struct team *team, size_t count, size_t position)
{
	const struct config *c = &model->config;
	const struct layer *layer = &model->layers[number];
	const size_t query_dim = c->heads * c->head_dim, kv_dim = c->kv_heads * c->head_dim;
	float *keys = s->keys + number * s->steps * kv_dim;
	float *values = s->values + number * s->steps * kv_dim;

	normalize(s->x, layer->attention_norm, c->norm_eps, c->dim, count, s->normed);
	tensor_multiply(team, &layer->query, s->normed, count, s->query);
	tensor_multiply(team, &layer->key, s->normed, count, keys + position * kv_dim);
	tensor_multiply(team, &layer->value, s->normed, count, values + position * kv_dim);
	rotate(s, s->query, c->heads, c->head_dim, count);
	rotate(s, keys + position * kv_dim, c->kv_heads, c->head_dim, count);
	for (size_t i = 0; i < count; i++)
		attend(c, keys, values, s->query + i * query_dim, position + i, s->scores,
		       s->attended + i * query_dim);
	tensor_multiply(team, &layer->output, s->attended, count, s->projected);
	add(s->x, s->projected, count * c->dim);
}

static void feedforward_block(const struct model *model, size_t number, struct state *s,
			      struct team *team, size_t count)
{
	const struct config *c = &model->config;
	const struct layer *layer = &model->layers[number];
	const size_t n = count * c->hidden;

	normalize(s->x, layer->feedforward_norm, c->norm_eps, c->dim, count, s->normed);
	tensor_multiply(team, &layer->gate, s->normed, count, s->gate);
	tensor_multiply(team, &layer->up, s->normed, count, s->up);
	numbers_silu(s->gate, n);
	for (size_t i = 0; i < n; i++)
		s->gate[i] *= s->up[i];
	tensor_multiply(team, &layer->down, s->gate, count, s->projected);
	add(s->x, s->projected, count * c->dim);
}

void forward(const struct model *model, struct state *s, struct team *team, const int *tokens,
	     size_t count, size_t position, size_t wanted)
{
	const struct config *c = &model->config;

	set_rotations(c, s, count, position);
	for (size_t i = 0; i < count; i++)
		tensor_values(&model->embedding, (size_t)tokens[i] * c->dim, c->dim,
			      s->x + i * c->dim);
	for (size_t number = 0; number < c->layers; number++) {
		attention_block(model, number, s, team, count, position);
		feedforward_block(model, number, s, team, count);
	}
	if (wanted > 0) {
		normalize(s->x + (count - wanted) * c->dim, model->norm, c->norm_eps, c->dim,
			  wanted, s->normed);
		tensor_multiply(team, &model->classifier, s->normed, wanted, s->logits);
	}
}
