/* SPDX-License-Identifier: MIT */
/*
 * entrofs-run.c - a Llama-architecture language model, run from quantized files.
 *
 * It knows nothing of images or of how they are coded: it is given a folder (a mounted image, or
 * one extracted to disk), reads config.json, tokenizer.json and quantized/manifest.json, and maps
 * the files the manifest names. Matrices stay as they are on disk, uint8 or packed uint4 codes: a
 * weight is scale * (code - zero_point), so a row times a vector is
 *
 *     scale * (sum(code * x) - zero_point * sum(x))
 *
 * and only the codes are multiplied. No float copy of a matrix ever exists.
 *
 * From top to bottom: the types, errors, files, configuration, tensors, maths, the forward pass,
 * the tokenizer, the sampler, the command line. Everything read is checked before it is used;
 * whatever is wrong ends the program with one line. Memory lives until the end of the program
 * unless said otherwise. Integers in files are little-endian, and so must the machine be.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <stdnoreturn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "runtime-demo/unicode_classes.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "weights are read as they lie on disk");

/* --- types ------------------------------------------------------------------------------------ */

#define MAX_EOS 8

/* config.json, under shorter names. */
struct config {
	size_t dim;      /* hidden_size: the width of the model */
	size_t hidden;   /* intermediate_size: the width inside the feed-forward network */
	size_t layers;   /* num_hidden_layers */
	size_t heads;    /* num_attention_heads: query heads */
	size_t kv_heads; /* num_key_value_heads: each serves heads / kv_heads query heads */
	size_t head_dim; /* even */
	size_t vocab;    /* vocab_size */
	size_t context;  /* max_position_embeddings: tokens */
	float norm_eps;
	double rope_theta;
	bool tied; /* the output matrix is the embedding matrix */
	int bos;   /* -1: none */
	int eos[MAX_EOS];
	size_t eos_count;
};

enum kind { KIND_U8, KIND_U4, KIND_F64, KIND_F32, KIND_F16, KIND_BF16 };

/* A matrix in a file: rows * cols numbers, row after row. */
struct tensor {
	const uint8_t *data; /* the whole file */
	size_t size;         /* of it, in bytes */
	bool mapped;         /* else allocated */
	enum kind kind;
	size_t rows, cols;
	float scale, zero_point; /* of KIND_U8 and KIND_U4 */
};

struct layer {
	float *attention_norm;   /* [dim] */
	struct tensor query;     /* [heads * head_dim, dim] */
	struct tensor key;       /* [kv_heads * head_dim, dim] */
	struct tensor value;     /* [kv_heads * head_dim, dim] */
	struct tensor output;    /* [dim, heads * head_dim] */
	float *feedforward_norm; /* [dim] */
	struct tensor gate;      /* [hidden, dim] */
	struct tensor up;        /* [hidden, dim] */
	struct tensor down;      /* [dim, hidden] */
};

struct model {
	struct config config;
	struct tensor embedding;  /* [vocab, dim] */
	struct layer *layers;     /* [layers] */
	float *norm;              /* [dim] */
	struct tensor classifier; /* [vocab, dim]: the embedding again if tied */
	uint64_t bytes_mapped;
};

/* What the forward pass writes. */
struct state {
	size_t steps;     /* positions there is room for */
	float *x;         /* [dim]: the residual stream */
	float *normed;    /* [dim] */
	float *query;     /* [heads * head_dim] */
	float *attended;  /* [heads * head_dim] */
	float *projected; /* [dim]: what a block adds to the residual stream */
	float *gate;      /* [hidden] */
	float *up;        /* [hidden] */
	float *scores;    /* [steps] */
	float *cosine;    /* [head_dim / 2]: the rotation at this position */
	float *sine;      /* [head_dim / 2] */
	float *keys;      /* [layers, steps, kv_heads * head_dim] */
	float *values;    /* [layers, steps, kv_heads * head_dim] */
	float *logits;    /* [vocab] */
};

struct token {
	const char *text; /* as in tokenizer.json, owned by it; NULL: no such id */
	size_t length;    /* bytes */
	bool special;     /* never shown */
};

struct merge {
	int left, right; /* left < 0: an empty slot */
	int result;
	uint32_t rank; /* lower merges first */
};

#define NO_RANK     UINT32_MAX
#define MAX_AFFIXES 8

struct tokenizer {
	json_t *json; /* owns the texts */
	/* BYTE_LEVEL: a token is written in 256 printable characters, one for each byte.
	   CHARACTERS: a token is text with U+2581 for a space (as SentencePiece writes it). */
	enum { BYTE_LEVEL, CHARACTERS } style;
	struct token *tokens; /* [count] */
	size_t count;         /* vocab_size of the model: every id is below it */
	int *ids;             /* [id_slots] by hash of the text; -1: an empty slot */
	size_t id_slots;      /* a power of two */
	struct merge *merges; /* [merge_slots] by hash of the pair */
	size_t merge_slots;   /* a power of two */
	int *added;           /* [added_count]: tokens found in a text before anything else */
	size_t added_count;
	int byte_ids[256];      /* the token of one byte; -1: none */
	uint32_t alphabet[256]; /* BYTE_LEVEL: the character that stands for a byte */
	int unknown;            /* CHARACTERS: for what has no token; -1: none */
	bool prefix_space;      /* a piece of text gets a space in front */
	bool split_digits;      /* every digit is a word of its own */
	bool whole_words;       /* a word that is a token is not built from merges */
	int prefix[MAX_AFFIXES], suffix[MAX_AFFIXES]; /* around every prompt */
	size_t prefix_count, suffix_count;
};

/* A growing list of token ids. */
struct ids {
	int *at;
	size_t count, room;
};

/* --- errors ----------------------------------------------------------------------------------- */

