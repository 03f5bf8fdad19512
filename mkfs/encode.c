/* SPDX-License-Identifier: MIT */
/*
 * encode.c - one tensor from its source file into a stream; see encode.h.
 *
 * A tensor may be larger than memory, so it is read up to three times, in chunks that all threads
 * share: for its range, for the counts of its bytes and the error made, and for encoding. The codes
 * of tensors up to CACHE_SIZE stay in memory between the last two. Every sum that rounds is kept
 * per chunk and added up in the order of chunks: the image does not depend on the number of
 * threads.
 */
#include "mkfs/encode.h"

#include "mkfs/cli.h"

#include <math.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	BLOCK = 1 << ENCODE_BLOCK_LOG2,
	CHUNK = 256 << 10, /* decoded bytes that one thread works on */
	CHUNK_BLOCKS = CHUNK / BLOCK,
	PIECE = 32 << 10,      /* weights read and quantized at once; even */
	CACHE_SIZE = 64 << 20, /* decoded bytes kept between passes */
	SLOTS_MAX = 96,
	TABLE_COST = 32, /* bytes of the index that any code table takes, about */
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
	uint8_t *source; /* PIECE weights as they lie in the file */
	uint8_t *codes;  /* PIECE codes, before they are packed */
	uint8_t *raw;    /* CHUNK, if there is no better place for it */
	struct codec_scratch *scratch;
	struct quant_range range;
	uint64_t counts[CODEC_SYMBOLS];
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
	const struct source_file *shard;
	const struct safetensor *tensor;
	struct quant_params params;
	int bits;
	uint64_t raw_size, chunks;
	uint64_t chunk_weights;        /* elements per chunk */
	struct quant_error *errors;    /* per chunk; NULL if kept */
	uint8_t *cache;                /* the decoded bytes of the whole tensor, or NULL */
	const struct codec_tree *tree; /* NULL: not coded */
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
	struct codec_tree *tree;
	struct codec_planner *planner;
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
	e->tree = aligned(codec_tree_size);
	e->planner = aligned(codec_planner_size);
	e->digest = EVP_MD_CTX_new();
	int good = e->workers && e->slots && e->cache && e->tree && e->planner && e->digest;
	for (unsigned i = 0; good && i < jobs; i++) {
		struct encode_worker *worker = &e->workers[i];
		worker->source = malloc((size_t)PIECE * 8);
		worker->codes = malloc(PIECE);
		worker->raw = malloc(CHUNK);
		worker->scratch = aligned(codec_scratch_size);
		good = worker->source && worker->codes && worker->raw && worker->scratch;
	}
	for (unsigned i = 0; good && i < e->slot_count; i++) {
		e->slots[i].own_raw = malloc(CHUNK);
		e->slots[i].stored = malloc(CHUNK);
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
		free(e->workers[i].source);
		free(e->workers[i].codes);
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
	free(e->tree);
	free(e->planner);
	EVP_MD_CTX_free(e->digest);
	free(e);
}

static uint64_t chunk_weight_count(const struct encode_job *job, uint64_t chunk)
{
	uint64_t left = job->tensor->count - chunk * job->chunk_weights;
	return left < job->chunk_weights ? left : job->chunk_weights;
}

static size_t chunk_raw_size(const struct encode_job *job, uint64_t chunk)
{
	uint64_t left = job->raw_size - chunk * CHUNK;
	return left < CHUNK ? (size_t)left : CHUNK;
}

/* Reads count weights into the worker's source buffer. */
static int read_piece(const struct encode_job *job, struct encode_worker *worker, uint64_t first,
		      size_t count)
{
	size_t size = job->tensor->dtype->size;
	return source_read(job->shard, job->tensor->offset + first * size, worker->source,
			   count * size);
}

static int range_item(void *context, unsigned number, uint64_t chunk)
{
	struct encoder *e = context;
	struct encode_job *job = &e->job;
	struct encode_worker *worker = &e->workers[number];
	uint64_t first = chunk * job->chunk_weights;
	uint64_t end = first + chunk_weight_count(job, chunk);

	for (; first < end; first += PIECE) {
		size_t count = end - first < PIECE ? (size_t)(end - first) : PIECE;
		if (read_piece(job, worker, first, count))
			return -1;
		quant_range_add(&worker->range, (enum quant_type)job->tensor->dtype->quantizes,
				worker->source, count, first);
	}
	progress_add(e->progress, chunk_weight_count(job, chunk) * WORK_RANGE);
	return 0;
}

