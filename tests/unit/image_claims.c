/* SPDX-License-Identifier: MIT */
/*
 * image_claims.c - structures that contradict themselves, overlap, loop, or claim too much, made by
 * hand (tests/hostile) in images whose checksums are right. Each is judged by image_victim.h, and
 * most have an answer of their own that is expected.
 */
#include "tests/hostile/claims.h"
#include "tests/hostile/extents.h"
#include "tests/hostile/frames.h"
#include "tests/hostile/tables.h"
#include "tests/hostile/trees.h"
#include "tests/unit/image_victim.h"

/* Judges what comes. */
struct bench {
	struct hostile hostile;
	struct victim victim;
};

static void take(struct hostile *hostile, const struct hostile_image *image)
{
	struct victim *v = &((struct bench *)hostile)->victim;
	enum outcome outcome;

	cr_assert_eq(ftruncate(v->sample.fd, 0), 0);
	cr_assert_eq(pwrite(v->sample.fd, image->bytes, image->size, 0), (ssize_t)image->size);
	cr_assert_eq(ftruncate(v->sample.fd, (off_t)image->file_size), 0);
	v->truth = *image->truth;
	v->diag.text[0] = 0;
	outcome = judge(v, 1);
	if (image->verdict == HOSTILE_REFUSED)
		cr_assert_neq(outcome, SERVED, "%s: %s", image->class, image->name);
	else if (image->verdict == HOSTILE_SERVED)
		cr_assert_eq(outcome, SERVED, "%s: %s: %s", image->class, image->name,
			     v->diag.text);
	if (outcome == REFUSED_BY_OPEN && image->reason)
		cr_assert(strstr(v->diag.text, image->reason), "%s: %s: '%s', not '%s'",
			  image->class, image->name, v->diag.text, image->reason);
}

static void run(void (*make)(struct hostile *), const char *what)
{
	struct bench bench = {.hostile = {.take = take}};
	struct victim *v = &bench.victim;

	v->sample.fd = build_memfd();
	v->buffer = malloc(VICTIM_READ);
	v->expected = malloc(VICTIM_READ);
	cr_assert_eq(image_scratch_create(&v->scratch), 0);
	make(&bench.hostile);
	victim_report(v, what);
	image_scratch_destroy(v->scratch);
	free(v->buffer);
	free(v->expected);
	build_free(&v->sample);
}

/* Nodes that are their own ancestors, have two parents or none; paths of too many names. */
Test(image_claims, trees)
{
	run(hostile_trees, "trees");
}

/* Names that would lead elsewhere, are none, or are there twice. */
Test(image_claims, names)
{
	run(hostile_names, "names");
}

/* Extents over each other, over themselves, over superblock, catalog and hash tree. */
Test(image_claims, extents)
{
	run(hostile_extents, "extents");
}

/* Places and sizes whose sum does not fit. */
Test(image_claims, sums)
{
	run(hostile_sums, "sums that overflow");
}

/* Chunks that are bombs, or more, less or something else than a frame. */
Test(image_claims, frames)
{
	run(hostile_frames, "zstd frames");
}

/* Code tables that are no code, or another one than the blocks'. */
Test(image_claims, tables)
{
	run(hostile_tables, "code tables");
}

/* Coded blocks that were changed, cut or made longer. */
Test(image_claims, blocks)
{
	run(hostile_blocks, "coded blocks");
}

/* A kilobyte that claims terabytes. */
Test(image_claims, claims)
{
	run(hostile_claims, "claims");
}

/* --- memory ----------------------------------------------------------------------------------- */

/* Keeps the image of many code tables. */
static void keep_tables(struct hostile *hostile, const struct hostile_image *image)
{
	struct victim *v = &((struct bench *)hostile)->victim;

	cr_assert_eq(pwrite(v->sample.fd, image->bytes, image->size, 0), (ssize_t)image->size);
}

/* A hundred kilobytes that would like 100 MB for their code tables get what the budget allows. */
Test(image_claims, tables_in_memory)
{
	struct bench bench = {.hostile = {.take = keep_tables, .class = "claims"}};
	struct claims claims = {.hostile = &bench.hostile};
	struct image_scratch *scratch;
	struct image_diag diag = {0};
	struct image *image;
	uint64_t wanted = 0;
	uint8_t byte;

	bench.victim.sample.fd = build_memfd();
	claims_tables(&claims);
	cr_assert_eq(image_open(&image, bench.victim.sample.fd, 0, &diag), 0, "%s", diag.text);
	cr_assert_eq(image_scratch_create(&scratch), 0);
	for (uint32_t i = 0; i < CLAIMS_STREAMS; i++) {
		wanted += image_index_size(image, i);
		cr_assert_eq(image_read_stream(image, i, 1, &byte, 1, scratch, &diag), 1);
		cr_assert_leq(image_index_use(image).bytes, IMAGE_INDEX_BUDGET);
	}
	cr_assert_gt(wanted, 2 * image_index_use(image).budget);
	cr_assert_lt(image_superblock(image)->image_size, 100000);
	image_scratch_destroy(scratch);
	image_close(image);
	efs_buffer_free(&claims.out);
	close(bench.victim.sample.fd);
}
