/* SPDX-License-Identifier: MIT */
/*
 * mkfs_gguf_tensors.c - tensors in the headers of GGUF files: types, shapes, and where their data
 * lies; and the headers of real files.
 */
#include "tests/unit/gguf_build.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* Elements and bytes of a block, the bytes by the fields that a block has. */
static const struct {
	uint32_t id;
	const char *name;
	unsigned block, bytes;
} types[] = {
    {0, "F32", 1, 4},
    {1, "F16", 1, 2},
    {2, "Q4_0", 32, 2 + 16},
    {3, "Q4_1", 32, 2 + 2 + 16},
    {6, "Q5_0", 32, 2 + 4 + 16},
    {7, "Q5_1", 32, 2 + 2 + 4 + 16},
    {8, "Q8_0", 32, 2 + 32},
    {9, "Q8_1", 32, 2 + 2 + 32},
    {10, "Q2_K", 256, 16 + 64 + 2 + 2},
    {11, "Q3_K", 256, 32 + 64 + 12 + 2},
    {12, "Q4_K", 256, 2 + 2 + 12 + 128},
    {13, "Q5_K", 256, 2 + 2 + 12 + 32 + 128},
    {14, "Q6_K", 256, 128 + 64 + 16 + 2},
    {15, "Q8_K", 256, 4 + 256 + 32},
    {16, "IQ2_XXS", 256, 2 + 64},
    {17, "IQ2_XS", 256, 2 + 64 + 8},
    {18, "IQ3_XXS", 256, 2 + 96},
    {19, "IQ1_S", 256, 2 + 32 + 16},
    {20, "IQ4_NL", 32, 2 + 16},
    {21, "IQ3_S", 256, 2 + 64 + 8 + 32 + 4},
    {22, "IQ2_S", 256, 2 + 64 + 8 + 8},
    {23, "IQ4_XS", 256, 2 + 2 + 4 + 128},
    {24, "I8", 1, 1},
    {25, "I16", 1, 2},
    {26, "I32", 1, 4},
    {27, "I64", 1, 8},
    {28, "F64", 1, 8},
    {29, "IQ1_M", 256, 32 + 16 + 8},
    {30, "BF16", 1, 2},
    {34, "TQ1_0", 256, 48 + 4 + 2},
    {35, "TQ2_0", 256, 64 + 2},
    {39, "MXFP4", 32, 1 + 16},
    {40, "NVFP4", 64, 4 + 32},
    {41, "Q1_0", 128, 2 + 16},
    {42, "Q2_0", 64, 2 + 16},
};

Test(mkfs_gguf_tensors, every_type_has_its_size)
{
	struct built built = {0};
	struct gguf header;

	for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
		const uint64_t dims[] = {3 * types[i].block, 5};
		put_prefix(&built, 1, 0);
		put_tensor(&built, "t", 2, dims, types[i].id, 0);
		accepted(&built, 15 * types[i].bytes, &header);
		const struct gguf_tensor *tensor = &header.tensors[0];
		cr_assert_str_eq(tensor->type->name, types[i].name);
		cr_assert_eq(tensor->type->id, types[i].id);
		cr_assert_eq(tensor->count, 15 * types[i].block);
		cr_assert_eq(tensor->size, 15 * types[i].bytes, "%s", types[i].name);
		gguf_free(&header);
		refused(&built, 15 * types[i].bytes - 1, -EINVAL, "beyond the end of the file");
	}
	free(built.data);
}

/* Every id below 50 is that of a type above, or refused with the tensor's name. */
Test(mkfs_gguf_tensors, unknown_types)
{
	struct built built = {0};
	unsigned known = 0, unknown = 0;

	for (uint32_t id = 0; id < 50; id++) {
		char message[64];
		if (gguf_type_by_id(id)) {
			cr_assert_eq(gguf_type_by_id(id)->id, id);
			known++;
			continue;
		}
		unknown++;
		put_prefix(&built, 1, 0);
		put_row(&built, "blk.0", 256, id, 0);
		snprintf(message, sizeof message, "tensor 'blk.0': unknown type %u", (unsigned)id);
		refused(&built, 4096, -ENOTSUP, message);
	}
	cr_assert_eq(known, sizeof types / sizeof *types);
	cr_assert_eq(unknown, 50 - known);
	put_prefix(&built, 1, 0);
	put_row(&built, "blk.0", 256, UINT32_MAX, 0);
	refused(&built, 4096, -ENOTSUP, "tensor 'blk.0': unknown type 4294967295");
	free(built.data);
}

