/* SPDX-License-Identifier: MIT */
/*
 * mkfs_gguf.c - headers of GGUF files: what starts them, their metadata, and how many bytes they
 * take. Of limits see mkfs_gguf_limits.c, of tensors mkfs_gguf_tensors.c.
 */
#include "tests/unit/gguf_build.h"

#include <errno.h>

/* One pair of each type, a tokenizer in small, and two tensors. */
static void put_sample(struct built *built)
{
	const uint64_t dims[] = {32, 3};
	const float single = 0.5F;
	const double precise = -0.1;

	put_prefix(built, 2, 16);
	put_key(built, "general.architecture", GGUF_VALUE_STRING);
	put_string(built, "llama", 5);
	put_pair_u32(built, "general.file_type", 7);
	put_key(built, "u8", GGUF_VALUE_U8);
	put_u8(built, 200);
	put_key(built, "i8", GGUF_VALUE_I8);
	put_u8(built, (uint8_t)-3);
	put_key(built, "u16", GGUF_VALUE_U16);
	put_u16(built, 60000);
	put_key(built, "i16", GGUF_VALUE_I16);
	put_u16(built, (uint16_t)-300);
	put_key(built, "i32", GGUF_VALUE_I32);
	put_u32(built, (uint32_t)-70000);
	put_key(built, "f32", GGUF_VALUE_F32);
	put(built, &single, sizeof single);
	put_key(built, "no", GGUF_VALUE_BOOL);
	put_u8(built, 0);
	put_key(built, "yes", GGUF_VALUE_BOOL);
	put_u8(built, 1);
	put_key(built, "u64", GGUF_VALUE_U64);
	put_u64(built, UINT64_MAX);
	put_key(built, "i64", GGUF_VALUE_I64);
	put_u64(built, (uint64_t)INT64_MIN);
	put_key(built, "f64", GGUF_VALUE_F64);
	put(built, &precise, sizeof precise);
	put_key(built, "tokens", GGUF_VALUE_ARRAY);
	put_array(built, GGUF_VALUE_STRING, 3);
	put_string(built, "a", 1);
	put_string(built, "", 0);
	put_string(built, "\xff\0", 2); /* a token need be no text */
	put_key(built, "scores", GGUF_VALUE_ARRAY);
	put_array(built, GGUF_VALUE_F32, 2);
	put_u64(built, 0);
	put_key(built, "last", GGUF_VALUE_U8);
	put_u8(built, 1);
	put_tensor(built, "b", 2, dims, GGUF_TYPE_Q8_0, 0);
	put_row(built, "a", 5, GGUF_TYPE_F32, 128);
}

enum { SAMPLE_DATA = 148 };

/* Pairs come in the order of the file, and fill the header from its prefix to the tensors. */
Test(mkfs_gguf, pairs_come_in_order)
{
	struct built built = {0};
	struct gguf header;
	size_t at = GGUF_PREFIX;

	put_sample(&built);
	accepted(&built, SAMPLE_DATA, &header);
	cr_assert_eq(header.pair_count, 16);
	for (size_t i = 0; i < header.pair_count; i++) {
		const struct gguf_pair *pair = &header.pairs[i];
		cr_assert_eq(pair->start, at);
		cr_assert_eq(pair->offset, at + 8 + strlen(pair->key) + 4);
		at = pair->offset + pair->size;
	}
	cr_assert_eq(header.infos_offset, at);
	cr_assert_eq(header.header_size, built.size);
	cr_assert_str_eq(header.pairs[0].key, "general.architecture");
	cr_assert_str_eq(header.pairs[15].key, "last");
	cr_assert_str_eq(header.architecture, "llama");
	cr_assert_eq(header.file_type, 7);
	cr_assert_eq(header.alignment, 32);

	const struct gguf_pair *tokens = gguf_find(&header, "tokens");
	cr_assert_eq(tokens->type, GGUF_VALUE_ARRAY);
	cr_assert_eq(tokens->element, GGUF_VALUE_STRING);
	cr_assert_eq(tokens->count, 3);
	cr_assert_eq(tokens->size, 12 + 9 + 8 + 10);
	const struct gguf_pair *scalar = gguf_find(&header, "u16");
	cr_assert_eq(scalar->element, GGUF_VALUE_U16);
	cr_assert_eq(scalar->count, 1);
	cr_assert_eq(scalar->size, 2);
	cr_assert_null(gguf_find(&header, "missing"));
	gguf_free(&header);
	cr_assert_null(header.pairs);
	free(built.data);
}

static void check_integer(const struct gguf *header, const char *key, uint64_t bits, int is_signed)
{
	uint64_t number = 1;
	int64_t integer = 1;
	int fits = is_signed || bits <= INT64_MAX;

	cr_assert_eq(gguf_get_signed(header, key, &integer), fits ? 0 : -EINVAL, "%s", key);
	cr_assert_eq(integer, fits ? (int64_t)bits : 1);
	fits = !is_signed || bits <= INT64_MAX;
	cr_assert_eq(gguf_get_unsigned(header, key, &number), fits ? 0 : -EINVAL, "%s", key);
	cr_assert_eq(number, fits ? bits : 1);
}

