/* SPDX-License-Identifier: MIT */
/*
 * encode.c - one tensor from its source file into a stream; see encode.h.
 *
 * A tensor is read up to three times, in chunks that all threads share: for its range, for the
 * counts of its bytes and the error made, and for encoding. The codes of tensors up to CACHE_SIZE
 * stay in memory between the last two. Every sum that rounds is kept per chunk and added up in the
 * order of chunks: the image does not depend on the number of threads.
 */
#include "mkfs/encode.h"

#include "mkfs/cli.h"
#include "mkfs/codes.h"
#include "mkfs/snap.h"
#include "mkfs/tables.h"

#include <assert.h>
#include <math.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	BLOCK = 1 << ENCODE_BLOCK_LOG2,
	CHUNK_BLOCKS = CODES_CHUNK / BLOCK,
	CACHE_SIZE = 64 << 20, /* decoded bytes kept between passes */
	SLOTS_MAX = 96,
};

/* Units of progress, measured: per weight, per decoded byte, and per tensor to quantize. */
enum {
	WORK_RANGE = 1,
	WORK_QUANTIZE = 2,
	WORK_COUNT = 1, /* of a kept byte */
	WORK_WRITE = 5,
	WORK_DESIGN = 4000000,
};

struct encode_worker {
	struct codes_buffer buffer;
	uint8_t *raw; /* a chunk, if there is no better place for it */
	struct codec_scratch *scratch;
	struct quant_range range;
	uint64_t counts[CODEC_SYMBOLS];    /* of blocks that vary ... */
	uint64_t constants[CODEC_SYMBOLS]; /* ... and of those that do not */
};

/* A chunk on its way to the image. */
struct encode_slot {
	uint8_t *raw; /* in memory of the slot's own, or in the cache */
	uint8_t *own_raw;
	uint8_t *stored; /* block i at i * BLOCK */
	size_t raw_size;
	unsigned blocks;
	struct image_encoded encoded[CHUNK_BLOCKS];
};

/* The tensor being encoded. */
struct encode_job {
	struct codes codes;
	int blocks;                              /* parameters are to be those of blocks of ggml */
	struct snap snap;                        /* then: what is tried ... */
	struct quant_error (*tried)[SNAP_TRIED]; /* ... and its errors, per chunk */
	struct quant_error *errors;              /* per chunk; NULL if kept */
	uint8_t *cache;                          /* the decoded bytes of all of it, or NULL */
	int is_loaded;                           /* they are there from the start */
};

struct encoder {
	struct pool *pool;
	struct image_writer *writer;
	const char *target;
	struct progress *progress;
	struct encode_worker *workers;
	struct encode_slot *slots;
	unsigned slot_count;
	uint8_t *cache;
	struct tables *tables;
	EVP_MD_CTX *digest;
	struct encode_job job;
};

static void *aligned(size_t size)
{
	return aligned_alloc(64, (size + 63) / 64 * 64);
}

struct encoder *encoder_create(struct pool *pool, struct image_writer *writer, const char *target,
			       struct progress *progress)
{
	unsigned jobs = pool_jobs(pool);
	struct encoder *e = calloc(1, sizeof *e);
	if (!e)
		return NULL;
	e->pool = pool;
	e->writer = writer;
	e->target = target;
	e->progress = progress;
	e->slot_count = 2 * jobs + 2 < SLOTS_MAX ? 2 * jobs + 2 : SLOTS_MAX;
	e->workers = calloc(jobs, sizeof *e->workers);
	e->slots = calloc(e->slot_count, sizeof *e->slots);
	e->cache = malloc(CACHE_SIZE);
	e->tables = tables_create(BLOCK);
	e->digest = EVP_MD_CTX_new();
	int good = e->workers && e->slots && e->cache && e->tables && e->digest;
	for (unsigned i = 0; good && i < jobs; i++) {
		struct encode_worker *worker = &e->workers[i];
		good = !codes_buffer_create(&worker->buffer);
		worker->raw = malloc(CODES_CHUNK);
		worker->scratch = aligned(codec_scratch_size);
		good = good && worker->raw && worker->scratch;
	}
	for (unsigned i = 0; good && i < e->slot_count; i++) {
		e->slots[i].own_raw = malloc(CODES_CHUNK);
		e->slots[i].stored = malloc(CODES_CHUNK);
		good = e->slots[i].own_raw && e->slots[i].stored;
	}
	if (good)
		return e;
	encoder_destroy(e);
	return NULL;
}

