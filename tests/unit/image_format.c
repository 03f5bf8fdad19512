/* SPDX-License-Identifier: MIT */
/*
 * image_format.c - the bytes of an image, field by field: sections, hash tree, and the worked
 * example of docs/format.md. A change that breaks these tests changes the format.
 */
#include "image/checksum.h"
#include "tests/unit/image_build.h"
#include "tests/unit/image_reseal.h"

#include <criterion/criterion.h>
#include <errno.h>

/* --- the example of docs/format.md ------------------------------------------------------------ */

static const uint8_t codes[8] = "ABADCAAB";

static void put_example_stream(struct sample *sample, struct image_writer *writer)
{
	static const uint8_t coded[2] = {0x9a, 0x22};
	struct image_encoded block = {.checksum = checksum_of(codes, sizeof(codes)),
				      .stored_size = sizeof(coded),
				      .kind = EFS_BLOCK_CODED};
	struct codec_table table;
	uint32_t stream;

	memset(&table, CODEC_ABSENT, sizeof(table));
	table.code['A'] = 0x01;
	table.code['B'] = table.code['C'] = 0x12;
	table.code['D'] = 0x02;
	BUILD_CHECK(image_writer_begin_stream(writer, sizeof(codes), 12, &table, 1, &sample->diag));
	BUILD_CHECK(image_writer_put_block(writer, &block, coded, &sample->diag));
	BUILD_CHECK(image_writer_end_stream(writer, &stream, NULL, &sample->diag));
}

static void build_example(struct sample *sample)
{
	static const uint64_t dims[] = {2, 4};
	static const struct efs_param param = {.scale = 0.5f, .zero_point = 66};
	const struct efs_piece config = {EFS_PIECE_BLOB, 0, 0, 3};
	const struct efs_piece weights = {EFS_PIECE_STREAM, 0, 0, 8};
	struct image_tensor_spec spec = {.name = "w",
					 .name_size = 1,
					 .shard = "m.safetensors",
					 .path = "quantized/w.u8",
					 .dims = dims,
					 .params = &param,
					 .record = {.source_dtype = EFS_F32,
						    .rank = 2,
						    .bits = 8,
						    .scheme = EFS_ASYMMETRIC,
						    .param_count = 1,
						    .entropy = 1.75,
						    .sqnr = 20,
						    .max_error = 0.25}};
	struct image_writer *writer;
	uint32_t blob;

	*sample = (struct sample){.fd = build_memfd()};
	BUILD_CHECK(efs_io_sha256(codes, sizeof(codes), spec.record.digest));
	BUILD_CHECK(image_writer_create(&writer, sample->fd, "example 1", &sample->diag));
	put_example_stream(sample, writer);
	BUILD_CHECK(image_writer_begin_blob(writer, &sample->diag));
	BUILD_CHECK(image_writer_put_blob(writer, "{}\n", 3, &sample->diag));
	BUILD_CHECK(image_writer_end_blob(writer, &blob, NULL, &sample->diag));
	BUILD_CHECK(image_writer_add_tensor(writer, &spec, &sample->diag));
	BUILD_CHECK(image_writer_add_file(writer, "quantized/w.u8", &weights, 1, &sample->diag));
	BUILD_CHECK(image_writer_add_file(writer, "config.json", &config, 1, &sample->diag));
	BUILD_CHECK(image_writer_finish(writer, &sample->overhead, &sample->diag));
	image_writer_destroy(writer);
}