/* A row is whole blocks, however many elements the other dimensions make. */
Test(mkfs_gguf_tensors, rows_of_whole_blocks)
{
	struct built built = {0};

	for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
		const uint64_t dims[] = {types[i].block / 2, 2};
		if (types[i].block == 1)
			continue;
		put_prefix(&built, 1, 0);
		put_tensor(&built, "t", 2, dims, types[i].id, 0);
		refused(&built, 4096, -EINVAL, "no whole blocks of");
	}
	free(built.data);
}

/* In the order of the infos, which tile the header; dimensions beyond the rank are 1. */
Test(mkfs_gguf_tensors, tensors_come_in_order)
{
	struct built built = {0};
	struct gguf header;
	const uint64_t dims[] = {2, 3, 4, 5};
	size_t at = GGUF_PREFIX;

	put_prefix(&built, 5, 0);
	for (uint32_t rank = 0; rank <= GGUF_RANK_MAX; rank++) {
		static const char *const names[] = {"z", "y", "", "w", "v"};
		static const uint64_t offsets[] = {0, 32, 64, 96, 128};
		put_tensor(&built, names[rank], rank, dims, GGUF_TYPE_I8, offsets[rank]);
	}
	accepted(&built, 128 + 120, &header);
	cr_assert_eq(header.tensor_count, 5);
	for (unsigned i = 0; i < 5; i++) {
		static const uint64_t counts[] = {1, 2, 6, 24, 120};
		const struct gguf_tensor *tensor = &header.tensors[i];
		cr_assert_eq(tensor->rank, i);
		cr_assert_eq(tensor->count, counts[i]);
		cr_assert_eq(tensor->size, counts[i]);
		for (unsigned d = 0; d < GGUF_RANK_MAX; d++)
			cr_assert_eq(tensor->dims[d], d < i ? dims[d] : 1);
		cr_assert_eq(tensor->info_offset, at);
		at += tensor->info_size;
	}
	cr_assert_eq(at, header.header_size);
	cr_assert_str_eq(header.tensors[0].name, "z");
	cr_assert_str_eq(header.tensors[2].name, "");
	cr_assert_eq(header.data_offset, (built.size + 31) / 32 * 32);
	cr_assert_eq(header.data_size, 128 + 120);
	cr_assert(header.contiguous);
	gguf_free(&header);

	put_prefix(&built, 1, 0);
	put_tensor(&built, "t", 5, (const uint64_t[]){1, 1, 1, 1, 1}, GGUF_TYPE_I8, 0);
	refused(&built, 1, -EINVAL, "tensor 't': 5 dimensions, more than 4");
	put_prefix(&built, 1, 0);
	put_string(&built, "t", 1);
	put_u32(&built, UINT32_MAX);
	put_u64(&built, 0);
	refused(&built, 1, -EINVAL, "tensor 't': 4294967295 dimensions, more than 4");
	free(built.data);
}

static void put_one_name(struct built *built, const char *name, size_t size)
{
	put_prefix(built, 1, 0);
	put_string(built, name, size);
	put_u32(built, 0);
	put_u32(built, GGUF_TYPE_I8);
	put_u64(built, 0);
}

Test(mkfs_gguf_tensors, names)
{
	struct built built = {0};
	struct gguf header;
	char name[GGUF_NAME_MAX + 1];

	memset(name, 'n', sizeof name);
	put_one_name(&built, name, GGUF_NAME_MAX);
	accepted(&built, 1, &header);
	cr_assert_eq(strlen(header.tensors[0].name), GGUF_NAME_MAX);
	gguf_free(&header);
	put_one_name(&built, name, GGUF_NAME_MAX + 1);
	refused(&built, 1, -EFBIG, "tensor 0: the name has 4097 bytes, more than 4096");
	put_one_name(&built, "a\0b", 3);
	refused(&built, 1, -EINVAL, "tensor 0: the name is not valid UTF-8 without NUL");
	put_one_name(&built, "\xff", 1);
	refused(&built, 1, -EINVAL, "tensor 0: the name is not valid UTF-8 without NUL");

	put_prefix(&built, 3, 0);
	put_row(&built, "b", 1, GGUF_TYPE_I8, 0);
	put_row(&built, "a", 1, GGUF_TYPE_I8, 32);
	put_row(&built, "b", 1, GGUF_TYPE_I8, 64);
	refused(&built, 65, -EINVAL, "two tensors are called 'b'");
	free(built.data);
}

