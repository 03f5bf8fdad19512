/* SPDX-License-Identifier: MIT */
/* fs_read.c - ranges of files as the daemon reads them, without a mount: pieces, threads, damage.
 */
#include "fs/read.h"
#include "tests/unit/image_build.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>

#define FILE_NAME "model.safetensors"

enum { THREADS = 6, ROUNDS = 60, RANGE_MAX = 1 << 20 };

struct fixture {
	struct sample sample;
	struct image *image;
	struct reader *reader;
	uint32_t node;   /* of a file of seven pieces */
	uint8_t *wanted; /* its bytes */
	size_t size;
};

static size_t append(uint8_t *to, size_t at, const uint8_t *from, size_t size)
{
	memcpy(to + at, from, size);
	return at + size;
}

static void set_up(struct fixture *f)
{
	struct sample *sample = &f->sample;
	struct image_diag diag;
	build_sample(sample);
	cr_assert_eq(image_open(&f->image, sample->fd, 0, &diag), 0, "%s", diag.text);
	struct reader_options options = {
	    .name = "sample.efs", .cache_size = 1 << 20, .readahead = 2 << 20, .workers = 3};
	cr_assert_eq(reader_create(&f->reader, f->image, sample->fd, 0, &options), 0);
	reader_start(f->reader);
	int64_t folder = image_lookup(f->image, 0, "quantized", strlen("quantized"));
	cr_assert_geq(folder, 0);
	int64_t node = image_lookup(f->image, (uint32_t)folder, FILE_NAME, strlen(FILE_NAME));
	cr_assert_geq(node, 0);
	f->node = (uint32_t)node;

	/* The pieces that build_sample_catalog() gives this file. */
	f->wanted = malloc(7 << 20);
	f->size = append(f->wanted, 0, sample->blobs[0].data, 1000);
	f->size = append(f->wanted, f->size, sample->streams[0].data, 100000);
	f->size = append(f->wanted, f->size, sample->streams[9].data + 5, 5242875);
	f->size = append(f->wanted, f->size, sample->streams[3].data + 16383, 1);
	f->size = append(f->wanted, f->size, sample->blobs[2].data + 7, 399993);
	f->size = append(f->wanted, f->size, sample->streams[5].data + 1, 199999);
	build_sample_numbers(sample, f->wanted + f->size);
	f->size += SAMPLE_NUMBERS;
}

static void tear_down(struct fixture *f)
{
	reader_destroy(f->reader);
	image_close(f->image);
	build_free(&f->sample);
	free(f->wanted);
}

/* 0 if a read of the range gives the right bytes and the right number of them. */
static int check_range(const struct fixture *f, uint64_t offset, size_t size)
{
	struct read_lease lease;
	size_t rest = offset < f->size ? f->size - (size_t)offset : 0;
	if (reader_read(f->reader, f->node, offset, size, NULL, &lease))
		return -1;
	int wrong = lease.size != (size < rest ? size : rest) ||
		    (lease.size && memcmp(lease.data, f->wanted + offset, lease.size) != 0);
	reader_release(f->reader, &lease);
	return wrong;
}

static struct read_lease borrow(const struct fixture *f)
{
	struct read_lease lease;
	cr_assert_eq(reader_read(f->reader, f->node, 0, 1000, NULL, &lease), 0);
	return lease;
}

/* The first of several requests at once is known. */
Test(fs_read, alone)
{
	struct fixture f;
	set_up(&f);
	for (int round = 0; round < 3; round++) {
		struct read_lease first = borrow(&f), second = borrow(&f);
		cr_assert(first.alone);
		cr_assert_not(second.alone);
		reader_release(f.reader, &first);
		reader_release(f.reader, &second);
	}
	tear_down(&f);
}

/* Many replies at once, of every size: each in memory of its own, the large ones in large pages as
 * long as there are some. */
Test(fs_read, replies_at_once)
{
	enum { MANY = 24, LARGE_PAGE = 2 << 20 };
	static const size_t sizes[] = {1 << 20, 700000, 4096, 1300000};
	struct read_lease leases[MANY];
	unsigned paired = 0;
	struct fixture f;
	set_up(&f);
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < MANY; i++)
			cr_assert_eq(reader_read(f.reader, f.node, i * 12345,
						 sizes[(i + (size_t)round) % 4], NULL, &leases[i]),
				     0);
		for (size_t i = 0; i < MANY; i++) {
			cr_assert_eq((uintptr_t)leases[i].data % 4096, 0);
			cr_assert_arr_eq(leases[i].data, f.wanted + i * 12345, leases[i].size);
			for (size_t j = 0; j < MANY; j++)
				paired += (uintptr_t)leases[i].data % LARGE_PAGE == 0 &&
					  (const char *)leases[j].data ==
					      (const char *)leases[i].data + LARGE_PAGE / 2;
		}
		for (size_t i = 0; i < MANY; i++)
			reader_release(f.reader, &leases[i]);
	}
	cr_assert_geq(paired, 6);
	tear_down(&f);
}

static bool run_on(unsigned cpu)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set) == 0;
}

