/* SPDX-License-Identifier: MIT */
/* estimate.c - what packing would make of each tensor; see estimate.h. */
#include "mkfs/estimate.h"

#include "mkfs/cli.h"
#include "mkfs/codes.h"

#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

enum {
	BLOCK = 1 << ENCODE_BLOCK_LOG2,
	SAMPLES = ESTIMATE_BLOCKS + 1, /* the last block, if it is shorter, comes on top */
	/* Bytes that must be saved for coding to pay, as the packer reckons. */
	TABLE_COST = 32, /* and half a byte per symbol */
	CODED_BLOCK_COST = 32,
};

/* Units of progress, measured: per weight, per decoded byte of the sample, and per tensor. */
enum { WORK_RANGE = 1, WORK_SAMPLE = 4, WORK_TENSOR = 200000 };

enum {
	KINDS = 3,    /* of bits: 8, 4, kept */
	EXAMPLES = 3, /* tensors of each kind that a code is designed for */
};

struct tensor_estimate {
	struct codes codes;
	struct quant_range range;
	struct encoded_tensor result;
	struct codec_table table;
	uint64_t counts[CODEC_SYMBOLS]; /* that the table is for: of the sample */
	uint64_t full_blocks;
	unsigned full_samples; /* of those; the sample of a shorter last block comes last */
	struct image_encoded samples[SAMPLES]; /* in the order of the blocks */
};

struct estimate_worker {
	struct codes_buffer buffer;
	uint8_t *raw; /* a block */
	uint32_t counts[SAMPLES][CODEC_SYMBOLS];
	struct codec_planner *planner;
};

/* A tensor that a code is designed for, and what its sample takes with it, and with Huffman's. */
struct example {
	const struct tensor_estimate *tensor;
	uint64_t designed, huffman; /* bits */
};

struct estimate {
	const struct source *source;
	const struct plan *plan;
	struct progress *progress;
	struct tensor_estimate *tensors;
	struct estimate_worker *workers;
	unsigned jobs;
	struct example examples[KINDS][EXAMPLES]; /* the largest first */
	double longer[KINDS];                     /* times that designed codes are */
};

/* --- a code ----------------------------------------------------------------------------------- */

/* A node of a Huffman tree: symbols first, then those that join two. */
struct node {
	uint64_t count;
	unsigned symbol, parent, depth;
};

static int compare_nodes(const void *a, const void *b)
{
	const struct node *left = a, *right = b;

	if (left->count != right->count)
		return left->count < right->count ? -1 : 1;
	return left->symbol < right->symbol ? -1 : 1;
}

/* Joins the rarer of two queues, both of which ascend: leaves, and what was joined before. */
static unsigned take_rarest(const struct node *nodes, unsigned *leaf, unsigned leaves,
			    unsigned *joined, unsigned end)
{
	if (*joined == end || (*leaf < leaves && nodes[*leaf].count <= nodes[*joined].count))
		return (*leaf)++;
	return (*joined)++;
}

/* The code table of a Huffman code, of at most CODEC_DEPTH_MAX bits; at least two symbols occur. */
static void design(const uint64_t counts[CODEC_SYMBOLS], struct codec_table *table)
{
	struct node nodes[2 * CODEC_SYMBOLS];
	unsigned deepest;

	for (unsigned shift = 0;; shift++) {
		unsigned leaves = 0, leaf = 0;
		for (unsigned symbol = 0; symbol < CODEC_SYMBOLS; symbol++) {
			if (counts[symbol])
				nodes[leaves++] =
				    (struct node){(counts[symbol] >> shift) + 1, symbol, 0, 0};
		}
		qsort(nodes, leaves, sizeof *nodes, compare_nodes);
		unsigned joined = leaves, root = 2 * leaves - 2;
		for (unsigned end = leaves; end <= root; end++) {
			unsigned one = take_rarest(nodes, &leaf, leaves, &joined, end);
			unsigned two = take_rarest(nodes, &leaf, leaves, &joined, end);
			nodes[end] = (struct node){.count = nodes[one].count + nodes[two].count};
			nodes[one].parent = nodes[two].parent = end;
		}
		deepest = 0;
		memset(table, CODEC_ABSENT, sizeof *table);
		for (unsigned i = root; i--;) {
			nodes[i].depth = nodes[nodes[i].parent].depth + 1;
			deepest = nodes[i].depth > deepest ? nodes[i].depth : deepest;
			if (i < leaves)
				table->code[nodes[i].symbol] = (uint8_t)nodes[i].depth;
		}
		/* Counts that are more alike make a flatter tree. */
		if (deepest <= CODEC_DEPTH_MAX)
			return;
	}
}

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
	uint64_t first = stratum(t, k), count = stratum(t, k + UINT64_C(1)) - first;
	uint64_t mixed = (k + UINT64_C(1)) * UINT64_C(0x9e3779b97f4a7c15) >> 32;

	return k < t->full_samples ? first + (mixed * count >> 32) : t->full_blocks;
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

