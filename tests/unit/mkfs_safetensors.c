/* SPDX-License-Identifier: MIT */
/*
 * mkfs_safetensors.c - headers of .safetensors files, good and bad.
 */
#include "mkfs/json.h"
#include "mkfs/safetensors.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ONE(name, dtype, shape, begin, end)                                                        \
	"\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #begin      \
	"," #end "]}"

static struct image_diag diag;

static int parse(const char *text, uint64_t data_size, struct safetensors *out)
{
	diag.text[0] = '\0';
	return safetensors_parse(text, strlen(text), data_size, out, &diag);
}

/* Refused, and the message holds this. */
static void refused(const char *text, uint64_t data_size, const char *message)
{
	struct safetensors header;
	cr_assert_neq(parse(text, data_size, &header), 0, "%s", text);
	cr_assert(strstr(diag.text, message), "%s: '%s' lacks '%s'", text, diag.text, message);
}

Test(mkfs_safetensors, tensors_come_in_data_order)
{
	struct safetensors header;
	cr_assert_eq(
	    parse("{" ONE("b", "F32", "[2]", 4, 12) "," ONE(
		      "e", "U8", "[0,7]", 4, 4) ","
						"\"__metadata__\":{\"z\":\"1\",\"a\":\"2\"}," ONE(
						    "a", "BF16", "[1,2]", 0, 4) "}  ",
		  12, &header),
	    0, "%s", diag.text);
	cr_assert_eq(header.tensor_count, 3);
	cr_assert_str_eq(header.tensors[0].name, "a");
	cr_assert_str_eq(header.tensors[1].name, "e");
	cr_assert_str_eq(header.tensors[2].name, "b");
	cr_assert_eq(header.tensors[0].dtype->code, EFS_BF16);
	cr_assert_eq(header.tensors[0].rank, 2);
	cr_assert_eq(header.tensors[0].dims[1], 2);
	cr_assert_eq(header.tensors[1].count, 0);
	cr_assert_eq(header.tensors[2].offset, 4);
	cr_assert_eq(header.metadata_count, 2);
	cr_assert_str_eq(header.metadata[0].key, "a");
	safetensors_free(&header);
}

Test(mkfs_safetensors, every_dtype_has_its_size)
{
	static const struct {
		const char *name;
		unsigned size;
	} types[] = {
	    {"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E5M2", 1}, {"F8_E4M3", 1}, {"F8_E8M0", 1},
	    {"U16", 2},  {"I16", 2}, {"F16", 2}, {"BF16", 2},    {"U32", 4},     {"I32", 4},
	    {"F32", 4},  {"U64", 8}, {"I64", 8}, {"F64", 8},     {"C64", 8},
	};
	for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
		struct safetensors header;
		char text[128];
		snprintf(text, sizeof text,
			 "{\"t\":{\"dtype\":\"%s\",\"shape\":[3],\"data_offsets\":[0,%u]}}",
			 types[i].name, 3 * types[i].size);
		cr_assert_eq(parse(text, 3 * types[i].size, &header), 0, "%s: %s", text, diag.text);
		cr_assert_eq(header.tensors[0].dtype->size, types[i].size);
		cr_assert_eq(dtype_by_code(header.tensors[0].dtype->code), header.tensors[0].dtype);
		safetensors_free(&header);
	}
}

/* An empty tensor is empty whichever of its dimensions is 0, and however large the others are. */
Test(mkfs_safetensors, empty_in_any_dimension)
{
	static const char *const shapes[] = {"[0]", "[0,1099511627776,1099511627776]",
					     "[1099511627776,1099511627776,0]",
					     "[9223372036854775807,0,9223372036854775807]"};
	for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
		struct safetensors header;
		char text[160];
		snprintf(text, sizeof text,
			 "{\"t\":{\"dtype\":\"F32\",\"shape\":%s,\"data_offsets\":[0,0]}}",
			 shapes[i]);
		cr_assert_eq(parse(text, 0, &header), 0, "%s: %s", text, diag.text);
		cr_assert_eq(header.tensors[0].count, 0);
		cr_assert_eq(header.tensors[0].size, 0);
		safetensors_free(&header);
	}
}

