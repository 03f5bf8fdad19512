/* SPDX-License-Identifier: MIT */
/* image_roundtrip.c - what the writer is given comes back from the reader, byte for byte. */
#include "tests/unit/image_build.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>

struct opened {
	struct sample sample;
	struct image *image;
	struct image_scratch *scratch;
	struct image_diag diag;
};

static void open_sample(struct opened *opened)
{
	build_sample(&opened->sample);
	cr_assert_eq(image_open(&opened->image, opened->sample.fd, 0, &opened->diag), 0, "%s",
		     opened->diag.text);
	cr_assert_eq(image_scratch_create(&opened->scratch), 0);
}

static void close_sample(struct opened *opened)
{
	image_scratch_destroy(opened->scratch);
	image_close(opened->image);
	build_free(&opened->sample);
}

static uint32_t find(const struct image *image, const char *path)
{
	int64_t node = 0;

	for (size_t size; *path; path += size + (path[size] == '/')) {
		size = strcspn(path, "/");
		node = image_lookup(image, (uint32_t)node, path, size);
		cr_assert_geq(node, 0, "%s", path);
	}
	return (uint32_t)node;
}

/* Every stream and blob, whole and in odd ranges, equals what was written. */
Test(image_roundtrip, streams_and_blobs)
{
	struct opened o;
	uint8_t *buffer = malloc(6 << 20);
	uint64_t seed = 5;

	open_sample(&o);
	for (uint32_t i = 0; i < SAMPLE_STREAMS; i++) {
		size_t size = o.sample.streams[i].size;

		cr_assert_eq(image_read_stream(o.image, i, 0, buffer, 6 << 20, o.scratch, &o.diag),
			     (ssize_t)size, "stream %u: %s", i, o.diag.text);
		cr_assert_eq(memcmp(buffer, o.sample.streams[i].data, size), 0, "stream %u", i);
		for (int round = 0; size && round < 200; round++) {
			size_t at = build_random(&seed) % (size + 10);
			size_t want = build_random(&seed) % (round % 2 ? 100 : 100000);
			size_t there = at >= size ? 0 : want < size - at ? want : size - at;

			memset(buffer, 0xee, want + 1);
			cr_assert_eq(
			    image_read_stream(o.image, i, at, buffer, want, o.scratch, &o.diag),
			    (ssize_t)there);
			cr_assert_eq(memcmp(buffer, o.sample.streams[i].data + at, there), 0);
			cr_assert_eq(buffer[there], 0xee, "wrote beyond the end");
		}
	}
	for (uint32_t i = 0; i < SAMPLE_BLOBS; i++) {
		size_t size = o.sample.blobs[i].size;

		cr_assert_eq(image_read_blob(o.image, i, 0, buffer, 6 << 20, o.scratch, &o.diag),
			     (ssize_t)size, "blob %u: %s", i, o.diag.text);
		cr_assert_eq(memcmp(buffer, o.sample.blobs[i].data, size), 0);
		for (int round = 0; size && round < 50; round++) {
			size_t at = build_random(&seed) % size, want = build_random(&seed) % 200000;
			size_t there = want < size - at ? want : size - at;

			cr_assert_eq(
			    image_read_blob(o.image, i, at, buffer, want, o.scratch, &o.diag),
			    (ssize_t)there);
			cr_assert_eq(memcmp(buffer, o.sample.blobs[i].data + at, there), 0);
		}
	}
	free(buffer);
	close_sample(&o);
}