static void refused_shape(uint32_t rank, const uint64_t *dims, uint32_t type, const char *message)
{
	struct built built = {0};

	put_prefix(&built, 1, 0);
	put_tensor(&built, "t", rank, dims, type, 0);
	refused(&built, 4096, -EINVAL, message);
	free(built.data);
}

/* Products that do not fit are told from those that wrap to something harmless. */
Test(mkfs_gguf_tensors, shapes_too_large)
{
	const uint64_t half = UINT64_C(1) << 32, top = UINT64_C(1) << 63;

	refused_shape(1, (const uint64_t[]){top}, GGUF_TYPE_I8, "dimension 0 is no number");
	refused_shape(2, (const uint64_t[]){1, UINT64_MAX}, GGUF_TYPE_I8, "dimension 1 is no");
	refused_shape(2, (const uint64_t[]){half, half}, GGUF_TYPE_I8, "the shape is too large");
	refused_shape(2, (const uint64_t[]){half, half / 2}, GGUF_TYPE_I8, "shape is too large");
	refused_shape(4, (const uint64_t[]){half, half, half, half}, GGUF_TYPE_I8, "too large");
	/* The elements can be counted, but not their bytes. */
	refused_shape(1, (const uint64_t[]){top - 1}, GGUF_TYPE_F32, "the shape is too large");
	refused_shape(1, (const uint64_t[]){top / 4}, GGUF_TYPE_F64, "the shape is too large");
	refused_shape(1, (const uint64_t[]){top - 1}, GGUF_TYPE_I8, "beyond the end of the file");
}

/* An empty tensor is empty whichever of its dimensions is 0, and however large the others are. */
Test(mkfs_gguf_tensors, empty_in_any_dimension)
{
	struct built built = {0};
	struct gguf header;
	const uint64_t large = UINT64_C(1) << 62;

	for (unsigned zero = 0; zero < GGUF_RANK_MAX; zero++) {
		uint64_t dims[] = {large, large, large, large};
		dims[zero] = 0;
		put_prefix(&built, 2, 0);
		put_tensor(&built, "empty", GGUF_RANK_MAX, dims, GGUF_TYPE_Q4_K, 0);
		put_row(&built, "full", 4, GGUF_TYPE_I8, 0);
		accepted(&built, 4, &header);
		cr_assert_eq(header.tensors[0].count, 0);
		cr_assert_eq(header.tensors[0].size, 0);
		cr_assert(header.contiguous);
		gguf_free(&header);
	}
	free(built.data);
}

static void put_alignment(struct built *built, uint32_t alignment, uint64_t offset)
{
	put_prefix(built, 2, 1);
	put_pair_u32(built, "general.alignment", alignment);
	put_row(built, "a", 1, GGUF_TYPE_I8, 0);
	put_row(built, "b", 1, GGUF_TYPE_I8, offset);
}

/* Every power of two up to the limit, and nothing else, is an alignment, of the data's start and
 * of each tensor. */
