/* SPDX-License-Identifier: MIT */
/* image_writer.c - what the writer refuses, and that nothing that opens is left behind then. */
#include "tests/unit/image_build.h"

#include <criterion/criterion.h>
#include <errno.h>

static struct image_writer *new_writer(int *fd)
{
	struct image_writer *writer;

	*fd = build_memfd();
	cr_assert_eq(image_writer_create(&writer, *fd, "tests 1", NULL), 0);
	return writer;
}

static void end_writer(struct image_writer *writer, int fd)
{
	struct image *image;

	cr_assert_eq(image_writer_finish(writer, NULL, NULL), -EINVAL, "a failure is final");
	cr_assert_neq(image_open(&image, fd, 0, NULL), 0, "nothing that opens is left");
	image_writer_destroy(writer);
	close(fd);
}

/* A file's path is taken once, and its parts are proper names. */
Test(image_writer, refuses_paths)
{
	static const struct {
		const char *first, *second;
		int error;
	} cases[] = {
	    {"a", "a", -EEXIST},    {"a/b", "a", -EEXIST},    {"a", "a/b", -ENOTDIR},
	    {"a", "", -EINVAL},     {"a", "/b", -EINVAL},     {"a", "b/", -EINVAL},
	    {"a", "b//c", -EINVAL}, {"a", "b/../c", -EINVAL}, {"a", "b/.", -EINVAL},
	    {"a", "../b", -EINVAL},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct image_diag diag = {0};
		int fd;
		struct image_writer *writer = new_writer(&fd);

		cr_assert_eq(image_writer_add_file(writer, cases[i].first, NULL, 0, &diag), 0);
		cr_assert_eq(image_writer_add_file(writer, cases[i].second, NULL, 0, &diag),
			     cases[i].error, "case %zu", i);
		cr_assert_neq(diag.text[0], 0);
		end_writer(writer, fd);
	}
}

/* A path has 64 names at most, and all 64 can be used. */
Test(image_writer, depth)
{
	enum { NAME = 200 };
	static char path[(EFS_DEPTH_MAX + 1) * (NAME + 1)], got[IMAGE_PATH_MAX];
	struct image_diag diag = {0};
	struct image *image;
	int fd;
	struct image_writer *writer = new_writer(&fd);
	size_t size;

	memset(path, 'x', sizeof(path) - 1);
	for (size_t at = NAME; at < sizeof(path); at += NAME + 1)
		path[at] = '/';
	path[sizeof(path) - 1] = 0;
	cr_assert_eq(image_writer_add_file(writer, path, NULL, 0, &diag), -EINVAL);
	end_writer(writer, fd);

	writer = new_writer(&fd);
	size = EFS_DEPTH_MAX * (NAME + 1) - 1;
	path[size] = 0;
	cr_assert_eq(image_writer_add_file(writer, path, NULL, 0, &diag), 0, "%s", diag.text);
	cr_assert_eq(image_writer_finish(writer, NULL, &diag), 0, "%s", diag.text);
	image_writer_destroy(writer);
	cr_assert_eq(image_open(&image, fd, 0, &diag), 0, "%s", diag.text);
	cr_assert_eq(image_catalog(image)->node_count, 1 + EFS_DEPTH_MAX);
	cr_assert_eq(image_path(image, EFS_DEPTH_MAX, got, sizeof(got)), size);
	cr_assert_str_eq(got, path);
	image_close(image);
	close(fd);
}

/* Blocks that do not fit their stream, and calls out of order. */
Test(image_writer, refuses_blocks)
{
	static const uint8_t stored[4096] = {1};
	static const struct image_encoded cases[] = {
	    {.kind = EFS_BLOCK_RAW, .stored_size = 4095},
	    {.kind = EFS_BLOCK_RAW, .stored_size = 4096, .argument = 1},
	    {.kind = EFS_BLOCK_CODED, .stored_size = 10}, /* there is no table */
	    {.kind = EFS_BLOCK_CONSTANT, .stored_size = 1},
	    {.kind = 3},
	};
	int fd;
	struct image_writer *writer;
	uint32_t number;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		writer = new_writer(&fd);
		cr_assert_eq(image_writer_begin_stream(writer, 5000, 12, NULL, 0, NULL), 0);
		cr_assert_eq(image_writer_put_block(writer, &cases[i], stored, NULL), -EINVAL,
			     "case %zu", i);
		end_writer(writer, fd);
	}
	writer = new_writer(&fd);
	cr_assert_eq(image_writer_begin_stream(writer, 5000, 12, NULL, 0, NULL), 0);
	cr_assert_eq(image_writer_end_stream(writer, &number, NULL, NULL), -EINVAL, "no blocks");
	end_writer(writer, fd);
	writer = new_writer(&fd);
	cr_assert_eq(image_writer_put_block(writer, &cases[0], stored, NULL), -EINVAL);
	end_writer(writer, fd);
	writer = new_writer(&fd);
	cr_assert_eq(image_writer_begin_stream(writer, 5000, 17, NULL, 0, NULL), -EINVAL);
	end_writer(writer, fd);
}

/* What the reader would refuse is not written: a tensor whose shape is not its stream's. */
Test(image_writer, refuses_records)
{
	static const uint64_t dims[] = {3};
	const struct image_encoded block = {.kind = EFS_BLOCK_CONSTANT, .argument = 9};
	const struct efs_piece piece = {EFS_PIECE_STREAM, 0, 0, 2};
	const struct image_tensor_spec spec = {.name = "t",
					       .name_size = 1,
					       .shard = "s",
					       .path = "t",
					       .dims = dims,
					       .record = {.source_dtype = EFS_U8, .rank = 1}};
	struct image_diag diag = {0};
	int fd;
	struct image_writer *writer = new_writer(&fd);
	struct image *image;
	uint32_t stream;

	cr_assert_eq(image_writer_begin_stream(writer, 2, 12, NULL, 0, NULL), 0);
	cr_assert_eq(image_writer_put_block(writer, &block, NULL, NULL), 0);
	cr_assert_eq(image_writer_end_stream(writer, &stream, NULL, NULL), 0);
	cr_assert_eq(image_writer_add_file(writer, "t", &piece, 1, NULL), 0);
	cr_assert_eq(image_writer_add_tensor(writer, &spec, NULL), 0);
	cr_assert_eq(image_writer_finish(writer, NULL, &diag), -EINVAL);
	cr_assert(strstr(diag.text, "shape"), "%s", diag.text);
	cr_assert_neq(image_open(&image, fd, 0, NULL), 0);
	image_writer_destroy(writer);
	close(fd);
}
