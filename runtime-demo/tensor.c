/* SPDX-License-Identifier: MIT */
/*
 * tensor.c - a matrix in a file, and vectors times it.
 *
 * A row is multiplied with all vectors of a batch while its codes are at hand as floats: turning
 * them into floats, and fetching them from memory, then costs a batch what it costs one vector.
 */
#include "runtime-demo/tensor.h"

#include "runtime-demo/numbers.h"

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

/* Two codes to a byte, the first in the low nibble. A row of an odd number of weights leaves the
   next one to begin in a high nibble. */
static void unpack_nibbles(const uint8_t *packed, size_t first, size_t count,
			   uint8_t *restrict codes)
{
	const uint8_t *from = packed + first / 2;
	size_t pairs;

	if (first % 2 == 1 && count > 0) {
		*codes++ = *from++ >> 4;
		count--;
	}
	pairs = count / 2;
	for (size_t i = 0; i < pairs; i++) {
		codes[2 * i] = from[i] & 15;
		codes[2 * i + 1] = from[i] >> 4;
	}
	if (count % 2 == 1)
		codes[count - 1] = from[pairs] & 15;
}

/* Codes of a coded matrix; packed ones are unpacked into the room given for count of them. */
static const uint8_t *read_codes(const struct tensor *w, size_t first, size_t count, uint8_t *room)
{
	first += w->start;
	if (w->kind == TENSOR_U8)
		return w->file.bytes + first;
	unpack_nibbles(w->file.bytes, first, count, room);
	return room;
}

static bool is_coded(const struct tensor *w)
{
	return w->kind == TENSOR_U8 || w->kind == TENSOR_U4;
}

/* Weights are read in parts of so many. */
enum { PART = 1024 };

static size_t part_of(size_t left)
{
	return left < PART ? left : PART;
}

static void read_coded_values(const struct tensor *w, size_t first, size_t count, float *out)
{
	uint8_t room[PART];

	for (size_t done = 0, part; done < count; done += part) {
		const uint8_t *codes;

		part = part_of(count - done);
		codes = read_codes(w, first + done, part, room);
		for (size_t i = 0; i < part; i++)
			out[done + i] = w->scale * ((float)codes[i] - w->zero_point);
	}
}

struct tensor tensor_part(const struct tensor *whole, size_t first_row, size_t rows)
{
	struct tensor part = *whole;

	part.start += first_row * whole->cols;
	part.rows = rows;
	return part;
}

void tensor_values(const struct tensor *tensor, size_t first, size_t count, float *out)
{
	const uint8_t *data = tensor->file.bytes;
	const size_t place = tensor->start + first;
	const uint16_t *halves = (const uint16_t *)(const void *)data + place;
	const double *doubles = (const double *)(const void *)data + place;

	switch (tensor->kind) {
	case TENSOR_U8:
	case TENSOR_U4:
		read_coded_values(tensor, first, count, out);
		break;
	case TENSOR_F64:
		for (size_t i = 0; i < count; i++)
			out[i] = (float)doubles[i];
		break;
	case TENSOR_F32:
		memcpy(out, data + place * sizeof(float), count * sizeof(float));
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

/* A product that is being computed: see tensor_multiply(). */
struct product {
	const struct tensor *w;
	const float *x;
	size_t count;
	float x_sums[TENSOR_MAX_BATCH]; /* of each vector */
	float *y;
};

/* Adds the products of count weights, which are the row's from column on, to those of each vector.
 */
static void add_part(const struct product *p, size_t first, size_t column, size_t count,
		     struct lanes *sums)
{
	const struct tensor *w = p->w;
	uint8_t room[PART];
	float factors[PART];

	if (is_coded(w)) {
		const uint8_t *codes = read_codes(w, first + column, count, room);

		for (size_t i = 0; i < count; i++)
			factors[i] = (float)codes[i];
	} else {
		tensor_values(w, first + column, count, factors);
	}
	for (size_t i = 0; i < p->count; i++)
		lanes_add(&sums[i], factors, p->x + i * w->cols + column, count);
}

/* One row of W with all vectors, codes as they are. */
static void multiply_factors(const struct product *p, size_t first, float *products)
{
	const struct tensor *w = p->w;
	struct lanes sums[TENSOR_MAX_BATCH];

	memset(sums, 0, p->count * sizeof(*sums));
	for (size_t done = 0, part; done < w->cols; done += part) {
		part = part_of(w->cols - done);
		add_part(p, first, done, part, sums);
	}
	for (size_t i = 0; i < p->count; i++)
		products[i] = lanes_total(&sums[i]);
}

static void multiply_row(const struct product *p, size_t row)
{
	const struct tensor *w = p->w;
	const size_t first = row * w->cols;
	float products[TENSOR_MAX_BATCH];
	uint8_t room[PART];

	/* For one vector codes need not become floats in memory. */
	if (p->count == 1 && (w->kind == TENSOR_U8 || (w->kind == TENSOR_U4 && w->cols <= PART)))
		products[0] = numbers_dot_codes(read_codes(w, first, w->cols, room), p->x, w->cols);
	else
		multiply_factors(p, first, products);
	for (size_t i = 0; i < p->count; i++)
		p->y[i * w->rows + row] =
		    is_coded(w) ? w->scale * (products[i] - w->zero_point * p->x_sums[i])
				: products[i];
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
	bool incomplete; /* under starting: one could not, so nobody waits for the others */
	pthread_barrier_t start, end;
	bool dissolved; /* read between start and end: go home */
	struct product product;
};

static void do_share(const struct team *team, size_t number)
{
	const size_t rows = team->product.w->rows, share = rows / team->count;
	const size_t end = number + 1 == team->count ? rows : (number + 1) * share;

	for (size_t row = number * share; row < end; row++)
		multiply_row(&team->product, row);
}

static void *run_member(void *argument)
{
	const struct member *member = argument;
	struct team *team = member->team;
	bool incomplete;

	/* Not whether the team is dissolved: that may be so already, but is told at the barrier. */
	pthread_mutex_lock(&team->starting);
	incomplete = team->incomplete;
	pthread_mutex_unlock(&team->starting);
	while (!incomplete) {
		pthread_barrier_wait(&team->start);
		if (team->dissolved)
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
	team->incomplete = error != 0;
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

void tensor_multiply(struct team *team, const struct tensor *w, const float *x, size_t count,
		     float *y)
{
	struct product *p = &team->product;

	*p = (struct product){.w = w, .x = x, .count = count, .y = y};
	for (size_t i = 0; i < count; i++)
		p->x_sums[i] = numbers_sum(x + i * w->cols, w->cols);
	/* Below some size the threads would wait for each other longer than they work. */
	if (team->count == 1 || w->rows * w->cols < (1u << 16) / count) {
		for (size_t row = 0; row < w->rows; row++)
			multiply_row(p, row);
		return;
	}
	pthread_barrier_wait(&team->start);
	do_share(team, 0);
	pthread_barrier_wait(&team->end);
}
