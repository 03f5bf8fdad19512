/* SPDX-License-Identifier: MIT */
/*
 * image_catalog.c - each rule of the catalog, broken alone.
 *
 * A field of a good catalog is changed and the catalog parsed again: the diag must name that rule.
 * So a check that vanished would be missed here, not only under a sanitizer.
 */
#include "tests/unit/image_opened.h"

#include "image/internal.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <float.h>

/*
 * The small sample's nodes: 0 root, 1 config.json, 2 quantized, 3 zero, 4 tensors, 5 x, 6 w.u8,
 * 7 z.f32. Its pieces: 0 of config.json, 1 to 4 of x, 5 of w.u8, 6 and 7 of z.f32. Streams 0 to 6,
 * blobs 0 and 1, one tensor, a transcode of that and one that joins streams 5 and 6.
 */
struct parsed {
	struct opened opened;
	uint8_t *good; /* the raw catalog */
	size_t size;
};

static void setup(struct parsed *parsed)
{
	open_small(&parsed->opened);
	parsed->size = (size_t)image_superblock(parsed->opened.image)->catalog.raw_size;
	parsed->good = malloc(parsed->size);
	memcpy(parsed->good, image_catalog(parsed->opened.image), parsed->size);
}

static void teardown(struct parsed *parsed)
{
	free(parsed->good);
	close_small(&parsed->opened);
}

enum array { HEADER, NODE, PIECE, TENSOR, STREAM, BLOB, SHARD, PARAM, TRANSCODE };

static size_t record_at(const struct parsed *parsed, enum array array, size_t index)
{
	const struct efs_catalog_header *header = image_catalog(parsed->opened.image);
	const size_t sizes[] = {sizeof(*header), 32, 24, 104, 56, 24, 8, 8, 32};
	const size_t counts[] = {1,
				 header->node_count,
				 header->piece_count,
				 header->tensor_count,
				 header->stream_count,
				 header->blob_count,
				 header->shard_count,
				 header->param_count};
	size_t at = 0;

	for (size_t i = 0; i < (size_t)array; i++)
		at += sizes[i] * counts[i];
	if (array >= PARAM)
		at += 8 * (size_t)header->dim_count;
	return at + index * sizes[array];
}

/* Parses the catalog with one field set; the result of efs_catalog_parse(). */
static int parse_with(const struct parsed *parsed, size_t at, size_t width, uint64_t value,
		      struct image_diag *diag)
{
	uint8_t *raw = malloc(parsed->size);
	struct catalog catalog;
	int err;

	memcpy(raw, parsed->good, parsed->size);
	memcpy(raw + at, &value, width);
	err = efs_catalog_parse(&catalog, raw, parsed->size, image_superblock(parsed->opened.image),
				diag);
	efs_catalog_free(&catalog);
	return err;
}

struct change {
	enum array array;
	unsigned index, offset, width;
	uint64_t value;
	const char *text; /* part of the diag */
};

static void expect_refusals(const struct change *changes, size_t count)
{
	struct parsed parsed;

	setup(&parsed);
	for (size_t i = 0; i < count; i++) {
		const struct change *change = &changes[i];
		struct image_diag diag = {0};
		size_t at = record_at(&parsed, change->array, change->index) + change->offset;

		cr_assert_eq(parse_with(&parsed, at, change->width, change->value, &diag), -EUCLEAN,
			     "change %zu: %s", i, change->text);
		cr_assert(strstr(diag.text, change->text), "change %zu: '%s', not '%s'", i,
			  diag.text, change->text);
	}
	teardown(&parsed);
}
#define EXPECT_REFUSALS(changes) expect_refusals(changes, sizeof(changes) / sizeof((changes)[0]))

/* The unchanged catalog is good, and so are changes that break no rule. */
Test(image_catalog, harmless_changes)
{
	struct image_diag diag = {0};
	struct parsed parsed;

	setup(&parsed);
	cr_assert_eq(parse_with(&parsed, 0, 0, 0, &diag), 0, "%s", diag.text);
	cr_assert_eq(parse_with(&parsed, record_at(&parsed, TENSOR, 0) + 12, 4, 99, &diag), 0, "%s",
		     diag.text);
	cr_assert_eq(parse_with(&parsed, record_at(&parsed, PARAM, 0), 4, 12345, &diag), 0, "%s",
		     diag.text);
	teardown(&parsed);
}

