/* SPDX-License-Identifier: MIT */
/* fs_segments.c - which stored segments stay in memory while readers still want parts of them. */
#include "fs/segments.h"
#include "tests/unit/image_build.h"

#include <criterion/criterion.h>

enum {
	STREAM = 9, /* of 5 MB: ten segments */
	SLOTS = 3,
};

struct fixture {
	struct sample sample;
	struct image *image;
	struct fetch *fetch;
	struct segments *segments;
	struct stats stats;
	struct segments_own own;
	uint64_t blocks; /* of each segment */
};

static void set_up(struct fixture *f)
{
	struct image_diag diag;
	*f = (struct fixture){0};
	build_sample(&f->sample);
	cr_assert_eq(image_open(&f->image, f->sample.fd, 0, &diag), 0, "%s", diag.text);
	cr_assert_eq(image_hold_index(f->image, STREAM, &diag), 0, "%s", diag.text);
	cr_assert_eq(fetch_create(&f->fetch, f->sample.fd, 0, FETCH_DIRECT), 0);
	size_t slot = SEGMENT_SIZE + FETCH_OVERHEAD + FETCH_ALIGN;
	cr_assert_eq(segments_create(&f->segments, f->image, f->fetch, SLOTS * slot, &f->stats), 0);
	f->blocks = segments_blocks(f->segments, STREAM);
	cr_assert_gt(f->blocks, 2);
}

static void tear_down(struct fixture *f)
{
	fetch_destroy(f->fetch);
	segments_destroy(f->segments);
	segments_own_free(&f->own);
	image_release_index(f->image, STREAM);
	image_close(f->image);
	build_free(&f->sample);
}

/* A request in order that decodes these blocks of a segment; true if its bytes were in memory. */
static bool use(struct fixture *f, uint64_t segment, uint64_t first, uint64_t count)
{
	uint64_t found = f->stats.counters[STATS_SEGMENTS_FOUND];
	struct stored stored;
	struct image_diag diag;
	int error = segments_obtain(f->segments, STREAM, segment * f->blocks + first, count, true,
				    &f->own, &stored, &diag);
	cr_assert_eq(error, 0, "%s", diag.text);
	segments_release(f->segments, &stored, count);
	return f->stats.counters[STATS_SEGMENTS_FOUND] > found;
}

/* The request that wants a segment's end may be answered before the one that wants its beginning:
 * others are used up first, though used later. */
Test(fs_segments, end_before_beginning)
{
	struct fixture f;
	set_up(&f);
	uint64_t half = f.blocks / 2;
	cr_assert_not(use(&f, 0, 0, f.blocks));
	cr_assert_not(use(&f, 1, half, f.blocks - half));
	cr_assert_not(use(&f, 2, 0, f.blocks));
	cr_assert_not(use(&f, 3, 0, f.blocks));
	cr_assert_not(use(&f, 4, 0, f.blocks));
	cr_assert(use(&f, 1, 0, half), "its other half was fetched twice");
	tear_down(&f);
}

/* A segment that is fetched again is wanted anew, whatever became of it before. */
Test(fs_segments, used_up_and_fetched_again)
{
	struct fixture f;
	set_up(&f);
	cr_assert_not(use(&f, 0, 0, f.blocks));
	for (uint64_t segment = 1; segment <= SLOTS; segment++)
		cr_assert_not(use(&f, segment, 0, f.blocks));
	cr_assert_not(use(&f, 0, 1, f.blocks - 1));
	for (uint64_t segment = 1; segment <= SLOTS; segment++)
		(void)use(&f, segment, 0, f.blocks);
	cr_assert(use(&f, 0, 0, 1));
	tear_down(&f);
}