/* Reads a block of the sample and counts its bytes. */
static int count_sample(struct tensor_estimate *t, struct estimate_worker *worker, unsigned k,
			struct quant_error *error)
{
	uint64_t counts[CODEC_SYMBOLS] = {0};

	if (codes_load_part(&t->codes, &worker->buffer, sampled_block(t, k) * BLOCK,
			    sample_size(t, k), worker->raw, t->codes.bits ? error : NULL))
		return -1;
	codec_histogram(worker->raw, sample_size(t, k), counts);
	for (unsigned symbol = 0; symbol < CODEC_SYMBOLS; symbol++)
		worker->counts[k][symbol] = (uint32_t)counts[symbol];
	return 0;
}

/* What the sample takes with a table that is for its counts. */
static uint64_t coded_bits(const struct tensor_estimate *t, const struct codec_table *table)
{
	uint64_t bits = 0;

	for (unsigned symbol = 0; symbol < CODEC_SYMBOLS; symbol++) {
		uint8_t code = table->code[symbol];
		if (t->counts[symbol])
			bits += t->counts[symbol] * (uint64_t)((code >> 4) + (code & 15));
	}
	return bits;
}

/* Designs the table for the counts; none if it does not pay. */
static void choose_table(struct tensor_estimate *t)
{
	uint64_t raw_size = 0, symbols = 0, cost;

	for (unsigned symbol = 0; symbol < CODEC_SYMBOLS; symbol++) {
		raw_size += t->counts[symbol];
		symbols += t->counts[symbol] > 0;
	}
	if (symbols < 2)
		return;
	design(t->counts, &t->table);
	cost = TABLE_COST + symbols / 2 + (uint64_t)sample_count(t) * CODED_BLOCK_COST;
	t->result.tables = coded_bits(t, &t->table) / 8 + cost < raw_size;
}

/* How a block with these counts would be stored. */
static struct image_encoded size_block(const struct tensor_estimate *t,
				       const uint32_t counts[CODEC_SYMBOLS], uint32_t size)
{
	struct image_encoded block = {.kind = EFS_BLOCK_RAW, .stored_size = size};
	uint64_t bits = 0;

	for (unsigned symbol = 0; symbol < CODEC_SYMBOLS; symbol++) {
		if (counts[symbol] == size)
			return (struct image_encoded){.kind = EFS_BLOCK_CONSTANT,
						      .argument = (uint8_t)symbol};
		bits += counts[symbol] ? (uint64_t)counts[symbol] * t->table.code[symbol] : 0;
	}
	if (t->result.tables && (bits + 7) / 8 < size) {
		block.kind = EFS_BLOCK_CODED;
		block.stored_size = (uint32_t)(bits + 7) / 8;
	}
	return block;
}

static int look_at_sample(struct tensor_estimate *t, struct estimate_worker *worker)
{
	uint64_t all[CODEC_SYMBOLS] = {0};
	struct quant_error error = {0, 0, 0};
	unsigned count = sample_count(t);

	for (unsigned k = 0; k < count; k++) {
		if (count_sample(t, worker, k, &error))
			return -1;
		int constant = worker->counts[k][worker->raw[0]] == sample_size(t, k);
		for (unsigned symbol = 0; symbol < CODEC_SYMBOLS; symbol++) {
			all[symbol] += worker->counts[k][symbol];
			t->counts[symbol] += constant ? 0 : worker->counts[k][symbol];
		}
	}
	choose_table(t);
	for (unsigned k = 0; k < count; k++)
		t->samples[k] = size_block(t, worker->counts[k], sample_size(t, k));
	t->result.byte_entropy = quant_entropy(all, CODEC_SYMBOLS);
	encode_figures(&t->result, t->codes.tensor->dtype, t->codes.bits ? &error : NULL);
	/* As incompressible as the real one. */
	SHA256((const uint8_t *)worker->counts, count * sizeof *worker->counts, t->result.digest);
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
	return t->range.bad_index != UINT64_MAX ? 1 : codes_choose(&t->codes, &t->range);
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
		if (result)
			return result;
	}
	plan_sample(t);
	t->result.bits = t->codes.bits;
	t->result.params = t->codes.params;
	t->result.raw_size = t->codes.raw_size;
	if (look_at_sample(t, worker))
		return -1;
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