/* Prints one line whatever bytes a hostile name holds, and ends the program. */
static noreturn void __attribute__((format(printf, 1, 2))) die(const char *format, ...)
{
	char line[512];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	for (char *c = line; *c != '\0'; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	fprintf(stderr, "entrofs-run: %s\n", line);
	exit(1);
}

static void *allocate(size_t count, size_t size)
{
	void *memory = calloc(count ? count : 1, size); /* which checks the product */

	if (memory == NULL)
		die("cannot allocate %zu times %zu bytes", count, size);
	return memory;
}

static float *allocate_floats(size_t a, size_t b, size_t c)
{
	size_t product;

	if (__builtin_mul_overflow(a, b, &product) || __builtin_mul_overflow(product, c, &product))
		die("cannot allocate %zu x %zu x %zu numbers", a, b, c);
	return allocate(product, sizeof(float));
}

/* A mapped page that cannot be read (a bad disk, a corrupt image) is a signal, not an error code.
 */
static void on_bus_error(int signal_number)
{
	static const char line[] = "entrofs-run: cannot read a weight: input/output error\n";

	(void)signal_number;
	if (write(STDERR_FILENO, line, sizeof(line) - 1) < 0)
		_exit(1);
	_exit(1);
}

static double now(void) /* seconds */
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* --- files ------------------------------------------------------------------------------------ */

/* Opens a regular file; a pipe in its place must not make us wait. */
static int open_file(int folder, const char *name, int flags, size_t *size)
{
	struct stat status;
	int fd = openat(folder, name, flags | O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 || fstat(fd, &status) != 0)
		die("cannot open '%s': %s", name, strerror(errno));
	if (!S_ISREG(status.st_mode))
		die("cannot open '%s': not a regular file", name);
	*size = (size_t)status.st_size;
	return fd;
}

static json_t *read_json(int folder, const char *name)
{
	size_t size;
	json_error_t error;
	FILE *file = fdopen(open_file(folder, name, 0, &size), "r");
	json_t *json;

	if (file == NULL)
		die("cannot read '%s': %s", name, strerror(errno));
	json = json_loadf(file, JSON_REJECT_DUPLICATES, &error);
	fclose(file);
	if (json == NULL)
		die("cannot read '%s': line %d: %s", name, error.line, error.text);
	if (!json_is_object(json))
		die("cannot read '%s': not a JSON object", name);
	return json;
}

/* The whole of a file that must have this many bytes: mapped, or read where that is impossible. */
static void load_file(int folder, const char *name, size_t expected, struct tensor *tensor)
{
	size_t size, done = 0;
	int fd = open_file(folder, name, O_NOFOLLOW, &size);
	void *data;

	if (size != expected)
		die("cannot use '%s': it has %zu bytes, its shape asks for %zu", name, size,
		    expected);
	data = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	tensor->mapped = data != MAP_FAILED;
	if (!tensor->mapped)
		data = allocate(size, 1);
	while (!tensor->mapped && done < size) {
		ssize_t got = read(fd, (uint8_t *)data + done, size - done);

		if (got <= 0 && (got == 0 || errno != EINTR))
			die("cannot read '%s': %s", name,
			    got == 0 ? "it has shrunk" : strerror(errno));
		done += got > 0 ? (size_t)got : 0;
	}
	close(fd);
	tensor->data = data;
	tensor->size = size;
}

static void unload(struct tensor *tensor)
{
	if (tensor->mapped)
		munmap((void *)(uintptr_t)tensor->data, tensor->size);
	else
		free((void *)(uintptr_t)tensor->data);
	tensor->data = NULL;
}

/* --- configuration ---------------------------------------------------------------------------- */

/* A whole number from 1 to max; fallback if absent or null, 0 for none. */
static size_t config_count(const json_t *json, const char *key, size_t max, size_t fallback)
{
	const json_t *value = json_object_get(json, key);

	if ((value == NULL || json_is_null(value)) && fallback != 0)
		return fallback;
	if (!json_is_integer(value) || json_integer_value(value) < 1 ||
	    json_integer_value(value) > (json_int_t)max)
		die("cannot use 'config.json': %s is not a whole number from 1 to %zu", key, max);
	return (size_t)json_integer_value(value);
}

static double config_number(const json_t *json, const char *key, double fallback)
{
	const json_t *value = json_object_get(json, key);

	if (value == NULL || json_is_null(value))
		return fallback;
	if (!json_is_number(value) || !(json_number_value(value) > 0))
		die("cannot use 'config.json': %s is not a positive number", key);
	return json_number_value(value);
}

static bool config_flag(const json_t *json, const char *key, bool fallback)
{
	const json_t *value = json_object_get(json, key);

	if (value == NULL || json_is_null(value))
		return fallback;
	if (!json_is_boolean(value))
		die("cannot use 'config.json': %s is neither true nor false", key);
	return json_is_true(value);
}

static int config_token(const json_t *value, const char *key, size_t vocab)
{
	if (!json_is_integer(value) || json_integer_value(value) < 0 ||
	    json_integer_value(value) >= (json_int_t)vocab)
		die("cannot use 'config.json': %s is not the number of a token", key);
	return (int)json_integer_value(value);
}

/* Whatever would change the arithmetic and is not implemented here is refused by name. */
static void refuse_other_architectures(const json_t *json)
{
	const json_t *names = json_object_get(json, "architectures");
	const char *name = json_string_value(json_array_get(names, 0));
	const char *type = json_string_value(json_object_get(json, "model_type"));
	const char *act = json_string_value(json_object_get(json, "hidden_act"));
	static const char *const ropes[] = {"rope_scaling", "rope_parameters"};

	if (name != NULL ? strcmp(name, "LlamaForCausalLM") != 0
			 : type == NULL || strcmp(type, "llama") != 0)
		die("cannot run this model: its architecture is %s, only LlamaForCausalLM is known",
		    name   ? name
		    : type ? type
			   : "not given");
	if (act != NULL && strcmp(act, "silu") != 0)
		die("cannot run this model: its activation is %s, only silu is known", act);
	if (config_flag(json, "attention_bias", false) || config_flag(json, "mlp_bias", false))
		die("cannot run this model: it has biases, which are not supported");
	for (size_t i = 0; i < 2; i++) {
		const json_t *rope = json_object_get(json, ropes[i]);
		const json_t *kind = json_object_get(rope, "rope_type");

		kind = kind ? kind : json_object_get(rope, "type");
		if (rope != NULL && !json_is_null(rope) &&
		    (!json_is_string(kind) || strcmp(json_string_value(kind), "default") != 0))
			die("cannot run this model: its %s is %s, only the default is known",
			    ropes[i],
			    json_is_string(kind) ? json_string_value(kind) : "of unknown type");
	}
}

static void read_config(int folder, struct config *config)
{
	json_t *json = read_json(folder, "config.json");
	const json_t *rope = json_object_get(json, "rope_parameters");
	const json_t *bos = json_object_get(json, "bos_token_id");
	const json_t *eos = json_object_get(json, "eos_token_id");

	refuse_other_architectures(json);
	config->dim = config_count(json, "hidden_size", 1u << 16, 0);
	config->hidden = config_count(json, "intermediate_size", 1u << 20, 0);
	config->layers = config_count(json, "num_hidden_layers", 1u << 12, 0);
	config->heads = config_count(json, "num_attention_heads", 1u << 12, 0);
	config->kv_heads = config_count(json, "num_key_value_heads", 1u << 12, config->heads);
	config->head_dim = config_count(json, "head_dim", 1u << 12, config->dim / config->heads);
	config->vocab = config_count(json, "vocab_size", 1u << 24, 0);
	config->context = config_count(json, "max_position_embeddings", 1u << 24, 2048);
	config->norm_eps = (float)config_number(json, "rms_norm_eps", 1e-6);
	config->rope_theta =
	    config_number(json_object_get(rope, "rope_theta") ? rope : json, "rope_theta", 10000.0);
	config->tied = config_flag(json, "tie_word_embeddings", false);
	if (config->heads % config->kv_heads != 0)
		die("cannot use 'config.json': %zu heads cannot share %zu key-value heads",
		    config->heads, config->kv_heads);
	if (config->head_dim % 2 != 0)
		die("cannot use 'config.json': heads of %zu numbers cannot be rotated",
		    config->head_dim);

	config->bos = bos == NULL || json_is_null(bos)
			  ? -1
			  : config_token(bos, "bos_token_id", config->vocab);
	if (json_is_array(eos)) {
		config->eos_count = json_array_size(eos);
		if (config->eos_count > MAX_EOS)
			die("cannot use 'config.json': more than %d eos_token_id", MAX_EOS);
		for (size_t i = 0; i < config->eos_count; i++)
			config->eos[i] =
			    config_token(json_array_get(eos, i), "eos_token_id", config->vocab);
	} else if (eos != NULL && !json_is_null(eos)) {
		config->eos[config->eos_count++] = config_token(eos, "eos_token_id", config->vocab);
	}
	json_decref(json);
}

/* --- tensors ---------------------------------------------------------------------------------- */

/* quantized/manifest.json, its entries by name. */
struct manifest {
	int folder; /* the open folder that holds it and the files it names */
	json_t *entries;
};

static void open_manifest(int model, struct manifest *manifest)
{
	json_t *json, *tensors;

	manifest->folder = openat(model, "quantized", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (manifest->folder < 0)
		die("cannot open 'quantized': %s", strerror(errno));
	json = read_json(manifest->folder, "manifest.json");
	if (json_integer_value(json_object_get(json, "format")) != 1)
		die("cannot use 'manifest.json': its format is not 1");
	tensors = json_object_get(json, "tensors");
	if (!json_is_array(tensors))
		die("cannot use 'manifest.json': it lists no tensors");
	manifest->entries = json_object();
	for (size_t i = 0; i < json_array_size(tensors); i++) {
		json_t *entry = json_array_get(tensors, i);
		const char *name = json_string_value(json_object_get(entry, "name"));

		if (name == NULL)
			die("cannot use 'manifest.json': tensor %zu has no name", i);
		if (json_object_get(manifest->entries, name) != NULL)
			die("cannot use 'manifest.json': tensor '%s' is listed twice", name);
		if (json_object_set(manifest->entries, name, entry) != 0)
			die("cannot use 'manifest.json': out of memory");
	}
	json_decref(json);
}

static void close_manifest(struct manifest *manifest)
{
	json_decref(manifest->entries);
	close(manifest->folder);
}

/* True for a relative path none of whose parts is "..". */
static bool stays_inside(const char *path)
{
	if (*path == '\0' || *path == '/')
		return false;
	for (const char *part = path; part != NULL; part = strchr(part, '/')) {
		part += *part == '/';
		if (strncmp(part, "..", 2) == 0 && (part[2] == '/' || part[2] == '\0'))
			return false;
	}
	return true;
}

/* Sets kind and parameters; returns the bits of one number. */
static size_t read_encoding(const json_t *entry, const char *name, struct tensor *tensor)
{
	static const struct {
		const char *dtype;
		enum kind kind;
		size_t bits;
	} kept[] = {{"F64", KIND_F64, 64},
		    {"F32", KIND_F32, 32},
		    {"F16", KIND_F16, 16},
		    {"BF16", KIND_BF16, 16}};
	const json_t *bits = json_object_get(entry, "bits");
	const char *dtype = json_string_value(json_object_get(entry, "dtype"));

	if (json_is_integer(bits)) {
		const json_t *scale = json_object_get(entry, "scale");
		const json_t *zero = json_object_get(entry, "zero_point");

		if (json_integer_value(bits) != 8 && json_integer_value(bits) != 4)
			die("cannot use tensor '%s': its bits are neither 8 nor 4", name);
		if (!json_is_number(scale) || !isfinite((float)json_number_value(scale)))
			die("cannot use tensor '%s': its scale is not one finite number", name);
		if (!json_is_integer(zero) || json_integer_value(zero) < INT32_MIN ||
		    json_integer_value(zero) > INT32_MAX)
			die("cannot use tensor '%s': its zero_point is not one whole number", name);
		tensor->kind = json_integer_value(bits) == 8 ? KIND_U8 : KIND_U4;
		tensor->scale = (float)json_number_value(scale);
		tensor->zero_point = (float)json_integer_value(zero);
		return (size_t)json_integer_value(bits);
	}
	for (size_t i = 0; json_is_null(bits) && dtype && i < sizeof(kept) / sizeof(*kept); i++) {
		if (strcmp(dtype, kept[i].dtype) == 0) {
			tensor->kind = kept[i].kind;
			return kept[i].bits;
		}
	}
	die("cannot use tensor '%s': its bits and dtype are not known", name);
}

/* Maps the tensor of this name, which must be of this shape; rows 0: one dimension. */
static struct tensor load_tensor(const struct manifest *manifest, const char *name, size_t rows,
				 size_t cols)
{
	const json_t *entry = json_object_get(manifest->entries, name);
	const json_t *shape = json_object_get(entry, "shape");
	const char *file = json_string_value(json_object_get(entry, "file"));
	const size_t dimensions = rows == 0 ? 1 : 2, wanted[2] = {rows == 0 ? cols : rows, cols};
	struct tensor tensor = {.rows = rows == 0 ? 1 : rows, .cols = cols};
	size_t bits, numbers, total;

	if (entry == NULL)
		die("cannot use 'manifest.json': tensor '%s' is missing", name);
	for (size_t i = 0; i < dimensions; i++)
		if (json_array_size(shape) != dimensions ||
		    json_integer_value(json_array_get(shape, i)) != (json_int_t)wanted[i])
			die("cannot use tensor '%s': its shape is not what config.json says", name);
	if (file == NULL || !stays_inside(file))
		die("cannot use tensor '%s': its file is not inside the folder", name);
	bits = read_encoding(entry, name, &tensor);
	if (__builtin_mul_overflow(tensor.rows, cols, &numbers) ||
	    __builtin_mul_overflow(numbers, bits, &total) || total > SIZE_MAX - 7)
		die("cannot use tensor '%s': its shape is too large", name);
	load_file(manifest->folder, file, (total + 7) / 8, &tensor);
	return tensor;
}

static float f16_to_float(uint16_t half)
{
	const uint32_t bits = (half & 0x7fffu) << 13;
	float value;

	memcpy(&value, &bits, sizeof(value));
	value *= 0x1p112f; /* from one exponent's bias to the other's, subnormal numbers included */
	if (value >= 65536.0f)
		value = (half & 1023) ? NAN : INFINITY;
	return half & 0x8000 ? -value : value;
}

static float bf16_to_float(uint16_t high)
{
	const uint32_t bits = (uint32_t)high << 16;
	float value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

/* The values of count numbers from the given one on: a row to embed, a norm, a piece of a matrix
   that was kept in its own dtype. */
static void read_values(const struct tensor *tensor, size_t first, size_t count, float *out)
{
	const uint8_t *data = tensor->data;
	const uint16_t *halves = (const uint16_t *)(const void *)data + first;
	const double *doubles = (const double *)(const void *)data + first;

	switch (tensor->kind) {
	case KIND_U8:
		for (size_t i = 0; i < count; i++)
			out[i] = tensor->scale * ((float)data[first + i] - tensor->zero_point);
		break;
	case KIND_U4:
		for (size_t i = first; i < first + count; i++) {
			const int code = data[i / 2] >> (i % 2 * 4) & 15;

			out[i - first] = tensor->scale * ((float)code - tensor->zero_point);
		}
		break;
	case KIND_F64:
		for (size_t i = 0; i < count; i++)
			out[i] = (float)doubles[i];
		break;
	case KIND_F32:
		memcpy(out, data + first * sizeof(float), count * sizeof(float));
		break;
	case KIND_F16:
		for (size_t i = 0; i < count; i++)
			out[i] = f16_to_float(halves[i]);
		break;
	case KIND_BF16:
		for (size_t i = 0; i < count; i++)
			out[i] = bf16_to_float(halves[i]);
		break;
	}
}

static float *load_norm(const struct manifest *manifest, const char *name, size_t dim)
{
	struct tensor tensor = load_tensor(manifest, name, 0, dim);
	float *norm = allocate_floats(dim, 1, 1);

	read_values(&tensor, 0, dim, norm);
	unload(&tensor);
	return norm;
}

static struct tensor load_matrix(struct model *model, const struct manifest *manifest,
				 const char *name, size_t rows, size_t cols)
{
	struct tensor tensor = load_tensor(manifest, name, rows, cols);

	model->bytes_mapped += tensor.mapped ? tensor.size : 0;
	return tensor;
}

static void load_layer(struct model *model, const struct manifest *manifest, size_t number)
{
	const struct config *c = &model->config;
	const size_t query_dim = c->heads * c->head_dim, kv_dim = c->kv_heads * c->head_dim;
	struct layer *layer = &model->layers[number];
	const struct {
		const char *name;
		struct tensor *tensor;
		size_t rows, cols;
	} matrices[] = {
	    {"self_attn.q_proj", &layer->query, query_dim, c->dim},
	    {"self_attn.k_proj", &layer->key, kv_dim, c->dim},
	    {"self_attn.v_proj", &layer->value, kv_dim, c->dim},
	    {"self_attn.o_proj", &layer->output, c->dim, query_dim},
	    {"mlp.gate_proj", &layer->gate, c->hidden, c->dim},
	    {"mlp.up_proj", &layer->up, c->hidden, c->dim},
	    {"mlp.down_proj", &layer->down, c->dim, c->hidden},
	};
	char name[96];

	for (size_t i = 0; i < sizeof(matrices) / sizeof(*matrices); i++) {
		snprintf(name, sizeof(name), "model.layers.%zu.%s.weight", number,
			 matrices[i].name);
		*matrices[i].tensor =
		    load_matrix(model, manifest, name, matrices[i].rows, matrices[i].cols);
	}
	snprintf(name, sizeof(name), "model.layers.%zu.input_layernorm.weight", number);
	layer->attention_norm = load_norm(manifest, name, c->dim);
	snprintf(name, sizeof(name), "model.layers.%zu.post_attention_layernorm.weight", number);
	layer->feedforward_norm = load_norm(manifest, name, c->dim);
}

static void load_model(int folder, struct model *model)
{
	const struct config *c = &model->config;
	struct manifest manifest;

	open_manifest(folder, &manifest);
	model->embedding =
	    load_matrix(model, &manifest, "model.embed_tokens.weight", c->vocab, c->dim);
	model->classifier = c->tied
				? model->embedding
				: load_matrix(model, &manifest, "lm_head.weight", c->vocab, c->dim);
	model->norm = load_norm(&manifest, "model.norm.weight", c->dim);
	model->layers = allocate(c->layers, sizeof(*model->layers));
	for (size_t i = 0; i < c->layers; i++)
		load_layer(model, &manifest, i);
	close_manifest(&manifest);
}

static void free_model(struct model *model)
{
	for (size_t i = 0; i < model->config.layers; i++) {
		struct layer *layer = &model->layers[i];
		struct tensor *tensors[] = {&layer->query,  &layer->key,  &layer->value,
					    &layer->output, &layer->gate, &layer->up,
					    &layer->down};

		for (size_t k = 0; k < sizeof(tensors) / sizeof(*tensors); k++)
			unload(tensors[k]);
		free(layer->attention_norm);
		free(layer->feedforward_norm);
	}
	if (!model->config.tied)
		unload(&model->classifier);
	unload(&model->embedding);
	free(model->layers);
	free(model->norm);
}

/* --- maths ------------------------------------------------------------------------------------ */

static float dot_u8(const uint8_t *codes, const float *x, size_t n)
{
	float sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (float)codes[i] * x[i];
	return sum;
}

/* Two codes to a byte, the first in the low nibble. A row of an odd number of weights leaves the
   next one to begin in a high nibble: that one weight is taken first. */
static float dot_u4(const uint8_t *packed, size_t first, const float *x, size_t n)
{
	float sum = 0;
	size_t pairs;

	packed += first / 2;
	if (first % 2 == 1) {
		sum = (float)(*packed++ >> 4) * *x++;
		n--;
	}
	pairs = n / 2;
	for (size_t i = 0; i < pairs; i++)
		sum += (float)(packed[i] & 15) * x[2 * i] + (float)(packed[i] >> 4) * x[2 * i + 1];
	if (n % 2 == 1)
		sum += (float)(packed[pairs] & 15) * x[n - 1];
	return sum;
}

static float dot(const float *a, const float *b, size_t n)
{
	float sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += a[i] * b[i];
	return sum;
}

static float dot_kept(const struct tensor *tensor, size_t first, const float *x, size_t n)
{
	float values[256], sum = 0;

	for (size_t done = 0, part; done < n; done += part) {
		part = n - done < 256 ? n - done : 256;
		read_values(tensor, first + done, part, values);
		sum += dot(values, x + done, part);
	}
	return sum;
}

/* y = W x for these rows of W, x_sum being the sum of x. */
static void multiply_rows(const struct tensor *w, const float *x, float x_sum, float *y,
			  size_t from, size_t to)
{
	for (size_t row = from; row < to; row++) {
		const size_t first = row * w->cols;

		if (w->kind == KIND_U8)
			y[row] = w->scale *
				 (dot_u8(w->data + first, x, w->cols) - w->zero_point * x_sum);
		else if (w->kind == KIND_U4)
			y[row] =
			    w->scale * (dot_u4(w->data, first, x, w->cols) - w->zero_point * x_sum);
		else
			y[row] = dot_kept(w, first, x, w->cols);
	}
}

/* Threads that share the rows of one product at a time. The results do not depend on their number:
   a row is always one thread's. */
struct team {
	size_t members; /* the calling thread among them */
	pthread_t *threads;
	pthread_barrier_t start, end;
	const struct tensor *w; /* NULL: go home */
	const float *x;
	float x_sum;
	float *y;
};

struct member {
	struct team *team;
	size_t number; /* 0 is the caller */
};

static void do_share(const struct team *team, size_t number)
{
	const size_t rows = team->w->rows, share = rows / team->members;

	multiply_rows(team->w, team->x, team->x_sum, team->y, number * share,
		      number + 1 == team->members ? rows : (number + 1) * share);
}

static void *run_member(void *argument)
{
	const struct member member = *(struct member *)argument;

	free(argument);
	for (;;) {
		pthread_barrier_wait(&member.team->start);
		if (member.team->w == NULL)
			return NULL;
		do_share(member.team, member.number);
		pthread_barrier_wait(&member.team->end);
	}
}

static void start_team(struct team *team, size_t members)
{
	team->members = members;
	team->threads = allocate(members, sizeof(*team->threads));
	pthread_barrier_init(&team->start, NULL, (unsigned)members);
	pthread_barrier_init(&team->end, NULL, (unsigned)members);
	for (size_t i = 1; i < members; i++) {
		struct member *member = allocate(1, sizeof(*member));
		int error;

		*member = (struct member){team, i};
		error = pthread_create(&team->threads[i], NULL, run_member, member);
		if (error != 0)
			die("cannot start a thread: %s", strerror(error));
	}
}

static void end_team(struct team *team)
{
	team->w = NULL;
	pthread_barrier_wait(&team->start);
	for (size_t i = 1; i < team->members; i++)
		pthread_join(team->threads[i], NULL);
	pthread_barrier_destroy(&team->start);
	pthread_barrier_destroy(&team->end);
	free(team->threads);
}

/* y = W x; below some size the threads would wait for each other longer than they work. */
static void multiply(struct team *team, const struct tensor *w, const float *x, float *y)
{
	float sum = 0;

	for (size_t i = 0; i < w->cols; i++)
		sum += x[i];
	if (team->members == 1 || w->rows * w->cols < 1u << 16) {
		multiply_rows(w, x, sum, y, 0, w->rows);
		return;
	}
	team->w = w;
	team->x = x;
	team->x_sum = sum;
	team->y = y;
	pthread_barrier_wait(&team->start);
	do_share(team, 0);
	pthread_barrier_wait(&team->end);
}

static void normalize(const float *x, const float *weight, float eps, size_t n, float *out)
{
	const float factor = 1.0f / sqrtf(dot(x, x, n) / (float)n + eps);

	for (size_t i = 0; i < n; i++)
		out[i] = weight[i] * (x[i] * factor);
}

static void softmax(float *x, size_t n)
{
	float max = x[0], sum = 0;

	for (size_t i = 1; i < n; i++)
		max = x[i] > max ? x[i] : max;
	for (size_t i = 0; i < n; i++) {
		x[i] = expf(x[i] - max);
		sum += x[i];
	}
	for (size_t i = 0; i < n; i++)
		x[i] /= sum;
}

/* --- the forward pass ------------------------------------------------------------------------- */

static void allocate_state(struct state *s, const struct config *c, size_t steps)
{
	const size_t query_dim = c->heads * c->head_dim, kv_dim = c->kv_heads * c->head_dim;

	s->steps = steps;
	s->x = allocate_floats(c->dim, 1, 1);
	s->normed = allocate_floats(c->dim, 1, 1);
	s->query = allocate_floats(query_dim, 1, 1);
	s->attended = allocate_floats(query_dim, 1, 1);
	s->projected = allocate_floats(c->dim, 1, 1);
	s->gate = allocate_floats(c->hidden, 1, 1);
	s->up = allocate_floats(c->hidden, 1, 1);
	s->scores = allocate_floats(steps, 1, 1);
	s->cosine = allocate_floats(c->head_dim / 2, 1, 1);
	s->sine = allocate_floats(c->head_dim / 2, 1, 1);
	s->keys = allocate_floats(c->layers, steps, kv_dim);
	s->values = allocate_floats(c->layers, steps, kv_dim);
	s->logits = allocate_floats(c->vocab, 1, 1);
}

static void free_state(struct state *s)
{
	float *all[] = {s->x,      s->normed, s->query, s->attended, s->projected, s->gate,  s->up,
			s->scores, s->cosine, s->sine,  s->keys,     s->values,    s->logits};

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		free(all[i]);
}

/* Rotates each pair (i, i + head_dim / 2) of each head by an angle that grows with the position. */
static void rotate(const struct state *s, float *x, size_t heads, size_t head_dim)
{
	const size_t half = head_dim / 2;

	for (float *head = x; head < x + heads * head_dim; head += head_dim) {
		for (size_t i = 0; i < half; i++) {
			const float a = head[i], b = head[i + half];

			head[i] = a * s->cosine[i] - b * s->sine[i];
			head[i + half] = b * s->cosine[i] + a * s->sine[i];
		}
	}
}

/* Every query head looks at all positions so far through its share of the key-value heads. */
static void attend(const struct config *c, struct state *s, size_t layer, size_t position)
{
	const size_t kv_dim = c->kv_heads * c->head_dim, first = layer * s->steps * kv_dim;
	const float scale = 1.0f / sqrtf((float)c->head_dim);

	memset(s->attended, 0, c->heads * c->head_dim * sizeof(float));
	for (size_t head = 0; head < c->heads; head++) {
		const size_t shared = first + head / (c->heads / c->kv_heads) * c->head_dim;
		const float *query = s->query + head * c->head_dim;
		float *out = s->attended + head * c->head_dim;

		for (size_t t = 0; t <= position; t++)
			s->scores[t] =
			    scale * dot(query, s->keys + shared + t * kv_dim, c->head_dim);
		softmax(s->scores, position + 1);
		for (size_t t = 0; t <= position; t++)
			for (size_t i = 0; i < c->head_dim; i++)
				out[i] += s->scores[t] * s->values[shared + t * kv_dim + i];
	}
}

static void add(float *x, const float *y, size_t n)
{
	for (size_t i = 0; i < n; i++)
		x[i] += y[i];
}

/* Takes the token at this position (all before have been taken); fills logits if asked to. */
static void forward(const struct model *model, struct state *s, struct team *team, int token,
		    size_t position, bool want_logits)
{
	const struct config *c = &model->config;
	const size_t kv_dim = c->kv_heads * c->head_dim;

	for (size_t i = 0; i < c->head_dim / 2; i++) {
		const double angle =
		    (double)position * pow(c->rope_theta, -2.0 * (double)i / (double)c->head_dim);

		s->cosine[i] = (float)cos(angle);
		s->sine[i] = (float)sin(angle);
	}
	read_values(&model->embedding, (size_t)token * c->dim, c->dim, s->x);
	for (size_t number = 0; number < c->layers; number++) {
		const struct layer *layer = &model->layers[number];
		float *key = s->keys + (number * s->steps + position) * kv_dim;
		float *value = s->values + (number * s->steps + position) * kv_dim;

		normalize(s->x, layer->attention_norm, c->norm_eps, c->dim, s->normed);
		multiply(team, &layer->query, s->normed, s->query);
		multiply(team, &layer->key, s->normed, key);
		multiply(team, &layer->value, s->normed, value);
		rotate(s, s->query, c->heads, c->head_dim);
		rotate(s, key, c->kv_heads, c->head_dim);
		attend(c, s, number, position);
		multiply(team, &layer->output, s->attended, s->projected);
		add(s->x, s->projected, c->dim);

		normalize(s->x, layer->feedforward_norm, c->norm_eps, c->dim, s->normed);
		multiply(team, &layer->gate, s->normed, s->gate);
		multiply(team, &layer->up, s->normed, s->up);
		for (size_t i = 0; i < c->hidden; i++)
			s->gate[i] = s->gate[i] / (1.0f + expf(-s->gate[i])) * s->up[i];
		multiply(team, &layer->down, s->gate, s->projected);
		add(s->x, s->projected, c->dim);
	}
	if (want_logits) {
		normalize(s->x, model->norm, c->norm_eps, c->dim, s->normed);
		multiply(team, &model->classifier, s->normed, s->logits);
	}
}

/* --- text ------------------------------------------------------------------------------------- */

/* Length of the character at s and its code point; 0 if it is cut off, -1 if it is not UTF-8. */
static int read_utf8(const uint8_t *s, size_t n, uint32_t *code)
{
	const int length = s[0] < 0x80   ? 1
			   : s[0] < 0xc2 ? -1
			   : s[0] < 0xe0 ? 2
			   : s[0] < 0xf0 ? 3
			   : s[0] < 0xf5 ? 4
					 : -1;

	if (length == 1)
		*code = s[0];
	if (length <= 1)
		return length;
	*code = s[0] & (0x7fu >> length);
	for (int i = 1; i < length; i++) {
		if ((size_t)i >= n)
			return 0;
		if ((s[i] & 0xc0) != 0x80)
			return -1;
		*code = *code << 6 | (s[i] & 0x3f);
		/* Overlong forms, surrogates and what lies beyond Unicode show in the second byte.
		 */
		if (i == 1 && ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
			       (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f)))
			return -1;
	}
	return length;
}

static size_t write_utf8(uint32_t code, char *out) /* up to 4 bytes; code < 0x800 here or U+2581 */
{
	if (code < 0x80) {
		out[0] = (char)code;
		return 1;
	}
	if (code < 0x800) {
		out[0] = (char)(0xc0 | code >> 6);
		out[1] = (char)(0x80 | (code & 0x3f));
		return 2;
	}
	out[0] = (char)(0xe0 | code >> 12);
	out[1] = (char)(0x80 | (code >> 6 & 0x3f));
	out[2] = (char)(0x80 | (code & 0x3f));
	return 3;
}

/* Class of the character at s, which is valid UTF-8, and its length. */
static enum char_class class_at(const uint8_t *s, size_t n, size_t *length)
{
	size_t low = 0, high = sizeof(unicode_classes) / sizeof(*unicode_classes);
	uint32_t code = 0;
	const int got = read_utf8(s, n, &code);

	*length = got > 0 ? (size_t)got : 1;
	while (high - low > 1) {
		const size_t middle = (low + high) / 2;

		if (unicode_classes[middle] >> 2 <= code)
			low = middle;
		else
			high = middle;
	}
	return (enum char_class)(unicode_classes[low] & 3);
}

/* --- the tokenizer: reading it ---------------------------------------------------------------- */

static uint64_t hash_bytes(const char *s, size_t n) /* FNV-1a */
{
	uint64_t hash = 0xcbf29ce484222325;

	for (size_t i = 0; i < n; i++)
		hash = (hash ^ (uint8_t)s[i]) * 0x100000001b3;
	return hash ^ hash >> 32;
}

static uint64_t hash_pair(int left, int right)
{
	uint64_t hash = ((uint64_t)left << 32 | (uint32_t)right) * 0x9e3779b97f4a7c15;

	return hash ^ hash >> 29;
}

static size_t slots_for(size_t count) /* a power of two, at most half of it in use */
{
	size_t slots = 16;

	while (slots < 2 * count)
		slots *= 2;
	return slots;
}

/* The slot of this text, or the empty one where it belongs. */
static int *find_slot(const struct tokenizer *t, const char *text, size_t length)
{
	size_t slot = hash_bytes(text, length) & (t->id_slots - 1);

	for (;; slot = (slot + 1) & (t->id_slots - 1)) {
		const int id = t->ids[slot];

		if (id < 0 || (t->tokens[id].length == length &&
			       memcmp(t->tokens[id].text, text, length) == 0))
			return &t->ids[slot];
	}
}

static int find_token(const struct tokenizer *t, const char *text, size_t length)
{
	return *find_slot(t, text, length);
}

static struct merge *find_merge(const struct tokenizer *t, int left, int right)
{
	size_t slot = hash_pair(left, right) & (t->merge_slots - 1);

	while (t->merges[slot].left >= 0 &&
	       (t->merges[slot].left != left || t->merges[slot].right != right))
		slot = (slot + 1) & (t->merge_slots - 1);
	return &t->merges[slot];
}

static void refuse_tokenizer(const char *what, const json_t *detail)
{
	const char *type = json_string_value(json_object_get(detail, "type"));

	die("cannot use 'tokenizer.json': its %s%s%s is not supported", what, type ? " " : "",
	    type ? type : "");
}

static bool is_type(const json_t *json, const char *type)
{
	const char *own = json_string_value(json_object_get(json, "type"));

	return own != NULL && strcmp(own, type) == 0;
}

static bool has_text(const json_t *json, const char *key, const char *text)
{
	const char *own = json_string_value(json_object_get(json, key));

	return own != NULL && strcmp(own, text) == 0;
}

/* Absent, null, false or "": an option that is not in use. */
static bool is_unset(const json_t *json, const char *key)
{
	const json_t *value = json_object_get(json, key);

	return value == NULL || json_is_null(value) || json_is_false(value) ||
	       has_text(json, key, "");
}

static void add_token(struct tokenizer *t, const char *text, size_t length, const json_t *number)
{
	const json_int_t id = json_integer_value(number);
	int *slot = find_slot(t, text, length);

	if (!json_is_integer(number) || id < 0 || (uint64_t)id >= t->count)
		die("cannot use 'tokenizer.json': the id of '%s' is not below the model's %zu",
		    text, t->count);
	if (*slot == (int)id)
		return; /* an added token that is in the vocabulary, too */
	if (*slot >= 0 || t->tokens[id].text != NULL)
		die("cannot use 'tokenizer.json': token %d ('%s') is given twice", (int)id, text);
	t->tokens[id] = (struct token){text, length, false};
	*slot = (int)id;
}

static void read_vocabulary(struct tokenizer *t, json_t *model)
{
	json_t *vocab = json_object_get(model, "vocab");
	const json_t *added = json_object_get(t->json, "added_tokens");
	const char *text;

	if (!is_type(model, "BPE") || !json_is_object(vocab))
		refuse_tokenizer("model", model);
	t->tokens = allocate(t->count, sizeof(*t->tokens));
	t->id_slots = slots_for(json_object_size(vocab) + json_array_size(added));
	t->ids = allocate(t->id_slots, sizeof(*t->ids));
	memset(t->ids, 0xff, t->id_slots * sizeof(*t->ids));
	for (void *i = json_object_iter(vocab); i != NULL; i = json_object_iter_next(vocab, i)) {
		text = json_object_iter_key(i);
		add_token(t, text, strlen(text), json_object_iter_value(i));
	}

	t->added = allocate(json_array_size(added), sizeof(*t->added));
	for (size_t i = 0; i < json_array_size(added); i++) {
		const json_t *value = json_array_get(added, i);

		text = json_string_value(json_object_get(value, "content"));
		if (text == NULL || *text == '\0')
			die("cannot use 'tokenizer.json': added token %zu has no content", i);
		if (!is_unset(value, "lstrip") || !is_unset(value, "rstrip") ||
		    !is_unset(value, "single_word"))
			die("cannot use 'tokenizer.json': the options of '%s' are not supported",
			    text);
		add_token(t, text, strlen(text), json_object_get(value, "id"));
		t->added[t->added_count] = find_token(t, text, strlen(text));
		t->tokens[t->added[t->added_count++]].special =
		    json_is_true(json_object_get(value, "special"));
	}
}

/* Ranks are line numbers. A merge is "left right" or, in newer files, ["left", "right"]. */
static void read_merges(struct tokenizer *t, json_t *model)
{
	const json_t *merges = json_object_get(model, "merges");

	if (json_array_size(merges) >= NO_RANK)
		refuse_tokenizer("number of merges", NULL);
	t->merge_slots = slots_for(json_array_size(merges));
	t->merges = allocate(t->merge_slots, sizeof(*t->merges));
	memset(t->merges, 0xff, t->merge_slots * sizeof(*t->merges));
	for (size_t rank = 0; rank < json_array_size(merges); rank++) {
		const json_t *line = json_array_get(merges, rank);
		const char *text = json_string_value(line),
			   *space = text ? strchr(text, ' ') : NULL;
		const char *left = text ? text : json_string_value(json_array_get(line, 0));
		const char *right = space ? space + 1 : json_string_value(json_array_get(line, 1));
		struct merge merge = {.rank = (uint32_t)rank}, *slot;
		size_t left_length, right_length;
		char *both;

		if (left == NULL || right == NULL)
			die("cannot use 'tokenizer.json': merge %zu is not a pair", rank);
		left_length = space ? (size_t)(space - text) : strlen(left);
		right_length = strlen(right);
		both = allocate(left_length + right_length, 1);
		memcpy(both, left, left_length);
		memcpy(both + left_length, right, right_length);
		merge.left = find_token(t, left, left_length);
		merge.right = find_token(t, right, right_length);
		merge.result = find_token(t, both, left_length + right_length);
		free(both);
		if (merge.left < 0 || merge.right < 0 || merge.result < 0)
			die("cannot use 'tokenizer.json': merge %zu is of tokens that do not exist",
			    rank);
		slot = find_merge(t, merge.left, merge.right);
		if (slot->left < 0)
			*slot = merge;
	}
	json_object_del(model, "merges"); /* nothing points into it, and it is large */
}

/* Which character stands for which byte: itself if printable in Latin-1, else the next from U+0100.
 */
static void read_byte_level(struct tokenizer *t)
{
	uint32_t next = 256;
	char text[4];

	t->style = BYTE_LEVEL;
	for (uint32_t byte = 0; byte < 256; byte++) {
		const bool printable = (byte > ' ' && byte < 0x7f) || (byte > 0xa0 && byte != 0xad);

		t->alphabet[byte] = printable ? byte : next++;
		t->byte_ids[byte] = find_token(t, text, write_utf8(t->alphabet[byte], text));
	}
}

/* What SentencePiece does, as tokenizer.json spells it: a space in front, U+2581 for every space,
   no words, a token <0xNN> for each byte of a character that has none. */
static void read_characters(struct tokenizer *t, const json_t *model)
{
	const json_t *normalizer = json_object_get(t->json, "normalizer");
	const json_t *parts = json_object_get(normalizer, "normalizers");
	const json_t *prepend = json_array_get(parts, 0), *replace = json_array_get(parts, 1);
	const char *unknown = json_string_value(json_object_get(model, "unk_token"));
	char text[8];

	if (!is_type(normalizer, "Sequence") || json_array_size(parts) != 2 ||
	    !is_type(prepend, "Prepend") || !has_text(prepend, "prepend", "\xe2\x96\x81") ||
	    !is_type(replace, "Replace") || !has_text(replace, "content", "\xe2\x96\x81") ||
	    !has_text(json_object_get(replace, "pattern"), "String", " "))
		refuse_tokenizer("normalizer", normalizer);
	t->style = CHARACTERS;
	t->prefix_space = true;
	t->unknown = unknown ? find_token(t, unknown, strlen(unknown)) : -1;
	for (unsigned byte = 0; byte < 256; byte++) {
		snprintf(text, sizeof(text), "<0x%02X>", byte);
		t->byte_ids[byte] = is_unset(model, "byte_fallback") ? -1 : find_token(t, text, 6);
	}
}

/* Either kind is known by how it prepares a text: byte level, after an optional split of digits, or
   characters. Others have rules of their own. */
static void read_style(struct tokenizer *t, const json_t *model)
{
	const json_t *pre = json_object_get(t->json, "pre_tokenizer");
	const json_t *parts = json_object_get(pre, "pretokenizers"), *digits;

	t->unknown = -1;
	if (pre == NULL || json_is_null(pre)) {
		read_characters(t, model);
		return;
	}
	if (is_type(pre, "Sequence") && json_array_size(parts) == 2) {
		digits = json_array_get(parts, 0);
		if (!is_type(digits, "Digits") || is_unset(digits, "individual_digits"))
			refuse_tokenizer("pre-tokenizer", digits);
		t->split_digits = true;
		pre = json_array_get(parts, 1);
	}
	if (!is_type(pre, "ByteLevel") || json_is_false(json_object_get(pre, "use_regex")))
		refuse_tokenizer("pre-tokenizer", pre);
	if (!is_unset(t->json, "normalizer"))
		refuse_tokenizer("normalizer", json_object_get(t->json, "normalizer"));
	t->prefix_space = !is_unset(pre, "add_prefix_space");
	read_byte_level(t);
}

/* "single" is a list of special tokens with the sequence itself somewhere among them. */
static void read_template(struct tokenizer *t, const json_t *processor)
{
	const json_t *specials = json_object_get(processor, "special_tokens"), *ids, *id;
	const json_t *parts = json_object_get(processor, "single");
	bool before = true;

	for (size_t i = 0; i < json_array_size(parts); i++) {
		const json_t *special = json_object_get(json_array_get(parts, i), "SpecialToken");

		if (special == NULL) {
			before = false;
			continue;
		}
		ids = json_object_get(specials, json_string_value(json_object_get(special, "id")));
		ids = json_object_get(ids, "ids");
		for (size_t k = 0; k < json_array_size(ids); k++) {
			size_t *count = before ? &t->prefix_count : &t->suffix_count;

			id = json_array_get(ids, k);
			if (!json_is_integer(id) || json_integer_value(id) < 0 ||
			    (uint64_t)json_integer_value(id) >= t->count || *count == MAX_AFFIXES)
				refuse_tokenizer("post-processor", processor);
			(before ? t->prefix : t->suffix)[(*count)++] = (int)json_integer_value(id);
		}
	}
}

static void read_post_processor(struct tokenizer *t, const json_t *processor)
{
	const json_t *parts = json_object_get(processor, "processors");

	if (processor == NULL || json_is_null(processor) || is_type(processor, "ByteLevel"))
		return; /* byte level: it trims offsets, which are not used here */
	if (is_type(processor, "TemplateProcessing")) {
		read_template(t, processor);
		return;
	}
	if (!is_type(processor, "Sequence"))
		refuse_tokenizer("post-processor", processor);
	for (size_t i = 0; i < json_array_size(parts); i++) {
		if (is_type(json_array_get(parts, i), "Sequence"))
			refuse_tokenizer("post-processor", processor);
		read_post_processor(t, json_array_get(parts, i));
	}
}

static void read_tokenizer(int folder, struct tokenizer *t, size_t vocab)
{
	static const char *const options[] = {"dropout", "continuing_subword_prefix",
					      "end_of_word_suffix"};
	json_t *model;

	t->json = read_json(folder, "tokenizer.json");
	t->count = vocab;
	model = json_object_get(t->json, "model");
	for (size_t i = 0; i < sizeof(options) / sizeof(*options); i++)
		if (!is_unset(model, options[i]))
			refuse_tokenizer(options[i], NULL);
	t->whole_words = !is_unset(model, "ignore_merges");
	read_vocabulary(t, model);
	read_merges(t, model);
	read_style(t, model);
	read_post_processor(t, json_object_get(t->json, "post_processor"));
}

static void free_tokenizer(struct tokenizer *t)
{
	free(t->tokens);
	free(t->ids);
	free(t->merges);
	free(t->added);
	json_decref(t->json);
}

/* --- the tokenizer: text to tokens ------------------------------------------------------------ */

static void append(struct ids *ids, int id)
{
	if (ids->count == ids->room) {
		ids->room = ids->room ? 2 * ids->room : 64;
		ids->at = reallocarray(ids->at, ids->room, sizeof(*ids->at));
		if (ids->at == NULL)
			die("cannot allocate %zu tokens", ids->room);
	}
	ids->at[ids->count++] = id;
}

static uint32_t rank_at(const struct tokenizer *t, const struct ids *ids, size_t i)
{
	const struct merge *merge;

	if (i + 1 >= ids->count)
		return NO_RANK;
	merge = find_merge(t, ids->at[i], ids->at[i + 1]);
	return merge->left < 0 ? NO_RANK : merge->rank;
}

/* Merges the pair of lowest rank, the leftmost first, until no pair is left, in the tokens from
   begin on. Quadratic, but with no more to do per step than to find the least of an array. */
static void merge_pairs(const struct tokenizer *t, struct ids *ids, size_t begin)
{
	struct ids word = {.at = ids->at + begin, .count = ids->count - begin};
	uint32_t *ranks = allocate(word.count, sizeof(*ranks)); /* of the pair that begins here */

	for (size_t i = 0; i < word.count; i++)
		ranks[i] = rank_at(t, &word, i);
	for (;;) {
		uint32_t least = NO_RANK;
		size_t at = 0, tail;

		for (size_t i = 0; i < word.count; i++)
			least = ranks[i] < least ? ranks[i] : least;
		if (least == NO_RANK)
			break;
		while (ranks[at] != least)
			at++;
		word.at[at] = find_merge(t, word.at[at], word.at[at + 1])->result;
		word.count--;
		tail = word.count - at - 1;
		memmove(word.at + at + 1, word.at + at + 2, tail * sizeof(*word.at));
		memmove(ranks + at + 1, ranks + at + 2, tail * sizeof(*ranks));
		ranks[at] = rank_at(t, &word, at);
		if (at > 0)
			ranks[at - 1] = rank_at(t, &word, at - 1);
	}
	ids->count = begin + word.count;
	free(ranks);
}

/* Length of the word at s, which is not empty, by the rule that GPT-2 introduced:
   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
static size_t word_length(const uint8_t *s, size_t n)
{
	static const char *const endings[] = {"s", "t", "re", "ve", "m", "ll", "d"};
	size_t at = 0, length, last = 0;
	enum char_class class;

	for (size_t i = 0; *s == '\'' && i < sizeof(endings) / sizeof(*endings); i++)
		if (n > strlen(endings[i]) && memcmp(s + 1, endings[i], strlen(endings[i])) == 0)
			return 1 + strlen(endings[i]);
	if (*s == ' ' && n > 1 && class_at(s + 1, n - 1, &length) != SPACE)
		at = 1;
	class = class_at(s + at, n - at, &length);
	while (at < n && class_at(s + at, n - at, &length) == class) {
		last = at;
		at += length;
	}
	/* Of spaces before a word the last one is left to it. */
	return class == SPACE && at < n && last > 0 ? last : at;
}

static void encode_word(const struct tokenizer *t, const uint8_t *word, size_t n, struct ids *ids)
{
	const size_t begin = ids->count;

	if (t->whole_words) {
		char *text = allocate(n, 2);
		size_t length = 0;
		int id;

		for (size_t i = 0; i < n; i++)
			length += write_utf8(t->alphabet[word[i]], text + length);
		id = find_token(t, text, length);
		free(text);
		if (id >= 0) {
			append(ids, id);
			return;
		}
	}
	for (size_t i = 0; i < n; i++) {
		if (t->byte_ids[word[i]] < 0)
			die("cannot encode the prompt: there is no token for byte 0x%02x", word[i]);
		append(ids, t->byte_ids[word[i]]);
	}
	merge_pairs(t, ids, begin);
}

/* A piece of text between digits, or all of it. */
static void encode_words(const struct tokenizer *t, const uint8_t *text, size_t n, struct ids *ids)
{
	uint8_t *copy = allocate(n, 1 + sizeof(char));
	const size_t added = t->prefix_space && n > 0 && text[0] != ' ';

	copy[0] = ' ';
	memcpy(copy + added, text, n);
	for (size_t at = 0, length; at < n + added; at += length) {
		length = word_length(copy + at, n + added - at);
		encode_word(t, copy + at, length, ids);
	}
	free(copy);
}

static void encode_bytes(const struct tokenizer *t, const uint8_t *text, size_t n, struct ids *ids)
{
	size_t begin = 0, length;

	for (size_t at = 0; t->split_digits && at < n; at += length) {
		if (class_at(text + at, n - at, &length) != NUMBER)
			continue;
		encode_words(t, text + begin, at - begin, ids);
		encode_words(t, text + at, length, ids);
		begin = at + length;
	}
	encode_words(t, text + begin, n - begin, ids);
}

/* One character, given as its bytes, that may have no token: then its bytes have. */
static void encode_character(const struct tokenizer *t, const char *text, size_t n, struct ids *ids)
{
	const int id = find_token(t, text, n);
	bool bytes = true;

	for (size_t i = 0; i < n; i++)
		bytes = bytes && t->byte_ids[(uint8_t)text[i]] >= 0;
	if (id >= 0)
		append(ids, id);
	else if (bytes)
		for (size_t i = 0; i < n; i++)
			append(ids, t->byte_ids[(uint8_t)text[i]]);
	else if (t->unknown >= 0)
		append(ids, t->unknown);
	else
		die("cannot encode the prompt: a character has no token");
}

static void encode_characters(const struct tokenizer *t, const uint8_t *text, size_t n,
			      struct ids *ids)
{
	static const char space[] = "\xe2\x96\x81";
	const size_t begin = ids->count;

	if (n == 0)
		return;
	if (t->prefix_space)
		encode_character(t, space, 3, ids);
	for (size_t at = 0, length; at < n; at += length) {
		(void)class_at(text + at, n - at, &length);
		if (text[at] == ' ')
			encode_character(t, space, 3, ids);
		else
			encode_character(t, (const char *)text + at, length, ids);
	}
	merge_pairs(t, ids, begin);
}

/* The longest added token at s; -1: none. */
static int added_at(const struct tokenizer *t, const uint8_t *s, size_t n)
{
	int best = -1;

	for (size_t i = 0; i < t->added_count; i++) {
		const struct token *token = &t->tokens[t->added[i]];

		if (token->length <= n && memcmp(token->text, s, token->length) == 0 &&
		    (best < 0 || token->length > t->tokens[best].length))
			best = t->added[i];
	}
	return best;
}

static void encode(const struct tokenizer *t, const char *prompt, struct ids *ids)
{
	const uint8_t *text = (const uint8_t *)prompt;
	const size_t n = strlen(prompt);
	size_t begin = 0;
	uint32_t code;

	for (size_t at = 0; at < n;) {
		const int length = read_utf8(text + at, n - at, &code);

		if (length <= 0)
			die("cannot encode the prompt: it is not UTF-8");
		at += (size_t)length;
	}
	for (size_t i = 0; i < t->prefix_count; i++)
		append(ids, t->prefix[i]);
	for (size_t at = 0; at <= n; at++) {
		const int added = at < n ? added_at(t, text + at, n - at) : -1;

		if (added < 0 && at < n)
			continue;
		if (t->style == BYTE_LEVEL)
			encode_bytes(t, text + begin, at - begin, ids);
		else
			encode_characters(t, text + begin, at - begin, ids);
		if (added < 0)
			break;
		append(ids, added);
		begin = at + t->tokens[added].length;
		at = begin - 1;
	}
	for (size_t i = 0; i < t->suffix_count; i++)
		append(ids, t->suffix[i]);
}

/* --- the tokenizer: tokens to text ------------------------------------------------------------ */

/* Text on its way out. A token may end in the middle of a character: what is not whole waits. */
struct printer {
	uint8_t pending[4];
	size_t count;
	bool started; /* something has been written */
};

static void print_replacement(void)
{
	fputs("\xef\xbf\xbd", stdout); /* U+FFFD */
}

static void print_byte(struct printer *p, uint8_t byte)
{
	uint32_t code = 0;
	int length;

	p->pending[p->count++] = byte;
	length = read_utf8(p->pending, p->count, &code);
	if (length == 0)
		return;
	p->started = true;
	if (length < 0) { /* all but this byte are lost, and it may begin another character */
		const bool alone = p->count == 1;

		print_replacement();
		p->count = 0;
		if (!alone)
			print_byte(p, byte);
		return;
	}
	/* A model must not be able to drive the terminal. */
	if ((code < ' ' && code != '\n' && code != '\t') || (code >= 0x7f && code < 0xa0))
		print_replacement();
	else
		fwrite(p->pending, 1, p->count, stdout);
	p->count = 0;
}

static void print_end(struct printer *p)
{
	if (p->count > 0)
		print_replacement();
	p->count = 0;
	putchar('\n');
	fflush(stdout);
}

static int byte_of(const struct tokenizer *t, uint32_t code)
{
	for (int byte = 0; byte < 256; byte++)
		if (t->alphabet[byte] == code)
			return byte;
	return -1;
}

static void print_token(const struct tokenizer *t, struct printer *p, int id)
{
	const struct token *token = &t->tokens[id];
	const uint8_t *text = (const uint8_t *)token->text;
	unsigned byte;
	char end;

	if (text == NULL || token->special)
		return;
	if (t->style == CHARACTERS && sscanf(token->text, "<0x%2X%c", &byte, &end) == 2 &&
	    end == '>' && token->length == 6) {
		print_byte(p, (uint8_t)byte);
		return;
	}
	for (size_t at = 0, length; at < token->length; at += length) {
		uint32_t code = 0;
		int own;

		length =
		    (size_t)read_utf8(text + at, token->length - at, &code); /* JSON is UTF-8 */
		own = t->style == BYTE_LEVEL ? byte_of(t, code) : -1;
		if (own >= 0)
			print_byte(p, (uint8_t)own);
		else if (t->style == CHARACTERS && code == 0x2581 && !p->started)
			p->started = true; /* the space that was put in front of the text */
		else if (t->style == CHARACTERS && code == 0x2581)
			print_byte(p, ' ');
		else
			for (size_t i = 0; i < length; i++)
				print_byte(p, text[at + i]);
	}
}

/* --- the sampler ------------------------------------------------------------------------------ */

struct sampler {
	float temperature; /* 0: always the likeliest */
	uint64_t state;    /* never 0 */
};

/* Numbers from one seed on are spread over the state first (the splitmix64 step), so that 0, 1 and
   2 do not begin alike. */
static void seed_sampler(struct sampler *sampler, uint64_t seed)
{
	uint64_t z = seed + 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	z ^= z >> 31;
	sampler->state = z ? z : 1;
}

static float next_random(struct sampler *sampler) /* xorshift64*: at least 0, below 1 */
{
	sampler->state ^= sampler->state >> 12;
	sampler->state ^= sampler->state << 25;
	sampler->state ^= sampler->state >> 27;
	return (float)(sampler->state * 0x2545f4914f6cdd1d >> 40) * 0x1p-24f;
}

static int sample(struct sampler *sampler, float *logits, size_t n)
{
	size_t best = 0;
	float left;

	if (sampler->temperature <= 0) {
		for (size_t i = 1; i < n; i++)
			best = logits[i] > logits[best] ? i : best;
		return (int)best;
	}
	for (size_t i = 0; i < n; i++)
		logits[i] /= sampler->temperature;
	softmax(logits, n);
	left = next_random(sampler);
	for (size_t i = 0; i < n; i++) {
		if (logits[i] > left)
			return (int)i;
		left -= logits[i];
		best = logits[i] > logits[best] ? i : best;
	}
	return (int)best; /* the sum of all fell short of 1 by rounding */
}

/* --- the command line ------------------------------------------------------------------------- */

struct options {
	const char *folder, *prompt, *logits_file;
	size_t tokens, threads;
	double temperature;
	uint64_t seed;
	bool stats, tokenize;
};

static const char help[] =
    "Usage: entrofs-run [OPTION]... MODEL_DIR\n"
    "Continues a text with a Llama-architecture model from its quantized files.\n"
    "\n"
    "MODEL_DIR is a mounted entrofs image, or one extracted by fsck.entrofs.\n"
    "\n"
    "  -p, --prompt=TEXT    the beginning of the text (default: none)\n"
    "  -n, --tokens=N       write at most N tokens after it (default: 100)\n"
    "  -t, --temp=T         sample at temperature T (default: 0, the likeliest token)\n"
    "  -s, --seed=N         of the sampler (default: 0); same seed, same text\n"
    "  -j, --threads=N      share each matrix between N threads (default: 1)\n"
    "      --stats          print times and sizes to stderr at the end\n"
    "      --tokenize       only print the numbers of the prompt's tokens\n"
    "      --logits=FILE    write the logits after each token of the prompt\n"
    "  -h, --help           print this help\n"
    "  -V, --version        print the version\n"
    "\n"
    "Exit code: 0 the text is written, 1 it could not be, 2 usage error.\n";

static noreturn void usage_error(const char *format, const char *argument)
{
	fputs("entrofs-run: ", stderr);
	fprintf(stderr, format, argument);
	fputs("\nTry 'entrofs-run --help' for more information.\n", stderr);
	exit(2);
}

static uint64_t number_argument(const char *option, const char *text, uint64_t min, uint64_t max)
{
	char *end;
	unsigned long long value;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || value < min ||
	    value > max) {
		fprintf(stderr,
			"entrofs-run: %s is a number from %llu to %llu, not '%s'\n"
			"Try 'entrofs-run --help' for more information.\n",
			option, (unsigned long long)min, (unsigned long long)max, text);
		exit(2);
	}
	return value;
}