Test(image_catalog, header)
{
	static const struct change changes[] = {
	    {HEADER, 0, 0, 4, 9, "counts contradict"},
	    {HEADER, 0, 4, 4, UINT32_MAX, "counts contradict"},
	    {HEADER, 0, 8, 4, 0, "counts contradict"},
	    {HEADER, 0, 32, 4, 0, "counts contradict"},
	    {HEADER, 0, 36, 4, 0, "counts contradict"},
	    {HEADER, 0, 36, 4, UINT32_MAX, "counts contradict"},
	};

	EXPECT_REFUSALS(changes);
}

Test(image_catalog, nodes)
{
	static const struct change changes[] = {
	    {NODE, 0, 20, 1, EFS_FILE, "not a root"},
	    {NODE, 0, 8, 4, 1, "not a root"},
	    {NODE, 0, 4, 4, 1, "not a root"},
	    {NODE, 0, 24, 8, 1, "directory has a size"},
	    {NODE, 0, 12, 4, 0, "breadth-first"},
	    {NODE, 0, 12, 4, 2, "breadth-first"},
	    {NODE, 0, 16, 4, 100, "more children"},
	    {NODE, 0, 16, 4, UINT32_MAX, "more children"},
	    {NODE, 0, 16, 4, 4, "names another parent"},
	    {NODE, 0, 16, 4, 2, "breadth-first"}, /* then node 2 begins where 3 should */
	    {NODE, 2, 16, 4, 1, "breadth-first"},
	    {NODE, 4, 16, 4, 0, "no directory contains it"},
	    {NODE, 1, 8, 4, 2, "names another parent"},
	    {NODE, 1, 20, 1, 3, "type is unknown"},
	    {NODE, 1, 20, 1, 0, "type is unknown"},
	    {NODE, 1, 22, 1, 1, "reserved"},
	    {NODE, 1, 4, 4, 0, "name is invalid"},
	    {NODE, 1, 4, 4, 256, "name is invalid"},
	    {NODE, 1, 0, 4, UINT32_MAX, "name is invalid"},
	    {NODE, 1, 4, 4, UINT32_MAX, "name is invalid"},
	    {NODE, 1, 24, 8, 701, "do not add up"},
	    {NODE, 1, 12, 4, 1, "order of the files"},
	    {NODE, 5, 16, 4, 100, "more pieces"},
	    {NODE, 5, 16, 4, UINT32_MAX, "more pieces"},
	    {NODE, 6, 16, 4, 0, "do not add up"},
	};

	EXPECT_REFUSALS(changes);
}

/* Siblings in the wrong order, or with one name, are refused: a lookup could miss them. */
Test(image_catalog, sibling_order)
{
	struct image_diag diag = {0};
	struct parsed parsed;
	struct efs_string name;

	setup(&parsed);
	memcpy(&name, parsed.good + record_at(&parsed, NODE, 1), sizeof(name));
	memcpy(parsed.good + record_at(&parsed, NODE, 2), &name, sizeof(name));
	cr_assert_eq(parse_with(&parsed, 0, 0, 0, &diag), -EUCLEAN);
	cr_assert(strstr(diag.text, "not sorted"), "%s", diag.text);
	name.size--; /* "config.jso" behind "config.json" */
	memcpy(parsed.good + record_at(&parsed, NODE, 2), &name, sizeof(name));
	cr_assert_eq(parse_with(&parsed, 0, 0, 0, &diag), -EUCLEAN);
	cr_assert(strstr(diag.text, "not sorted"), "%s", diag.text);
	teardown(&parsed);
}

Test(image_catalog, pieces)
{
	static const struct change changes[] = {
	    {PIECE, 0, 0, 4, 0, "unknown kind"},
	    {PIECE, 0, 0, 4, 4, "unknown kind"},
	    {PIECE, 3, 0, 4, 3, "transcode that does not exist"},
	    {PIECE, 6, 4, 4, 2, "transcode that does not exist"},
	    {PIECE, 6, 8, 8, 11, "beyond its source"},
	    {PIECE, 6, 16, 8, 79998, "beyond its source"},
	    {PIECE, 0, 4, 4, 2, "blob that does not exist"},
	    {PIECE, 2, 4, 4, 7, "stream that does not exist"},
	    {PIECE, 2, 4, 4, UINT32_MAX, "stream that does not exist"},
	    {PIECE, 2, 16, 8, 0, "piece is empty"},
	    {PIECE, 2, 16, 8, 6001, "beyond its source"},
	    {PIECE, 2, 8, 8, 1, "beyond its source"},
	    {PIECE, 2, 8, 8, 6001, "beyond its source"},
	    {PIECE, 2, 8, 8, UINT64_MAX, "beyond its source"},
	    {PIECE, 2, 16, 8, UINT64_MAX, "beyond its source"},
	    {PIECE, 2, 16, 8, 5999, "do not add up"},
	};

	EXPECT_REFUSALS(changes);
}

