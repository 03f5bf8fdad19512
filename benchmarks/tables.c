/* SPDX-License-Identifier: MIT */
/*
 * tables.c - what several code tables for a tensor bring, and what they cost.
 *
 *     tables [FILE...]
 *
 * Each file is the decoded bytes of a tensor, such as quantized/tensors/NAME.u8 of a mounted image.
 * Without files: synthetic tensors, Gaussian with a scale for each row that is log-normal with the
 * given sigma, or with every 200th column twenty times as large; quantized as mkentrofs does.
 *
 * The columns say by how many percent up to 2, 4, 8 and 16 tables (in brackets: chosen) make the
 * tensor smaller; "own" is the entropy of each block by itself, which no choice can reach; "runs"
 * is the alternative where a table is for blocks that follow each other, added by the same rule;
 * "ms" is how much longer choosing up to 8 tables takes than designing one. Sizes are those of the
 * stored blocks and of the tables, at 128 bytes of the compressed index each.
 */
#include "mkfs/tables.h"

#include "quantizer/quantizer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	BLOCK = 16 << 10,
	SYNTHETIC_SIZE = 16 << 20, /* decoded bytes */
	OUTLIER_EVERY = 200,
	OUTLIER_FACTOR = 20,
	RUNS_MAX = 8,
	TABLE_COST = 128, /* bytes of the compressed index */
};

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "tables: cannot %s\n", what);
	exit(1);
}

static void *allocate(size_t size)
{
	void *memory = aligned_alloc(64, (size + 63) / 64 * 64);

	if (!memory)
		fail("allocate memory");
	return memory;
}

/* Of this process alone, whatever else the machine does. */
static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* The bytes of a tensor and the counts of its blocks. */
struct stream {
	uint8_t *raw;
	size_t size, blocks;
	uint64_t (*counts)[CODEC_SYMBOLS]; /* of each block; zeros if it is constant */
	uint64_t sums[CODEC_SYMBOLS];
};

struct bench {
	struct tables *tables;
	struct codec_planner *planner;
};

static void count_blocks(struct stream *stream)
{
	stream->blocks = (stream->size + BLOCK - 1) / BLOCK;
	stream->counts = calloc(stream->blocks, sizeof *stream->counts);
	if (!stream->counts)
		fail("allocate memory");
	memset(stream->sums, 0, sizeof stream->sums);
	for (size_t i = 0; i < stream->blocks; i++) {
		size_t at = i * BLOCK, size = stream->size - at < BLOCK ? stream->size - at : BLOCK;
		codec_histogram(stream->raw + at, size, stream->counts[i]);
		if (stream->counts[i][stream->raw[at]] == size)
			memset(stream->counts[i], 0, sizeof *stream->counts);
		for (unsigned s = 0; s < CODEC_SYMBOLS; s++)
			stream->sums[s] += stream->counts[i][s];
	}
}

static uint64_t sum(const uint64_t counts[CODEC_SYMBOLS])
{
	uint64_t total = 0;

	for (unsigned s = 0; s < CODEC_SYMBOLS; s++)
		total += counts[s];
	return total;
}

/* Bytes of a block with this table. */
static uint64_t stored_size(const uint64_t counts[CODEC_SYMBOLS], const struct codec_table *table)
{
	uint64_t bits = 0, size = sum(counts);

	for (unsigned s = 0; s < CODEC_SYMBOLS; s++) {
		if (counts[s] && table->code[s] == CODEC_ABSENT)
			return size;
		bits += counts[s] * (uint64_t)((table->code[s] >> 4) + (table->code[s] & 15));
	}
	return (bits + 7) / 8 < size ? (bits + 7) / 8 : size;
}

