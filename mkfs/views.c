/* SPDX-License-Identifier: MIT */
/*
 * views.c - names, headers and pieces of the files under quantized/; see views.h.
 */
#include "mkfs/views.h"

#include "mkfs/cli.h"

#include <errno.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	NAME_LIMIT = 200,    /* bytes of an encoded name, extension aside */
	NAME_HASH_BYTES = 8, /* of the SHA-256 that ends a cut name, in hexadecimal after a '-' */
	DATA_ALIGN = 4096,   /* of the data in model.safetensors */
};

static int is_plain(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '.' || c == '_' || c == '-';
}

char *view_file_name(const struct safetensor *tensor, int bits)
{
	const char *name = tensor->name;
	const char *extension = bits == 8 ? "u8" : bits == 4 ? "u4" : tensor->dtype->extension;
	char encoded[NAME_LIMIT + 4], *file = NULL;
	enum { TAIL = 1 + 2 * NAME_HASH_BYTES };
	size_t size = 0, cut = 0;

	for (size_t i = 0; name[i] && size <= NAME_LIMIT; i++) {
		/* Where to cut, should the name turn out too long: never within an escape. */
		if (size <= NAME_LIMIT - TAIL)
			cut = size;
		if (is_plain((unsigned char)name[i]) && (i || name[i] != '.'))
			encoded[size++] = name[i];
		else
			size += (size_t)sprintf(encoded + size, "%%%02X", (unsigned char)name[i]);
	}
	encoded[size] = '\0';
	if (size <= NAME_LIMIT) {
		/* A lone '%' cannot come from escaping: it stands for the empty name. */
		return asprintf(&file, "%s.%s", size ? encoded : "%", extension) < 0 ? NULL : file;
	}
	uint8_t digest[SHA256_DIGEST_LENGTH];
	char hash[2 * NAME_HASH_BYTES + 1];
	SHA256((const unsigned char *)name, strlen(name), digest);
	for (size_t i = 0; i < NAME_HASH_BYTES; i++)
		sprintf(hash + 2 * i, "%02x", digest[i]);
	return asprintf(&file, "%.*s-%s.%s", (int)cut, encoded, hash, extension) < 0 ? NULL : file;
}

int view_choose(const struct source *source, unsigned *views)
{
	const char *reason = NULL;

	if (!(*views & VIEW_GIVEN))
		*views |= VIEW_QUANTIZED | (source->gguf ? VIEW_GGUF : VIEW_MODEL);
	if ((*views & VIEW_GGUF) && !source->gguf)
		reason =
		    "--view gguf needs a model that is a GGUF file: its metadata and tokenizer "
		    "cannot be made up";
	if ((*views & VIEW_MODEL) && source->gguf)
		reason = "--view model is for .safetensors files; a GGUF file is served by --view "
			 "gguf";
	if (!reason)
		return 0;
	cli_cannot("pack", source->path, "%s", reason);
	return -1;
}

static int check_folder(const struct source *source, const struct source_file *files, size_t count,
			const char *folder)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(files[i].name, folder) == 0) {
			cli_cannot("pack", source->path,
				   "the file '%s' takes the name of a folder in the image", folder);
			return -1;
		}
	}
	return 0;
}

int view_check_folders(const struct source *source, unsigned views)
{
	static const struct {
		const char *name;
		unsigned views; /* 0: it is always there */
	} folders[] = {{"quantized", 0}, {"npy", VIEW_NPY}, {"npy-float", VIEW_NPY_FLOAT}};

	for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
		if (folders[i].views && !(views & folders[i].views))
			continue;
		if (check_folder(source, source->sidecars, source->sidecar_count, folders[i].name))
			return -1;
		if ((views & (VIEW_MODEL | VIEW_GGUF)) &&
		    check_folder(source, source->shards, source->shard_count, folders[i].name))
			return -1;
	}
	return 0;
}