static double temperature_argument(const char *text)
{
	char *end;
	const double value = strtod(text, &end);

	if (end == text || *end != '\0' || !(value >= 0 && value <= 1000))
		usage_error("--temp is a number from 0 to 1000, not '%s'", text);
	return value;
}

enum { OPT_STATS = 256, OPT_TOKENIZE, OPT_LOGITS };

static const struct option long_options[] = {{"prompt", required_argument, NULL, 'p'},
					     {"tokens", required_argument, NULL, 'n'},
					     {"temp", required_argument, NULL, 't'},
					     {"seed", required_argument, NULL, 's'},
					     {"threads", required_argument, NULL, 'j'},
					     {"stats", no_argument, NULL, OPT_STATS},
					     {"tokenize", no_argument, NULL, OPT_TOKENIZE},
					     {"logits", required_argument, NULL, OPT_LOGITS},
					     {"help", no_argument, NULL, 'h'},
					     {"version", no_argument, NULL, 'V'},
					     {NULL, 0, NULL, 0}};

static void parse_options(int argc, char **argv, struct options *o)
{
	int option;

	argv[0] = program_invocation_short_name; /* for getopt's messages */
	*o = (struct options){.prompt = "", .tokens = 100, .threads = 1};
	while ((option = getopt_long(argc, argv, "p:n:t:s:j:hV", long_options, NULL)) != -1) {
		switch (option) {
		case 'p':
			o->prompt = optarg;
			break;
		case 'n':
			o->tokens = number_argument("--tokens", optarg, 0, 1u << 30);
			break;
		case 't':
			o->temperature = temperature_argument(optarg);
			break;
		case 's':
			o->seed = number_argument("--seed", optarg, 0, UINT64_MAX);
			break;
		case 'j':
			o->threads = number_argument("--threads", optarg, 1, 256);
			break;
		case OPT_STATS:
			o->stats = true;
			break;
		case OPT_TOKENIZE:
			o->tokenize = true;
			break;
		case OPT_LOGITS:
			o->logits_file = optarg;
			break;
		case 'h':
			fputs(help, stdout);
			exit(fflush(stdout) != 0);
		case 'V':
			puts("entrofs-run " ENTROFS_VERSION);
			exit(fflush(stdout) != 0);
		default:
			fputs("Try 'entrofs-run --help' for more information.\n", stderr);
			exit(2);
		}
	}
	if (optind == argc)
		usage_error("%s is needed", "a folder, MODEL_DIR,");
	if (optind + 1 < argc)
		usage_error("unexpected argument '%s'", argv[optind + 1]);
	o->folder = argv[optind];
}

