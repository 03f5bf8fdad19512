/* SPDX-License-Identifier: MIT */
/*
 * decode.c - how fast one core decodes, next to zstd, lz4 and memcpy over the same bytes.
 *
 * All contestants take turns within each round, so that whatever else the machine does meets all of
 * them; the best round of each counts. Every output is compared with the input. Sizes of the codec
 * include the code table and 8 bytes of index per block; checksums are not verified on either side.
 */
#include "codec/codec.h"

#include <lz4.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zstd.h>

enum {
	DATA_SIZE = 1 << 20, /* about what a request asks for; its buffers are reused, hence warm */
	BLOCK_SIZE = 16 << 10,
	BLOCKS = DATA_SIZE / BLOCK_SIZE,
	INDEX_PER_BLOCK = 8,
	CONTESTANTS_MAX = 12,
};

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "decode: cannot %s\n", what);
	exit(1);
}

static void *allocate(size_t size)
{
	void *memory = aligned_alloc(64, (size + 63) / 64 * 64);

	if (!memory)
		fail("allocate memory");
	return memory;
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static uint64_t random_state = 88172645463325252u;

static double uniform(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return ((double)(random_state >> 11) + 0.5) / 9007199254740992.0;
}

static unsigned gaussian(double mean, double deviation, unsigned most)
{
	double value =
	    rint(mean + deviation * sqrt(-2 * log(uniform())) * cos(6.283185307179586 * uniform()));

	return value < 0 ? 0 : value > most ? most : (unsigned)value;
}

struct distribution {
	const char *title;
	double mean, deviation;
	int nibbles;
};

static const struct distribution distributions[] = {
    {"(a) uint8 codes, Gaussian", 128, 11.56, 0},
    {"(b) packed uint4 codes, Gaussian", 8, 0.55, 1},
};

static void generate(const struct distribution *distribution, uint8_t *out, size_t size)
{
	double mean = distribution->mean, deviation = distribution->deviation;

	for (size_t i = 0; i < size; i++) {
		unsigned low = gaussian(mean, deviation, distribution->nibbles ? 15 : 255);
		unsigned high = distribution->nibbles ? gaussian(mean, deviation, 15) : 0;
		out[i] = (uint8_t)(low | high << 4);
	}
}

static double entropy_bytes(const uint64_t counts[CODEC_SYMBOLS], double total)
{
	double bits = 0;

	for (unsigned symbol = 0; symbol < CODEC_SYMBOLS; symbol++)
		if (counts[symbol] > 0)
			bits -= (double)counts[symbol] * log2((double)counts[symbol] / total);
	return bits / 8;
}

/* Everything that the contestants decode from and with. */
struct arena {
	uint8_t *src, *out;
	struct codec_tree *tree;
	struct codec_scratch *scratch;
	uint8_t *coded;
	size_t coded_offsets[BLOCKS + 1];
	size_t coded_size;
	ZSTD_DCtx *zstd;
};

struct contestant {
	char name[32];
	const struct codec_kernel *kernel; /* or NULL */
	void *packed;
	size_t packed_size;
	void (*decode)(const struct contestant *, struct arena *);
	double best; /* seconds */
};

static void run_codec(const struct contestant *self, struct arena *arena)
{
	for (size_t i = 0; i < BLOCKS; i++) {
		size_t offset = arena->coded_offsets[i];
		if (self->kernel->decode(
			arena->tree, arena->coded + offset, arena->coded_offsets[i + 1] - offset,
			arena->out + i * BLOCK_SIZE, BLOCK_SIZE, arena->scratch) != CODEC_OK)
			fail("decode a block");
	}
}

static void run_zstd(const struct contestant *self, struct arena *arena)
{
	if (ZSTD_decompressDCtx(arena->zstd, arena->out, DATA_SIZE, self->packed,
				self->packed_size) != DATA_SIZE)
		fail("decode with zstd");
}

static void run_lz4(const struct contestant *self, struct arena *arena)
{
	if (LZ4_decompress_safe(self->packed, (char *)arena->out, (int)self->packed_size,
				DATA_SIZE) != DATA_SIZE)
		fail("decode with lz4");
}

static void run_memcpy(const struct contestant *self, struct arena *arena)
{
	memcpy(arena->out, self->packed, DATA_SIZE);
}

static void encode(struct arena *arena, uint64_t counts[CODEC_SYMBOLS])
{
	struct codec_planner *planner = allocate(codec_planner_size);
	struct codec_table table;
	size_t offset = 0, size;

	codec_histogram(arena->src, DATA_SIZE, counts);
	codec_design(counts, BLOCK_SIZE, planner, &table);
	if (codec_tree_build(arena->tree, &table) != CODEC_OK)
		fail("build the code tree");
	for (size_t i = 0; i < BLOCKS; i++) {
		if (codec_encode(arena->tree, arena->src + i * BLOCK_SIZE, BLOCK_SIZE,
				 arena->coded + offset, 2 * DATA_SIZE - offset, &size,
				 arena->scratch) != CODEC_OK)
			fail("encode a block");
		arena->coded_offsets[i] = offset;
		offset += size;
	}
	arena->coded_offsets[BLOCKS] = offset;
	arena->coded_size = offset + sizeof(table) + (size_t)BLOCKS * INDEX_PER_BLOCK;
	free(planner);
}

static unsigned enter_codec(struct contestant *list, const struct arena *arena)
{
	unsigned count = 0;

	for (unsigned k = 0; codec_kernels[k]; k++) {
		if (!codec_kernels[k]->supported())
			continue;
		struct contestant *entry = &list[count++];
		*entry = (struct contestant){.kernel = codec_kernels[k],
					     .packed_size = arena->coded_size,
					     .decode = run_codec};
		snprintf(entry->name, sizeof(entry->name), "entrofs, %s", codec_kernels[k]->name);
	}
	return count;
}

static unsigned enter_others(struct contestant *list, const struct arena *arena)
{
	static const int levels[] = {1, 3};
	size_t bound = ZSTD_compressBound(DATA_SIZE);
	unsigned count = 0;

	for (unsigned i = 0; i < 2; i++) {
		struct contestant *entry = &list[count++];
		*entry = (struct contestant){.packed = allocate(bound), .decode = run_zstd};
		snprintf(entry->name, sizeof(entry->name), "zstd -%d", levels[i]);
		entry->packed_size =
		    ZSTD_compress(entry->packed, bound, arena->src, DATA_SIZE, levels[i]);
		if (ZSTD_isError(entry->packed_size))
			fail("compress with zstd");
	}
	struct contestant *lz4 = &list[count++];
	int lz4_bound = LZ4_compressBound(DATA_SIZE);
	*lz4 = (struct contestant){.name = "lz4", .decode = run_lz4};
	lz4->packed = allocate((size_t)lz4_bound);
	lz4->packed_size = (size_t)LZ4_compress_default((const char *)arena->src, lz4->packed,
							DATA_SIZE, lz4_bound);
	struct contestant *copy = &list[count++];
	*copy =
	    (struct contestant){.name = "memcpy", .packed_size = DATA_SIZE, .decode = run_memcpy};
	copy->packed = allocate(DATA_SIZE);
	memcpy(copy->packed, arena->src, DATA_SIZE);
	return count;
}

static void race(struct contestant *list, unsigned count, struct arena *arena, unsigned rounds)
{
	for (unsigned i = 0; i < count; i++) {
		memset(arena->out, 0, DATA_SIZE);
		list[i].decode(&list[i], arena);
		if (memcmp(arena->out, arena->src, DATA_SIZE) != 0) {
			fprintf(stderr, "decode: '%s' gave wrong bytes\n", list[i].name);
			exit(1);
		}
		list[i].best = INFINITY;
	}
	for (unsigned round = 0; round < rounds; round++) {
		for (unsigned i = 0; i < count; i++) {
			double start = seconds();
			list[i].decode(&list[i], arena);
			list[i].best = fmin(list[i].best, seconds() - start);
		}
	}
}

static void bench(const struct distribution *distribution, struct arena *arena, unsigned rounds)
{
	struct contestant list[CONTESTANTS_MAX];
	uint64_t counts[CODEC_SYMBOLS] = {0};
	double entropy, reference = 0;
	unsigned count;

	generate(distribution, arena->src, DATA_SIZE);
	encode(arena, counts);
	entropy = entropy_bytes(counts, DATA_SIZE);
	count = enter_codec(list, arena);
	count += enter_others(list + count, arena);
	race(list, count, arena, rounds);
	for (unsigned i = 0; i < count; i++)
		if (strcmp(list[i].name, "zstd -3") == 0)
			reference = list[i].best;

	printf("%s: %.3f bits of entropy per byte\n\n", distribution->title,
	       8 * entropy / DATA_SIZE);
	printf("| decoder | size / entropy | GB/s | x zstd -3 |\n| --- | ---: | ---: | ---: |\n");
	for (unsigned i = 0; i < count; i++) {
		printf("| %s | %+.2f %% | %.2f | %.2f |\n", list[i].name,
		       100 * ((double)list[i].packed_size / entropy - 1),
		       DATA_SIZE / list[i].best / 1e9, reference / list[i].best);
		free(list[i].packed);
	}
	printf("\n");
}

int main(int argc, char **argv)
{
	unsigned rounds = 400;
	struct arena arena = {.src = allocate(DATA_SIZE),
			      .out = allocate(DATA_SIZE),
			      .tree = allocate(codec_tree_size),
			      .scratch = allocate(codec_scratch_size),
			      .coded = allocate(2 * DATA_SIZE + CODEC_SLACK),
			      .zstd = ZSTD_createDCtx()};

	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		printf("Usage: decode [--quick]\nOne core's decoding speed as Markdown tables.\n");
		return 0;
	}
	if (argc == 2 && strcmp(argv[1], "--quick") == 0) {
		rounds = 40;
	} else if (argc != 1) {
		fprintf(stderr, "decode: usage: decode [--quick]\n");
		return 2;
	}
	if (!arena.zstd)
		fail("allocate memory");
	for (size_t i = 0; i < sizeof(distributions) / sizeof(distributions[0]); i++)
		bench(&distributions[i], &arena, rounds);
	ZSTD_freeDCtx(arena.zstd);
	free(arena.src);
	free(arena.out);
	free(arena.tree);
	free(arena.scratch);
	free(arena.coded);
	return 0;
}
