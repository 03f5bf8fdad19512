/* SPDX-License-Identifier: MIT */
/*
 * mkfs_extract.c - links planted while a tree is made are not followed, and claims that are out of
 * proportion are noticed.
 */
#include "mkfs/check.h"
#include "mkfs/hosttree.h"
#include "tests/unit/image_build.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

struct place {
	struct sample sample;
	struct image *image;
	char path[64], outside[64];
	int root;
	uint32_t tensors, file; /* "quantized/tensors", and a file in it */
};

static uint32_t find(const struct image *image, const char *path)
{
	char other[256];

	for (uint32_t i = 0; i < image_catalog(image)->node_count; i++) {
		image_path(image, i, other, sizeof(other));
		if (!strcmp(path, other))
			return i;
	}
	fprintf(stderr, "no %s\n", path);
	abort();
}

/* The folders of the tree are made, the files not. */
static void setup(struct place *place)
{
	build_sample(&place->sample);
	cr_assert_eq(image_open(&place->image, place->sample.fd, 0, NULL), 0);
	strcpy(place->path, "/tmp/entrofs-tree-XXXXXX");
	strcpy(place->outside, "/tmp/entrofs-outside-XXXXXX");
	cr_assert(mkdtemp(place->path) && mkdtemp(place->outside));
	place->root = open(place->path, O_RDONLY | O_DIRECTORY);
	for (uint32_t i = 1; i < image_catalog(place->image)->node_count; i++)
		if (image_node(place->image, i)->type == EFS_DIRECTORY)
			cr_assert_eq(hosttree_make_folder(place->root, place->image, i, 0), 0);
	place->tensors = find(place->image, "quantized/tensors");
	place->file = find(place->image, "quantized/tensors/norm.f32");
}

static void teardown(struct place *place)
{
	char command[160];

	snprintf(command, sizeof(command), "rm -rf %s %s", place->path, place->outside);
	cr_assert_eq(system(command), 0);
	close(place->root);
	image_close(place->image);
	build_free(&place->sample);
}

static void expect_nothing_outside(const struct place *place)
{
	cr_expect_eq(rmdir(place->outside), 0, "something was written outside");
	cr_assert_eq(mkdir(place->outside, 0700), 0);
}

Test(extract, folder_swapped_for_a_link)
{
	struct hostfile file;
	struct place place;

	setup(&place);
	cr_assert_eq(renameat(place.root, "quantized/tensors", place.root, "quantized/away"), 0);
	cr_assert_eq(symlinkat(place.outside, place.root, "quantized/tensors"), 0);
	cr_expect_eq(hosttree_open_file(place.root, place.image, place.file, &file), -1);
	cr_expect(errno == ELOOP || errno == ENOTDIR);
	cr_expect_eq(hosttree_make_folder(place.root, place.image, place.tensors, 1), -1);
	cr_expect_eq(errno, ELOOP);
	/* one level up, too */
	cr_assert_eq(renameat(place.root, "quantized", place.root, "away"), 0);
	cr_assert_eq(symlinkat(place.outside, place.root, "quantized"), 0);
	cr_expect_eq(hosttree_open_file(place.root, place.image, place.file, &file), -1);
	cr_expect_eq(hosttree_make_folder(place.root, place.image, place.tensors, 0), -1);
	expect_nothing_outside(&place);
	teardown(&place);
}

/* The link appears while the file is being written. */
static void put_beside_link(const struct place *place, int again)
{
	struct hostfile file;
	char target[96];
	int result;

	snprintf(target, sizeof(target), "%s/target", place->outside);
	cr_assert_eq(hosttree_open_file(place->root, place->image, place->file, &file), 0);
	cr_assert_eq(write(file.file.fd, "new", 3), 3);
	cr_assert_eq(symlinkat(target, place->root, "quantized/tensors/norm.f32"), 0);
	result = hosttree_publish_file(&file, again);
	cr_expect_eq(result, again ? 0 : -1);
	if (result)
		cr_expect_eq(errno, EEXIST);
}

Test(extract, file_swapped_for_a_link)
{
	struct place place;
	struct stat st;

	setup(&place);
	put_beside_link(&place, 0);
	cr_assert_eq(unlinkat(place.root, "quantized/tensors/norm.f32", 0), 0);
	put_beside_link(&place, 1);
	cr_assert_eq(fstatat(place.root, "quantized/tensors/norm.f32", &st, AT_SYMLINK_NOFOLLOW),
		     0);
	cr_expect(S_ISREG(st.st_mode) && st.st_size == 3, "the link itself is replaced");
	expect_nothing_outside(&place);
	teardown(&place);
}

Test(extract, discarded_file_leaves_nothing)
{
	struct hostfile file;
	struct place place;

	setup(&place);
	cr_assert_eq(hosttree_open_file(place.root, place.image, place.file, &file), 0);
	cr_assert_eq(write(file.file.fd, "new", 3), 3);
	hosttree_discard_file(&file);
	cr_expect_eq(unlinkat(place.root, "quantized/tensors", AT_REMOVEDIR), 0, "not empty");
	teardown(&place);
}

/* 64 GiB of constant blocks take a few hundred KiB. */
Test(extract, inflated)
{
	struct sample made = {.fd = build_memfd()}, *sample = &made;
	enum { BLOCKS = 1 << 20, BLOCK = 1 << 16 };
	uint8_t *zeros = calloc(1, BLOCK), *stored = build_aligned(BLOCK + CODEC_SLACK);
	struct image_encoded block = image_encode_block(NULL, 0, zeros, BLOCK, stored, NULL);
	struct image_writer *writer;
	struct image_cost cost;
	struct image *image;
	uint32_t number;

	BUILD_CHECK(image_writer_create(&writer, sample->fd, "tests 1", &sample->diag));
	BUILD_CHECK(image_writer_begin_stream(writer, (uint64_t)BLOCKS * BLOCK, 16, NULL, 0,
					      &sample->diag));
	for (int i = 0; i < BLOCKS; i++)
		BUILD_CHECK(image_writer_put_block(writer, &block, stored, &sample->diag));
	BUILD_CHECK(image_writer_end_stream(writer, &number, &cost, &sample->diag));
	BUILD_CHECK(image_writer_finish(writer, &sample->overhead, &sample->diag));
	image_writer_destroy(writer);
	cr_assert_eq(image_open(&image, sample->fd, 0, &sample->diag), 0, "%s", sample->diag.text);
	cr_expect_geq(check_claimed_size(image), (uint64_t)BLOCKS * BLOCK);
	cr_expect_leq(check_stored_size(image, sample->fd), 1 << 20);
	cr_expect(
	    check_is_inflated(check_claimed_size(image), check_stored_size(image, sample->fd)));
	cr_expect(!check_is_inflated(CHECK_FREE, 1));
	cr_expect(!check_is_inflated(UINT64_C(400) << 30, UINT64_C(2) << 30));
	image_close(image);
	free(zeros);
	free(stored);
	close(sample->fd);
}