/* What the stream takes with up to `most` tables; how many were chosen, and in what time. */
static uint64_t choose(const struct bench *bench, const struct stream *stream, unsigned most,
		       unsigned *chosen, double *time)
{
	double start = seconds();
	uint64_t size = 0;

	tables_begin(bench->tables, stream->blocks, most);
	for (size_t i = 0; i < stream->blocks; i++)
		if (sum(stream->counts[i]))
			tables_note(bench->tables, i, stream->counts[i]);
	tables_choose(bench->tables, stream->sums);
	*time = seconds() - start;
	*chosen = tables_count(bench->tables);
	for (size_t i = 0; i < stream->blocks; i++) {
		size_t at = i * BLOCK, left = stream->size - at;
		unsigned table =
		    tables_pick(bench->tables, i, stream->raw + at, left < BLOCK ? left : BLOCK);
		size += *chosen ? stored_size(stream->counts[i], tables_list(bench->tables) + table)
				: sum(stream->counts[i]);
	}
	return size + *chosen * TABLE_COST;
}

/* --- runs of blocks --------------------------------------------------------------------------- */

static double entropy_bytes(const uint64_t counts[CODEC_SYMBOLS])
{
	return quant_entropy(counts, CODEC_SYMBOLS) * (double)sum(counts) / 8;
}

/* Bytes of entropy that the best cut between first and end saves. */
static double best_cut(const struct stream *stream, size_t first, size_t end, size_t *cut)
{
	uint64_t before[CODEC_SYMBOLS] = {0}, after[CODEC_SYMBOLS] = {0};
	double best = 0, whole;

	for (size_t i = first; i < end; i++)
		for (unsigned s = 0; s < CODEC_SYMBOLS; s++)
			after[s] += stream->counts[i][s];
	whole = entropy_bytes(after);
	for (size_t i = first; i + 1 < end; i++) {
		for (unsigned s = 0; s < CODEC_SYMBOLS; s++) {
			before[s] += stream->counts[i][s];
			after[s] -= stream->counts[i][s];
		}
		double saving = whole - entropy_bytes(before) - entropy_bytes(after);
		if (saving > best) {
			best = saving;
			*cut = i + 1;
		}
	}
	return best;
}

static uint64_t run_size(const struct bench *bench, const struct stream *stream, size_t first,
			 size_t end)
{
	uint64_t counts[CODEC_SYMBOLS] = {0}, size = TABLE_COST;
	struct codec_table table;

	for (size_t i = first; i < end; i++)
		for (unsigned s = 0; s < CODEC_SYMBOLS; s++)
			counts[s] += stream->counts[i][s];
	if (!sum(counts))
		return 0;
	codec_design(counts, BLOCK, bench->planner, &table);
	for (size_t i = first; i < end; i++)
		size += stored_size(stream->counts[i], &table);
	return size;
}

/* As many runs as pay, each cut where that saves the most. */
static uint64_t cut_runs(const struct bench *bench, const struct stream *stream, unsigned *runs)
{
	size_t ends[RUNS_MAX + 1] = {0, stream->blocks};
	uint64_t size = run_size(bench, stream, 0, stream->blocks), least = size >> 11;

	for (*runs = 1; *runs < RUNS_MAX; ++*runs) {
		double best = 0;
		size_t cut = 0, at = 0;
		for (unsigned r = 0; r < *runs; r++) {
			size_t here;
			double saving = best_cut(stream, ends[r], ends[r + 1], &here);
			if (saving > best) {
				best = saving;
				cut = here;
				at = r;
			}
		}
		if (best == 0)
			break;
		uint64_t parts = run_size(bench, stream, ends[at], cut) +
				 run_size(bench, stream, cut, ends[at + 1]);
		uint64_t whole = run_size(bench, stream, ends[at], ends[at + 1]);
		if (parts + least >= whole)
			break;
		size = size - whole + parts;
		memmove(&ends[at + 2], &ends[at + 1], (*runs - at) * sizeof ends[0]);
		ends[at + 1] = cut;
	}
	return size;
}

/* --- tensors ---------------------------------------------------------------------------------- */