static const char *const companions[] = {"scale", "zero_point"};

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int check_companion(const char *path, const char *name, const char *const *names,
			   size_t count)
{
	for (size_t c = 0; c < 2; c++) {
		char *companion;
		if (asprintf(&companion, "%s.%s", name, companions[c]) < 0) {
			cli_cannot("pack", path, "out of memory");
			return -1;
		}
		const char *key = companion;
		if (bsearch(&key, names, count, sizeof *names, compare_names)) {
			cli_cannot("pack", path,
				   "tensor '%s' has the name that quantized/model.safetensors "
				   "needs for a parameter of '%s' (--keep that one?)",
				   companion, name);
			free(companion);
			return -1;
		}
		free(companion);
	}
	return 0;
}

int view_check_companions(const struct source *source, const struct plan *plan)
{
	const char **names = malloc((source->tensor_count + 1) * sizeof *names);
	int result = 0;

	if (!names) {
		cli_cannot("start", NULL, "out of memory");
		return -1;
	}
	for (size_t i = 0; i < source->tensor_count; i++)
		names[i] = source->tensors[i].info.name;
	qsort(names, source->tensor_count, sizeof *names, compare_names);
	for (size_t i = 0; !result && i < source->tensor_count; i++) {
		if (plan[i].bits)
			result = check_companion(source->shards[source->tensors[i].shard].path,
						 source->tensors[i].info.name, names,
						 source->tensor_count);
	}
	free(names);
	return result;
}

/* One entry of model.safetensors. */
struct entry {
	const struct packed_tensor *tensor;
	char *name;
	enum { ENTRY_DATA, ENTRY_SCALE, ENTRY_ZERO } kind;
	unsigned element_size;
	uint64_t size;
};

static int compare_entries(const void *a, const void *b)
{
	const struct entry *left = a, *right = b;
	if (left->element_size != right->element_size)
		return left->element_size > right->element_size ? -1 : 1;
	return strcmp(left->name, right->name);
}

static void free_entries(struct entry *entries, size_t count)
{
	for (size_t i = 0; entries && i < count; i++)
		free(entries[i].name);
	free(entries);
}

static struct entry *make_entries(const struct packed *packed, size_t *count)
{
	struct entry *entries = calloc(packed->tensor_count * 3 + 1, sizeof *entries);

	*count = 0;
	for (size_t i = 0; entries && i < packed->tensor_count; i++) {
		const struct packed_tensor *tensor = &packed->tensors[i];
		const struct safetensor *info = &tensor->source->info;
		int bits = tensor->result.bits;
		unsigned size = bits ? 1 : info->dtype->size;
		entries[*count] = (struct entry){tensor, strdup(info->name), ENTRY_DATA, size,
						 tensor->result.raw_size};
		int good = entries[(*count)++].name != NULL;
		for (unsigned c = 0; bits && good && c < 2; c++) {
			struct entry *entry = &entries[*count];
			*entry = (struct entry){tensor, NULL, c ? ENTRY_ZERO : ENTRY_SCALE, 4, 4};
			good = asprintf(&entry->name, "%s.%s", info->name, companions[c]) >= 0;
			*count += (size_t)good;
		}
		if (!good) {
			free_entries(entries, *count);
			*count = 0;
			return NULL;
		}
	}
	if (entries)
		qsort(entries, *count, sizeof *entries, compare_entries);
	return entries;
}

static const char *scheme_name(const struct encoded_tensor *result)
{
	switch (result->bits ? (int)result->params.scheme : 0) {
	case QUANT_UNSIGNED:
		return "unsigned";
	case QUANT_ASYMMETRIC:
		return "asymmetric";
	case QUANT_CONSTANT:
		return "constant";
	default:
		return NULL;
	}
}

