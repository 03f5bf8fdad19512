/* SPDX-License-Identifier: MIT */
/*
 * image_cache.c - indexes in memory: who holds them, what they take, which go first, and what many
 * threads make of that. Parts are made up here, so that the cache alone is at work; the last tests
 * read from images.
 */
#include "tests/unit/image_build.h"

#include "image/internal.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

enum { PARTS = 40, SIZE = 100, THREADS = 4 };

/* What has become of made-up parts. */
struct bench {
	struct cache cache;
	_Atomic unsigned loads[PARTS], frees[PARTS];
	_Atomic unsigned alive, most; /* loading ones included */
	_Atomic int failing;          /* number of the part that fails to load; -1: none */
	unsigned delay;               /* of a load, microseconds */
};

static int load_part(void *context, uint32_t number, void **part, struct image_diag *diag)
{
	struct bench *bench = context;
	unsigned alive = atomic_fetch_add(&bench->alive, 1) + 1, most = bench->most;
	uint32_t *made;

	while (alive > most && !atomic_compare_exchange_weak(&bench->most, &most, alive))
		;
	bench->loads[number]++;
	if (bench->delay)
		usleep(bench->delay);
	if (bench->failing == (int)number) {
		bench->alive--;
		return image_fail(diag, -EUCLEAN, "part %u fails", number);
	}
	made = malloc(sizeof(*made));
	*made = number;
	*part = made;
	return 0;
}

static void free_part(void *context, uint32_t number, void *part)
{
	struct bench *bench = context;

	*(uint32_t *)part = UINT32_MAX; /* who still looks at it, sees it */
	free(part);
	bench->alive--;
	bench->frees[number]++;
}

static uint64_t part_size(const void *context, uint32_t number)
{
	(void)context;
	return SIZE + number % 2;
}

static void setup(struct bench *bench, uint64_t budget)
{
	struct cache_owner owner = {load_part, free_part, part_size, bench};

	memset(bench, 0, sizeof(*bench));
	bench->failing = -1;
	cr_assert_eq(efs_cache_init(&bench->cache, PARTS, &owner, budget), 0);
}

/* All that was loaded has been freed, once. */
static void teardown(struct bench *bench)
{
	efs_cache_destroy(&bench->cache);
	for (unsigned i = 0; i < PARTS; i++)
		cr_assert(bench->loads[i] == bench->frees[i] || bench->failing == (int)i);
	cr_assert_eq(bench->alive, 0);
}

static void use(struct bench *bench, uint32_t number)
{
	struct image_diag diag = {0};

	cr_assert_eq(efs_cache_hold(&bench->cache, number, &diag), 0, "%s", diag.text);
	cr_assert_eq(*(uint32_t *)efs_cache_held(&bench->cache, number), number);
	efs_cache_release(&bench->cache, number);
}

/* Within the budget nothing is loaded twice, and the bytes are the sum of the parts'. */
Test(image_cache, within_budget)
{
	struct bench bench;

	setup(&bench, PARTS * (SIZE + 1));
	for (unsigned round = 0; round < 3; round++)
		for (uint32_t i = 0; i < PARTS; i++)
			use(&bench, i);
	for (uint32_t i = 0; i < PARTS; i++)
		cr_assert_eq(bench.loads[i], 1);
	cr_assert_eq(bench.cache.bytes, PARTS * SIZE + PARTS / 2);
	cr_assert_eq(bench.cache.there, PARTS);
	cr_assert_eq(bench.cache.evicted, 0);
	teardown(&bench);
}

/* Beyond it the oldest go, but not one that has been used again meanwhile. */
Test(image_cache, least_recently_used)
{
	struct bench bench;

	setup(&bench, 4 * (SIZE + 1));
	for (uint32_t i = 0; i < 5; i++)
		use(&bench, 2 * i); /* 0 goes: it is the oldest of those used once */
	cr_assert_eq(bench.frees[0], 1);
	use(&bench, 2);
	use(&bench, 10); /* 4 goes: 2 was used again */
	cr_assert_eq(bench.frees[2], 0);
	cr_assert_eq(bench.frees[4], 1);
	for (uint32_t i = 0; i < 3 * PARTS; i++) {
		use(&bench, 2);
		use(&bench, 3 + i % (PARTS - 3));
		cr_assert_leq(bench.cache.bytes, bench.cache.budget);
	}
	cr_assert_eq(bench.loads[2], 1, "what is used all the time stays");
	cr_assert_leq(bench.most, 4);
	teardown(&bench);
}

