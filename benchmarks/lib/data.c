/* SPDX-License-Identifier: MIT */
/* data.c - generated data; see data.h. */
#include "benchmarks/lib/data.h"

#include "benchmarks/lib/measure.h"
#include "codec/codec.h"
#include "quantizer/quantizer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum shape { GAUSS, LAPLACE, UNIFORM };

/* Weights around a centre, rounded and clamped to codes. Width: standard deviation, decay, or
 * number of values. */
struct generator {
	const char *name, *title;
	enum shape shape;
	int bits;
	double centre, width;
};

/* (a) and (b) have the entropies of Phi-3 mini quantized at tensor level; the variants have the
 * same entropy where the shape allows it. */
static const struct generator generators[] = {
    {"gauss-u8", "(a) uint8 codes, Gaussian", GAUSS, 8, 128, 11.56},
    {"gauss-u4", "(b) packed uint4 codes, Gaussian", GAUSS, 4, 8, 0.55},
    {"laplace-u8", "uint8 codes, Laplacian", LAPLACE, 8, 128, 8.80},
    {"laplace-u4", "packed uint4 codes, Laplacian", LAPLACE, 4, 8, 0.43},
    {"uniform-u8", "uint8 codes, 48 values alike", UNIFORM, 8, 128, 48},
    {"uniform-u4", "packed uint4 codes, 3 values alike", UNIFORM, 4, 8, 3},
    {"noise-u8", "uint8 codes, all values alike", UNIFORM, 8, 128, 256},
};
const unsigned data_generators = sizeof generators / sizeof generators[0];

static uint64_t random_state;

/* Above 0, below 1. */
static double random_fraction(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return ((double)(random_state >> 11) + 0.5) / 9007199254740992.0;
}

static double deviate(const struct generator *generator)
{
	double x = random_fraction();

	switch (generator->shape) {
	case GAUSS:
		return generator->width * sqrt(-2 * log(x)) *
		       cos(6.283185307179586 * random_fraction());
	case LAPLACE:
		return generator->width * (x < 0.5 ? log(2 * x) : -log(2 - 2 * x));
	default:
		return generator->width * (x - 0.5) - 0.5 * (fmod(generator->width, 2) == 0);
	}
}

static uint8_t code(const struct generator *generator)
{
	double value = rint(generator->centre + deviate(generator));
	double most = generator->bits == 4 ? 15 : 255;

	return (uint8_t)(value < 0 ? 0 : value > most ? most : value);
}

void data_generate(struct data *data, unsigned which, size_t size)
{
	const struct generator *generator = &generators[which];

	*data = (struct data){.size = size, .part_count = 1};
	snprintf(data->name, sizeof data->name, "%s", generator->name);
	snprintf(data->title, sizeof data->title, "%s", generator->title);
	data->bytes = allocate(size);
	data->parts = allocate(sizeof *data->parts);
	data->parts[0] = (struct part){0, size};
	random_state = 88172645463325252u;
	for (size_t i = 0; i < size; i++) {
		data->bytes[i] = code(generator);
		if (generator->bits == 4)
			data->bytes[i] |= (uint8_t)(code(generator) << 4);
	}
	data_measure_entropy(data);
}

void data_mix(struct data *data, size_t size)
{
	*data = (struct data){.name = "mixed", .title = "all generated data sets in sequence"};
	data->bytes = allocate(data_generators * size);
	data->parts = allocate(data_generators * sizeof *data->parts);
	for (unsigned which = 0; which < data_generators; which++) {
		struct data one;
		data_generate(&one, which, size);
		memcpy(data->bytes + data->size, one.bytes, size);
		data->parts[data->part_count++] = (struct part){data->size, size};
		data->size += size;
		data_free(&one);
	}
	data_measure_entropy(data);
}

void data_measure_entropy(struct data *data)
{
	double bits = 0;

	for (size_t i = 0; i < data->part_count; i++) {
		uint64_t counts[CODEC_SYMBOLS] = {0};
		const struct part *part = &data->parts[i];
		codec_histogram(data->bytes + part->offset, part->size, counts);
		bits += quant_entropy(counts, CODEC_SYMBOLS) * (double)part->size;
	}
	data->entropy = bits / (double)data->size;
}

void data_free(struct data *data)
{
	free(data->bytes);
	free(data->parts);
	*data = (struct data){.size = 0};
}
