/* SPDX-License-Identifier: MIT */
/*
 * image_blocks.c - tensors as blocks of ggml: what is read are the blocks of the codes, any range
 * of them that part of all; and whatever a catalog says wrongly of them is refused.
 */
#include "codec/ggml_blocks.h"
#include "tests/unit/image_build.h"

#include <criterion/criterion.h>
#include <errno.h>

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

enum { ROWS = 700, ROW = 96, BLOCKS = ROWS * ROW / 32 }; /* of Q8_0, more than a part */

/* A tensor, and a transcode of it. */
struct claim {
	uint8_t bits, type;
	struct efs_param param;
	uint64_t raw_size;
	uint64_t dims[2];
	uint32_t rows; /* with a parameter each; 0: one for all */
	uint8_t plane_count;
	uint16_t plane_size;
	const char *fault;
};

static const struct claim good[] = {
    {8, GGML_Q8_0, {0.0123291015625f, 128}, BLOCKS * 34, {ROWS, ROW}, 0, 0, 0, NULL},
    {4, GGML_Q4_0, {-0.5f, 8}, BLOCKS * 18, {ROWS, ROW}, 0, 0, 0, NULL},
    {4, GGML_Q4_1, {0.75f, 11}, BLOCKS * 20, {ROWS, ROW}, 0, 0, 0, NULL},
    {4, GGML_Q4_1, {0.75f, 0}, BLOCKS * 20, {1, ROWS *ROW}, 0, 0, 0, NULL},
};

static size_t codes_size(const struct claim *claim)
{
	return (size_t)ROWS * ROW * claim->bits / 8;
}

/* An image of the claim alone: what finishing it gives, for which its catalog is checked. */
static int build(const struct claim *claim, struct sample *sample)
{
	struct efs_param params[ROWS];
	const struct image_tensor_spec spec = {
	    .name = "w",
	    .name_size = 1,
	    .shard = "s",
	    .path = "w",
	    .dims = claim->dims,
	    .params = params,
	    .record = {.source_dtype = EFS_F16,
		       .rank = 2,
		       .bits = claim->bits,
		       .scheme = claim->bits ? EFS_ASYMMETRIC : EFS_KEPT,
		       .param_count = claim->rows ? claim->rows : claim->bits != 0}};
	const struct efs_transcode record = {.rule = EFS_GGML_BLOCKS,
					     .ggml_type = claim->type,
					     .plane_count = claim->plane_count,
					     .tensor = 0,
					     .raw_size = claim->raw_size,
					     .plane_size = {[7] = claim->plane_size}};
	size_t size = claim->bits ? codes_size(claim) : (size_t)ROWS * ROW * 2;
	const struct efs_piece pieces[] = {{EFS_PIECE_STREAM, 0, 0, size},
					   {EFS_PIECE_TRANSCODE, 0, 0, claim->raw_size}};
	struct image_writer *writer;
	uint32_t number;

	for (unsigned i = 0; i < ROWS; i++)
		params[i] = claim->param;
	*sample = (struct sample){.fd = build_memfd()};
	sample->streams[0].size = size;
	sample->streams[0].data = malloc(size);
	build_noise(sample->streams[0].data, size, 5);
	BUILD_CHECK(image_writer_create(&writer, sample->fd, "tests 1", &sample->diag));
	build_stream(sample, writer, sample->streams[0].data, size, 12, 1,
		     &sample->streams[0].cost);
	BUILD_CHECK(image_writer_add_tensor(writer, &spec, &sample->diag));
	BUILD_CHECK(image_writer_add_file(writer, "w", pieces, 1, &sample->diag));
	BUILD_CHECK(image_writer_add_transcode(writer, &record, &number, &sample->diag));
	BUILD_CHECK(image_writer_add_file(writer, "b", pieces + 1, 1, &sample->diag));
	int result = image_writer_finish(writer, &sample->overhead, &sample->diag);
	image_writer_destroy(writer);
	return result;
}

/* Byte i of all blocks, by the definition. */
static uint8_t byte_of(const struct claim *claim, const uint8_t *codes, size_t i)
{
	struct ggml_blocks blocks;
	cr_assert_eq(
	    ggml_blocks_prepare(&blocks, claim->type, claim->param.scale, claim->param.zero_point),
	    0);
	const uint8_t head[4] = {(uint8_t)blocks.d, (uint8_t)(blocks.d >> 8), (uint8_t)blocks.m,
				 (uint8_t)(blocks.m >> 8)};
	size_t block = i / blocks.size, at = i % blocks.size;

	codes += block * blocks.codes_size;
	if (at < blocks.head)
		return head[at];
	at -= blocks.head;
	if (claim->bits == 8)
		return codes[at] ^ 0x80;
	unsigned shift = at % 2 ? 4 : 0;
	return (uint8_t)((codes[at / 2] >> shift & 15) | (codes[at / 2 + 8] >> shift & 15) << 4);
}