static void report(const struct bench *bench, const char *name, struct stream *stream)
{
	static const unsigned limits[] = {2, 4, 8, 16};
	unsigned count;
	double time, own = 0;

	count_blocks(stream);
	uint64_t one = choose(bench, stream, 1, &count, &time);
	double one_time = time;
	printf("| %s | %zu | %.3f |", name, stream->blocks,
	       8.0 * (double)one / (double)stream->size);
	for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
		uint64_t size = choose(bench, stream, limits[i], &count, &time);
		printf(" %.2f (%u) |", 100 * (1 - (double)size / (double)one), count);
		if (limits[i] == 8)
			one_time = time - one_time;
	}
	for (size_t i = 0; i < stream->blocks; i++)
		own += entropy_bytes(stream->counts[i]);
	printf(" %.2f |", 100 * (1 - own / entropy_bytes(stream->sums)));
	uint64_t runs = cut_runs(bench, stream, &count);
	printf(" %.2f (%u) | %.1f |\n", 100 * (1 - (double)runs / (double)one), count,
	       1e3 * one_time);
	free(stream->counts);
}

static uint64_t random_state = 88172645463325252u;

static double uniform(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return ((double)(random_state >> 11) + 0.5) / 9007199254740992.0;
}

static double gaussian(void)
{
	return sqrt(-2 * log(uniform())) * cos(6.283185307179586 * uniform());
}

static void synthesize(struct stream *stream, int bits, size_t columns, double sigma, int outliers)
{
	size_t count = (size_t)SYNTHETIC_SIZE * 8 / (unsigned)bits / columns * columns;
	float *weights = allocate(count * sizeof *weights);
	uint8_t *codes = allocate(count);
	struct quant_range range = quant_range_none();
	struct quant_params params;

	for (size_t i = 0; i < count; i += columns) {
		double scale = exp(sigma * gaussian());
		for (size_t c = 0; c < columns; c++) {
			double factor =
			    outliers && c % OUTLIER_EVERY == 0 ? scale * OUTLIER_FACTOR : scale;
			weights[i + c] = (float)(factor * gaussian());
		}
	}
	quant_range_add(&range, QUANT_F32, weights, count, 0);
	if (quant_choose(&range, bits, &params))
		fail("choose parameters");
	quant_encode(&params, QUANT_F32, weights, count, codes, NULL);
	stream->size = bits == 8 ? count : (count + 1) / 2;
	stream->raw = allocate(stream->size);
	if (bits == 8)
		memcpy(stream->raw, codes, count);
	else
		quant_pack4(codes, count, stream->raw);
	free(weights);
	free(codes);
}

static void report_synthetic(const struct bench *bench, int bits)
{
	static const double sigmas[] = {0, 0.3, 0.6, 1.0};
	static const size_t columns[] = {576, 1536, 4096};
	struct stream stream;
	char name[64];

	for (size_t s = 0; s < 4; s++) {
		for (size_t c = 0; c < 3; c++) {
			synthesize(&stream, bits, columns[c], sigmas[s], 0);
			snprintf(name, sizeof name, "uint%d, sigma %.1f, rows of %zu", bits,
				 sigmas[s], columns[c]);
			report(bench, name, &stream);
			free(stream.raw);
		}
	}
	for (size_t s = 0; s < 2; s++) {
		synthesize(&stream, bits, 4096, sigmas[s], 1);
		snprintf(name, sizeof name, "uint%d, sigma %.1f, rows of 4096, outlier columns",
			 bits, sigmas[s]);
		report(bench, name, &stream);
		free(stream.raw);
	}
}

static void report_file(const struct bench *bench, const char *path)
{
	FILE *file = fopen(path, "rb");
	struct stream stream = {0};
	const char *name = strrchr(path, '/');

	if (!file || fseek(file, 0, SEEK_END) || ftell(file) < 0)
		fail("open a file");
	stream.size = (size_t)ftell(file);
	rewind(file);
	stream.raw = allocate(stream.size + 1);
	if (fread(stream.raw, 1, stream.size, file) != stream.size)
		fail("read a file");
	fclose(file);
	if (stream.size)
		report(bench, name ? name + 1 : path, &stream);
	free(stream.raw);
}

/* --- decoding --------------------------------------------------------------------------------- */

enum { COPIES = 16, CODED_BLOCKS = 256, ROUNDS = 60 };