Test(mkfs_safetensors, layout_faults)
{
	refused("{" ONE("a", "U8", "[4]", 0, 4) "," ONE("b", "U8", "[4]", 3, 7) "}", 7, "overlaps");
	refused("{" ONE("a", "U8", "[4]", 0, 4) "," ONE("b", "U8", "[4]", 5, 9) "}", 9, "hole");
	refused("{" ONE("a", "U8", "[4]", 1, 5) "}", 5, "hole");
	refused("{" ONE("a", "U8", "[4]", 0, 4) "}", 5, "none, 1 bytes");
	refused("{" ONE("a", "U8", "[4]", 0, 4) "}", 3, "beyond the end");
	refused("{" ONE("a", "U8", "[4]", 4, 0) "}", 4, "data_offsets");
	refused("{" ONE("a", "F32", "[4]", 0, 4) "}", 4, "has 4 bytes, but");
	refused("{" ONE("a", "F64", "[4294967296,4294967296]", 0, 0) "}", 0, "too large");
	refused("{" ONE("a", "F64", "[2305843009213693952]", 0, 0) "}", 0, "too large");
	refused("{" ONE("a", "U8", "[18446744073709551616]", 0, 0) "}", 0, "bad JSON");
}

Test(mkfs_safetensors, malformed_entries)
{
	refused("", 0, "bad JSON");
	refused("[]", 0, "not a JSON object");
	refused("{} x", 0, "bad JSON");
	refused("{\"a\":3}", 0, "not an object");
	refused("{\"a\":{}}", 0, "no dtype");
	refused("{" ONE("a", "F4", "[2]", 0, 1) "}", 1, "less than a byte");
	refused("{" ONE("a", "Q9", "[2]", 0, 1) "}", 1, "unknown dtype");
	refused("{" ONE("a", "U8", "[-1]", 0, 1) "}", 1, "dimension 0 is no");
	refused("{" ONE("a", "U8", "[1.0]", 0, 1) "}", 1, "dimension 0 is no");
	refused("{" ONE("a", "U8", "7", 0, 1) "}", 1, "no shape");
	refused("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0]}}", 1, "data_offsets");
	refused("{" ONE("a", "U8", "[1]", 0, 1) "," ONE("a", "U8", "[1]", 1, 2) "}", 2,
		"duplicate");
	refused("{\"__metadata__\":{\"a\":1}}", 0, "not a string");
	refused("{\"__metadata__\":[]}", 0, "not an object");
	refused("{" ONE("a\\u0000", "U8", "[1]", 0, 1) "}", 1, "bad JSON");
	refused("{" ONE("a\xff", "U8", "[1]", 0, 1) "}", 1, "bad JSON");
}

Test(mkfs_safetensors, thirty_two_dimensions_and_no_more)
{
	char shape[128] = "[1", text[256];
	struct safetensors header;
	for (int i = 1; i < 32; i++)
		strcat(shape, ",1");
	snprintf(text, sizeof text,
		 "{\"a\":{\"dtype\":\"U8\",\"shape\":%s],\"data_offsets\":[0,1]}}", shape);
	cr_assert_eq(parse(text, 1, &header), 0, "%s", diag.text);
	cr_assert_eq(header.tensors[0].rank, 32);
	safetensors_free(&header);
	snprintf(text, sizeof text,
		 "{\"a\":{\"dtype\":\"U8\",\"shape\":%s,1],\"data_offsets\":[0,1]}}", shape);
	refused(text, 1, "more than 32");
}

/* Small objects cost jansson many times their text: the bound is on what they cost. */
Test(mkfs_safetensors, memory_is_bounded)
{
	enum { OBJECTS = 20000 };
	char *text = malloc(OBJECTS * 16), *at = text;
	*at++ = '[';
	for (int i = 0; i < OBJECTS; i++)
		at += sprintf(at, "{\"a\":[]},");
	at[-1] = ']';
	json_t *value = json_parse(text, (size_t)(at - text), 64 << 20, &diag);
	cr_assert(value);
	json_decref(value);
	cr_assert_null(json_parse(text, (size_t)(at - text), 1 << 20, &diag));
	cr_assert(strstr(diag.text, "more than 1 MiB"), "%s", diag.text);
	/* What failed has given its memory back. */
	value = json_parse("[1]", 3, 1 << 20, &diag);
	cr_assert(value);
	json_decref(value);
	free(text);
}