/* A file of pieces equals its pieces joined, wherever a read begins and ends. */
Test(image_roundtrip, files)
{
	struct opened o;
	uint8_t *whole, *buffer, *to;
	size_t size = 1000 + 100000 + 5242875 + 1 + 399993 + 199999 + SAMPLE_NUMBERS;
	uint64_t seed = 9, start;
	uint32_t node;

	open_sample(&o);
	to = whole = malloc(size);
	buffer = malloc(size + 1);
	to = mempcpy(to, o.sample.blobs[0].data, 1000);
	to = mempcpy(to, o.sample.streams[0].data, 100000);
	to = mempcpy(to, o.sample.streams[9].data + 5, 5242875);
	to = mempcpy(to, o.sample.streams[3].data + 16383, 1);
	to = mempcpy(to, o.sample.blobs[2].data + 7, 399993);
	to = mempcpy(to, o.sample.streams[5].data + 1, 199999);
	build_sample_numbers(&o.sample, to);
	node = find(o.image, "quantized/model.safetensors");
	cr_assert_eq(image_node(o.image, node)->size, size);
	cr_assert_eq(image_read_file(o.image, node, 0, buffer, size + 1, o.scratch, &o.diag),
		     (ssize_t)size, "%s", o.diag.text);
	cr_assert_eq(memcmp(buffer, whole, size), 0);
	for (int round = 0; round < 200; round++) {
		size_t at = build_random(&seed) % size, want = build_random(&seed) % 300000;
		size_t there = want < size - at ? want : size - at;

		cr_assert_eq(image_read_file(o.image, node, at, buffer, want, o.scratch, &o.diag),
			     (ssize_t)there);
		cr_assert_eq(memcmp(buffer, whole + at, there), 0);
	}
	cr_assert_eq(image_find_piece(o.image, node, 101000, &start),
		     image_node(o.image, node)->first + 2);
	cr_assert_eq(start, 101000);
	cr_assert_eq(image_find_piece(o.image, node, size, &start), -ENOENT);
	cr_assert_eq(image_read_file(o.image, node, size, buffer, 10, o.scratch, &o.diag), 0);
	cr_assert_eq(
	    image_read_file(o.image, find(o.image, "empty"), 0, buffer, 10, o.scratch, &o.diag), 0);
	cr_assert_eq(image_read_file(o.image, 0, 0, buffer, 10, o.scratch, &o.diag), -EISDIR);
	free(whole);
	free(buffer);
	close_sample(&o);
}

/* Names are found, absent ones are not, and paths lead back. */
Test(image_roundtrip, names)
{
	struct opened o;
	char path[100];
	uint32_t node;

	open_sample(&o);
	node = find(o.image, "a/b/c/d/e");
	cr_assert_eq(image_path(o.image, node, path, sizeof(path)), 9);
	cr_assert_str_eq(path, "a/b/c/d/e");
	cr_assert_eq(image_path(o.image, node, path, 4), 9);
	cr_assert_str_eq(path, "a/b");
	cr_assert_eq(image_path(o.image, 0, path, sizeof(path)), 0);
	cr_assert_str_eq(path, "");
	cr_assert_eq(image_lookup(o.image, 0, "confi", 5), -ENOENT);
	cr_assert_eq(image_lookup(o.image, 0, "config.jsonx", 12), -ENOENT);
	cr_assert_eq(image_lookup(o.image, 0, "", 0), -ENOENT);
	cr_assert_eq(image_lookup(o.image, node, "x", 1), -ENOTDIR);
	for (uint32_t i = 1; i < image_catalog(o.image)->node_count; i++) {
		struct image_name name = image_string(o.image, image_node(o.image, i)->name);

		cr_assert_eq(
		    image_lookup(o.image, image_node(o.image, i)->parent, name.text, name.size), i);
	}
	close_sample(&o);
}

/* Tensor records keep what they were given and lead to file, stream, shape and parameters. */
Test(image_roundtrip, tensors)
{
	struct opened o;
	const struct efs_tensor *tensor;

	open_sample(&o);
	cr_assert_eq(image_catalog(o.image)->tensor_count, 2);
	tensor = image_tensor(o.image, 0);
	cr_assert_eq(image_string(o.image, tensor->name).size, 14);
	cr_assert_eq(memcmp(image_string(o.image, tensor->name).text, "layer/0.weight", 14), 0);
	cr_assert_eq(memcmp(image_shard(o.image, tensor->shard).text, "model.safetensors", 17), 0);
	cr_assert_eq(image_dims(o.image, tensor)[1], 1000);
	cr_assert_eq(image_params(o.image, tensor)->zero_point, 7);
	cr_assert_eq(tensor->node, find(o.image, "quantized/tensors/layer%2F0.weight.u8"));
	cr_assert_eq(image_tensor(o.image, 1)->shard, tensor->shard, "a shard is listed once");
	cr_assert_eq(image_catalog(o.image)->shard_count, 1);
	close_sample(&o);
}