/* The prompt's tokens; without any, the token that begins a text. */
static void read_prompt(const struct tokenizer *t, const struct config *config,
			const struct options *o, struct ids *ids)
{
	encode(t, o->prompt, ids);
	if (ids->count == 0 && config->bos >= 0)
		append(ids, config->bos);
	if (ids->count == 0)
		die("cannot begin: the prompt is empty and config.json has no bos_token_id");
	if (ids->count > config->context)
		die("cannot use the prompt: its %zu tokens exceed the model's context of %zu",
		    ids->count, config->context);
}

static bool ends_text(const struct config *config, int id)
{
	for (size_t i = 0; i < config->eos_count; i++)
		if (config->eos[i] == id)
			return true;
	return false;
}

static FILE *open_logits(const struct options *o)
{
	FILE *file = o->logits_file ? fopen(o->logits_file, "wb") : NULL;

	if (o->logits_file != NULL && file == NULL)
		die("cannot write '%s': %s", o->logits_file, strerror(errno));
	return file;
}

/* Runs the prompt, then writes what follows; returns the number of tokens written and, in
   first_token, when the first of them was known. */
static size_t generate(const struct model *model, const struct tokenizer *tokenizer,
		       const struct options *o, const struct ids *prompt, double *first_token)
{
	const struct config *config = &model->config;
	const size_t room = config->context - prompt->count;
	const size_t wanted = o->tokens < room ? o->tokens : room;
	struct sampler sampler = {.temperature = (float)o->temperature};
	struct printer printer = {.started = *o->prompt != '\0'};
	struct state state;
	struct team team = {0};
	FILE *logits = open_logits(o);
	size_t written = 0;
	int token = prompt->at[0];

	allocate_state(&state, config, prompt->count + wanted);
	seed_sampler(&sampler, o->seed);
	start_team(&team, o->threads);
	fputs(o->prompt, stdout);
	fflush(stdout);
	for (size_t position = 0;; position++) {
		const bool in_prompt = position + 1 < prompt->count;

		forward(model, &state, &team, token, position, !in_prompt || logits != NULL);
		if (logits != NULL && position < prompt->count)
			fwrite(state.logits, sizeof(float), config->vocab, logits);
		if (in_prompt) {
			token = prompt->at[position + 1];
			continue;
		}
		if (written == wanted)
			break;
		token = sample(&sampler, state.logits, config->vocab);
		*first_token = written == 0 ? now() : *first_token;
		if (ends_text(config, token))
			break;
		print_token(tokenizer, &printer, token);
		fflush(stdout);
		if (++written == wanted)
			break;
	}
	print_end(&printer);
	if (written == room && o->tokens > room)
		fprintf(stderr, "entrofs-run: stopped at the model's context of %zu tokens\n",
			config->context);
	if (logits != NULL && (ferror(logits) | fclose(logits)) != 0)
		die("cannot write '%s': %s", o->logits_file, strerror(errno));
	end_team(&team);
	free_state(&state);
	return written;
}