/* Makes the decoded bytes of a chunk: codes, or the kept tensor's bytes. error may be NULL. */
static int load_chunk(const struct encode_job *job, struct encode_worker *worker, uint64_t chunk,
		      uint8_t *raw, struct quant_error *error)
{
	enum quant_type type = (enum quant_type)job->tensor->dtype->quantizes;
	uint64_t first = chunk * job->chunk_weights;
	uint64_t end = first + chunk_weight_count(job, chunk);

	if (!job->bits)
		return source_read(job->shard, job->tensor->offset + chunk * CHUNK, raw,
				   chunk_raw_size(job, chunk));
	for (; first < end; first += PIECE) {
		size_t count = end - first < PIECE ? (size_t)(end - first) : PIECE;
		if (read_piece(job, worker, first, count))
			return -1;
		if (job->bits == 8) {
			quant_encode(&job->params, type, worker->source, count, raw, error);
			raw += count;
		} else {
			quant_encode(&job->params, type, worker->source, count, worker->codes,
				     error);
			quant_pack4(worker->codes, count, raw);
			raw += (count + 1) / 2;
		}
	}
	return 0;
}

/* Units of progress for load_chunk(), counting included. */
static uint64_t load_work(const struct encode_job *job, uint64_t chunk)
{
	return job->bits ? chunk_weight_count(job, chunk) * WORK_QUANTIZE
			 : chunk_raw_size(job, chunk) * (uint64_t)WORK_COUNT;
}

static int count_item(void *context, unsigned number, uint64_t chunk)
{
	struct encoder *e = context;
	struct encode_job *job = &e->job;
	struct encode_worker *worker = &e->workers[number];
	uint8_t *raw = job->cache ? job->cache + chunk * CHUNK : worker->raw;

	if (load_chunk(job, worker, chunk, raw, job->errors ? &job->errors[chunk] : NULL))
		return -1;
	codec_histogram(raw, chunk_raw_size(job, chunk), worker->counts);
	progress_add(e->progress, load_work(job, chunk));
	return 0;
}