Test(image_catalog, streams)
{
	static const struct change changes[] = {
	    {STREAM, 0, 0, 8, 4096 + 32, "not aligned"},
	    {STREAM, 0, 0, 8, 0, "outside the image"},
	    {STREAM, 0, 0, 8, UINT64_MAX - 63, "outside the image"},
	    {STREAM, 0, 8, 8, 20001, "sizes are impossible"},
	    {STREAM, 0, 16, 8, UINT64_MAX, "sizes are impossible"},
	    {STREAM, 0, 16, 8, 1 << 20, "wrong size"},
	    {STREAM, 0, 24, 8, 4097, "not aligned"},
	    {STREAM, 0, 24, 8, 8, "outside the image"},
	    {STREAM, 0, 32, 8, UINT64_MAX, "outside the image"},
	    {STREAM, 0, 32, 8, 4, "contradict each other"},
	    {STREAM, 0, 40, 8, 1, "wrong size"},
	    {STREAM, 0, 48, 1, 11, "block size"},
	    {STREAM, 0, 48, 1, 17, "block size"},
	    {STREAM, 0, 48, 1, 255, "block size"},
	    {STREAM, 0, 48, 1, 13, "wrong size"},
	    {STREAM, 0, 49, 1, 1, "reserved"},
	    {STREAM, 0, 50, 2, 257, "too many code tables"},
	    {STREAM, 0, 50, 2, 0, "wrong size"},
	    {STREAM, 0, 52, 4, 1, "reserved"},
	    {STREAM, 4, 0, 8, 4096, "overlaps"}, /* where stream 0 is */
	    {STREAM, 1, 24, 8, 4096, "overlaps"},
	    {BLOB, 0, 0, 8, 4097, "not aligned"},
	    {BLOB, 0, 0, 8, 4096, "overlaps"},
	    {BLOB, 0, 8, 8, 1, "contradict each other"},
	    {BLOB, 0, 8, 8, UINT64_MAX, "outside the image"},
	    {BLOB, 0, 16, 8, UINT64_MAX, "too large"},
	    {BLOB, 0, 16, 8, 65537, "too small for its raw size"},
	};

	EXPECT_REFUSALS(changes);
}