/* The catalog's raw bytes, record by record. */
/* clang-format off */
static const uint8_t example_catalog[] = {
	/* header: 4 nodes, 2 pieces, 1 tensor, 1 stream, 1 blob, 1 shard, 2 dims, 1 parameter, 38 bytes */
	0x04, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00,
	0x01, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00,
	0x26, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	/* node 0: the root; children 1 and 2 */
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00,
	0x02, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	/* node 1: "config.json"; piece 0, 3 bytes */
	0x1b, 0x00, 0x00, 0x00, 0x0b, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x01, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	/* node 2: "quantized"; child 3 */
	0x0e, 0x00, 0x00, 0x00, 0x09, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00,
	0x01, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	/* node 3: "w.u8" in node 2; piece 1, 8 bytes */
	0x17, 0x00, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00,
	0x01, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	/* piece 0: blob 0, bytes 0 to 3 */
	0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	/* piece 1: stream 0, bytes 0 to 8 */
	0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	/* tensor 0: "w", F32, rank 2, 8 bits, asymmetric, one parameter, stream 0, node 3 */
	0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x0d, 0x02, 0x08, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xfc, 0x3f, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x34, 0x40,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xd0, 0x3f, 0x01, 0xe2, 0x86, 0xf7, 0xcc, 0x67, 0x22, 0xa1,
	0x98, 0x40, 0x13, 0x21, 0x13, 0x1e, 0x80, 0x57, 0xdd, 0x8c, 0x7d, 0xff, 0xfb, 0xee, 0x24, 0x04,
	0x84, 0xd4, 0xc8, 0x40, 0x34, 0xd2, 0xa2, 0xf0,
	/* stream 0: 2 bytes at 4096 for 8; index at 4120; blocks of 2^12; 1 table */
	0x00, 0x10, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x18, 0x10, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x29, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x08, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x0c, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00,
	/* blob 0: 11 bytes at 4104 for 3 */
	0x08, 0x10, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x0b, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	/* shard 0 */
	0x01, 0x00, 0x00, 0x00, 0x0d, 0x00, 0x00, 0x00,
	/* dims: 2, 4 */
	0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	/* parameter 0: 0.5, 66 */
	0x00, 0x00, 0x00, 0x3f, 0x42, 0x00, 0x00, 0x00,
	/* strings */
	0x77, 0x6d, 0x2e, 0x73, 0x61, 0x66, 0x65, 0x74, 0x65, 0x6e, 0x73, 0x6f, 0x72, 0x73, 0x71, 0x75,
	0x61, 0x6e, 0x74, 0x69, 0x7a, 0x65, 0x64, 0x77, 0x2e, 0x75, 0x38, 0x63, 0x6f, 0x6e, 0x66, 0x69,
	0x67, 0x2e, 0x6a, 0x73, 0x6f, 0x6e,
};
/* clang-format on */

static uint8_t *read_all(int fd, size_t *size)
{
	uint8_t *bytes;

	*size = (size_t)lseek(fd, 0, SEEK_END);
	bytes = malloc(*size);
	cr_assert_eq(pread(fd, bytes, *size, 0), (ssize_t)*size);
	return bytes;
}

