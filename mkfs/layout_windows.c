/* SPDX-License-Identifier: MIT */
/*
 * layout_windows.c - the layout of bytes of unknown structure.
 *
 * Records are looked for in a few stretches from all over the file. Then each window of it is taken
 * for what is smallest in it: single bytes, text, numbers of two and four bytes, or one of the
 * records that were found; records begin at any byte, but go on from window to window.
 */
#include "mkfs/layout_build.h"

#include "image/writer.h"
#include "mkfs/cli.h"
#include "mkfs/layout_measure.h"

#include <stdlib.h>

enum {
	WINDOW = 256 << 10,
	SEARCHES = 8,
	WAYS_MAX = 32,
	LOOK = 32 << 10,     /* bytes of a window that are looked at */
	SMALLEST = 16 << 10, /* a file that is smaller is text */
};

/* A way to cut; records begin at bytes of the file that leave this remainder by the unit. */
struct way {
	struct planes planes; /* count 0: text */
	unsigned phase;
};

struct ways {
	struct way list[WAYS_MAX];
	unsigned count;
	double gain; /* a way is given up for another that is smaller by this share of the bytes */
};

static void add_way(struct ways *ways, const struct planes *planes, unsigned phase)
{
	if (ways->count < WAYS_MAX)
		ways->list[ways->count++] = (struct way){*planes, phase};
}

static int same_planes(const struct planes *a, const struct planes *b)
{
	int same = a->unit == b->unit && a->word == b->word && a->count == b->count;

	for (unsigned k = 0; same && k < a->count; k++)
		same = a->size[k] == b->size[k];
	return same;
}

static int has_way(const struct ways *ways, const struct planes *planes, unsigned phase)
{
	for (unsigned i = 0; i < ways->count; i++) {
		if (ways->list[i].phase == phase && same_planes(&ways->list[i].planes, planes))
			return 1;
	}
	return 0;
}

static void add_usual_ways(struct ways *ways)
{
	static const struct planes text = {.count = 0};
	const struct planes bytes = layout_bytes();
	const struct layout_type *pairs = layout_of_dtype(EFS_BF16);
	const struct layout_type *fours = layout_of_dtype(EFS_F32);

	add_way(ways, &bytes, 0);
	add_way(ways, &text, 0);
	for (unsigned phase = 0; phase < 2; phase++)
		add_way(ways, &pairs->ways[0], phase);
	for (unsigned phase = 0; phase < 4; phase++) {
		for (unsigned i = 0; i < LAYOUT_WAYS && fours->ways[i].count; i++)
			add_way(ways, &fours->ways[i], phase);
	}
}

/* What there is of a stretch before the end. */
static size_t clip(uint64_t at, uint64_t end, size_t size)
{
	return end - at < size ? (size_t)(end - at) : size;
}

static int search(struct layout_build *build, uint64_t end, struct ways *ways)
{
	uint64_t begin = build->end, size = end - begin;

	for (uint64_t i = 0; i < SEARCHES; i++) {
		uint64_t at = size > LAYOUT_SAMPLE
				  ? begin + i * (size - LAYOUT_SAMPLE) / (SEARCHES - 1)
				  : begin;
		size_t have = clip(at, end, LAYOUT_SAMPLE);
		struct planes planes;
		size_t phase;

		if (source_read(build->file, at, build->sample, have))
			return -1;
		if (layout_find(build->sample, have, &planes, &phase) == 0) {
			unsigned place = (unsigned)((at + phase) % planes.unit);
			if (!has_way(ways, &planes, place))
				add_way(ways, &planes, place);
		}
		if (size <= LAYOUT_SAMPLE)
			break;
	}
	return 0;
}

/* What the sample, which lies at this byte of the file, comes to, of 1. */
static double cost_of(const struct layout_build *build, const struct way *way, uint64_t at,
		      size_t size)
{
	unsigned unit = way->planes.unit;

	if (way->planes.count) {
		size_t skip = (size_t)((way->phase + unit - at % unit) % unit);
		return skip < size ? layout_cost(&way->planes, build->sample + skip,
						 (size - skip) / unit, build->work)
				   : 1;
	}
	return (double)image_blob_estimate(build->sample, size, build->work) / (double)size;
}

/* The way for a window: that of the one before, unless another is clearly better. */
static int choose(struct layout_build *build, const struct ways *ways, uint64_t begin, uint64_t end,
		  unsigned *chosen)
{
	size_t size = clip(begin, end, LOOK);
	uint64_t at = begin + (end - begin - size) / 2;
	double least;

	if (source_read(build->file, at, build->sample, size))
		return -1;
	least = cost_of(build, &ways->list[*chosen], at, size) - ways->gain;
	if (least <= 0) /* such as zeros */
		return 0;
	for (unsigned i = 0; i < ways->count; i++) {
		double cost = i == *chosen ? 1 : cost_of(build, &ways->list[i], at, size);
		if (cost < least) {
			least = cost;
			*chosen = i;
		}
	}
	return 0;
}

/* A run of windows that are cut alike. */
static int add_run(struct layout_build *build, const struct way *way, uint64_t end)
{
	unsigned unit = way->planes.unit;

	if (!way->planes.count)
		return layout_add_text(build, end);
	uint64_t start = build->end + (way->phase + unit - build->end % unit) % unit;
	return layout_add_text(build, start < end ? start : end) ||
	       layout_add_records(build, &way->planes, end);
}

int layout_add_unknown(struct layout_build *build, uint64_t end)
{
	struct ways *ways = calloc(1, sizeof *ways);
	unsigned chosen = 0, next = 0;
	uint64_t at = build->end;

	if (!ways) {
		cli_cannot("read", build->file->path, "out of memory");
		return -1;
	}
	if (end - at < SMALLEST) {
		free(ways);
		return layout_add_text(build, end);
	}
	ways->gain = 0.003;
	add_usual_ways(ways);
	int result = search(build, end, ways);
	while (!result && at < end) {
		uint64_t stop = end - at < 2 * (uint64_t)WINDOW ? end : at + WINDOW;

		result = choose(build, ways, at, stop, &next);
		if (!result && next != chosen && at > build->end)
			result = add_run(build, &ways->list[chosen], at);
		chosen = next;
		at = stop;
	}
	if (!result)
		result = add_run(build, &ways->list[chosen], end);
	free(ways);
	return result;
}
