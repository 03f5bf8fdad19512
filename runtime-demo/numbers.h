/* SPDX-License-Identifier: MIT */
/*
 * numbers.h - the arithmetic that the forward pass and the sampler are made of, with the same
 * result on every machine.
 *
 * Sums of floats depend on their order, and an exponential on the library. So that a seed gives the
 * same text everywhere, sums here are kept in 16 lanes, element i in lane i % 16, whatever the
 * width of the machine's registers, and the exponential is our own. The compiler is told not to
 * contract or reorder (see the Makefile). Pure functions.
 */
#ifndef ENTROFS_RUN_NUMBERS_H
#define ENTROFS_RUN_NUMBERS_H

#include <stddef.h>
#include <stdint.h>

/* Sums under way; zeroed to begin with. */
struct lanes {
	float at[16];
};

/* Adds a[i] * b[i] for n numbers. Only the last call for a sum may be given an n that is no
   multiple of 16. */
void lanes_add(struct lanes *lanes, const float *a, const float *b, size_t n);

float lanes_total(const struct lanes *lanes);

/* The sum of a[i] * b[i], also of codes, and of a[i]. */
float numbers_dot(const float *a, const float *b, size_t n);
float numbers_dot_codes(const uint8_t *a, const float *b, size_t n);
float numbers_sum(const float *a, size_t n);

/* x[i] into e to its power, from e^-87 on, where smaller ones end, to e^88; within 2e-7 of it,
   relatively. Not a number stays that. */
void numbers_exp(float *x, size_t n);

/* x[i] into x[i] / (1 + e to -x[i]). */
void numbers_silu(float *x, size_t n);

/* Into probabilities. n is not 0. */
void numbers_softmax(float *x, size_t n);

/* The largest of n numbers, which is not 0. */
float numbers_max(const float *x, size_t n);

#endif