/* The example of docs/format.md lies in the file exactly as the page says. */
Test(image_format, example)
{
	static const uint8_t magic[] = {0x89, 'E', 'F', 'S', '\r', '\n', 0x1a, '\n'};
	const struct efs_stream *stream;
	struct efs_superblock super;
	struct sample sample;
	uint8_t *image, *raw;
	uint32_t checksum;
	size_t size;

	build_example(&sample);
	image = read_all(sample.fd, &size);
	memcpy(&super, image, sizeof(super));
	cr_assert_eq(memcmp(image, magic, 8), 0);
	cr_assert_eq(super.version, 1);
	cr_assert_eq(super.catalog.raw_size, sizeof(example_catalog));
	cr_assert_eq(super.image_size, size);
	cr_assert_eq(super.hash_size, 0, "one leaf: its hash is the root");
	cr_assert_str_eq(super.generator, "example 1");

	raw = reseal_section(image, size, &super.catalog);
	cr_assert_eq(memcmp(raw + 0x1a8, example_catalog + 0x1a8, 46), 0, "the shape of the end");
	stream = (const void *)(raw + 0x140);
	cr_assert_eq(stream->offset, 4096);
	cr_assert_eq(memcmp(image + 4096, "\x9a\x22\0\0\0\0\0\0{}\n", 11), 0);
	cr_assert_eq(memcmp(image + 4107, "\x03\0\0\0\x06\xb0\xa1\xdd", 8), 0, "efs_chunk");
	/* Only what zstd makes of an index or catalog may differ between its releases. */
	memcpy(raw + 0x160, example_catalog + 0x160, 8);
	cr_assert_eq(memcmp(raw, example_catalog, sizeof(example_catalog)), 0);
	free(raw);

	stream = (const void *)(example_catalog + 0x140);
	raw = reseal_section(image, size, &stream->index);
	checksum = checksum_of(codes, sizeof(codes));
	cr_assert_eq(stream->index.raw_size, 256 + 8);
	cr_assert_eq(raw['A'], 0x01);
	cr_assert_eq(raw['B'], 0x12);
	cr_assert_eq(raw[0], 0xff);
	cr_assert_eq(memcmp(raw + 256, &checksum, 4), 0);
	cr_assert_eq(memcmp(raw + 260, "\x02\0\x01\0", 4), 0, "size 2, coded, table 0");
	free(raw);
	free(image);
	build_free(&sample);
}

/* ... and what the page says is in it comes out of it. */
Test(image_format, example_is_readable)
{
	struct image_scratch *scratch;
	struct image_diag diag = {0};
	struct sample sample;
	struct image *image;
	char bytes[16];
	int64_t node;

	build_example(&sample);
	cr_assert_eq(image_open(&image, sample.fd, 0, &diag), 0, "%s", diag.text);
	cr_assert_eq(image_scratch_create(&scratch), 0);
	node = image_lookup(image, 0, "quantized", 9);
	node = image_lookup(image, (uint32_t)node, "w.u8", 4);
	cr_assert_eq(node, 3);
	cr_assert_eq(image_read_file(image, 3, 0, bytes, 16, scratch, &diag), 8, "%s", diag.text);
	cr_assert_eq(memcmp(bytes, codes, 8), 0);
	image_scratch_destroy(scratch);
	image_close(image);
	build_free(&sample);
}

/* --- hash tree -------------------------------------------------------------------------------- */

/* The definition, read literally: hashes of leaves, hashes of each 4096 hashes, and so on. */
static void plain_tree(const uint8_t *hashes, size_t count, struct buffer *stored, uint8_t root[32])
{
	uint8_t *above;
	size_t groups = (count + 4095) / 4096;

	if (count == 1) {
		memcpy(root, hashes, 32);
		return;
	}
	efs_buffer_add(stored, hashes, count * 32);
	above = malloc(groups * 32);
	for (size_t i = 0; i < groups; i++) {
		size_t members = count - i * 4096 < 4096 ? count - i * 4096 : 4096;

		efs_io_sha256(hashes + i * 4096 * 32, members * 32, above + i * 32);
	}
	plain_tree(above, groups, stored, root);
	free(above);
}

/* The builder agrees with the definition for one leaf, full and started groups, three levels. */
Test(image_format, hash_tree)
{
	static const size_t counts[] = {1, 2, 3, 4095, 4096, 4097, 8192, 10000};

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		struct hash_tree tree = {0};
		struct buffer stored = {0};
		uint8_t *hashes = malloc(counts[i] * 32), root[32], expected[32];

		for (uint64_t leaf = 0; leaf < counts[i]; leaf++) {
			cr_assert_eq(efs_hash_tree_add(&tree, &leaf, sizeof(leaf)), 0);
			efs_io_sha256(&leaf, sizeof(leaf), hashes + leaf * 32);
		}
		cr_assert_eq(efs_hash_tree_finish(&tree, root), 0);
		plain_tree(hashes, counts[i], &stored, expected);
		cr_assert_eq(memcmp(root, expected, 32), 0, "root over %zu leaves", counts[i]);
		cr_assert_eq(tree.hashes.size, stored.size);
		cr_assert_eq(memcmp(tree.hashes.data, stored.data ? stored.data : (uint8_t *)"",
				    stored.size),
			     0);
		cr_assert_eq(efs_hash_tree_size(counts[i] * 131072), stored.size);
		cr_assert_eq(efs_hash_tree_size(counts[i] * 131072 - 131071), stored.size);
		efs_buffer_free(&tree.hashes);
		efs_buffer_free(&stored);
		free(hashes);
	}
}

