/* SPDX-License-Identifier: MIT */
/* layout_measure.c - entropies of fields, and fields by entropies; see layout_measure.h. */
#include "mkfs/layout_measure.h"

#include "codec/codec.h"
#include "quantizer/quantizer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
	STRIDE_MAX = 256,    /* bytes of a record that is looked for */
	STRIDES = 4,         /* looked at closely */
	COMPARED = 64 << 10, /* bytes of a sample, for that */
	COLUMN_COST = 64, /* bytes: a plane's share of a stream's cost, as if all were a sample */
};

/* Bits that these bytes take. A sample has fewer values than there are, and so less entropy: by
 * half a value for each seen (Miller and Madow, 1955). */
static double bits_of(const uint64_t counts[CODEC_SYMBOLS])
{
	static const double half_log2_e = 0x1.71547652b82fep-1;
	uint64_t total = 0;
	unsigned values = 0;

	for (unsigned i = 0; i < CODEC_SYMBOLS; i++) {
		total += counts[i];
		values += counts[i] != 0;
	}
	if (!total)
		return 0;
	double bits = quant_entropy(counts, CODEC_SYMBOLS) * (double)total +
		      (values - 1) * half_log2_e,
	       most = 8.0 * (double)total;
	return bits < most ? bits : most;
}

struct planes layout_bytes(void)
{
	return (struct planes){.unit = 1, .count = 1, .size = {1}};
}

double layout_cost(const struct planes *planes, const uint8_t *records, size_t n, uint8_t *work)
{
	uint8_t *parts[PLANES_COUNT_MAX];
	double bits = 0;

	if (!n)
		return 1;
	for (unsigned k = 0; k < planes->count; k++) {
		parts[k] = work;
		work += n * planes->size[k];
	}
	planes_split(planes, records, n, parts);
	for (unsigned k = 0; k < planes->count; k++) {
		uint64_t counts[CODEC_SYMBOLS] = {0};

		codec_histogram(parts[k], n * planes->size[k], counts);
		bits += bits_of(counts);
	}
	return bits / (8.0 * (double)n * planes->unit);
}

/* --- records of unknown structure ------------------------------------------------------------- */

/* Neighbouring columns of a record, the last one of it next to the first. */
struct field {
	uint64_t counts[CODEC_SYMBOLS];
	double bits;   /* that it takes alone */
	double change; /* ... if it were one with the next, less both alone */
	unsigned first, size;
};

static void add_counts(uint64_t *to, const uint64_t *from)
{
	for (unsigned i = 0; i < CODEC_SYMBOLS; i++)
		to[i] += from[i];
}

static void set_change(struct field *field, const struct field *next)
{
	uint64_t both[CODEC_SYMBOLS];

	memcpy(both, field->counts, sizeof both);
	add_counts(both, next->counts);
	field->change = bits_of(both) - field->bits - next->bits - 8.0 * COLUMN_COST;
}

static void count_columns(struct field *fields, unsigned stride, const uint8_t *sample, size_t size)
{
	memset(fields, 0, stride * sizeof *fields);
	for (size_t i = 0; i + stride <= size; i += stride) {
		for (unsigned c = 0; c < stride; c++)
			fields[c].counts[sample[i + c]]++;
	}
	for (unsigned c = 0; c < stride; c++) {
		fields[c].first = c;
		fields[c].size = 1;
		fields[c].bits = bits_of(fields[c].counts);
	}
}

/* Makes one field of a field and the next, the first being next to the last; fewer by one. */
static unsigned merge(struct field *fields, unsigned count, unsigned at)
{
	unsigned next = (at + 1) % count;
	struct field *into = &fields[at];

	add_counts(into->counts, fields[next].counts);
	into->bits = bits_of(into->counts);
	into->size += fields[next].size;
	memmove(&fields[next], &fields[next + 1], (count - next - 1) * sizeof *fields);
	at -= next < at;
	count--;
	if (count > 1) {
		set_change(&fields[at], &fields[(at + 1) % count]);
		unsigned before = (at + count - 1) % count;
		set_change(&fields[before], &fields[at]);
	}
	return count;
}

static unsigned least_change(const struct field *fields, unsigned count)
{
	unsigned least = 0;

	for (unsigned i = 1; i < count; i++) {
		if (fields[i].change < fields[least].change)
			least = i;
	}
	return least;
}

/* Columns into at most EFS_PLANES_MAX fields, fewer where that costs nothing: how many. */
static unsigned merge_columns(struct field *fields, unsigned stride)
{
	unsigned count = stride;

	for (unsigned i = 0; i < count; i++)
		set_change(&fields[i], &fields[(i + 1) % count]);
	while (count > 1) {
		unsigned least = least_change(fields, count);
		if (count <= EFS_PLANES_MAX && fields[least].change > 0)
			break;
		count = merge(fields, count, least);
	}
	return count;
}

/* The strides at which most bytes are equal, the best first; how many. */
static unsigned find_strides(const uint8_t *sample, size_t size, unsigned strides[STRIDES])
{
	uint64_t best[STRIDES] = {0};
	unsigned count = 0;

	size = size < COMPARED ? size : COMPARED;
	for (unsigned s = 2; s <= STRIDE_MAX && s < size; s++) {
		uint64_t equal = 0;
		for (size_t i = 0; i + STRIDE_MAX < size; i++)
			equal += sample[i] == sample[i + s];
		unsigned at = count;
		for (; at > 0 && best[at - 1] < equal; at--) {
			if (at < STRIDES) {
				best[at] = best[at - 1];
				strides[at] = strides[at - 1];
			}
		}
		if (at < STRIDES) {
			best[at] = equal;
			strides[at] = s;
			count += count < STRIDES;
		}
	}
	return count;
}

/* Writes down what was found, the record beginning where the first field does. */
static void describe(const struct field *fields, unsigned count, unsigned stride,
		     struct planes *planes, size_t *phase)
{
	*planes = (struct planes){.unit = (uint16_t)stride, .count = (uint8_t)count};
	for (unsigned i = 0; i < count; i++)
		planes->size[i] = (uint16_t)fields[i].size;
	*phase = fields[0].first;
}

int layout_find(const uint8_t *sample, size_t size, struct planes *planes, size_t *phase)
{
	struct field *fields = malloc(STRIDE_MAX * sizeof *fields);
	unsigned strides[STRIDES] = {0};
	uint64_t counts[CODEC_SYMBOLS] = {0};
	int found = -1;

	if (!fields || size <= STRIDE_MAX) {
		free(fields);
		return -1;
	}
	codec_histogram(sample, size, counts);
	double alone = bits_of(counts), least = (alone + 8.0 * COLUMN_COST) / (double)size;
	unsigned tried = alone > 8.0 * COLUMN_COST ? find_strides(sample, size, strides) : 0;
	for (unsigned i = 0; i < tried; i++) {
		double bits = 0;
		size_t whole = size / strides[i] * strides[i];
		count_columns(fields, strides[i], sample, size);
		unsigned count = merge_columns(fields, strides[i]);
		for (unsigned k = 0; k < count; k++)
			bits += fields[k].bits + 8.0 * COLUMN_COST;
		if (count > 1 && bits / (double)whole < least) {
			least = bits / (double)whole;
			describe(fields, count, strides[i], planes, phase);
			found = 0;
		}
	}
	free(fields);
	return found;
}