void encoder_destroy(struct encoder *e)
{
	if (!e)
		return;
	for (unsigned i = 0; e->workers && i < pool_jobs(e->pool); i++) {
		codes_buffer_destroy(&e->workers[i].buffer);
		free(e->workers[i].raw);
		free(e->workers[i].scratch);
	}
	for (unsigned i = 0; e->slots && i < e->slot_count; i++) {
		free(e->slots[i].own_raw);
		free(e->slots[i].stored);
	}
	free(e->workers);
	free(e->slots);
	free(e->cache);
	tables_destroy(e->tables);
	EVP_MD_CTX_free(e->digest);
	free(e);
}

/* --- what threads do with a chunk ------------------------------------------------------------- */

static int range_item(void *context, unsigned number, uint64_t chunk)
{
	struct encoder *e = context;
	const struct codes *codes = &e->job.codes;
	struct encode_worker *worker = &e->workers[number];

	if (codes_range(codes, &worker->buffer, chunk, &worker->range))
		return -1;
	progress_add(e->progress, codes_chunk_weights(codes, chunk) * WORK_RANGE);
	return 0;
}

/* Units of progress for loading a chunk, counting included. */
static uint64_t load_work(const struct codes *codes, uint64_t chunk)
{
	return codes->bits ? codes_chunk_weights(codes, chunk) * WORK_QUANTIZE
			   : codes_chunk_size(codes, chunk) * (uint64_t)WORK_COUNT;
}

/* The size of a block that begins at this byte of a chunk. */
static size_t block_size(size_t chunk_size, size_t at)
{
	return chunk_size - at < BLOCK ? chunk_size - at : BLOCK;
}

static void count_block(struct tables *tables, struct encode_worker *worker, uint64_t block,
			const uint8_t *raw, size_t size)
{
	uint64_t counts[CODEC_SYMBOLS] = {0};

	codec_histogram(raw, size, counts);
	if (counts[raw[0]] == size) {
		worker->constants[raw[0]] += size;
		return;
	}
	for (unsigned symbol = 0; symbol < CODEC_SYMBOLS; symbol++)
		worker->counts[symbol] += counts[symbol];
	tables_note(tables, block, counts);
}

static int count_item(void *context, unsigned number, uint64_t chunk)
{
	struct encoder *e = context;
	struct encode_job *job = &e->job;
	struct encode_worker *worker = &e->workers[number];
	size_t size = codes_chunk_size(&job->codes, chunk);
	uint8_t *raw = job->cache ? job->cache + chunk * CODES_CHUNK : worker->raw;

	if (!job->is_loaded && codes_load(&job->codes, &worker->buffer, chunk, raw,
					  job->errors ? &job->errors[chunk] : NULL))
		return -1;
	for (size_t at = 0; at < size; at += BLOCK)
		count_block(e->tables, worker, chunk * CHUNK_BLOCKS + at / BLOCK, raw + at,
			    block_size(size, at));
	progress_add(e->progress, load_work(&job->codes, chunk));
	return 0;
}

static int encode_item(void *context, unsigned number, uint64_t chunk, unsigned slot_number)
{
	struct encoder *e = context;
	struct encode_job *job = &e->job;
	struct encode_worker *worker = &e->workers[number];
	struct encode_slot *slot = &e->slots[slot_number];

	slot->raw_size = codes_chunk_size(&job->codes, chunk);
	slot->blocks = (unsigned)((slot->raw_size + BLOCK - 1) / BLOCK);
	slot->raw = job->cache ? job->cache + chunk * CODES_CHUNK : slot->own_raw;
	if (!job->cache) {
		if (codes_load(&job->codes, &worker->buffer, chunk, slot->raw, NULL))
			return -1;
		progress_add(e->progress, job->codes.bits ? load_work(&job->codes, chunk) : 0);
	}
	for (unsigned i = 0; i < slot->blocks; i++) {
		size_t at = (size_t)i * BLOCK, size = block_size(slot->raw_size, at);
		unsigned table =
		    tables_pick(e->tables, chunk * CHUNK_BLOCKS + i, slot->raw + at, size);
		slot->encoded[i] =
		    image_encode_block(tables_tree(e->tables, table), (uint8_t)table,
				       slot->raw + at, size, slot->stored + at, worker->scratch);
	}
	progress_add(e->progress, slot->raw_size * WORK_WRITE);
	return 0;
}

static int hash_chunk(void *context, uint64_t chunk, unsigned slot_number)
{
	struct encoder *e = context;
	struct encode_slot *slot = &e->slots[slot_number];

	(void)chunk;
	return EVP_DigestUpdate(e->digest, slot->raw, slot->raw_size) == 1 ? 0 : -1;
}