/* A value is what was stored, in every size; one that does not fit or is of another kind is
 * refused. */
Test(mkfs_gguf, values_by_key)
{
	struct built built = {0};
	struct gguf header;
	uint64_t number;
	int64_t integer;
	double real;
	int truth;
	const char *text;
	size_t size;

	put_sample(&built);
	accepted(&built, SAMPLE_DATA, &header);
	check_integer(&header, "u8", 200, 0);
	check_integer(&header, "i8", (uint64_t)-3, 1);
	check_integer(&header, "u16", 60000, 0);
	check_integer(&header, "i16", (uint64_t)-300, 1);
	check_integer(&header, "general.file_type", 7, 0);
	check_integer(&header, "i32", (uint64_t)-70000, 1);
	check_integer(&header, "u64", UINT64_MAX, 0);
	check_integer(&header, "i64", (uint64_t)INT64_MIN, 1);
	cr_assert(!gguf_get_number(&header, "f32", &real) && real == 0.5);
	cr_assert(!gguf_get_number(&header, "f64", &real) && real == -0.1);
	cr_assert(!gguf_get_bool(&header, "no", &truth) && !truth);
	cr_assert(!gguf_get_bool(&header, "yes", &truth) && truth == 1);
	cr_assert_eq(gguf_get_string(&header, "general.architecture", &text, &size), 0);
	cr_assert(size == 5 && memcmp(text, "llama", 5) == 0);

	cr_assert_eq(gguf_get_unsigned(&header, "f32", &number), -EINVAL);
	cr_assert_eq(gguf_get_unsigned(&header, "yes", &number), -EINVAL);
	cr_assert_eq(gguf_get_signed(&header, "tokens", &integer), -EINVAL);
	cr_assert_eq(gguf_get_number(&header, "u8", &real), -EINVAL);
	cr_assert_eq(gguf_get_bool(&header, "u8", &truth), -EINVAL);
	cr_assert_eq(gguf_get_string(&header, "tokens", &text, &size), -EINVAL);
	cr_assert_eq(gguf_get_unsigned(&header, "missing", &number), -ENOENT);
	cr_assert_eq(gguf_get_signed(&header, "missing", &integer), -ENOENT);
	cr_assert_eq(gguf_get_number(&header, "missing", &real), -ENOENT);
	cr_assert_eq(gguf_get_bool(&header, "missing", &truth), -ENOENT);
	cr_assert_eq(gguf_get_string(&header, "missing", &text, &size), -ENOENT);
	gguf_free(&header);
	free(built.data);
}

/* What is noted of places suffices to write a header with one value and one tensor replaced, in
 * which all else is as it was. */
Test(mkfs_gguf, parts_can_be_replaced)
{
	struct built built = {0}, other = {0};
	struct gguf header, changed;
	uint64_t number;

	put_sample(&built);
	accepted(&built, SAMPLE_DATA, &header);
	const struct gguf_pair *pair = gguf_find(&header, "general.file_type");
	const struct gguf_tensor *tensor = &header.tensors[1];
	put(&other, built.data, pair->offset);
	put_u32(&other, 2);
	size_t behind = pair->offset + pair->size;
	put(&other, built.data + behind, tensor->info_offset - behind);
	put_row(&other, "longer", 7, GGUF_TYPE_F16, 128);
	behind = tensor->info_offset + tensor->info_size;
	put(&other, built.data + behind, header.header_size - behind);
	size_t pairs = header.pair_count;
	gguf_free(&header);

	accepted(&other, SAMPLE_DATA, &changed);
	cr_assert_eq(changed.pair_count, pairs);
	cr_assert_eq(changed.file_type, 2);
	cr_assert_str_eq(changed.tensors[0].name, "b");
	cr_assert_str_eq(changed.tensors[1].name, "longer");
	cr_assert_eq(changed.tensors[1].size, 14);
	cr_assert_eq(gguf_get_unsigned(&changed, "u64", &number), 0);
	gguf_free(&changed);
	free(built.data);
	free(other.data);
}

/* However the header is cut, more bytes are asked for if the file has them, and it is truncated
 * if not; with all its bytes, more of them change nothing. */
Test(mkfs_gguf, every_cut_asks_for_more_or_is_truncated)
{
	struct built built = {0};
	struct gguf header;

	put_sample(&built);
	uint64_t file_size = (built.size + 31) / 32 * 32 + SAMPLE_DATA;
	for (size_t cut = 0; cut < built.size; cut++) {
		cr_assert_eq(parse_bytes(built.data, cut, file_size, &header), -EAGAIN, "%zu: %s",
			     cut, diag.text);
		cr_assert_null(header.pairs);
		cr_assert_eq(parse_bytes(built.data, cut, cut, &header), -EINVAL, "%zu", cut);
		cr_assert(strstr(diag.text, "(truncated?)"), "%zu: %s", cut, diag.text);
		/* Bytes behind the file's end are none of it. */
		cr_assert_eq(parse_bytes(built.data, built.size, cut, &header), -EINVAL);
	}
	size_t size = built.size;
	for (int i = 0; i < 100; i++)
		put_u8(&built, 0xee);
	for (size_t more = size; more < built.size; more++) {
		cr_assert_eq(parse_bytes(built.data, more, file_size, &header), 0);
		cr_assert_eq(header.header_size, size);
		gguf_free(&header);
	}
	free(built.data);
}