/* The source's metadata, and the parameters as a JSON document in a string. */
static void add_metadata(const struct packed *packed, struct text *text)
{
	const struct source *source = packed->source;
	struct text inner = {0};
	int first = 1;

	text_add(&inner, "{\"format\":1,\"tensors\":{");
	for (size_t i = 0; i < packed->tensor_count; i++) {
		const struct packed_tensor *tensor = &packed->tensors[i];
		const struct safetensor *info = &tensor->source->info;
		if (!tensor->result.bits)
			continue;
		text_add(&inner, first ? "" : ",");
		first = 0;
		text_add_string(&inner, info->name);
		text_add(&inner, ":{\"bits\":%d,", tensor->result.bits);
		if (tensor->result.bits == 4) {
			/* The shape of packed bytes does not tell it. */
			text_add(&inner, "\"shape\":");
			text_add_dims(&inner, info->dims, info->rank);
			text_add(&inner, ",");
		}
		text_add(&inner, "\"scheme\":\"%s\",\"scale\":", scheme_name(&tensor->result));
		text_add_float(&inner, tensor->result.params.scale);
		text_add(&inner, ",\"zero_point\":%d}", tensor->result.params.zero_point);
	}
	text_add(&inner, "}}");

	text_add(text, "\"__metadata__\":{");
	for (size_t i = 0; i < source->metadata_count; i++) {
		if (strcmp(source->metadata[i].key, "entrofs") == 0)
			continue;
		text_add_string(text, source->metadata[i].key);
		text_add(text, ":");
		text_add_string(text, source->metadata[i].value);
		text_add(text, ",");
	}
	text_add(text, "\"entrofs\":");
	if (inner.failed)
		text->failed = 1;
	else
		text_add_string(text, inner.data);
	text_add(text, "}");
	free(inner.data);
}

unsigned view_code_shape(const struct safetensor *tensor, int bits, uint64_t *dims)
{
	unsigned rank = tensor->rank;

	memcpy(dims, tensor->dims, rank * sizeof *dims);
	if (bits != 4)
		return rank;
	if (dims[rank - 1] % 2 == 0) {
		dims[rank - 1] /= 2;
		return rank;
	}
	dims[0] = tensor->count / 2 + tensor->count % 2;
	return 1;
}

static void add_entry(struct text *text, const struct entry *entry, uint64_t offset)
{
	const struct safetensor *info = &entry->tensor->source->info;
	int bits = entry->tensor->result.bits;
	uint64_t dims[EFS_RANK_MAX];
	unsigned rank = view_code_shape(info, bits, dims);
	const char *dtype = bits ? "U8" : info->dtype->name;
	uint64_t end = offset + entry->size;

	if (entry->kind != ENTRY_DATA) {
		dtype = entry->kind == ENTRY_SCALE ? "F32" : "I32";
		rank = 1;
		dims[0] = 1;
	}
	text_add(text, ",");
	text_add_string(text, entry->name);
	text_add(text, ":{\"dtype\":\"%s\",\"shape\":", dtype);
	text_add_dims(text, dims, rank);
	text_add(text, ",\"data_offsets\":[%llu,%llu]}", (unsigned long long)offset,
		 (unsigned long long)end);
}

/* The header with its size before it and spaces behind, up to where the data starts. */
static int add_header(const struct packed *packed, const struct entry *entries, size_t count,
		      struct text *bytes, struct image_diag *diag)
{
	static const char spaces[DATA_ALIGN] = {0};
	uint64_t offset = 0, size = 0;

	text_add_bytes(bytes, &size, sizeof size);
	text_add(bytes, "{");
	add_metadata(packed, bytes);
	for (size_t i = 0; i < count; i++) {
		add_entry(bytes, &entries[i], offset);
		offset += entries[i].size;
	}
	text_add(bytes, "}");
	size_t fill = (DATA_ALIGN - bytes->size % DATA_ALIGN) % DATA_ALIGN;
	text_add_bytes(bytes, spaces, fill);
	if (bytes->failed)
		return image_fail(diag, -ENOMEM, "out of memory");
	memset(bytes->data + bytes->size - fill, ' ', fill);
	size = bytes->size - sizeof size;
	memcpy(bytes->data, &size, sizeof size);
	if (size > SAFETENSORS_HEADER_MAX)
		return image_fail(diag, -EFBIG, "too many tensors for a safetensors header");
	return 0;
}

