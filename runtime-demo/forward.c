/* SPDX-License-Identifier: MIT */
/* forward.c - the forward pass. */
#include "runtime-demo/forward.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void normalize(const float *x, const float *weight, float eps, size_t n, float *out)
{
	const float factor = 1.0f / sqrtf(tensor_dot(x, x, n) / (float)n + eps);

	for (size_t i = 0; i < n; i++)
		out[i] = weight[i] * (x[i] * factor);
}

void softmax(float *x, size_t n)
{
	float max = x[0], sum = 0;

	for (size_t i = 1; i < n; i++)
		max = x[i] > max ? x[i] : max;
	for (size_t i = 0; i < n; i++) {
		x[i] = expf(x[i] - max);
		sum += x[i];
	}
	for (size_t i = 0; i < n; i++)
		x[i] /= sum;
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
	    {&s->x, c->dim, 1, 1},
	    {&s->normed, c->dim, 1, 1},
	    {&s->query, query_dim, 1, 1},
	    {&s->attended, query_dim, 1, 1},
	    {&s->projected, c->dim, 1, 1},
	    {&s->gate, c->hidden, 1, 1},
	    {&s->up, c->hidden, 1, 1},
	    {&s->scores, steps, 1, 1},
	    {&s->cosine, c->head_dim / 2, 1, 1},
	    {&s->sine, c->head_dim / 2, 1, 1},
	    {&s->keys, c->layers, steps, kv_dim},
	    {&s->values, c->layers, steps, kv_dim},
	    {&s->logits, c->vocab, 1, 1},
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

/* Rotates each pair (i, i + head_dim / 2) of each head by an angle that grows with the position. */
static void rotate(const struct state *s, float *x, size_t heads, size_t head_dim)
{
	const size_t half = head_dim / 2;

	for (float *head = x; head < x + heads * head_dim; head += head_dim) {
		for (size_t i = 0; i < half; i++) {
			const float a = head[i], b = head[i + half];

			head[i] = a * s->cosine[i] - b * s->sine[i];
			head[i + half] = b * s->cosine[i] + a * s->sine[i];
		}
	}
}

/* Every query head looks at all positions so far through its share of the key-value heads. */
static void attend(const struct config *c, struct state *s, size_t layer, size_t position)
{
	const size_t kv_dim = c->kv_heads * c->head_dim, first = layer * s->steps * kv_dim;
	const float scale = 1.0f / sqrtf((float)c->head_dim);

	memset(s->attended, 0, c->heads * c->head_dim * sizeof(float));
	for (size_t head = 0; head < c->heads; head++) {
		const size_t shared = first + head / (c->heads / c->kv_heads) * c->head_dim;
		const float *query = s->query + head * c->head_dim;
		float *out = s->attended + head * c->head_dim;

		for (size_t t = 0; t <= position; t++)
			s->scores[t] =
			    scale * tensor_dot(query, s->keys + shared + t * kv_dim, c->head_dim);
		softmax(s->scores, position + 1);
		for (size_t t = 0; t <= position; t++)
			for (size_t i = 0; i < c->head_dim; i++)
				out[i] += s->scores[t] * s->values[shared + t * kv_dim + i];
	}
}

static void add(float *x, const float *y, size_t n)
{
	for (size_t i = 0; i < n; i++)
		x[i] += y[i];
}

void forward(const struct model *model, struct state *s, struct team *team, int token,
	     size_t position, bool want_logits)
{
	const struct config *c = &model->config;
	const size_t kv_dim = c->kv_heads * c->head_dim;

	for (size_t i = 0; i < c->head_dim / 2; i++) {
		const double angle =
		    (double)position * pow(c->rope_theta, -2.0 * (double)i / (double)c->head_dim);

		s->cosine[i] = (float)cos(angle);
		s->sine[i] = (float)sin(angle);
	}
	tensor_values(&model->embedding, (size_t)token * c->dim, c->dim, s->x);
	for (size_t number = 0; number < c->layers; number++) {
		const struct layer *layer = &model->layers[number];
		float *key = s->keys + (number * s->steps + position) * kv_dim;
		float *value = s->values + (number * s->steps + position) * kv_dim;

		normalize(s->x, layer->attention_norm, c->norm_eps, c->dim, s->normed);
		tensor_multiply(team, &layer->query, s->normed, s->query);
		tensor_multiply(team, &layer->key, s->normed, key);
		tensor_multiply(team, &layer->value, s->normed, value);
		rotate(s, s->query, c->heads, c->head_dim);
		rotate(s, key, c->kv_heads, c->head_dim);
		attend(c, s, number, position);
		tensor_multiply(team, &layer->output, s->attended, s->projected);
		add(s->x, s->projected, c->dim);

		normalize(s->x, layer->feedforward_norm, c->norm_eps, c->dim, s->normed);
		tensor_multiply(team, &layer->gate, s->normed, s->gate);
		tensor_multiply(team, &layer->up, s->normed, s->up);
		for (size_t i = 0; i < c->hidden; i++)
			s->gate[i] = s->gate[i] / (1.0f + expf(-s->gate[i])) * s->up[i];
		tensor_multiply(team, &layer->down, s->gate, s->projected);
		add(s->x, s->projected, c->dim);
	}
	if (want_logits) {
		normalize(s->x, model->norm, c->norm_eps, c->dim, s->normed);
		tensor_multiply(team, &model->classifier, s->normed, s->logits);
	}
}
