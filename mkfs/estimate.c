/* SPDX-License-Identifier: MIT */
/* estimate.c - what packing would make of each tensor; see estimate.h. */
#include "mkfs/estimate.h"

#include "mkfs/cli.h"
#include "mkfs/codes.h"
#include "mkfs/snap.h"
#include "mkfs/tables.h"

#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

enum {
	BLOCK = 1 << ENCODE_BLOCK_LOG2,
	SAMPLES = ESTIMATE_BLOCKS + 1, /* the last block, if it is shorter, comes on top */
};

/* Units of progress, measured: per weight, per decoded byte of the sample, and per tensor. */
enum { WORK_RANGE = 1, WORK_SAMPLE = 4, WORK_TENSOR = 1000000 };

struct tensor_estimate {
	struct codes codes;
	struct quant_range range;
	struct encoded_tensor result;
	struct codec_table *tables; /* result.tables */
	uint64_t full_blocks;
	unsigned full_samples; /* of those; the sample of a shorter last block comes last */
	struct image_encoded samples[SAMPLES]; /* in the order of the blocks */
};

struct estimate_worker {
	struct codes_buffer buffer;
	struct tables *tables;
	struct codec_scratch *scratch;
	uint8_t *raw;    /* SAMPLES blocks */
	uint8_t *stored; /* one */
};

struct estimate {
	const struct source *source;
	const struct plan *plan;
	struct progress *progress;
	struct tensor_estimate *tensors;
	struct estimate_worker *workers;
	unsigned jobs;
};

/* --- the sample ------------------------------------------------------------------------------- */

/* The first of the blocks that sample k stands for: each for as many as any other, but for one. */
static uint64_t stratum(const struct tensor_estimate *t, uint64_t k)
{
	return (k * t->full_blocks + t->full_samples - 1) / t->full_samples;
}

/* The block that is looked at; not always the same one of a stratum, as tensors repeat themselves
 * in powers of two. */
static uint64_t sampled_block(const struct tensor_estimate *t, unsigned k)
{
	if (k == t->full_samples)
		return t->full_blocks;

	uint64_t first = stratum(t, k), count = stratum(t, k + UINT64_C(1)) - first;
	uint64_t mixed = (k + UINT64_C(1)) * UINT64_C(0x9e3779b97f4a7c15) >> 32;

	return first + (mixed * count >> 32);
}

static unsigned sample_count(const struct tensor_estimate *t)
{
	return t->full_samples + (t->codes.raw_size % BLOCK != 0);
}

static uint32_t sample_size(const struct tensor_estimate *t, unsigned k)
{
	return k < t->full_samples ? BLOCK : (uint32_t)(t->codes.raw_size % BLOCK);
}

static void plan_sample(struct tensor_estimate *t)
{
	t->full_blocks = t->codes.raw_size / BLOCK;
	t->full_samples =
	    t->full_blocks < ESTIMATE_BLOCKS ? (unsigned)t->full_blocks : ESTIMATE_BLOCKS;
}

/* Reads and counts the sample, and chooses tables for it. */
static int load_sample(struct tensor_estimate *t, struct estimate_worker *worker)
{
	uint64_t all[CODEC_SYMBOLS] = {0}, varied[CODEC_SYMBOLS] = {0};

	tables_begin(worker->tables, sample_count(t), ENCODE_TABLES);
	for (unsigned k = 0; k < sample_count(t); k++) {
		uint8_t *raw = worker->raw + (size_t)k * BLOCK;
		uint64_t counts[CODEC_SYMBOLS] = {0};

		if (codes_load_part(&t->codes, &worker->buffer, sampled_block(t, k) * BLOCK,
				    sample_size(t, k), raw,
				    t->codes.bits ? &t->result.error : NULL))
			return -1;
		codec_histogram(raw, sample_size(t, k), counts);
		int constant = counts[raw[0]] == sample_size(t, k);
		for (unsigned symbol = 0; symbol < CODEC_SYMBOLS; symbol++) {
			all[symbol] += counts[symbol];
			varied[symbol] += constant ? 0 : counts[symbol];
		}
		if (!constant)
			tables_note(worker->tables, k, counts);
	}
	tables_choose(worker->tables, varied);
	t->result.byte_entropy = quant_entropy(all, CODEC_SYMBOLS);
	encode_figures(&t->result, t->codes.tensor->dtype);
	return 0;
}

