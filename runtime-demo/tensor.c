/* SPDX-License-Identifier: MIT */
/* tensor.c - a matrix in a file, and a vector times it. */
#include "runtime-demo/tensor.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "weights are read as they lie on disk");

static float f16_to_float(uint16_t half)
{
	const uint32_t bits = (half & 0x7fffu) << 13;
	float value;

	memcpy(&value, &bits, sizeof(value));
	value *= 0x1p112f; /* from one exponent's bias to the other's, subnormal numbers included */
	if (value >= 65536.0f)
		value = (half & 1023) ? NAN : INFINITY;
	return half & 0x8000 ? -value : value;
}

static float bf16_to_float(uint16_t high)
{
	const uint32_t bits = (uint32_t)high << 16;
	float value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

void tensor_values(const struct tensor *tensor, size_t first, size_t count, float *out)
{
	const uint8_t *data = tensor->file.bytes;
	const uint16_t *halves = (const uint16_t *)(const void *)data + first;
	const double *doubles = (const double *)(const void *)data + first;

	switch (tensor->kind) {
	case TENSOR_U8:
		for (size_t i = 0; i < count; i++)
			out[i] = tensor->scale * ((float)data[first + i] - tensor->zero_point);
		break;
	case TENSOR_U4:
		for (size_t i = first; i < first + count; i++) {
			const int code = data[i / 2] >> (i % 2 * 4) & 15;

			out[i - first] = tensor->scale * ((float)code - tensor->zero_point);
		}
		break;
	case TENSOR_F64:
		for (size_t i = 0; i < count; i++)
			out[i] = (float)doubles[i];
		break;
	case TENSOR_F32:
		memcpy(out, data + first * sizeof(float), count * sizeof(float));
		break;
	case TENSOR_F16:
		for (size_t i = 0; i < count; i++)
			out[i] = f16_to_float(halves[i]);
		break;
	case TENSOR_BF16:
		for (size_t i = 0; i < count; i++)
			out[i] = bf16_to_float(halves[i]);
		break;
	}
}
static float dot_u8(const uint8_t *codes, const float *x, size_t n)
{
	float sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (float)codes[i] * x[i];
	return sum;
}

/* Two codes to a byte, the first in the low nibble. A row of an odd number of weights leaves the
   next one to begin in a high nibble: that one weight is taken first. */
static float dot_u4(const uint8_t *packed, size_t first, const float *x, size_t n)
{
	float sum = 0;
	size_t pairs;

	packed += first / 2;
	if (first % 2 == 1) {
		sum = (float)(*packed++ >> 4) * *x++;
		n--;
	}
	pairs = n / 2;
	for (size_t i = 0; i < pairs; i++)
		sum += (float)(packed[i] & 15) * x[2 * i] + (float)(packed[i] >> 4) * x[2 * i + 1];
	if (n % 2 == 1)
		sum += (float)(packed[pairs] & 15) * x[n - 1];
	return sum;
}

float tensor_dot(const float *a, const float *b, size_t n)
{
	float sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += a[i] * b[i];
	return sum;
}

static float dot_kept(const struct tensor *tensor, size_t first, const float *x, size_t n)
{
	float values[256], sum = 0;

	for (size_t done = 0, part; done < n; done += part) {
		part = n - done < 256 ? n - done : 256;
		tensor_values(tensor, first + done, part, values);
		sum += tensor_dot(values, x + done, part);
	}
	return sum;
}

/* y = W x for these rows of W, x_sum being the sum of x. */
static void multiply_rows(const struct tensor *w, const float *x, float x_sum, float *y,
			  size_t from, size_t to)
{
	for (size_t row = from; row < to; row++) {
		const size_t first = row * w->cols;

		if (w->kind == TENSOR_U8)
			y[row] = w->scale * (dot_u8(w->file.bytes + first, x, w->cols) -
					     w->zero_point * x_sum);
		else if (w->kind == TENSOR_U4)
			y[row] = w->scale *
				 (dot_u4(w->file.bytes, first, x, w->cols) - w->zero_point * x_sum);
		else
			y[row] = dot_kept(w, first, x, w->cols);
	}
}

struct member {
	struct team *team;
	size_t number; /* 0 is the caller, which has no thread */
	pthread_t thread;
};

struct team {
	size_t count; /* of members */
	struct member *members;
	pthread_mutex_t starting; /* held until all threads are there, or one could not be made */
	pthread_barrier_t start, end;
	bool dissolved; /* go home */
	const struct tensor *w;
	const float *x;
	float x_sum;
	float *y;
};

static void do_share(const struct team *team, size_t number)
{
	const size_t rows = team->w->rows, share = rows / team->count;

	multiply_rows(team->w, team->x, team->x_sum, team->y, number * share,
		      number + 1 == team->count ? rows : (number + 1) * share);
}

static void *run_member(void *argument)
{
	const struct member *member = argument;
	struct team *team = member->team;
	bool dissolved;

	pthread_mutex_lock(&team->starting);
	dissolved = team->dissolved;
	pthread_mutex_unlock(&team->starting);
	while (!dissolved) {
		pthread_barrier_wait(&team->start);
		dissolved = team->dissolved;
		if (dissolved)
			break;
		do_share(team, member->number);
		pthread_barrier_wait(&team->end);
	}
	return NULL;
}

static void free_team(struct team *team)
{
	pthread_barrier_destroy(&team->start);
	pthread_barrier_destroy(&team->end);
	pthread_mutex_destroy(&team->starting);
	free(team->members);
	free(team);
}

struct team *team_start(size_t members, struct diag *diag)
{
	struct team *team = diag_allocate(1, sizeof(*team), diag);
	size_t made = 1;
	int error = 0;

	if (team == NULL)
		return NULL;
	team->count = members;
	team->members = diag_allocate(members, sizeof(*team->members), diag);
	if (team->members == NULL) {
		free(team);
		return NULL;
	}
	pthread_mutex_init(&team->starting, NULL);
	pthread_barrier_init(&team->start, NULL, (unsigned)members);
	pthread_barrier_init(&team->end, NULL, (unsigned)members);
	pthread_mutex_lock(&team->starting);
	for (; made < members; made++) {
		struct member *member = &team->members[made];

		*member = (struct member){.team = team, .number = made};
		error = pthread_create(&member->thread, NULL, run_member, member);
		if (error != 0)
			break;
	}
	team->dissolved = error != 0;
	pthread_mutex_unlock(&team->starting);
	if (error == 0)
		return team;
	for (size_t i = 1; i < made; i++)
		pthread_join(team->members[i].thread, NULL);
	free_team(team);
	diag_fail(diag, "cannot start a thread: %s", strerror(error));
	return NULL;
}

void team_end(struct team *team)
{
	if (team == NULL)
		return;
	team->dissolved = true;
	pthread_barrier_wait(&team->start);
	for (size_t i = 1; i < team->count; i++)
		pthread_join(team->members[i].thread, NULL);
	free_team(team);
}

/* y = W x; below some size the threads would wait for each other longer than they work. */
void tensor_multiply(struct team *team, const struct tensor *w, const float *x, float *y)
{
	float sum = 0;

	for (size_t i = 0; i < w->cols; i++)
		sum += x[i];
	if (team->count == 1 || w->rows * w->cols < 1u << 16) {
		multiply_rows(w, x, sum, y, 0, w->rows);
		return;
	}
	team->w = w;
	team->x = x;
	team->x_sum = sum;
	team->y = y;
	pthread_barrier_wait(&team->start);
	do_share(team, 0);
	pthread_barrier_wait(&team->end);
}