Test(image_catalog, tensors)
{
	static const struct change changes[] = {
	    {TENSOR, 0, 0, 4, UINT32_MAX, "name lies outside"},
	    {TENSOR, 0, 4, 4, UINT32_MAX, "name lies outside"},
	    {TENSOR, 0, 8, 4, 1, "source file"},
	    {TENSOR, 0, 16, 1, 0, "dtype is unknown"},
	    {TENSOR, 0, 16, 1, EFS_DTYPE_END, "dtype is unknown"},
	    {TENSOR, 0, 17, 1, 33, "shape lies outside"},
	    {TENSOR, 0, 17, 1, 3, "shape lies outside"},
	    {TENSOR, 0, 17, 1, 1, "contradicts its stream"},
	    {TENSOR, 0, 18, 1, 5, "bits are neither"},
	    {TENSOR, 0, 18, 1, 4, "contradicts its stream"},
	    {TENSOR, 0, 18, 1, 0, "scheme contradicts"},
	    {TENSOR, 0, 19, 1, 0, "scheme contradicts"},
	    {TENSOR, 0, 19, 1, 4, "scheme contradicts"},
	    {TENSOR, 0, 16, 1, EFS_U8, "no floats"},
	    {TENSOR, 0, 16, 1, EFS_F8_E4M3, "no floats"},
	    {TENSOR, 0, 20, 2, 1, "transcode"},
	    {TENSOR, 0, 22, 2, 1, "reserved"},
	    {TENSOR, 0, 24, 4, 1, "shape lies outside"},
	    {TENSOR, 0, 24, 4, UINT32_MAX, "shape lies outside"},
	    {TENSOR, 0, 28, 4, 1, "parameters lie outside"},
	    {TENSOR, 0, 28, 4, UINT32_MAX, "parameters lie outside"},
	    {TENSOR, 0, 32, 4, 2, "parameters lie outside"},
	    {TENSOR, 0, 32, 4, 0, "wrong number of parameters"},
	    {TENSOR, 0, 36, 4, 7, "stream does not exist"},
	    {TENSOR, 0, 36, 4, 1, "contradicts its stream"},
	    {TENSOR, 0, 40, 4, 0, "transcode"},
	    {TENSOR, 0, 40, 4, 2, "transcode"},
	    {TENSOR, 0, 44, 4, 8, "file does not exist"},
	    {TENSOR, 0, 44, 4, 4, "not its stream"},
	    {TENSOR, 0, 44, 4, 1, "not its stream"},
	    {TENSOR, 0, 48, 8, UINT64_C(0x7ff8000000000000), "not numbers"}, /* NaN */
	    {TENSOR, 0, 48, 8, UINT64_C(0xbff0000000000000), "not numbers"}, /* -1 */
	    {TENSOR, 0, 56, 8, UINT64_C(0x7ff8000000000000), "not numbers"},
	    {TENSOR, 0, 64, 8, UINT64_C(0x7ff8000000000000), "not numbers"},
	    {SHARD, 0, 0, 4, UINT32_MAX, "shard 0"},
	    {SHARD, 0, 4, 4, UINT32_MAX, "shard 0"},
	    {PARAM, 0, 4, 4, 1, "zero point contradicts"},
	    {PARAM, 0, 0, 4, 0x7f800000, "not finite"},
	    {PARAM, 0, 0, 4, 0x7fc00000, "not finite"},
	};

	EXPECT_REFUSALS(changes);
}

Test(image_catalog, transcodes)
{
	static const struct change changes[] = {
	    {TRANSCODE, 0, 0, 2, 0, "rule is unknown"},
	    {TRANSCODE, 0, 0, 2, 2, "records are impossible"},
	    {TRANSCODE, 0, 0, 2, 3, "bits are not those"},
	    {TRANSCODE, 0, 0, 2, 4, "rule is unknown"},
	    {TRANSCODE, 0, 2, 1, 0, "no floats"},
	    {TRANSCODE, 0, 2, 1, EFS_U32, "no floats"},
	    {TRANSCODE, 0, 2, 1, EFS_DTYPE_END, "no floats"},
	    {TRANSCODE, 0, 2, 1, EFS_F64, "contradicts its tensor"},
	    {TRANSCODE, 0, 2, 1, EFS_BF16, "contradicts its tensor"},
	    {TRANSCODE, 0, 3, 1, 1, "reserved"},
	    {TRANSCODE, 0, 4, 4, 1, "tensor does not exist"},
	    {TRANSCODE, 0, 4, 4, UINT32_MAX, "tensor does not exist"},
	    {TRANSCODE, 0, 8, 8, 80001, "contradicts its tensor"},
	    {TRANSCODE, 0, 8, 8, UINT64_MAX, "contradicts its tensor"},
	    {TRANSCODE, 0, 16, 1, 1, "reserved"},
	    {TRANSCODE, 0, 31, 1, 1, "reserved"},
	    {TRANSCODE, 1, 0, 2, 1, "reserved"},
	    {TRANSCODE, 1, 2, 1, 1, "records are impossible"},
	    {TRANSCODE, 1, 2, 1, 2, "records are impossible"},
	    {TRANSCODE, 1, 3, 1, 0, "reserved"},
	    {TRANSCODE, 1, 3, 1, 1, "reserved"},
	    {TRANSCODE, 1, 3, 1, 3, "records are impossible"},
	    {TRANSCODE, 1, 3, 1, 9, "too many planes"},
	    {TRANSCODE, 1, 3, 1, 255, "too many planes"},
	    {TRANSCODE, 1, 4, 4, 4, "contradicts its streams"},
	    {TRANSCODE, 1, 4, 4, 6, "streams do not exist"},
	    {TRANSCODE, 1, 4, 4, UINT32_MAX, "streams do not exist"},
	    {TRANSCODE, 1, 8, 8, 7501, "no number of records"},
	    {TRANSCODE, 1, 8, 8, 7503, "contradicts its streams"},
	    {TRANSCODE, 1, 8, 8, UINT64_MAX, "no number of records"},
	    {TRANSCODE, 1, 16, 2, 0, "records are impossible"},
	    {TRANSCODE, 1, 16, 2, 2, "contradicts its streams"},
	    {TRANSCODE, 1, 16, 2, 1025, "records are impossible"},
	    {TRANSCODE, 1, 18, 2, 65535, "records are impossible"},
	    {TRANSCODE, 1, 20, 2, 1, "reserved"},
	    {TRANSCODE, 1, 30, 2, 1, "reserved"},
	};

	EXPECT_REFUSALS(changes);
}