Test(mkfs_gguf_tensors, alignment)
{
	struct built built = {0};
	struct gguf header;

	for (uint32_t alignment = 1; alignment <= GGUF_ALIGNMENT_MAX; alignment *= 2) {
		put_alignment(&built, alignment, alignment);
		uint64_t start = (built.size + alignment - 1) / alignment * alignment;
		cr_assert_eq(parse_bytes(built.data, built.size, start + alignment + 1, &header), 0,
			     "%s", diag.text);
		cr_assert_eq(header.alignment, alignment);
		cr_assert_eq(header.data_offset, start);
		cr_assert(header.contiguous);
		gguf_free(&header);
		if (alignment == 1)
			continue;
		put_alignment(&built, alignment, alignment + alignment / 2);
		cr_assert_eq(parse_bytes(built.data, built.size, start + 4 * alignment, &header),
			     -EINVAL);
		cr_assert(strstr(diag.text, "tensor 'b': offset"), "%s", diag.text);
		cr_assert(strstr(diag.text, "is no multiple of"), "%s", diag.text);
	}
	put_alignment(&built, 2 * GGUF_ALIGNMENT_MAX, 0);
	refused(&built, 1, -EFBIG, "general.alignment is 33554432, more than 16777216");
	put_alignment(&built, 0, 0);
	refused(&built, 1, -EINVAL, "general.alignment is 0, which is no power of two");
	put_alignment(&built, 48, 0);
	refused(&built, 1, -EINVAL, "general.alignment is 48, which is no power of two");
	put_prefix(&built, 0, 1);
	put_key(&built, "general.alignment", GGUF_VALUE_U64);
	put_u64(&built, 32);
	refused(&built, 1, -EINVAL, "general.alignment is no U32");
	free(built.data);
}

/* Three tensors of 40 bytes at these offsets, in a file with so much data. */
static void put_three(struct built *built, uint64_t first, uint64_t second, uint64_t third)
{
	put_prefix(built, 3, 0);
	put_row(built, "a", 10, GGUF_TYPE_F32, first);
	put_row(built, "b", 10, GGUF_TYPE_F32, second);
	put_row(built, "c", 10, GGUF_TYPE_F32, third);
}

static void laid_out(uint64_t first, uint64_t second, uint64_t third, uint64_t data_size,
		     uint64_t used, int contiguous)
{
	struct built built = {0};
	struct gguf header;

	put_three(&built, first, second, third);
	accepted(&built, data_size, &header);
	cr_assert_eq(header.data_size, used);
	cr_assert_eq(header.contiguous, contiguous);
	gguf_free(&header);
	free(built.data);
}

Test(mkfs_gguf_tensors, layouts)
{
	struct built built = {0};

	laid_out(0, 64, 128, 168, 168, 1); /* the padding behind the last is not needed */
	laid_out(0, 64, 128, 192, 168, 1);
	laid_out(0, 64, 128, 9999, 168, 1); /* nor is it the last that a file may have */
	laid_out(128, 0, 64, 168, 168, 0);  /* in another order */
	laid_out(0, 64, 160, 200, 200, 0);  /* with a gap */
	laid_out(32, 96, 160, 200, 200, 0); /* that comes first */

	put_three(&built, 0, 64, 128);
	refused(&built, 167, -EINVAL, "tensor 'c' lies beyond the end of the file");
	put_three(&built, 0, 64, UINT64_MAX - 31);
	refused(&built, 168, -EINVAL, "tensor 'c' lies beyond the end of the file");
	put_three(&built, 0, 32, 128);
	refused(&built, 168, -EINVAL, "tensor 'b' overlaps 'a'");
	put_three(&built, 128, 0, 96);
	refused(&built, 168, -EINVAL, "tensor 'a' overlaps 'c'");
	put_three(&built, 0, 64, 64);
	refused(&built, 168, -EINVAL, "tensor 'c' overlaps 'b'");
	put_three(&built, 0, 48, 128);
	refused(&built, 168, -EINVAL, "tensor 'b': offset 48 is no multiple of 32");
	free(built.data);
}

/* With tensors, though they be empty, the file reaches to where data starts. */
Test(mkfs_gguf_tensors, file_ends_before_the_data)
{
	struct built built = {0};
	struct gguf header;

	put_prefix(&built, 1, 0);
	put_row(&built, "empty", 0, GGUF_TYPE_F32, 0);
	uint64_t start = (built.size + 31) / 32 * 32;
	cr_assert_gt(start, built.size);
	for (uint64_t file_size = built.size; file_size < start; file_size++) {
		cr_assert_eq(parse_bytes(built.data, built.size, file_size, &header), -EINVAL);
		cr_assert(strstr(diag.text, "ends where the data should start"), "%s", diag.text);
	}
	cr_assert_eq(parse_bytes(built.data, built.size, start, &header), 0, "%s", diag.text);
	cr_assert_eq(header.data_offset, start);
	gguf_free(&header);
	/* No file is as large as this; nothing overflows. */
	cr_assert_eq(parse_bytes(built.data, built.size, UINT64_MAX, &header), 0, "%s", diag.text);
	gguf_free(&header);
	free(built.data);
}