static void run(const struct options *o, int folder, const struct tokenizer *tokenizer,
		struct model *model, double started)
{
	struct ids prompt = {0};
	double loaded, first = 0, ended;
	size_t written;

	read_prompt(tokenizer, &model->config, o, &prompt);
	load_model(folder, model);
	loaded = now();
	written = generate(model, tokenizer, o, &prompt, &first);
	ended = now();
	if (o->stats) {
		fprintf(stderr, "load         %10.1f ms\n", 1e3 * (loaded - started));
		fprintf(stderr, "mapped       %10.2f MB\n", 1e-6 * (double)model->bytes_mapped);
		fprintf(stderr, "prompt       %10zu tokens\n", prompt.count);
		fprintf(stderr, "first token  %10.1f ms\n", written ? 1e3 * (first - started) : 0);
		fprintf(stderr, "written      %10zu tokens\n", written);
		fprintf(stderr, "speed        %10.1f tokens/s\n",
			written > 1 ? (double)(written - 1) / (ended - first) : 0);
	}
	free_model(model);
	free(prompt.at);
}

static void print_ids(const struct tokenizer *tokenizer, const char *prompt)
{
	struct ids ids = {0};

	encode(tokenizer, prompt, &ids);
	for (size_t i = 0; i < ids.count; i++)
		printf("%s%d", i ? " " : "", ids.at[i]);
	putchar('\n');
	free(ids.at);
}

int main(int argc, char **argv)
{
	const double started = now();
	const struct sigaction action = {.sa_handler = on_bus_error};
	struct options options;
	struct model model = {0};
	struct tokenizer tokenizer = {0};
	int folder;

	parse_options(argc, argv, &options);
	sigaction(SIGBUS, &action, NULL);
	folder = open(options.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0)
		die("cannot open '%s': %s", options.folder, strerror(errno));
	if (!options.tokenize && faccessat(folder, "quantized/manifest.json", F_OK, 0) != 0)
		die("cannot use '%s': quantized/manifest.json: %s (is an image mounted there?)",
		    options.folder, strerror(errno));
	read_config(folder, &model.config);
	read_tokenizer(folder, &tokenizer, model.config.vocab);
	if (options.tokenize)
		print_ids(&tokenizer, options.prompt);
	else
		run(&options, folder, &tokenizer, &model, started);
	free_tokenizer(&tokenizer);
	close(folder);
	if (fflush(stdout) != 0 || ferror(stdout))
		die("cannot write the text: %s", strerror(errno));
	return 0;
}