/* Shapes whose product overflows are not taken for small ones; empty shapes are empty. */
Test(image_catalog, shapes)
{
	static const struct {
		uint64_t dims[3];
		uint8_t rank, bits, dtype;
		int result;
		uint64_t size;
	} cases[] = {
	    {{0}, 0, 8, EFS_F32, 0, 1},
	    {{0}, 0, 0, EFS_F64, 0, 8},
	    {{3, 5}, 2, 4, EFS_F32, 0, 8},
	    {{3, 5}, 2, 0, EFS_BF16, 0, 30},
	    {{UINT64_C(1) << 32, UINT64_C(1) << 32}, 2, 8, EFS_F32, -1, 0},
	    {{UINT64_C(1) << 32, UINT64_C(1) << 32, 0}, 3, 8, EFS_F32, 0, 0},
	    {{UINT64_C(1) << 62}, 1, 8, EFS_F32, 0, UINT64_C(1) << 62},
	    {{UINT64_C(1) << 62}, 1, 0, EFS_F32, -1, 0},
	    {{UINT64_C(1) << 63}, 1, 8, EFS_F32, -1, 0},
	    {{UINT64_MAX}, 1, 4, EFS_F32, -1, 0}, /* 2^63 packed bytes: one too many */
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct efs_tensor tensor = {
		    .rank = cases[i].rank, .bits = cases[i].bits, .source_dtype = cases[i].dtype};
		uint64_t size;
		int result = efs_tensor_raw_size(&tensor, cases[i].dims, &size);

		cr_assert_eq(result, cases[i].result, "case %zu", i);
		if (!result)
			cr_assert_eq(size, cases[i].size, "case %zu", i);
	}
}

/*
 * Pieces that add up to more than 63 bits, also to what the file says without the carry. No image
 * is that large: the reader's part that sees them is asked by itself.
 */
Test(image_catalog, piece_sums)
{
	enum { PIECES = 4 };
	static const struct {
		uint64_t lengths[PIECES], size;
		const char *fault;
	} cases[] = {
	    {{1, 2, 3, 4}, 10, NULL},
	    {{INT64_MAX - 6, 1, 2, 3}, INT64_MAX, NULL},
	    {{INT64_MAX - 6, 1, 2, 4}, UINT64_C(1) << 63, "too large"},
	    {{INT64_MAX, INT64_MAX, 2, 5}, 5, "too large"},
	    {{INT64_MAX, 1, INT64_MAX, 1}, 0, "too large"},
	    {{INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX}, UINT64_MAX - 3, "too large"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct efs_catalog_header header = {
		    .node_count = 2, .piece_count = PIECES, .stream_count = 1, .string_size = 1};
		const struct efs_stream stream = {.raw_size = INT64_MAX};
		const struct efs_node nodes[] = {
		    {.type = EFS_DIRECTORY, .first = 1, .count = 1},
		    {.name = {0, 1}, .type = EFS_FILE, .count = PIECES, .size = cases[i].size}};
		struct efs_piece pieces[PIECES];
		struct catalog catalog = {.header = &header,
					  .nodes = nodes,
					  .pieces = pieces,
					  .streams = &stream,
					  .strings = "f"};
		struct image_diag diag = {0};

		for (unsigned k = 0; k < PIECES; k++)
			pieces[k] = (struct efs_piece){EFS_PIECE_STREAM, 0, 0, cases[i].lengths[k]};
		cr_assert_eq(efs_catalog_check_tree(&catalog, &diag), cases[i].fault ? -EUCLEAN : 0,
			     "case %zu: %s", i, diag.text);
		if (cases[i].fault)
			cr_assert(strstr(diag.text, cases[i].fault), "case %zu: %s", i, diag.text);
		free(catalog.piece_starts);
	}
}