/* A buffer goes to a request on the processor that used it last, before one used later elsewhere.
 */
Test(fs_read, buffers_stay_on_their_processor)
{
	if (!run_on(1) || !run_on(0))
		cr_skip_test("there are no two processors to run on");
	struct fixture f;
	set_up(&f);
	struct read_lease one = borrow(&f), other = borrow(&f);
	const void *of_one = one.data, *of_other = other.data;
	run_on(1);
	reader_release(f.reader, &other);
	run_on(0);
	reader_release(f.reader, &one);
	run_on(1);
	other = borrow(&f);
	run_on(0);
	one = borrow(&f);
	cr_assert_eq(other.data, of_other);
	cr_assert_eq(one.data, of_one);
	reader_release(f.reader, &one);
	reader_release(f.reader, &other);
	tear_down(&f);
}

/* Ranges within a piece, across the borders of pieces, at and past the end of the file. */
Test(fs_read, ranges_over_pieces)
{
	static const uint64_t borders[] = {0, 1000, 101000, 5343875, 5343876, 5743869, 6143866};
	struct fixture f;
	set_up(&f);
	cr_assert_eq(f.size, 6143866);
	for (size_t i = 0; i < sizeof(borders) / sizeof(*borders); i++)
		for (uint64_t before = 0; before <= 2 && before <= borders[i]; before++)
			for (size_t size = 0; size < 5; size++)
				cr_assert_eq(check_range(&f, borders[i] - before, size), 0);
	cr_assert_eq(check_range(&f, 0, f.size), 0);
	cr_assert_eq(check_range(&f, 1, f.size), 0);
	cr_assert_eq(check_range(&f, f.size + 1, 10), 0);
	cr_assert_eq(check_range(&f, INT64_MAX, SIZE_MAX), 0);
	tear_down(&f);
}

struct worker {
	const struct fixture *fixture;
	uint64_t seed;
	int wrong;
};

static void *read_at_random(void *argument)
{
	struct worker *worker = argument;
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t offset = build_random(&worker->seed) % (worker->fixture->size + 100);
		size_t size = build_random(&worker->seed) % (i % 8 ? 20000 : RANGE_MAX);
		worker->wrong |= check_range(worker->fixture, offset, size);
	}
	return NULL;
}

/* Threads share a reader, and the first use of each stream's index, without a wrong byte. */
Test(fs_read, threads)
{
	struct fixture f;
	struct worker workers[THREADS];
	pthread_t threads[THREADS];
	set_up(&f);
	for (int i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){.fixture = &f, .seed = (uint64_t)i + 1};
		cr_assert_eq(pthread_create(&threads[i], NULL, read_at_random, &workers[i]), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		cr_assert_eq(workers[i].wrong, 0, "thread %d", i);
	}
	tear_down(&f);
}

/* What the process writes to stderr while a damaged range is read `times` times. */
static void read_damaged(const struct fixture *f, uint64_t offset, int times, char *said,
			 size_t size)
{
	int log = memfd_create("stderr", 0), kept = dup(STDERR_FILENO);
	struct read_lease lease;
	dup2(log, STDERR_FILENO);
	for (int i = 0; i < times; i++)
		cr_assert_eq(reader_read(f->reader, f->node, offset, 1, NULL, &lease), -EIO);
	dup2(kept, STDERR_FILENO);
	ssize_t got = pread(log, said, size - 1, 0);
	said[got > 0 ? got : 0] = '\0';
	close(log);
	close(kept);
}

/* A damaged block: -EIO, one line however often it is asked for; the blocks beside it are served.
 */
Test(fs_read, damage_is_told_once)
{
	struct fixture f;
	char said[4096];
	set_up(&f);
	struct image_diag diag;
	cr_assert_eq(image_hold_index(f.image, 0, &diag), 0);
	struct image_block block = image_block(f.image, 0, 2);
	image_release_index(f.image, 0);
	uint8_t byte;
	cr_assert_eq(pread(f.sample.fd, &byte, 1, (off_t)block.offset + 100), 1);
	byte ^= 4;
	cr_assert_eq(pwrite(f.sample.fd, &byte, 1, (off_t)block.offset + 100), 1);

	uint64_t start = 1000 + 2 * 16384; /* of the block in the file */
	read_damaged(&f, start, 50, said, sizeof(said));
	cr_assert_eq(strchr(said, '\n'), said + strlen(said) - 1, "not one line: %s", said);
	cr_assert_neq(strstr(said, "'sample.efs': cannot read "
				   "'quantized/model.safetensors': tensor 'layer/0.weight': "),
		      NULL, "%s", said);
	cr_assert_neq(strstr(said, "block 2 at byte"), NULL, "%s", said);
	cr_assert_eq(check_range(&f, start - 1000, 1000), 0);
	cr_assert_eq(check_range(&f, start + 16384, 1000), 0);
	/* None of those that failed counts as under way. */
	struct read_lease lease = borrow(&f);
	cr_assert(lease.alone);
	reader_release(f.reader, &lease);
	tear_down(&f);
}