/* Superblock, catalog, hash tree, streams, blobs and padding add up to the image. */
Test(image_roundtrip, costs_add_up)
{
	struct opened o;
	const struct image_overhead *overhead = &o.sample.overhead;
	uint64_t sum, before[SAMPLE_STREAMS];
	struct image_space space;

	open_sample(&o);
	sum = overhead->superblock + overhead->catalog + overhead->hash_tree + overhead->padding;
	for (int i = 0; i < SAMPLE_STREAMS; i++)
		sum += o.sample.streams[i].cost.payload + o.sample.streams[i].cost.index +
		       o.sample.streams[i].cost.padding;
	for (int i = 0; i < SAMPLE_BLOBS; i++)
		sum += o.sample.blobs[i].stored_size;
	cr_assert_eq(sum, overhead->image_size);
	cr_assert_eq((uint64_t)lseek(o.sample.fd, 0, SEEK_END), overhead->image_size);
	cr_assert_eq(overhead->image_size % 512, 0, "a loop device holds all of it");
	image_space(o.image, &space, before);
	cr_assert_eq(space.superblock + space.payload + space.index + space.blobs + space.catalog +
			 space.hash_tree + space.padding,
		     overhead->image_size);
	for (int i = 0; i < SAMPLE_STREAMS; i++)
		cr_assert_eq(before[i], o.sample.streams[i].cost.padding);
	cr_assert_eq(o.sample.streams[5].cost.payload, 0, "a constant stream stores nothing");
	cr_assert_eq(image_stream(o.image, 9)->offset % EFS_STREAM_ALIGN_LARGE, 0);
	cr_assert_eq(image_stream(o.image, 4)->stored_size, 50001, "noise is stored as it is");
	cr_assert_eq(image_blob(o.image, 3)->stored_size, 131072 / 64 + 8,
		     "a chunk takes at least 1/64 of its raw size");
	cr_assert_eq(image_verify_hashes(o.image, &o.diag), 0, "%s", o.diag.text);
	cr_assert_eq(image_verify_padding(o.image, &o.diag), 0, "%s", o.diag.text);
	close_sample(&o);
}

/* The same calls give the same bytes. */
Test(image_roundtrip, deterministic)
{
	struct sample a, b;
	uint8_t *left, *right;
	size_t size;

	build_sample(&a);
	build_sample(&b);
	size = (size_t)a.overhead.image_size;
	cr_assert_eq(size, b.overhead.image_size);
	left = mmap(NULL, size, PROT_READ, MAP_SHARED, a.fd, 0);
	right = mmap(NULL, size, PROT_READ, MAP_SHARED, b.fd, 0);
	cr_assert_eq(memcmp(left, right, size), 0);
	munmap(left, size);
	munmap(right, size);
	build_free(&a);
	build_free(&b);
}

/* An image inside a larger file, with foreign bytes before and behind it. */
Test(image_roundtrip, offset_in_larger_file)
{
	struct opened o;
	size_t size, before = 12345;
	uint8_t *copy, buffer[100];
	struct image *inside;
	int fd = build_memfd();

	open_sample(&o);
	size = (size_t)o.sample.overhead.image_size;
	copy = malloc(before + size + 99);
	memset(copy, 0xff, before + size + 99);
	cr_assert_eq(pread(o.sample.fd, copy + before, size, 0), (ssize_t)size);
	cr_assert_eq(write(fd, copy, before + size + 99), (ssize_t)(before + size + 99));
	cr_assert_eq(image_open(&inside, fd, before, &o.diag), 0, "%s", o.diag.text);
	cr_assert_eq(image_verify_hashes(inside, &o.diag), 0, "%s", o.diag.text);
	cr_assert_eq(image_read_stream(inside, 0, 99990, buffer, 100, o.scratch, &o.diag), 10);
	cr_assert_eq(memcmp(buffer, o.sample.streams[0].data + 99990, 10), 0);
	image_close(inside);
	cr_assert_eq(image_open(&inside, fd, 1, &o.diag), -EUCLEAN);
	cr_assert_eq(image_open(&inside, fd, UINT64_MAX, &o.diag), -EINVAL);
	cr_assert_eq(image_open(&inside, fd, UINT64_MAX / 2 - 10, &o.diag), -EINVAL);
	free(copy);
	close(fd);
	close_sample(&o);
}

struct reading {
	struct opened *o;
	uint64_t seed;
	int errors;
};