/* --- sections --------------------------------------------------------------------------------- */

static int collect(void *to, const void *data, size_t size, struct image_diag *diag)
{
	(void)diag;
	return efs_buffer_add(to, data, size);
}

/* A section of this content behind 8 foreign bytes in a memfd. */
static struct efs_section make_section(const uint8_t *data, size_t size, int fd)
{
	struct section_builder builder = {0};
	struct efs_section section = {.offset = 8, .raw_size = size};
	struct buffer stored = {0};
	struct image_diag diag;

	cr_assert_eq(efs_section_builder_begin(&builder, collect, &stored, &diag), 0);
	cr_assert_eq(efs_section_builder_put(&builder, data, size / 3, &diag), 0);
	cr_assert_eq(efs_section_builder_put(&builder, data + size / 3, size - size / 3, &diag), 0);
	cr_assert_eq(efs_section_builder_end(&builder, &diag), 0);
	section.stored_size = builder.stored_size;
	cr_assert_eq(stored.size, section.stored_size);
	cr_assert_eq(builder.raw_size, size);
	cr_assert_eq(pwrite(fd, "8 bytes.", 8, 0), 8);
	cr_assert_eq(pwrite(fd, stored.data, stored.size, 8), (ssize_t)stored.size);
	efs_section_builder_free(&builder);
	efs_buffer_free(&stored);
	return section;
}

/* Sections come back whole and chunk by chunk, at every size around the chunk's, for bytes that
 * compress well, not at all, and so well that the chunk is filled up to 1/64. */
Test(image_format, sections)
{
	static const size_t sizes[] = {0, 1, 63, 64, 65, 700, 131071, 131072, 131073, 400000};
	struct image_diag diag = {0};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]) * 3; i++) {
		size_t size = sizes[i / 3];
		uint8_t *data = malloc(size + 1), *raw = NULL;
		struct image_file file = {.fd = build_memfd()};
		struct efs_section section;
		uint64_t chunks = (size + 131071) / 131072;

		memset(data, 'x', size + 1);
		if (i % 3 == 1)
			build_noise(data, size, i);
		if (i % 3 == 2)
			for (size_t at = 0; at < size; at++)
				data[at] = (uint8_t)(at * at >> 8);
		section = make_section(data, size, file.fd);
		cr_assert_null(efs_section_fault(&section, 8, 8 + section.stored_size));
		cr_assert_eq(efs_section_load(&file, &section, &raw, &diag), 0, "%zu: %s", size,
			     diag.text);
		cr_assert_eq(memcmp(raw, data, size), 0);
		cr_assert_geq(section.stored_size * 64, size);
		if (i % 3 == 1)
			cr_assert_eq(section.stored_size, size + chunks * 8, "stored as it is");
		if (i % 3 == 0 && size > 1000)
			cr_assert_lt(section.stored_size, size / 64 + chunks * 20, "filled up");
		free(raw);
		free(data);
		close(file.fd);
	}
}