/* Blocks, coded with a table of which there are several trees, lest anything else differed. */
struct coded {
	uint8_t *trees, *bytes, *raw;
	size_t tree_size, offsets[CODED_BLOCKS + 1];
	struct codec_scratch *scratch;
};

static void encode(const struct bench *bench, struct coded *coded)
{
	struct stream stream;
	struct codec_table table;
	size_t size;

	synthesize(&stream, 8, 4096, 0, 0);
	count_blocks(&stream);
	codec_design(stream.sums, BLOCK, bench->planner, &table);
	for (size_t i = 0; i < COPIES; i++)
		codec_tree_build((void *)(coded->trees + i * coded->tree_size), &table);
	coded->offsets[0] = 0;
	for (size_t i = 0; i < CODED_BLOCKS; i++) {
		if (codec_encode((void *)coded->trees, stream.raw + i * BLOCK, BLOCK,
				 coded->bytes + coded->offsets[i], BLOCK, &size, coded->scratch))
			fail("encode a block");
		coded->offsets[i + 1] = coded->offsets[i] + size;
	}
	free(stream.counts);
	free(stream.raw);
}

/* Seconds for all blocks, each with one of so many trees at random. */
static double decode(const struct codec_kernel *kernel, const struct coded *coded, unsigned trees)
{
	double start = seconds();
	struct codec_fold fold;

	for (size_t i = 0; i < CODED_BLOCKS; i++) {
		size_t tree = (i * 2654435761u >> 16) % trees;
		if (kernel->decode((void *)(coded->trees + tree * coded->tree_size),
				   coded->bytes + coded->offsets[i],
				   coded->offsets[i + 1] - coded->offsets[i], coded->raw, BLOCK,
				   coded->scratch, &fold))
			fail("decode a block");
	}
	return seconds() - start;
}

/* Each kernel's time with several tables over that with one. */
static void report_switching(const struct bench *bench)
{
	static const unsigned limits[] = {1, 2, 4, 8, COPIES};
	enum { LIMITS = sizeof limits / sizeof limits[0] };
	struct coded coded = {.tree_size = (codec_tree_size + 63) / 64 * 64,
			      .bytes = allocate(CODED_BLOCKS * BLOCK + CODEC_SLACK),
			      .raw = allocate(BLOCK),
			      .scratch = allocate(codec_scratch_size)};

	coded.trees = allocate(COPIES * coded.tree_size);
	encode(bench, &coded);
	printf("\n| decoder | 1 table | 2 | 4 | 8 | 16 |\n"
	       "| --- | ---: | ---: | ---: | ---: | ---: |\n");
	for (unsigned k = 0; codec_kernels[k]; k++) {
		double best[LIMITS];
		if (!codec_kernels[k]->supported())
			continue;
		for (unsigned l = 0; l < LIMITS; l++)
			best[l] = INFINITY;
		for (unsigned round = 0; round < ROUNDS * LIMITS; round++) {
			unsigned l = round % LIMITS;
			best[l] = fmin(best[l], decode(codec_kernels[k], &coded, limits[l]));
		}
		printf("| %s |", codec_kernels[k]->name);
		for (unsigned l = 0; l < LIMITS; l++)
			printf(" %.3f |", best[l] / best[0]);
		printf("\n");
	}
	free(coded.trees);
	free(coded.bytes);
	free(coded.raw);
	free(coded.scratch);
}

int main(int argc, char **argv)
{
	struct bench bench = {tables_create(BLOCK), allocate(codec_planner_size)};

	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		printf("Usage: tables [FILE...]\nWhat several code tables bring, in Markdown.\n");
		return 0;
	}
	if (!bench.tables)
		fail("allocate memory");
	printf("| tensor | blocks | bits/byte | <= 2 | <= 4 | <= 8 | <= 16 | own | runs | ms |\n"
	       "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n");
	for (int i = 1; i < argc; i++)
		report_file(&bench, argv[i]);
	for (int bits = 8; argc == 1 && bits >= 4; bits -= 4)
		report_synthetic(&bench, bits);
	if (argc == 1)
		report_switching(&bench);
	tables_destroy(bench.tables);
	free(bench.planner);
	return 0;
}
