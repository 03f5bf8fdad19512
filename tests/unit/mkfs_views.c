/* SPDX-License-Identifier: MIT */
/*
 * mkfs_views.c - names of tensor files, the header of model.safetensors, numbers in JSON.
 */
#include "mkfs/views.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static char *file_name(const char *name, int bits)
{
	static char result[256];
	struct safetensor tensor = {.name = (char *)name, .dtype = dtype_by_name("BF16")};
	char *file = view_file_name(&tensor, bits);
	cr_assert(file && strlen(file) < sizeof result);
	strcpy(result, file);
	free(file);
	return result;
}

Test(mkfs_views, names_are_escaped)
{
	cr_assert_str_eq(file_name("model.layers.0_a-b.weight", 8), "model.layers.0_a-b.weight.u8");
	cr_assert_str_eq(file_name("a/b c%", 4), "a%2Fb%20c%25.u4");
	cr_assert_str_eq(file_name("\xc3\xbc", 0), "%C3%BC.bf16");
	cr_assert_str_eq(file_name("..", 8), "%2E..u8");
	cr_assert_str_eq(file_name(".x.", 8), "%2Ex..u8");
	cr_assert_str_eq(file_name("", 8), "%.u8");
}

Test(mkfs_views, long_names_end_with_a_hash)
{
	char name[300] = "", kept[256], cut[256];
	memset(name, 'a', 200);
	strcpy(kept, file_name(name, 8));
	cr_assert_eq(strlen(kept), 203);
	name[200] = 'b';
	strcpy(cut, file_name(name, 8));
	/* 183 bytes, '-', the first half of SHA-256("a" * 200 + "b"), ".u8" */
	cr_assert_eq(strlen(cut), 203);
	cr_assert_eq(cut[183], '-');
	cr_assert_eq(strspn(cut + 184, "0123456789abcdef"), 16);
	name[200] = 'c';
	cr_assert_str_neq(cut, file_name(name, 8));
	/* An escape is not cut in half. */
	memset(name, 'a', 182);
	strcpy(name + 182, "////////////////////");
	strcpy(cut, file_name(name, 8));
	cr_assert_eq(cut[182], '-');
	cr_assert_eq(strlen(cut), 202);
}

static struct packed_tensor packed_of(struct source_tensor *source, int bits, uint32_t stream)
{
	struct safetensor *info = &source->info;
	info->count = 1;
	for (unsigned i = 0; i < info->rank; i++)
		info->count *= info->dims[i];
	uint64_t raw = bits == 8   ? info->count
		       : bits == 4 ? (info->count + 1) / 2
				   : info->count * info->dtype->size;
	return (struct packed_tensor){.source = source,
				      .file = "file",
				      .result = {.bits = bits,
						 .stream = stream,
						 .raw_size = raw,
						 .params = {QUANT_ASYMMETRIC, bits, 0.5f, 7}}};
}