/* --- how much longer designed codes are ------------------------------------------------------- */

static unsigned kind_of(const struct tensor_estimate *t)
{
	return t->codes.bits == 8 ? 0 : t->codes.bits == 4 ? 1 : 2;
}

/* Puts a tensor among the examples of its kind if it is larger than one of them. */
static void consider(struct estimate *e, const struct tensor_estimate *t)
{
	struct example *examples = e->examples[kind_of(t)];
	unsigned at = EXAMPLES;

	while (at && (!examples[at - 1].tensor ||
		      examples[at - 1].tensor->codes.raw_size < t->codes.raw_size))
		at--;
	if (at == EXAMPLES)
		return;
	memmove(&examples[at + 1], &examples[at], (EXAMPLES - 1 - at) * sizeof *examples);
	examples[at].tensor = t;
}

static int design_example(void *context, unsigned number, uint64_t item)
{
	struct estimate *e = context;
	struct example *example = &e->examples[item / EXAMPLES][item % EXAMPLES];
	const struct tensor_estimate *t = example->tensor;
	struct codec_table table;

	if (!t)
		return 0;
	codec_design(t->counts, BLOCK, e->workers[number].planner, &table);
	example->designed = coded_bits(t, &table);
	example->huffman = coded_bits(t, &t->table);
	return 0;
}

static void compare_codes(struct estimate *e, struct pool *pool)
{
	for (size_t i = 0; i < e->source->tensor_count; i++)
		if (e->tensors[i].result.tables)
			consider(e, &e->tensors[i]);
	pool_run(pool, KINDS * EXAMPLES, design_example, e);
	for (unsigned kind = 0; kind < KINDS; kind++) {
		double designed = 0, huffman = 0;
		for (unsigned i = 0; i < EXAMPLES; i++) {
			designed += (double)e->examples[kind][i].designed;
			huffman += (double)e->examples[kind][i].huffman;
		}
		e->longer[kind] = huffman > 0 ? designed / huffman : 1.0;
	}
}

/* A block as the packer would store it. */
static struct image_encoded lengthen(const struct estimate *e, const struct tensor_estimate *t,
				     unsigned k)
{
	struct image_encoded block = t->samples[k];

	if (block.kind == EFS_BLOCK_CODED) {
		double size = block.stored_size * e->longer[kind_of(t)];
		block.stored_size =
		    size < sample_size(t, k) ? (uint32_t)size : sample_size(t, k) - 1;
	}
	return block;
}

/* --- all of them ------------------------------------------------------------------------------ */

static int create_worker(struct estimate_worker *worker)
{
	enum { ALIGN = 64 };

	worker->raw = malloc(BLOCK);
	worker->planner = aligned_alloc(ALIGN, (codec_planner_size + ALIGN - 1) / ALIGN * ALIGN);
	return codes_buffer_create(&worker->buffer) || !worker->raw || !worker->planner ? -1 : 0;
}

static void destroy_workers(struct estimate *e)
{
	for (unsigned i = 0; e->workers && i < e->jobs; i++) {
		codes_buffer_destroy(&e->workers[i].buffer);
		free(e->workers[i].raw);
		free(e->workers[i].planner);
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
	if (!result)
		compare_codes(e, pool);
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
	free(e->tensors);
	free(e);
}

int estimate_put(const struct estimate *e, size_t tensor, struct image_writer *writer,
		 struct encoded_tensor *result, struct image_diag *diag)
{
	const struct tensor_estimate *t = &e->tensors[tensor];
	uint64_t block = 0;

	*result = t->result;
	int err = image_writer_begin_stream(writer, result->raw_size, ENCODE_BLOCK_LOG2, &t->table,
					    result->tables, diag);
	for (unsigned k = 0; !err && k < sample_count(t); k++) {
		struct image_encoded encoded = lengthen(e, t, k);
		uint64_t end = k < t->full_samples ? stratum(t, k + UINT64_C(1)) : block + 1;

		for (; !err && block < end; block++) {
			/* Checksums do not compress. */
			encoded.checksum = ((uint32_t)block + 1) * 0x9e3779b1u;
			err = image_writer_put_block(writer, &encoded, NULL, diag);
		}
	}
	return err ? err : image_writer_end_stream(writer, &result->stream, &result->cost, diag);
}