/* What is held stays, whatever comes; it goes when it is released, if it is still too much. */
Test(image_cache, held_parts_stay)
{
	struct image_diag diag = {0};
	struct bench bench;

	setup(&bench, 2 * SIZE);
	for (uint32_t i = 0; i < 10; i += 2)
		cr_assert_eq(efs_cache_hold(&bench.cache, i, &diag), 0);
	cr_assert_eq(efs_cache_hold(&bench.cache, 4, &diag), 0, "twice");
	cr_assert_eq(bench.cache.bytes, 5 * SIZE);
	for (uint32_t i = 0; i < 10; i += 2)
		cr_assert_eq(*(uint32_t *)efs_cache_held(&bench.cache, i), i);
	efs_cache_release(&bench.cache, 4);
	cr_assert_eq(bench.frees[4], 0, "it is held once more");
	efs_cache_release(&bench.cache, 0);
	cr_assert_eq(bench.frees[0], 1);
	efs_cache_release(&bench.cache, 4);
	efs_cache_release(&bench.cache, 2);
	cr_assert_eq(bench.frees[2] + bench.frees[4], 2);
	cr_assert_eq(bench.cache.bytes, 2 * SIZE);
	efs_cache_release(&bench.cache, 6);
	efs_cache_release(&bench.cache, 8);
	cr_assert_eq(bench.cache.there, 2, "within the budget they stay");
	teardown(&bench);
}

/* One that is larger than the budget is there while it is the only one; then it makes room. */
Test(image_cache, alone)
{
	struct bench bench;

	setup(&bench, 0);
	for (uint32_t i = 0; i < 3; i++)
		use(&bench, 7);
	cr_assert_eq(bench.loads[7], 1);
	use(&bench, 8);
	cr_assert_eq(bench.frees[7], 1);
	cr_assert_eq(bench.most, 1, "it goes before the next is loaded");
	efs_cache_set_budget(&bench.cache, 10 * SIZE);
	for (uint32_t i = 0; i < 8; i++)
		use(&bench, i);
	cr_assert_eq(bench.cache.there, 9);
	efs_cache_set_budget(&bench.cache, 0);
	cr_assert_eq(bench.cache.there, 1);
	teardown(&bench);
}

/* What cannot be loaded is not held and counts for nothing; it may come later. */
Test(image_cache, failures)
{
	struct image_diag diag = {0};
	struct bench bench;

	setup(&bench, 2 * SIZE);
	bench.failing = 5;
	for (unsigned i = 0; i < 3; i++)
		cr_assert_eq(efs_cache_hold(&bench.cache, 5, &diag), -EUCLEAN);
	cr_assert_str_eq(diag.text, "part 5 fails");
	cr_assert_eq(bench.cache.bytes, 0);
	cr_assert_eq(bench.cache.there, 0);
	bench.failing = -1;
	use(&bench, 5);
	efs_cache_destroy(&bench.cache);
	cr_assert_eq(bench.frees[5], 1);
}

struct worker {
	struct bench *bench;
	uint64_t seed;
	unsigned wrong;
};

/* Holds up to two parts at a time, for a while. */
static void *use_at_random(void *argument)
{
	struct worker *worker = argument;
	struct cache *cache = &worker->bench->cache;
	struct image_diag diag;

	for (unsigned round = 0; round < 4000; round++) {
		uint32_t first = build_random(&worker->seed) % PARTS;
		uint32_t second = build_random(&worker->seed) % PARTS;

		if (efs_cache_hold(cache, first, &diag))
			continue; /* the part that fails */
		if (!efs_cache_hold(cache, second, &diag)) {
			worker->wrong += *(uint32_t *)efs_cache_held(cache, second) != second;
			efs_cache_release(cache, second);
		}
		worker->wrong += *(uint32_t *)efs_cache_held(cache, first) != first;
		efs_cache_release(cache, first);
	}
	return NULL;
}

