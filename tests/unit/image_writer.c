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

/* Without a file the writer comes to the same sizes. */
Test(image_writer, rehearsal)
{
	struct sample real, rehearsed;

	build_sample(&real);
	build_sample_into(&rehearsed, -1);
	for (int i = 0; i < SAMPLE_STREAMS; i++)
		cr_assert_eq(memcmp(&real.streams[i].cost, &rehearsed.streams[i].cost,
				    sizeof(struct image_cost)),
			     0, "stream %d", i);
	for (int i = 0; i < SAMPLE_BLOBS; i++)
		cr_assert_eq(real.blobs[i].stored_size, rehearsed.blobs[i].stored_size);
	cr_assert_eq(real.overhead.superblock, rehearsed.overhead.superblock);
	cr_assert_eq(real.overhead.catalog, rehearsed.overhead.catalog);
	cr_assert_eq(real.overhead.hash_tree, rehearsed.overhead.hash_tree);
	cr_assert_eq(real.overhead.padding, rehearsed.overhead.padding);
	cr_assert_eq(real.overhead.image_size, rehearsed.overhead.image_size);
	build_free(&real);
	build_free(&rehearsed);
}

static uint64_t blob_size(int fd, unsigned chunks, unsigned more, int *err)
{
	static uint8_t chunk[EFS_CHUNK_SIZE];
	struct image_writer *writer;
	uint64_t seed = 5, stored = 0;
	uint32_t blob;

	for (size_t i = 0; i < sizeof(chunk); i++)
		chunk[i] = (uint8_t)(build_random(&seed) % 20);
	cr_assert_eq(image_writer_create(&writer, fd, "tests 1", NULL), 0);
	cr_assert_eq(image_writer_begin_blob(writer, NULL), 0);
	for (unsigned i = 0; i < chunks; i++)
		cr_assert_eq(image_writer_put_blob(writer, chunk, sizeof(chunk), NULL), 0);
	*err = more ? image_writer_extend_blob(writer, (uint64_t)more * EFS_CHUNK_SIZE, NULL) : 0;
	if (!*err)
		cr_assert_eq(image_writer_end_blob(writer, &blob, &stored, NULL), 0);
	image_writer_destroy(writer);
	return stored;
}

/* What is not there to be compressed is reckoned by what is; only in a rehearsal. */
Test(image_writer, extended_blob)
{
	int err, fd = build_memfd();
	uint64_t whole = blob_size(fd, 8, 0, &err), extended = blob_size(-1, 3, 5, &err);

	cr_assert_eq(err, 0);
	cr_assert(extended >= whole && extended - whole < 8, "%d and %d", (int)extended,
		  (int)whole);
	blob_size(-1, 0, 5, &err);
	cr_assert_eq(err, -EINVAL, "there is nothing to reckon by");
	close(fd);
	fd = build_memfd();
	blob_size(fd, 3, 5, &err);
	cr_assert_eq(err, -EINVAL);
	close(fd);
}
