/* SPDX-License-Identifier: MIT */
/* view_gguf.c - the source's GGUF file, with blocks; see view_gguf.h. */
#include "mkfs/view_gguf.h"

#include "codec/ggml_blocks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	ALIGNMENT = 4096, /* of the data and of each tensor: a page */
	QUANTIZATION_VERSION = 2,
	INFO_END = 12, /* bytes of an info that are changed: type, offset */
};

/* Values of general.file_type by what most numbers are, the first of equals; what llama.cpp calls
 * "mostly" of that type. */
static const struct file_type {
	uint32_t type, value;
} file_types[] = {
    {GGUF_TYPE_Q8_0, 7}, {GGUF_TYPE_Q4_0, 2},  {GGUF_TYPE_Q4_1, 3},
    {GGUF_TYPE_F16, 1},  {GGUF_TYPE_BF16, 32}, {GGUF_TYPE_F32, 0},
};

enum { FILE_TYPES = sizeof file_types / sizeof *file_types };

/* A pair that is set whatever the source has. */
struct setting {
	const char *key;
	uint32_t value;
	int is_set; /* 0: left alone */
	int is_put;
};

enum { SETTINGS = 3 };

struct maker {
	const struct packed *packed;
	const struct gguf *header;
	uint32_t *by_place; /* numbers of tensors in the order of infos */
	struct setting settings[SETTINGS];
	struct text *bytes;
};

/* The tensor of an info. */
static const struct packed_tensor *tensor_at(const struct maker *maker, size_t place)
{
	return &maker->packed->tensors[maker->by_place[place]];
}

static uint32_t type_of(const struct maker *maker, size_t place)
{
	unsigned type = tensor_at(maker, place)->result.ggml_type;

	return type ? type : maker->header->tensors[place].type->id;
}

static uint64_t size_of(const struct packed_tensor *tensor)
{
	const struct encoded_tensor *result = &tensor->result;

	return result->ggml_type
		   ? tensor->source->info.count / GGML_BLOCK * ggml_blocks_size(result->ggml_type)
		   : result->raw_size;
}

static uint64_t padding_behind(uint64_t size)
{
	return (ALIGNMENT - size % ALIGNMENT) % ALIGNMENT;
}

/* --- what is set ------------------------------------------------------------------------------ */

static void choose_settings(struct maker *maker)
{
	uint64_t weights[FILE_TYPES] = {0}, others = 0, most = 0;
	struct setting file_type = {"general.file_type", 0, 0, 0};
	int quantized = 0;

	for (size_t i = 0; i < maker->header->tensor_count; i++) {
		uint64_t count = tensor_at(maker, i)->source->info.count;
		unsigned k = 0;
		while (k < FILE_TYPES && file_types[k].type != type_of(maker, i))
			k++;
		if (k < FILE_TYPES)
			weights[k] += count;
		else
			others += count;
		quantized |= tensor_at(maker, i)->result.ggml_type != 0;
	}
	for (unsigned k = 0; k < FILE_TYPES; k++) {
		if (weights[k] > most && weights[k] >= others) {
			most = weights[k];
			file_type = (struct setting){file_type.key, file_types[k].value, 1, 0};
		}
	}
	maker->settings[0] = (struct setting){"general.alignment", ALIGNMENT, 1, 0};
	maker->settings[1] = file_type;
	maker->settings[2] =
	    (struct setting){"general.quantization_version", QUANTIZATION_VERSION, quantized, 0};
}

static void add_u32(struct text *text, uint32_t value)
{
	text_add_bytes(text, &value, sizeof value);
}

static void add_u64(struct text *text, uint64_t value)
{
	text_add_bytes(text, &value, sizeof value);
}

static void put_setting(struct maker *maker, struct setting *setting)
{
	size_t length = strlen(setting->key);

	add_u64(maker->bytes, length);
	text_add_bytes(maker->bytes, setting->key, length);
	add_u32(maker->bytes, GGUF_VALUE_U32);
	add_u32(maker->bytes, setting->value);
	setting->is_put = 1;
}

static struct setting *setting_of(struct maker *maker, const char *key)
{
	for (unsigned i = 0; i < SETTINGS; i++) {
		if (maker->settings[i].is_set && strcmp(maker->settings[i].key, key) == 0)
			return &maker->settings[i];
	}
	return NULL;
}

/* --- the header ------------------------------------------------------------------------------- */