/* Adds a piece, or makes the last one longer. */
static void add_piece(struct efs_piece *pieces, uint32_t *count, uint32_t kind, uint32_t source,
		      uint64_t offset, uint64_t length)
{
	struct efs_piece *last = *count ? &pieces[*count - 1] : NULL;
	if (!length)
		return;
	if (last && last->kind == kind && last->source == source &&
	    last->offset + last->length == offset)
		last->length += length;
	else
		pieces[(*count)++] = (struct efs_piece){kind, source, offset, length};
}

int view_safetensors(const struct packed *packed, struct text *bytes, struct efs_piece **pieces,
		     uint32_t *piece_count, struct image_diag *diag)
{
	size_t count = 0;
	struct entry *entries = make_entries(packed, &count);

	*piece_count = 0;
	*pieces = malloc((count + 1) * sizeof **pieces);
	if (!entries || !*pieces) {
		free_entries(entries, count);
		return image_fail(diag, -ENOMEM, "out of memory");
	}
	int result = add_header(packed, entries, count, bytes, diag);
	if (!result)
		add_piece(*pieces, piece_count, EFS_PIECE_BLOB, 0, 0, bytes->size);
	for (size_t i = 0; !result && i < count; i++) {
		const struct encoded_tensor *tensor = &entries[i].tensor->result;
		if (entries[i].kind == ENTRY_DATA) {
			add_piece(*pieces, piece_count, EFS_PIECE_STREAM, tensor->stream, 0,
				  entries[i].size);
			continue;
		}
		add_piece(*pieces, piece_count, EFS_PIECE_BLOB, 0, bytes->size, 4);
		if (entries[i].kind == ENTRY_SCALE)
			text_add_bytes(bytes, &tensor->params.scale, 4);
		else
			text_add_bytes(bytes, &tensor->params.zero_point, 4);
	}
	if (!result && bytes->failed)
		result = image_fail(diag, -ENOMEM, "out of memory");
	free_entries(entries, count);
	return result;
}

void view_manifest(const struct packed *packed, struct text *text)
{
	text_add(text, "{\"format\": 1, \"tensors\": [");
	for (size_t i = 0; i < packed->tensor_count; i++) {
		const struct packed_tensor *tensor = &packed->tensors[i];
		const struct safetensor *info = &tensor->source->info;
		const struct encoded_tensor *result = &tensor->result;
		const struct image_cost *cost = &result->cost;
		uint64_t stored = cost->payload + cost->index + cost->padding;

		text_add(text, i ? ",\n{\"name\": " : "\n{\"name\": ");
		text_add_string(text, info->name);
		text_add(text, ", \"dtype\": \"%s\", \"shape\": ", info->dtype->name);
		text_add_dims(text, info->dims, info->rank);
		text_add(text, ", \"file\": \"tensors/%s\"", tensor->file);
		if (result->bits) {
			text_add(text,
				 ", \"bits\": %d, \"scheme\": \"%s\", \"scale\": ", result->bits,
				 scheme_name(result));
			text_add_float(text, result->params.scale);
			text_add(text, ", \"zero_point\": %d", result->params.zero_point);
		} else {
			text_add(text, ", \"bits\": null, \"scheme\": null, \"scale\": null, "
				       "\"zero_point\": null");
		}
		text_add(text, ", \"entropy_bits\": ");
		text_add_figure(text, result->entropy, 4);
		text_add(text,
			 ", \"stored_bytes\": %llu, \"sha256\": ", (unsigned long long)stored);
		text_add_hex(text, result->digest, sizeof result->digest);
		text_add(text, "}");
	}
	text_add(text, "\n]}\n");
}