static int write_chunk(void *context, uint64_t chunk, unsigned slot_number)
{
	struct encoder *e = context;
	struct encode_slot *slot = &e->slots[slot_number];
	struct image_diag diag = {""};

	(void)chunk;
	for (unsigned i = 0; i < slot->blocks; i++) {
		if (image_writer_put_block(e->writer, &slot->encoded[i],
					   slot->stored + (size_t)i * BLOCK, &diag)) {
			cli_cannot("write", e->target, "%s", diag.text);
			return -1;
		}
	}
	return 0;
}

/* --- passes ----------------------------------------------------------------------------------- */

static int try_item(void *context, unsigned number, uint64_t chunk)
{
	struct encoder *e = context;
	struct encode_job *job = &e->job;
	struct encode_worker *worker = &e->workers[number];

	if (snap_measure(&job->snap, &job->codes, &worker->buffer, chunk * CODES_CHUNK,
			 codes_chunk_size(&job->codes, chunk), worker->raw, job->tried[chunk]))
		return -1;
	progress_add(e->progress, codes_chunk_weights(&job->codes, chunk) * WORK_QUANTIZE *
				      snap_tried(job->codes.bits));
	return 0;
}

/* Decides the parameters among those of blocks of ggml, by what each makes of the tensor. */
static int choose_blocks(struct encoder *e, const struct quant_range *range,
			 struct encoded_tensor *result)
{
	struct encode_job *job = &e->job;
	struct quant_error total[SNAP_TRIED] = {{0, 0, 0}};

	if (snap_begin(&job->snap, &job->codes, range))
		return -1;
	job->tried = calloc(job->codes.chunks, sizeof *job->tried);
	if (!job->tried) {
		cli_cannot("write", e->target, "out of memory");
		return -1;
	}
	int status = pool_run(e->pool, job->codes.chunks, try_item, e);
	for (uint64_t chunk = 0; !status && chunk < job->codes.chunks; chunk++)
		for (unsigned i = 0; i < job->snap.count; i++)
			quant_error_merge(&total[i], &job->tried[chunk][i]);
	free(job->tried);
	if (status)
		return -1;
	result->ggml_type = snap_end(&job->snap, total, &job->codes);
	result->freely = total[0];
	return 0;
}

/* Decides the parameters, or that the tensor is to be kept after all. */
static int choose_params(struct encoder *e, struct encoded_tensor *result)
{
	struct codes *codes = &e->job.codes;
	struct quant_range range = quant_range_none();

	for (unsigned i = 0; i < pool_jobs(e->pool); i++)
		e->workers[i].range = range;
	if (pool_run(e->pool, codes->chunks, range_item, e))
		return -1;
	for (unsigned i = 0; i < pool_jobs(e->pool); i++)
		quant_range_merge(&range, &e->workers[i].range);
	return e->job.blocks ? choose_blocks(e, &range, result) : codes_choose(codes, &range);
}

uint64_t encode_work(const struct safetensor *tensor, int bits, int blocks)
{
	uint64_t raw_size = codes_raw_size(tensor, bits);
	if (!bits)
		return (WORK_COUNT + WORK_WRITE) * raw_size;
	/* times */
	unsigned quantized = (raw_size <= CACHE_SIZE ? 1 : 2) + (blocks ? snap_tried(bits) : 0);
	return (WORK_RANGE + quantized * WORK_QUANTIZE) * tensor->count + WORK_WRITE * raw_size +
	       WORK_DESIGN;
}

/* Pass two: counts, and from them the tables. */
static int choose_tables(struct encoder *e, struct encoded_tensor *result)
{
	const struct codes *codes = &e->job.codes;
	uint64_t counts[CODEC_SYMBOLS] = {0}, all[CODEC_SYMBOLS] = {0};

	tables_begin(e->tables, (codes->raw_size + BLOCK - 1) / BLOCK, ENCODE_TABLES);
	for (unsigned i = 0; i < pool_jobs(e->pool); i++) {
		memset(e->workers[i].counts, 0, sizeof e->workers[i].counts);
		memset(e->workers[i].constants, 0, sizeof e->workers[i].constants);
	}
	if (pool_run(e->pool, codes->chunks, count_item, e))
		return -1;
	for (unsigned i = 0; i < pool_jobs(e->pool); i++) {
		for (unsigned s = 0; s < CODEC_SYMBOLS; s++) {
			counts[s] += e->workers[i].counts[s];
			all[s] += e->workers[i].counts[s] + e->workers[i].constants[s];
		}
	}
	result->byte_entropy = quant_entropy(all, CODEC_SYMBOLS);
	if (result->byte_entropy > 8.0)
		result->byte_entropy = 8.0; /* by rounding */
	tables_choose(e->tables, counts);
	result->tables = tables_count(e->tables);
	if (codes->bits)
		progress_add(e->progress, WORK_DESIGN);
	return 0;
}