static int encode_item(void *context, unsigned number, uint64_t chunk, unsigned slot_number)
{
	struct encoder *e = context;
	struct encode_job *job = &e->job;
	struct encode_worker *worker = &e->workers[number];
	struct encode_slot *slot = &e->slots[slot_number];

	slot->raw_size = chunk_raw_size(job, chunk);
	slot->blocks = (unsigned)((slot->raw_size + BLOCK - 1) / BLOCK);
	slot->raw = job->cache ? job->cache + chunk * CHUNK : slot->own_raw;
	if (!job->cache) {
		if (load_chunk(job, worker, chunk, slot->raw, NULL))
			return -1;
		progress_add(e->progress, job->bits ? load_work(job, chunk) : 0);
	}
	for (unsigned i = 0; i < slot->blocks; i++) {
		size_t at = (size_t)i * BLOCK;
		size_t size = slot->raw_size - at < BLOCK ? slot->raw_size - at : BLOCK;
		slot->encoded[i] = image_encode_block(job->tree, 0, slot->raw + at, size,
						      slot->stored + at, worker->scratch);
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

/* Decides the parameters; sets job->bits to 0 where the tensor has to be kept. */
static int choose_params(struct encoder *e)
{
	struct encode_job *job = &e->job;
	struct quant_range range = quant_range_none();

	for (unsigned i = 0; i < pool_jobs(e->pool); i++)
		e->workers[i].range = range;
	if (pool_run(e->pool, job->chunks, range_item, e))
		return -1;
	for (unsigned i = 0; i < pool_jobs(e->pool); i++)
		quant_range_merge(&range, &e->workers[i].range);
	if (range.bad_index != UINT64_MAX) {
		cli_cannot("quantize", job->shard->path,
			   "tensor '%s' has a NaN or infinite value at index %llu (see --keep)",
			   job->tensor->name, (unsigned long long)range.bad_index);
		return -1;
	}
	if (quant_choose(&range, job->bits, &job->params))
		job->bits = 0;
	return 0;
}

uint64_t encode_raw_size(const struct safetensor *tensor, int bits)
{
	return bits == 8   ? tensor->count
	       : bits == 4 ? tensor->count / 2 + tensor->count % 2
			   : tensor->size;
}

uint64_t encode_work(const struct safetensor *tensor, int bits)
{
	uint64_t raw_size = encode_raw_size(tensor, bits);
	if (!bits)
		return (WORK_COUNT + WORK_WRITE) * raw_size;
	unsigned quantized = raw_size <= CACHE_SIZE ? 1 : 2; /* times */
	return (WORK_RANGE + quantized * WORK_QUANTIZE) * tensor->count + WORK_WRITE * raw_size +
	       WORK_DESIGN;
}

static void plan_chunks(struct encode_job *job)
{
	const struct safetensor *tensor = job->tensor;

	job->raw_size = encode_raw_size(tensor, job->bits);
	job->chunk_weights = job->bits == 8   ? CHUNK
			     : job->bits == 4 ? (uint64_t)CHUNK * 2
					      : (uint64_t)CHUNK / tensor->dtype->size;
	job->chunks = (job->raw_size + CHUNK - 1) / CHUNK;
}

/* Bytes that the table costs and brings, estimated: whether it is worth storing. */
static int table_pays(const struct codec_table *table, const uint64_t counts[CODEC_SYMBOLS],
		      uint64_t raw_size)
{
	uint64_t bits = 0, symbols = 0;
	for (unsigned i = 0; i < CODEC_SYMBOLS; i++) {
		if (!counts[i])
			continue;
		symbols++;
		bits += counts[i] * (uint64_t)((table->code[i] >> 4) + (table->code[i] & 15));
	}
	/* 256 table bytes in the compressed index; the framing of each block. */
	uint64_t cost = TABLE_COST + symbols / 2 + (raw_size / BLOCK + 1) * 32;
	return symbols > 1 && bits / 8 + cost < raw_size;
}

/* Passes two and three: counts, then blocks. */
static int write_stream(struct encoder *e, struct encoded_tensor *result)
{
	struct encode_job *job = &e->job;
	const struct pool_ordered loop = {
	    encode_item, {hash_chunk, write_chunk}, 2, e->slot_count, e};
	uint64_t counts[CODEC_SYMBOLS] = {0};
	struct codec_table table;
	struct image_diag diag = {""};

	for (unsigned i = 0; i < pool_jobs(e->pool); i++)
		memset(e->workers[i].counts, 0, sizeof e->workers[i].counts);
	if (pool_run(e->pool, job->chunks, count_item, e))
		return -1;
	for (unsigned i = 0; i < pool_jobs(e->pool); i++) {
		for (unsigned s = 0; s < CODEC_SYMBOLS; s++)
			counts[s] += e->workers[i].counts[s];
	}
	result->byte_entropy = quant_entropy(counts, CODEC_SYMBOLS);
	if (result->byte_entropy > 8.0)
		result->byte_entropy = 8.0; /* by rounding */
	/* Designing a table takes milliseconds: not for what no table could make smaller. */
	int coded =
	    result->byte_entropy / 8.0 * (double)job->raw_size + TABLE_COST < (double)job->raw_size;
	if (coded) {
		codec_design(counts, BLOCK, e->planner, &table);
		coded = table_pays(&table, counts, job->raw_size);
	}
	if (job->bits)
		progress_add(e->progress, WORK_DESIGN);
	if (coded && codec_tree_build(e->tree, &table) != CODEC_OK) {
		cli_cannot("write", e->target, "internal error: bad code table");
		return -1;
	}
	job->tree = coded ? e->tree : NULL;
	if (image_writer_begin_stream(e->writer, job->raw_size, ENCODE_BLOCK_LOG2,
				      coded ? &table : NULL, coded ? 1 : 0, &diag)) {
		cli_cannot("write", e->target, "%s", diag.text);
		return -1;
	}
	if (pool_run_ordered(e->pool, job->chunks, &loop))
		return -1;
	if (image_writer_end_stream(e->writer, &result->stream, &result->cost, &diag)) {
		cli_cannot("write", e->target, "%s", diag.text);
		return -1;
	}
	return 0;
}

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

static void sum_errors(const struct encode_job *job, struct encoded_tensor *result)
{
	struct quant_error total = {0, 0, 0};
	for (uint64_t i = 0; i < job->chunks; i++)
		quant_error_merge(&total, &job->errors[i]);
	result->sqnr = round_to(quant_sqnr(&total), 256);
	result->max_error = round_error(total.max);
}

static int encode_values(struct encoder *e, struct encoded_tensor *result)
{
	struct encode_job *job = &e->job;

	plan_chunks(job);
	if (job->bits && choose_params(e))
		return -1;
	plan_chunks(job); /* again, should the tensor be kept after all */
	job->cache = job->raw_size <= CACHE_SIZE ? e->cache : NULL;
	if (job->bits) {
		job->errors = calloc(job->chunks, sizeof *job->errors);
		if (!job->errors) {
			cli_cannot("write", e->target, "out of memory");
			return -1;
		}
	}
	int status = write_stream(e, result);
	if (!status && job->bits)
		sum_errors(job, result);
	free(job->errors);
	return status;
}

int encode_tensor(struct encoder *e, const struct source_file *shard,
		  const struct safetensor *tensor, int bits, struct encoded_tensor *result)
{
	e->job = (struct encode_job){.shard = shard, .tensor = tensor, .bits = bits};
	*result = (struct encoded_tensor){.sqnr = (double)INFINITY};
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
	result->bits = e->job.bits;
	result->params = e->job.params;
	result->raw_size = e->job.raw_size;
	double per_weight = result->bits ? result->bits / 8.0 : (double)tensor->dtype->size;
	result->entropy = round_to(result->byte_entropy * per_weight, 4096);
	return 0;
}