/* Threads never see a part go that they hold, and memory never exceeds budget and what is held. */
Test(image_cache, threads)
{
	struct worker workers[THREADS];
	pthread_t threads[THREADS];
	struct bench bench;

	setup(&bench, 5 * (SIZE + 1));
	bench.failing = 11;
	for (unsigned i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){.bench = &bench, .seed = i + 1};
		cr_assert_eq(pthread_create(&threads[i], NULL, use_at_random, &workers[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		cr_assert_eq(workers[i].wrong, 0);
	}
	cr_assert_leq(bench.cache.bytes, bench.cache.budget);
	cr_assert_leq(bench.most, 5 + 2 * THREADS);
	cr_assert_gt(bench.cache.evicted, 100);
	efs_cache_destroy(&bench.cache);
	cr_assert_eq(bench.alive, 0);
}

static void *use_one(void *argument)
{
	use(argument, 3);
	return NULL;
}

/* Threads that need the same part at the same time load it once. */
Test(image_cache, one_load)
{
	pthread_t threads[THREADS];
	struct bench bench;

	setup(&bench, SIZE);
	bench.delay = 20000;
	for (unsigned i = 0; i < THREADS; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, use_one, &bench), 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	cr_assert_eq(bench.loads[3], 1);
	teardown(&bench);
}

/* --- of an image ------------------------------------------------------------------------------ */

/* What an index is said to take is what it takes, and the image says how many are there. */
Test(image_cache, index_sizes)
{
	struct image_diag diag = {0};
	struct image_index_use now;
	struct sample sample;
	struct image *image;
	uint64_t sum = 0;

	build_sample(&sample);
	cr_assert_eq(image_open(&image, sample.fd, 0, &diag), 0, "%s", diag.text);
	cr_assert_eq(image_index_use(image).budget, IMAGE_INDEX_BUDGET);
	for (uint32_t i = 0; i < SAMPLE_STREAMS; i++) {
		const struct efs_stream *stream = image_stream(image, i);

		cr_assert_eq(image_hold_index(image, i, &diag), 0, "%s", diag.text);
		sum += image_index_size(image, i);
		cr_assert_geq(image_index_size(image, i),
			      stream->index.raw_size + stream->table_count * codec_tree_size);
		cr_assert_leq(image_index_size(image, i),
			      stream->index.raw_size * 9 / 8 +
				  (stream->table_count + 1u) * (codec_tree_size + 64) + 256);
		now = image_index_use(image);
		cr_assert_eq(now.bytes, sum);
		cr_assert_eq(now.count, i + 1);
		image_release_index(image, i);
	}
	image_set_index_budget(image, 0);
	now = image_index_use(image);
	cr_assert_eq(now.count, 1);
	cr_assert_eq(now.loaded - now.evicted, 1);
	image_close(image);
	build_free(&sample);
}

struct reading {
	const struct sample *sample;
	struct image *image;
	uint64_t seed;
	unsigned wrong;
};

static void *read_at_random(void *argument)
{
	struct reading *reading = argument;
	struct image_scratch *scratch;
	struct image_diag diag;
	uint8_t buffer[3000];

	if (image_scratch_create(&scratch))
		abort();
	for (unsigned round = 0; round < 300; round++) {
		uint32_t number = build_random(&reading->seed) % (SAMPLE_STREAMS + SAMPLE_BLOBS);
		int is_blob = number >= SAMPLE_STREAMS;
		size_t size = is_blob ? reading->sample->blobs[number - SAMPLE_STREAMS].size
				      : reading->sample->streams[number].size;
		const uint8_t *right = is_blob
					   ? reading->sample->blobs[number - SAMPLE_STREAMS].data
					   : reading->sample->streams[number].data;
		size_t at = size ? build_random(&reading->seed) % size : 0;
		size_t part = size - at < sizeof(buffer) ? size - at : sizeof(buffer);
		ssize_t got = is_blob ? image_read_blob(reading->image, number - SAMPLE_STREAMS, at,
							buffer, sizeof(buffer), scratch, &diag)
				      : image_read_stream(reading->image, number, at, buffer,
							  sizeof(buffer), scratch, &diag);

		reading->wrong +=
		    got != (ssize_t)part || (part && memcmp(buffer, right + at, part) != 0);
	}
	image_scratch_destroy(scratch);
	return NULL;
}

/* Readers of an image without room for its indexes get the right bytes. */
Test(image_cache, concurrent_reads)
{
	struct reading readings[THREADS];
	struct image_diag diag = {0};
	pthread_t threads[THREADS];
	struct sample sample;
	struct image *image;

	build_sample(&sample);
	cr_assert_eq(image_open(&image, sample.fd, 0, &diag), 0, "%s", diag.text);
	image_set_index_budget(image, 20000);
	for (unsigned i = 0; i < THREADS; i++) {
		readings[i] = (struct reading){&sample, image, i + 1, 0};
		cr_assert_eq(pthread_create(&threads[i], NULL, read_at_random, &readings[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		cr_assert_eq(readings[i].wrong, 0);
	}
	cr_assert_leq(image_index_use(image).bytes, 20000);
	cr_assert_gt(image_index_use(image).evicted, 100);
	image_close(image);
	build_free(&sample);
}