/* Pass three: blocks. */
static int write_blocks(struct encoder *e, struct encoded_tensor *result)
{
	const struct codes *codes = &e->job.codes;
	/* Of bytes that are in memory already, whoever put them there knows the digest. */
	const struct pool_ordered loop = {
	    encode_item, {write_chunk, hash_chunk}, e->job.is_loaded ? 1 : 2, e->slot_count, e};
	struct image_diag diag = {""};

	if (image_writer_begin_stream(e->writer, codes->raw_size, ENCODE_BLOCK_LOG2,
				      tables_list(e->tables), result->tables, &diag)) {
		cli_cannot("write", e->target, "%s", diag.text);
		return -1;
	}
	if (pool_run_ordered(e->pool, codes->chunks, &loop))
		return -1;
	if (image_writer_end_stream(e->writer, &result->stream, &result->cost, &diag)) {
		cli_cannot("write", e->target, "%s", diag.text);
		return -1;
	}
	return 0;
}

/* --- figures and the whole -------------------------------------------------------------------- */

/*
 * Figures are rounded to what they can tell: the catalog compresses the better for it.
 * Steps of 1/4096 bit and 1/256 dB; errors, which are bounds, upwards to twelve significant bits.
 */
static double round_to(double value, double steps)
{
	return isfinite(value) ? nearbyint(value * steps) / steps : value;
}

static double round_error(double value)
{
	int exponent;
	double mantissa = frexp(value, &exponent);
	return ldexp(ceil(ldexp(mantissa, 12)), exponent - 12);
}

void encode_figures(struct encoded_tensor *result, const struct dtype *dtype)
{
	double per_weight = result->bits ? result->bits / 8.0 : (double)dtype->size;
	const struct quant_error *error = result->bits ? &result->error : NULL;

	result->entropy = round_to(result->byte_entropy * per_weight, 4096);
	result->sqnr = error ? round_to(quant_sqnr(error), 256) : (double)INFINITY;
	result->max_error = error ? round_error(error->max) : 0.0;
	result->freely_sqnr = round_to(quant_sqnr(&result->freely), 256);
}

static struct quant_error sum_errors(const struct encode_job *job)
{
	struct quant_error total = {0, 0, 0};
	for (uint64_t i = 0; job->errors && i < job->codes.chunks; i++)
		quant_error_merge(&total, &job->errors[i]);
	return total;
}

static int encode_values(struct encoder *e, struct encoded_tensor *result)
{
	struct encode_job *job = &e->job;
	struct codes *codes = &job->codes;

	if (codes->bits && choose_params(e, result))
		return -1;
	job->cache = codes->raw_size <= CACHE_SIZE ? e->cache : NULL;
	if (codes->bits) {
		job->errors = calloc(codes->chunks, sizeof *job->errors);
		if (!job->errors) {
			cli_cannot("write", e->target, "out of memory");
			return -1;
		}
	}
	int status = choose_tables(e, result);
	if (!status)
		status = write_blocks(e, result);
	result->error = sum_errors(job);
	result->bits = codes->bits;
	encode_figures(result, codes->tensor->dtype);
	free(job->errors);
	return status;
}

int encode_bytes(struct encoder *e, uint8_t *bytes, size_t size, struct encoded_tensor *result)
{
	static_assert(ENCODE_BYTES_WORK == WORK_COUNT + WORK_WRITE, "the passes of bytes");

	e->job = (struct encode_job){.codes = codes_of_bytes(size), .cache = bytes, .is_loaded = 1};
	*result = (struct encoded_tensor){.raw_size = size};
	return choose_tables(e, result) || write_blocks(e, result) ? -1 : 0;
}

int encode_tensor(struct encoder *e, const struct source_file *shard,
		  const struct safetensor *tensor, int bits, int blocks,
		  struct encoded_tensor *result)
{
	const struct codes *codes = &e->job.codes;

	e->job = (struct encode_job){.codes = codes_of(shard, tensor, bits), .blocks = blocks};
	*result = (struct encoded_tensor){0};
	if (EVP_DigestInit_ex(e->digest, EVP_sha256(), NULL) != 1) {
		cli_cannot("write", e->target, "SHA-256 is not available");
		return -1;
	}
	if (encode_values(e, result))
		return -1;
	if (EVP_DigestFinal_ex(e->digest, result->digest, NULL) != 1) {
		cli_cannot("write", e->target, "SHA-256 failed");
		return -1;
	}
	result->params = codes->params;
	result->raw_size = codes->raw_size;
	return 0;
}
