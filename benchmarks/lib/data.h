/* SPDX-License-Identifier: MIT */
/*
 * data.h - what is coded and decoded: generated distributions of codes, and those of real tensors.
 */
#ifndef ENTROFS_BENCH_DATA_H
#define ENTROFS_BENCH_DATA_H

#include <stddef.h>
#include <stdint.h>

/* A stretch that is a stream of its own in an image, with its own code table: a tensor. */
struct part {
	size_t offset, size;
};

struct data {
	char name[32]; /* for programs, such as "gauss-u8" */
	char title[96];
	uint8_t *bytes;
	size_t size;
	struct part *parts; /* in order, without gaps */
	size_t part_count;
	double entropy; /* bits per byte, order 0, of each part by itself */
};

/* Generated data: the same bytes every time. 0 <= which < data_generators. */
extern const unsigned data_generators;
void data_generate(struct data *data, unsigned which, size_t size);

/* All generated data sets one after the other, `size` bytes of each: parts that take unlike times.
 */
void data_mix(struct data *data, size_t size);

/*
 * The codes that mkentrofs makes of all tensors that it quantizes, in a model folder: bits are 8 or
 * 4; what exceeds `most` bytes is left away. -1 after saying why if the model cannot be read.
 */
int data_of_model(struct data *data, const char *folder, const char *name, int bits, size_t most);

/* To be called when bytes and parts are there. */
void data_measure_entropy(struct data *data);

void data_free(struct data *data);

#endif