Test(image_blocks, ranges)
{
	enum { TRIES = 300 };
	struct image_scratch *scratch;
	uint64_t state = 5;

	cr_assert_eq(image_scratch_create(&scratch), 0);
	for (size_t c = 0; c < LENGTH(good); c++) {
		struct sample sample;
		struct image *image;
		struct image_diag diag;
		size_t size = (size_t)good[c].raw_size;
		uint8_t *all = malloc(size), *part = malloc(size + 1);

		cr_assert_eq(build(&good[c], &sample), 0);
		cr_assert_eq(image_open(&image, sample.fd, 0, &diag), 0, "%s", diag.text);
		for (size_t i = 0; i < size; i++)
			all[i] = byte_of(&good[c], sample.streams[0].data, i);
		for (unsigned i = 0; i < TRIES; i++) {
			size_t from = i ? build_random(&state) % (size + 1) : 0;
			size_t want = i ? build_random(&state) % (i % 2 ? 90 : size) : size;
			size_t left = size - from, get = want < left ? want : left;

			memset(part, 0xa5, size + 1);
			cr_assert_eq(
			    image_read_transcode(image, 0, from, part, want, scratch, &diag),
			    (ssize_t)get, "%s", diag.text);
			cr_assert_eq(memcmp(part, all + from, get), 0, "%zu: %zu from %zu", c, get,
				     from);
			cr_assert_eq(part[get], 0xa5);
		}
		image_close(image);
		build_free(&sample);
		free(all);
		free(part);
	}
	image_scratch_destroy(scratch);
}

Test(image_blocks, refused)
{
	static const struct claim bad[] = {
	    {0, GGML_Q8_0, {1, 128}, BLOCKS * 34, {ROWS, ROW}, 0, 0, 0, "not quantized"},
	    {8, GGML_Q4_0, {1, 8}, BLOCKS * 18, {ROWS, ROW}, 0, 0, 0, "bits are not those"},
	    {4, GGML_Q8_0, {1, 128}, BLOCKS * 34, {ROWS, ROW}, 0, 0, 0, "bits are not those"},
	    {8, 9, {1, 128}, BLOCKS * 36, {ROWS, ROW}, 0, 0, 0, "bits are not those"},
	    {8, 0, {1, 128}, BLOCKS * 34, {ROWS, ROW}, 0, 0, 0, "bits are not those"},
	    {8, 255, {1, 128}, BLOCKS * 34, {ROWS, ROW}, 0, 0, 0, "bits are not those"},
	    {8, GGML_Q8_0, {1, 128}, BLOCKS * 34, {ROW * 50, 14}, 0, 0, 0, "no whole blocks"},
	    {8, GGML_Q8_0, {1, 128}, BLOCKS * 34, {ROWS * ROW, 1}, 0, 0, 0, "no whole blocks"},
	    {8, GGML_Q8_0, {1, 128}, BLOCKS * 34, {ROWS, ROW}, ROWS, 0, 0, "for each row"},
	    {8, GGML_Q8_0, {0.1f, 128}, BLOCKS * 34, {ROWS, ROW}, 0, 0, 0, "parameters are not"},
	    {8, GGML_Q8_0, {1e6f, 128}, BLOCKS * 34, {ROWS, ROW}, 0, 0, 0, "parameters are not"},
	    {8, GGML_Q8_0, {1, 127}, BLOCKS * 34, {ROWS, ROW}, 0, 0, 0, "parameters are not"},
	    {4, GGML_Q4_0, {1, 7}, BLOCKS * 18, {ROWS, ROW}, 0, 0, 0, "parameters are not"},
	    {4, GGML_Q4_1, {1, 16}, BLOCKS * 20, {ROWS, ROW}, 0, 0, 0, "parameters are not"},
	    {4, GGML_Q4_1, {1, -1}, BLOCKS * 20, {ROWS, ROW}, 0, 0, 0, "parameters are not"},
	    {4, GGML_Q4_1, {0x1.ffcp0f, 3}, BLOCKS * 20, {ROWS, ROW}, 0, 0, 0, "parameters are"},
	    {8, GGML_Q8_0, {1, 128}, BLOCKS * 34 - 34, {ROWS, ROW}, 0, 0, 0, "contradicts its"},
	    {8, GGML_Q8_0, {1, 128}, BLOCKS * 34 + 1, {ROWS, ROW}, 0, 0, 0, "contradicts its"},
	    {4, GGML_Q4_0, {1, 8}, BLOCKS * 20, {ROWS, ROW}, 0, 0, 0, "contradicts its"},
	    {8, GGML_Q8_0, {1, 128}, BLOCKS * 34, {ROWS, ROW}, 0, 1, 0, "reserved"},
	    {8, GGML_Q8_0, {1, 128}, BLOCKS * 34, {ROWS, ROW}, 0, 0, 1, "reserved"},
	};

	for (size_t c = 0; c < LENGTH(bad); c++) {
		struct sample sample;

		cr_assert_eq(build(&bad[c], &sample), -EINVAL, "%zu", c);
		cr_assert(strstr(sample.diag.text, bad[c].fault), "%zu: %s", c, sample.diag.text);
		build_free(&sample);
	}
}