/* Real files, as an independent reader sees them. */
static const struct {
	const char *name;
	int64_t file_type;
	size_t pairs, tensors, infos_offset, header_size;
	uint64_t data_offset, data_size;
	uint32_t first, last; /* types of the first and the last tensor */
	uint64_t last_offset, tokens;
} files[] = {
    {"novella-7m-f16.gguf", 1, 22, 56, 129523, 132804, 132832, 13322880, 1, 0, 13321728, 4096},
    {"novella-7m-q4_0.gguf", 2, 23, 56, 129567, 132848, 132864, 4347648, 0, 2, 4223232, 4096},
    {"novella-7m-q4_k_m.gguf", 15, 23, 56, 129567, 132848, 132864, 5011200, 0, 6, 4859136, 4096},
    {"novella-7m-q8_0.gguf", 7, 23, 56, 129567, 132848, 132864, 7084800, 0, 8, 6849792, 4096},
    {"stories260k-f32.gguf", -1, 19, 48, 11347, 14152, 14176, 1171200, 0, 0, 1170944, 512},
};

static int open_model(const char *name)
{
	/* Of the project, or of a work tree of it that lies a folder deeper. */
	static const char *const folders[] = {"../shared/models/gguf", "../../shared/models/gguf"};
	int fd = -1;

	for (size_t i = 0; fd < 0 && i < sizeof folders / sizeof *folders; i++) {
		char path[256];
		snprintf(path, sizeof path, "%s/%s", folders[i], name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
	}
	return fd;
}

/* Reads twice as many bytes for as long as the header asks for more. */
static uint8_t *parse_file(int fd, uint64_t file_size, struct gguf *header)
{
	uint8_t *bytes = NULL;
	int result = -EAGAIN;

	for (size_t size = 4096; result == -EAGAIN; size *= 2) {
		free(bytes);
		bytes = malloc(size);
		cr_assert(bytes);
		ssize_t got = pread(fd, bytes, size, 0);
		cr_assert_geq(got, 0);
		result = gguf_parse(bytes, (size_t)got, file_size, header, &diag);
	}
	cr_assert_eq(result, 0, "%s", diag.text);
	return bytes;
}

Test(mkfs_gguf_tensors, real_files)
{
	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		struct gguf header;
		struct stat status;
		int fd = open_model(files[i].name);
		if (fd < 0)
			cr_skip_test("no %s in ../shared/models/gguf", files[i].name);
		cr_assert_eq(fstat(fd, &status), 0);
		uint8_t *bytes = parse_file(fd, (uint64_t)status.st_size, &header);
		cr_assert_str_eq(header.architecture, "llama");
		cr_assert_eq(header.file_type, files[i].file_type);
		cr_assert_eq(header.pair_count, files[i].pairs);
		cr_assert_eq(header.tensor_count, files[i].tensors);
		cr_assert_eq(header.infos_offset, files[i].infos_offset);
		cr_assert_eq(header.header_size, files[i].header_size);
		cr_assert_eq(header.data_offset, files[i].data_offset);
		cr_assert_eq(header.data_size, files[i].data_size);
		cr_assert_eq(header.data_offset + header.data_size, (uint64_t)status.st_size);
		cr_assert(header.contiguous);
		cr_assert_eq(header.tensors[0].type->id, files[i].first);
		cr_assert_eq(header.tensors[files[i].tensors - 1].type->id, files[i].last);
		cr_assert_eq(header.tensors[files[i].tensors - 1].offset, files[i].last_offset);
		const struct gguf_pair *tokens = gguf_find(&header, "tokenizer.ggml.tokens");
		cr_assert_eq(tokens->element, GGUF_VALUE_STRING);
		cr_assert_eq(tokens->count, files[i].tokens);
		gguf_free(&header);
		free(bytes);
		close(fd);
	}
}