/* Kept F64 before the 4-byte companions and F32, packed bytes last; equal sizes by name. */
Test(mkfs_views, safetensors_view_is_ordered_aligned_and_coalesced)
{
	uint64_t odd[] = {3, 5}, even[] = {3, 6}, one[] = {9};
	struct source_tensor sources[] = {
	    {.info = {.name = "z", .dtype = dtype_by_name("F64"), .rank = 1, .dims = one}},
	    {.info = {.name = "odd", .dtype = dtype_by_name("F32"), .rank = 2, .dims = odd}},
	    {.info = {.name = "even", .dtype = dtype_by_name("F32"), .rank = 2, .dims = even}},
	    {.info = {.name = "f", .dtype = dtype_by_name("F32"), .rank = 1, .dims = one}},
	};
	struct packed_tensor tensors[] = {
	    packed_of(&sources[0], 0, 10),
	    packed_of(&sources[1], 4, 11),
	    packed_of(&sources[2], 4, 12),
	    packed_of(&sources[3], 0, 13),
	};
	struct safetensors_pair metadata[] = {{"entrofs", "old"}, {"format", "pt"}};
	struct source source = {.metadata = metadata, .metadata_count = 2};
	struct packed packed = {.source = &source, .tensors = tensors, .tensor_count = 4};
	struct text bytes = {0};
	struct efs_piece *pieces;
	uint32_t count;
	struct image_diag diag;
	cr_assert_eq(view_safetensors(&packed, &bytes, &pieces, &count, &diag), 0);

	uint64_t size;
	memcpy(&size, bytes.data, 8);
	cr_assert_eq((size + 8) % 4096, 0);
	cr_assert_eq(bytes.size, size + 8 + 16);
	struct safetensors header;
	uint64_t data = 72 + 36 + 16 + 9 + 8;
	cr_assert_eq(safetensors_parse(bytes.data + 8, size, data, &header, &diag), 0, "%s",
		     diag.text);
	static const char *const order[] = {"z",    "even.scale", "even.zero_point",
					    "f",    "odd.scale",  "odd.zero_point",
					    "even", "odd"};
	cr_assert_eq(header.tensor_count, 8);
	for (size_t i = 0; i < 8; i++)
		cr_assert_str_eq(header.tensors[i].name, order[i]);
	cr_assert_eq(header.tensors[6].rank, 2);
	cr_assert_eq(header.tensors[6].dims[1], 3);
	cr_assert_eq(header.tensors[7].rank, 1);
	cr_assert_eq(header.tensors[7].dims[0], 8);
	cr_assert_eq(header.metadata_count, 2);
	cr_assert_str_eq(header.metadata[1].value, "pt");

	const struct efs_piece expected[] = {
	    {EFS_PIECE_BLOB, 0, 0, size + 8},  {EFS_PIECE_STREAM, 10, 0, 72},
	    {EFS_PIECE_BLOB, 0, size + 8, 8},  {EFS_PIECE_STREAM, 13, 0, 36},
	    {EFS_PIECE_BLOB, 0, size + 16, 8}, {EFS_PIECE_STREAM, 12, 0, 9},
	    {EFS_PIECE_STREAM, 11, 0, 8},
	};
	cr_assert_eq(count, 7);
	cr_assert_arr_eq(pieces, expected, sizeof expected);
	safetensors_free(&header);
	free(bytes.data);
	free(pieces);
}

/* Without 8-byte tensors the header and the first companions are one piece. */
Test(mkfs_views, companions_continue_the_header)
{
	uint64_t even[] = {3, 6};
	struct source_tensor tensor = {
	    .info = {.name = "w", .dtype = dtype_by_name("F32"), .rank = 2, .dims = even}};
	struct packed_tensor tensors[] = {packed_of(&tensor, 8, 3)};
	struct source source = {0};
	struct packed packed = {.source = &source, .tensors = tensors, .tensor_count = 1};
	struct text bytes = {0};
	struct efs_piece *pieces;
	uint32_t count;
	struct image_diag diag;
	cr_assert_eq(view_safetensors(&packed, &bytes, &pieces, &count, &diag), 0);
	cr_assert_eq(count, 2);
	cr_assert_eq(pieces[0].length, bytes.size);
	free(bytes.data);
	free(pieces);
}

Test(mkfs_views, companions_that_clash_are_refused)
{
	struct source_tensor tensors[] = {{.info = {.name = "w"}}, {.info = {.name = "w.scale"}}};
	struct source_file shard = {.path = "model.safetensors"};
	struct source source = {
	    .shards = &shard, .shard_count = 1, .tensors = tensors, .tensor_count = 2};
	cr_assert_eq(
	    view_check_companions(&source, (const struct plan[]){{.bits = 8}, {.bits = 0}}), -1);
	cr_assert_eq(
	    view_check_companions(&source, (const struct plan[]){{.bits = 0}, {.bits = 8}}), 0);
}

Test(mkfs_views, floats_in_json_read_back_exactly)
{
	uint32_t bits = 1;
	for (int i = 0; i < 100000; i++) {
		float value, again;
		bits = bits * 1664525u + 1013904223u;
		memcpy(&value, &bits, 4);
		if (!isfinite(value))
			continue;
		struct text text = {0};
		text_add_float(&text, value);
		again = (float)strtod(text.data, NULL);
		cr_assert_eq(memcmp(&value, &again, 4), 0, "%a printed %s", (double)value,
			     text.data);
		cr_assert_eq(strtof(text.data, NULL), value);
		free(text.data);
	}
}

Test(mkfs_views, json_strings_are_escaped)
{
	struct text text = {0};
	text_add_string(&text, "a\"b\\c\n\x01/\xc3\xbc");
	cr_assert_str_eq(text.data, "\"a\\\"b\\\\c\\u000a\\u0001/\xc3\xbc\"");
	text_add_figure(&text, (double)INFINITY, 4);
	cr_assert(strstr(text.data, "null"));
	free(text.data);
}