/* In the source's order, with settings in their places; those that it has not come last. */
static void add_pairs(struct maker *maker)
{
	const struct gguf *header = maker->header;

	for (size_t i = 0; i < header->pair_count; i++) {
		const struct gguf_pair *pair = &header->pairs[i];
		struct setting *setting = setting_of(maker, pair->key);
		if (setting)
			put_setting(maker, setting);
		else
			text_add_bytes(maker->bytes, header->bytes + pair->start,
				       pair->offset + pair->size - pair->start);
	}
	for (unsigned i = 0; i < SETTINGS; i++) {
		if (maker->settings[i].is_set && !maker->settings[i].is_put)
			put_setting(maker, &maker->settings[i]);
	}
}

static uint64_t pair_count(struct maker *maker)
{
	uint64_t count = maker->header->pair_count;

	for (unsigned i = 0; i < SETTINGS; i++)
		count +=
		    maker->settings[i].is_set && !gguf_find(maker->header, maker->settings[i].key);
	return count;
}

static void add_infos(struct maker *maker)
{
	const struct gguf *header = maker->header;
	uint64_t offset = 0;

	for (size_t i = 0; i < header->tensor_count; i++) {
		const struct gguf_tensor *tensor = &header->tensors[i];
		text_add_bytes(maker->bytes, header->bytes + tensor->info_offset,
			       tensor->info_size - INFO_END);
		add_u32(maker->bytes, type_of(maker, i));
		add_u64(maker->bytes, offset);
		offset += size_of(tensor_at(maker, i));
		offset += padding_behind(offset);
	}
}

/* The header, padded, and behind it as many zeros as are ever between tensors. */
static int add_header(struct maker *maker, struct image_diag *diag)
{
	static const uint8_t zeros[ALIGNMENT] = {0};

	text_add_bytes(maker->bytes, "GGUF", 4);
	add_u32(maker->bytes, GGUF_VERSION);
	add_u64(maker->bytes, maker->header->tensor_count);
	add_u64(maker->bytes, pair_count(maker));
	add_pairs(maker);
	add_infos(maker);
	text_add_bytes(maker->bytes, zeros, (size_t)padding_behind(maker->bytes->size));
	text_add_bytes(maker->bytes, zeros, ALIGNMENT);
	return maker->bytes->failed ? image_fail(diag, -ENOMEM, "out of memory") : 0;
}

/* --- pieces ----------------------------------------------------------------------------------- */

static struct efs_piece piece_of(const struct maker *maker, size_t place)
{
	const struct encoded_tensor *result = &tensor_at(maker, place)->result;
	uint64_t size = size_of(tensor_at(maker, place));

	if (result->ggml_type)
		return (struct efs_piece){EFS_PIECE_TRANSCODE, maker->by_place[place], 0, size};
	return (struct efs_piece){EFS_PIECE_STREAM, result->stream, 0, size};
}

/* llama.cpp may read the padding behind the last tensor, too. */
static uint32_t put_pieces(const struct maker *maker, struct efs_piece *pieces)
{
	uint64_t zeros = maker->bytes->size - ALIGNMENT;
	uint32_t count = 0;

	pieces[count++] = (struct efs_piece){EFS_PIECE_BLOB, 0, 0, zeros};
	for (size_t i = 0; i < maker->header->tensor_count; i++) {
		struct efs_piece piece = piece_of(maker, i);
		uint64_t padding = padding_behind(piece.length);
		if (piece.length)
			pieces[count++] = piece;
		if (padding)
			pieces[count++] = (struct efs_piece){EFS_PIECE_BLOB, 0, zeros, padding};
	}
	return count;
}

int view_gguf(const struct packed *packed, struct text *bytes, struct efs_piece **pieces,
	      uint32_t *piece_count, struct image_diag *diag)
{
	size_t count = packed->tensor_count;
	struct maker maker = {.packed = packed, .header = packed->source->gguf, .bytes = bytes};

	*piece_count = 0;
	*pieces = malloc((2 * count + 1) * sizeof **pieces);
	maker.by_place = calloc(count + 1, sizeof *maker.by_place);
	if (!*pieces || !maker.by_place) {
		free(maker.by_place);
		return image_fail(diag, -ENOMEM, "out of memory");
	}
	for (size_t i = 0; i < count; i++)
		maker.by_place[packed->tensors[i].source->place] = (uint32_t)i;
	choose_settings(&maker);
	int result = add_header(&maker, diag);
	if (!result)
		*piece_count = put_pieces(&maker, *pieces);
	free(maker.by_place);
	return result;
}