static void refused_version(uint32_t version, const char *message)
{
	struct built built = {0};

	put_prefix(&built, 0, 0);
	memcpy(built.data + 4, &version, sizeof version);
	refused(&built, 0, -ENOTSUP, message);
	free(built.data);
}

Test(mkfs_gguf, other_files_and_versions)
{
	struct built built = {0};
	struct gguf header;

	refused_version(0, "version 0 ");
	refused_version(1, "version 1 ");
	refused_version(2, "version 2 ");
	refused_version(4, "version 4 ");
	refused_version(0x01000000, "big-endian");
	refused_version(0x02000000, "big-endian");
	refused_version(0x03000000, "big-endian");
	/* Already its first byte tells that a file is no GGUF file, and none tells nothing. */
	put(&built, "PK\3\4", 4);
	for (size_t size = 1; size <= 4; size++) {
		cr_assert_eq(parse_bytes(built.data, 0, size, &header), -EAGAIN);
		cr_assert_eq(parse_bytes(built.data, size, size, &header), -EINVAL);
		cr_assert_str_eq(diag.text, "not a GGUF file");
		cr_assert_eq(parse_bytes(built.data, size, 4000, &header), -EINVAL);
		cr_assert_str_eq(diag.text, "not a GGUF file");
	}
	free(built.data);
}

/* Neither pairs nor tensors: a file may end with the header. */
Test(mkfs_gguf, nothing_at_all)
{
	struct built built = {0};
	struct gguf header;

	put_prefix(&built, 0, 0);
	cr_assert_eq(parse_bytes(built.data, built.size, built.size, &header), 0, "%s", diag.text);
	cr_assert_eq(header.header_size, GGUF_PREFIX);
	cr_assert_eq(header.data_offset, GGUF_PREFIX);
	cr_assert_eq(header.data_size, 0);
	cr_assert(header.contiguous);
	cr_assert_null(header.architecture);
	cr_assert_eq(header.file_type, -1);
	gguf_free(&header);
	accepted(&built, 0, &header);
	cr_assert_eq(header.data_offset, 32);
	gguf_free(&header);
	free(built.data);
}

/* A general.architecture or general.file_type that is something else counts as missing. */
Test(mkfs_gguf, general_values_of_other_kinds)
{
	struct built built = {0};
	struct gguf header;

	put_prefix(&built, 0, 2);
	put_key(&built, "general.architecture", GGUF_VALUE_U8);
	put_u8(&built, 1);
	put_key(&built, "general.file_type", GGUF_VALUE_I8);
	put_u8(&built, 0xff);
	accepted(&built, 0, &header);
	cr_assert_null(header.architecture);
	cr_assert_eq(header.file_type, -1);
	gguf_free(&header);

	put_prefix(&built, 0, 1);
	put_key(&built, "general.architecture", GGUF_VALUE_STRING);
	put_string(&built, "a\0b", 3);
	accepted(&built, 0, &header);
	cr_assert_null(header.architecture);
	gguf_free(&header);
	free(built.data);
}

static void put_one_key(struct built *built, const char *key, size_t size)
{
	put_prefix(built, 0, 1);
	put_string(built, key, size);
	put_u32(built, GGUF_VALUE_U8);
	put_u8(built, 1);
}

Test(mkfs_gguf, keys)
{
	struct built built = {0};
	struct gguf header;
	char *key = malloc(GGUF_KEY_MAX + 1);

	memset(key, 'k', GGUF_KEY_MAX + 1);
	put_one_key(&built, key, GGUF_KEY_MAX);
	accepted(&built, 0, &header);
	cr_assert_eq(strlen(header.pairs[0].key), GGUF_KEY_MAX);
	gguf_free(&header);
	put_one_key(&built, key, GGUF_KEY_MAX + 1);
	refused(&built, 0, -EFBIG, "metadata pair 0: the key has 65536 bytes, more than 65535");
	free(key);

	put_one_key(&built, "\xc3\xa4\xf0\x9f\x98\x80", 6);
	accepted(&built, 0, &header);
	gguf_free(&header);
	put_one_key(&built, "", 0);
	refused(&built, 0, -EINVAL, "the key is empty");
	put_one_key(&built, "a\0b", 3);
	refused(&built, 0, -EINVAL, "not valid UTF-8 without NUL");
	put_one_key(&built, "\xed\xa0\x80", 3);
	refused(&built, 0, -EINVAL, "not valid UTF-8 without NUL");
	put_one_key(&built, "a\xc3", 2);
	refused(&built, 0, -EINVAL, "not valid UTF-8 without NUL");

	put_prefix(&built, 0, 3);
	put_pair_u32(&built, "twice", 1);
	put_pair_u32(&built, "once", 1);
	put_pair_u32(&built, "twice", 1);
	refused(&built, 0, -EINVAL, "two pairs have the key 'twice'");
	free(built.data);
}