static int encode_sample(struct tensor_estimate *t, struct estimate_worker *worker)
{
	const struct tables *tables = worker->tables;
	size_t size = 0;

	t->result.tables = tables_count(tables);
	t->tables = calloc(t->result.tables + 1, sizeof *t->tables);
	if (!t->tables)
		return -1;
	memcpy(t->tables, tables_list(tables), t->result.tables * sizeof *t->tables);
	for (unsigned k = 0; k < sample_count(t); k++) {
		const uint8_t *raw = worker->raw + (size_t)k * BLOCK;
		unsigned table = tables_pick(tables, k, raw, sample_size(t, k));

		t->samples[k] =
		    image_encode_block(tables_tree(tables, table), (uint8_t)table, raw,
				       sample_size(t, k), worker->stored, worker->scratch);
		size += sample_size(t, k);
	}
	SHA256(worker->raw, size, t->result.digest);
	return 0;
}

/* --- tensors ---------------------------------------------------------------------------------- */

/* 1: a value is not finite, which is still to be told. */
static int find_range(struct estimate *e, struct tensor_estimate *t, struct estimate_worker *worker)
{
	t->range = quant_range_none();
	for (uint64_t chunk = 0; chunk < t->codes.chunks; chunk++) {
		if (codes_range(&t->codes, &worker->buffer, chunk, &t->range))
			return -1;
		progress_add(e->progress, codes_chunk_weights(&t->codes, chunk) * WORK_RANGE);
	}
	return t->range.bad_index != UINT64_MAX ? 1 : 0;
}

/* Chooses parameters of blocks of ggml by what they make of the sample. */
static int choose_blocks(struct tensor_estimate *t, struct estimate_worker *worker)
{
	struct quant_error errors[SNAP_TRIED] = {{0, 0, 0}};
	struct snap snap;

	if (snap_begin(&snap, &t->codes, &t->range))
		return -1;
	plan_sample(t);
	for (unsigned k = 0; k < sample_count(t); k++) {
		if (snap_measure(&snap, &t->codes, &worker->buffer, sampled_block(t, k) * BLOCK,
				 sample_size(t, k), worker->raw, errors))
			return -1;
	}
	t->result.ggml_type = snap_end(&snap, errors, &t->codes);
	t->result.freely = errors[0];
	return 0;
}

static uint64_t sample_work(uint64_t raw_size)
{
	uint64_t most = (uint64_t)ESTIMATE_BLOCKS * BLOCK;

	return (raw_size < most ? raw_size : most) * WORK_SAMPLE + WORK_TENSOR;
}

uint64_t estimate_work(const struct safetensor *tensor, int bits)
{
	return (bits ? tensor->count * WORK_RANGE : 0) + sample_work(codes_raw_size(tensor, bits));
}

static int estimate_tensor(void *context, unsigned number, uint64_t item)
{
	struct estimate *e = context;
	struct estimate_worker *worker = &e->workers[number];
	const struct source_tensor *tensor = &e->source->tensors[item];
	struct tensor_estimate *t = &e->tensors[item];

	t->codes = codes_of(&e->source->shards[tensor->shard], &tensor->info, e->plan[item].bits);
	if (t->codes.bits) {
		int result = find_range(e, t, worker);
		if (!result)
			result = e->plan[item].blocks ? choose_blocks(t, worker)
						      : codes_choose(&t->codes, &t->range);
		if (result)
			return result;
	}
	plan_sample(t);
	t->result.bits = t->codes.bits;
	t->result.params = t->codes.params;
	t->result.raw_size = t->codes.raw_size;
	if (load_sample(t, worker))
		return -1;
	if (encode_sample(t, worker)) {
		cli_cannot("pack", e->source->path, "out of memory");
		return -1;
	}
	progress_add(e->progress, sample_work(t->codes.raw_size));
	return 0;
}