/* What is wrong with a section's extent is found before anything is allocated for it. */
Test(image_format, section_extents)
{
	static const struct {
		struct efs_section section;
		int good;
	} cases[] = {
	    {{8, 0, 0}, 1},
	    {{104, 0, 0}, 1},         /* empty, at the very end */
	    {{8, 96, 200}, 1},        /* up to the end */
	    {{8, 97, 200}, 0},        /* one byte too far */
	    {{9, 50, 200}, 0},        /* not aligned */
	    {{0, 50, 200}, 0},        /* before the zone */
	    {{112, 0, 0}, 0},         /* behind it */
	    {{8, 0, 1}, 0},           /* nothing is stored for something */
	    {{8, 8, 0}, 0},           /* something for nothing */
	    {{8, 15, 131073}, 0},     /* no room for the chunks' records */
	    {{8, 96, 64 * 97}, 0},    /* more than 64 times */
	    {{8, 96, UINT64_MAX}, 0}, /* overflows everything */
	    {{8, UINT64_MAX - 7, 100}, 0},
	    {{UINT64_MAX - 7, 16, 100}, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		cr_assert_eq(efs_section_fault(&cases[i].section, 8, 104) == NULL, cases[i].good,
			     "case %zu", i);
}

/* Each flipped bit of a section is refused or harmless; sizes that do not add up are refused. */
Test(image_format, damaged_section)
{
	struct image_diag diag = {0};
	struct image_file file = {.fd = build_memfd()};
	uint8_t data[3000], *raw, byte;
	struct efs_section section, wrong;
	unsigned refused = 0;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i % 61 ^ i >> 8);
	section = make_section(data, sizeof(data), file.fd);
	cr_assert_lt(section.stored_size, sizeof(data));
	for (uint64_t at = 8; at < 8 + section.stored_size; at++)
		for (unsigned bit = 0; bit < 8; bit++) {
			int err;

			cr_assert_eq(pread(file.fd, &byte, 1, (off_t)at), 1);
			byte ^= (uint8_t)(1 << bit);
			cr_assert_eq(pwrite(file.fd, &byte, 1, (off_t)at), 1);
			err = efs_section_load(&file, &section, &raw, &diag);
			cr_assert(err == -EUCLEAN || (!err && !memcmp(raw, data, sizeof(data))));
			refused += err != 0;
			if (!err)
				free(raw);
			byte ^= (uint8_t)(1 << bit);
			cr_assert_eq(pwrite(file.fd, &byte, 1, (off_t)at), 1);
		}
	cr_assert_gt(refused, section.stored_size * 7);
	wrong = section;
	wrong.raw_size--;
	cr_assert_eq(efs_section_load(&file, &wrong, &raw, &diag), -EUCLEAN);
	wrong.raw_size += 2;
	cr_assert_eq(efs_section_load(&file, &wrong, &raw, &diag), -EUCLEAN);
	close(file.fd);
}

/* The records of the chunks: each wrong size is refused for what it is. */
Test(image_format, chunk_sizes)
{
	static const struct {
		uint32_t first, second;
		const char *text; /* NULL: good */
	} cases[] = {
	    {131072, 100, NULL},
	    {131073, 99, "impossible size"},  /* more than the raw bytes */
	    {131071, 101, "impossible size"}, /* the second one, too */
	    {131000, 100, "do not add up"},
	    {2047, 100, "impossible size"}, /* less than 1/64 */
	    {2048, 1, "impossible size"},
	    {131072, 0, "impossible size"},
	    {UINT32_MAX, 100, "impossible size"},
	};
	const struct efs_section section = {0, 131172 + 16, 131172};
	struct image_file file = {.fd = build_memfd()};
	struct image_diag diag;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct efs_chunk table[2] = {{cases[i].first, 0}, {cases[i].second, 0}};
		struct section_map *map = NULL;

		cr_assert_eq(efs_io_write(&file, 131172, table, sizeof(table), &diag), 0);
		cr_assert_eq(efs_section_map_load(&map, &file, &section, &diag),
			     cases[i].text ? -EUCLEAN : 0, "case %zu", i);
		cr_assert(!cases[i].text || strstr(diag.text, cases[i].text), "case %zu: %s", i,
			  diag.text);
		free(map);
	}
	close(file.fd);
}