static void *read_at_random(void *argument)
{
	struct reading *reading = argument;
	struct opened *o = reading->o;
	struct image_scratch *scratch;
	uint8_t *buffer = malloc(65536);

	if (!buffer || image_scratch_create(&scratch))
		abort();
	for (int round = 0; round < 300; round++) {
		uint32_t i = build_random(&reading->seed) % SAMPLE_STREAMS;
		uint32_t blob = build_random(&reading->seed) % SAMPLE_BLOBS;
		size_t size = o->sample.streams[i].size;
		size_t at = build_random(&reading->seed) % (size + 1);
		size_t there = size - at < 65536 ? size - at : 65536;
		struct image_diag diag;

		if (image_read_stream(o->image, i, at, buffer, 65536, scratch, &diag) !=
			(ssize_t)there ||
		    memcmp(buffer, o->sample.streams[i].data + at, there) != 0)
			reading->errors++;
		there = o->sample.blobs[blob].size < 100 ? o->sample.blobs[blob].size : 100;
		if (image_read_blob(o->image, blob, 0, buffer, 100, scratch, &diag) !=
			(ssize_t)there ||
		    memcmp(buffer, o->sample.blobs[blob].data, there) != 0)
			reading->errors++;
	}
	image_scratch_destroy(scratch);
	free(buffer);
	return NULL;
}

/* Threads that meet unloaded indexes all at once read the right bytes (run it under TSan). */
Test(image_roundtrip, concurrent_readers)
{
	struct opened o;
	struct reading readings[4];
	pthread_t threads[4];

	open_sample(&o);
	for (int i = 0; i < 4; i++) {
		readings[i] = (struct reading){.o = &o, .seed = (uint64_t)i + 1};
		cr_assert_eq(pthread_create(&threads[i], NULL, read_at_random, &readings[i]), 0);
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		cr_assert_eq(readings[i].errors, 0);
	}
	close_sample(&o);
}

/* A block decoded by hand, as the mount does it, is the block that was written. */
Test(image_roundtrip, single_blocks)
{
	struct opened o;
	uint8_t *stored = malloc(CODEC_BLOCK_MAX + CODEC_SLACK), *raw = malloc(CODEC_BLOCK_MAX);

	open_sample(&o);
	for (uint32_t i = 0; i < SAMPLE_STREAMS; i++) {
		uint64_t end = image_stream(o.image, i)->offset, at = 0;

		cr_assert_eq(image_hold_index(o.image, i, &o.diag), 0, "%s", o.diag.text);
		for (uint64_t b = 0; b < image_block_count(o.image, i); b++) {
			struct image_block block = image_block(o.image, i, b);

			cr_assert_eq(block.offset, end);
			cr_assert_eq(
			    pread(o.sample.fd, stored, block.stored_size, (off_t)block.offset),
			    (ssize_t)block.stored_size);
			memset(stored + block.stored_size, 0xa5, CODEC_SLACK);
			cr_assert_eq(
			    image_decode_block(o.image, i, b, stored, raw, o.scratch, &o.diag), 0,
			    "%s", o.diag.text);
			cr_assert_eq(memcmp(raw, o.sample.streams[i].data + at, block.raw_size), 0);
			at += block.raw_size;
			end += block.stored_size;
		}
		cr_assert_eq(end, image_stream(o.image, i)->offset +
				      image_stream(o.image, i)->stored_size);
		image_release_index(o.image, i);
	}
	free(stored);
	free(raw);
	close_sample(&o);
}

/* An image without anything but a root directory is an image. */
Test(image_roundtrip, empty_image)
{
	struct image_writer *writer;
	struct image_overhead overhead;
	struct image *image;
	struct image_diag diag;
	int fd = build_memfd();

	cr_assert_eq(image_writer_create(&writer, fd, "tests 1", &diag), 0);
	cr_assert_eq(image_writer_finish(writer, &overhead, &diag), 0, "%s", diag.text);
	image_writer_destroy(writer);
	cr_assert_eq(image_open(&image, fd, 0, &diag), 0, "%s", diag.text);
	cr_assert_eq(image_catalog(image)->node_count, 1);
	cr_assert_eq(image_superblock(image)->hash_size, 0, "one leaf: the root alone");
	cr_assert_eq(image_verify_hashes(image, &diag), 0, "%s", diag.text);
	image_close(image);
	close(fd);
}