/* Of the tensors that have been looked at, the first that has a value that is not finite. All
 * before it have been looked at, so it is the one that packing would stop at. */
static void tell_bad_value(struct estimate *e)
{
	for (size_t i = 0; i < e->source->tensor_count; i++) {
		struct tensor_estimate *t = &e->tensors[i];
		if (t->codes.bits && t->range.bad_index != UINT64_MAX) {
			codes_choose(&t->codes, &t->range);
			return;
		}
	}
}

/* --- all of them ------------------------------------------------------------------------------ */

static int create_worker(struct estimate_worker *worker)
{
	enum { ALIGN = 64 };

	worker->tables = tables_create(BLOCK);
	worker->scratch = aligned_alloc(ALIGN, (codec_scratch_size + ALIGN - 1) / ALIGN * ALIGN);
	worker->raw = malloc((size_t)SAMPLES * BLOCK);
	worker->stored = malloc(BLOCK);
	if (codes_buffer_create(&worker->buffer))
		return -1;
	return worker->tables && worker->scratch && worker->raw && worker->stored ? 0 : -1;
}

static void destroy_workers(struct estimate *e)
{
	for (unsigned i = 0; e->workers && i < e->jobs; i++) {
		codes_buffer_destroy(&e->workers[i].buffer);
		tables_destroy(e->workers[i].tables);
		free(e->workers[i].scratch);
		free(e->workers[i].raw);
		free(e->workers[i].stored);
	}
	free(e->workers);
	e->workers = NULL;
}

struct estimate *estimate_create(const struct source *source, const struct plan *plan,
				 struct pool *pool, struct progress *progress)
{
	struct estimate *e = calloc(1, sizeof *e);
	int good = e != NULL, result = -1;

	if (good) {
		*e = (struct estimate){
		    .source = source, .plan = plan, .progress = progress, .jobs = pool_jobs(pool)};
		e->tensors = calloc(source->tensor_count + 1, sizeof *e->tensors);
		e->workers = calloc(e->jobs, sizeof *e->workers);
		good = e->tensors && e->workers;
	}
	for (unsigned i = 0; good && i < e->jobs; i++)
		good = !create_worker(&e->workers[i]);
	if (!good)
		cli_cannot("pack", source->path, "out of memory");
	else
		result = pool_run(pool, source->tensor_count, estimate_tensor, e);
	if (result > 0)
		tell_bad_value(e);
	if (e)
		destroy_workers(e);
	if (!result)
		return e;
	estimate_destroy(e);
	return NULL;
}

void estimate_destroy(struct estimate *e)
{
	if (!e)
		return;
	for (size_t i = 0; e->tensors && i < e->source->tensor_count; i++)
		free(e->tensors[i].tables);
	free(e->tensors);
	free(e);
}

int estimate_put(const struct estimate *e, size_t tensor, struct image_writer *writer,
		 struct encoded_tensor *result, struct image_diag *diag)
{
	const struct tensor_estimate *t = &e->tensors[tensor];
	uint64_t block = 0;

	*result = t->result;
	int err = image_writer_begin_stream(writer, result->raw_size, ENCODE_BLOCK_LOG2, t->tables,
					    result->tables, diag);
	for (unsigned k = 0; !err && k < sample_count(t); k++) {
		struct image_encoded encoded = t->samples[k];
		uint64_t end = k < t->full_samples ? stratum(t, k + UINT64_C(1)) : block + 1;

		for (; !err && block < end; block++) {
			err = image_writer_put_block(writer, &encoded, NULL, diag);
			/* The others have other checksums, which do not compress. */
			encoded.checksum = encoded.checksum * 0x9e3779b1u + 1;
		}
	}
	return err ? err : image_writer_end_stream(writer, &result->stream, &result->cost, diag);
}
