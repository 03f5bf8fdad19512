/* SPDX-License-Identifier: MIT */
/*
 * image_transcode.c - the numbers of codes are what the format says, rounded once; joined planes
 * are the records that were split; and any range of either is that part of all of it.
 */
#include "codec/planes.h"
#include "tests/unit/image_build.h"

#include <criterion/criterion.h>
#include <math.h>

enum { ROWS = 3, ROW = 6667, WEIGHTS = ROWS * ROW, TENSORS = 3, DTYPES = 4 };
enum { RECORDS = 9001, JOINS = 5, TRANSCODES = TENSORS * DTYPES + JOINS };

/* With 8 bits; with 4 bits, rows that begin in the middle of a byte, and parameters for each. */
static const struct {
	uint8_t bits, param_count;
	struct efs_param params[ROWS];
} plans[TENSORS] = {
    {8, 1, {{0.0123f, 131}}},
    {4, 1, {{-3.0e-6f, 7}}}, /* subnormal as F16 */
    {4, ROWS, {{1.7e38f, -20}, {0.1f, 8}, {1e-39f, 2000000011}}},
};
static const uint8_t dtypes[DTYPES] = {EFS_F16, EFS_BF16, EFS_F32, EFS_F64};
static const unsigned sizes[DTYPES] = {2, 2, 4, 8};

static const struct planes joins[JOINS] = {
    {.unit = 2, .word = 2, .count = 2, .size = {1, 1}},
    {.unit = 4, .word = 4, .count = 4, .size = {1, 1, 1, 1}},
    {.unit = 34, .count = 3, .size = {1, 1, 32}},
    {.unit = 1024, .word = 2, .count = 8, .size = {1, 2, 3, 4, 5, 6, 7, 996}},
    {.unit = 1, .count = 1, .size = {1}},
};

struct fixture {
	struct sample sample;
	struct image *image;
	struct image_scratch *scratch;
	struct image_diag diag;
	uint8_t *records; /* as many of the longest */
};

static size_t stream_size(unsigned tensor)
{
	return plans[tensor].bits == 8 ? WEIGHTS : (WEIGHTS + 1) / 2;
}

static void add_tensor(struct sample *sample, struct image_writer *writer, unsigned i)
{
	static const uint64_t dims[] = {ROWS, ROW};
	static const char *const paths[] = {"0", "1", "2"};
	const struct efs_piece piece = {EFS_PIECE_STREAM, i, 0, stream_size(i)};
	const struct image_tensor_spec spec = {.name = paths[i],
					       .name_size = 1,
					       .shard = "s",
					       .path = paths[i],
					       .dims = dims,
					       .params = plans[i].params,
					       .stream = i,
					       .record = {.source_dtype = EFS_F32,
							  .rank = 2,
							  .bits = plans[i].bits,
							  .scheme = EFS_ASYMMETRIC,
							  .param_count = plans[i].param_count}};

	BUILD_CHECK(image_writer_add_tensor(writer, &spec, &sample->diag));
	BUILD_CHECK(image_writer_add_file(writer, paths[i], &piece, 1, &sample->diag));
	for (unsigned d = 0; d < DTYPES; d++) {
		const struct efs_transcode record = {.rule = EFS_DEQUANTIZE,
						     .dtype = dtypes[d],
						     .tensor = i,
						     .raw_size = (uint64_t)WEIGHTS * sizes[d]};
		uint32_t number;

		BUILD_CHECK(image_writer_add_transcode(writer, &record, &number, &sample->diag));
		cr_assert_eq(number, i * DTYPES + d);
	}
}

/* The planes of the records, and what joins them. */
static void add_join(struct fixture *f, struct image_writer *writer, unsigned i)
{
	struct sample *sample = &f->sample;
	const struct planes *planes = &joins[i];
	struct efs_transcode record = {.rule = EFS_JOIN,
				       .word = planes->word,
				       .plane_count = planes->count,
				       .first_stream = UINT32_MAX,
				       .raw_size = (uint64_t)RECORDS * planes->unit};
	uint8_t *parts[PLANES_COUNT_MAX];
	uint32_t number;

	for (unsigned k = 0; k < planes->count; k++)
		parts[k] = malloc((size_t)RECORDS * planes->size[k]);
	planes_split(planes, f->records, RECORDS, parts);
	for (unsigned k = 0; k < planes->count; k++) {
		struct image_cost cost;
		uint32_t stream = build_stream(sample, writer, parts[k],
					       (size_t)RECORDS * planes->size[k], 12, 1, &cost);

		record.first_stream = k ? record.first_stream : stream;
		record.plane_size[k] = planes->size[k];
		free(parts[k]);
	}
	BUILD_CHECK(image_writer_add_transcode(writer, &record, &number, &sample->diag));
	cr_assert_eq(number, TENSORS * DTYPES + i);
}

static void set_up(struct fixture *f)
{
	struct sample *sample = &f->sample;
	struct image_writer *writer;

	*f = (struct fixture){.sample = {.fd = build_memfd()}};
	BUILD_CHECK(image_writer_create(&writer, sample->fd, "tests 1", &sample->diag));
	for (unsigned i = 0; i < TENSORS; i++) {
		sample->streams[i].size = stream_size(i);
		sample->streams[i].data = malloc(stream_size(i));
		build_noise(sample->streams[i].data, stream_size(i), i + 1);
		build_stream(sample, writer, sample->streams[i].data, stream_size(i), 12, 1,
			     &sample->streams[i].cost);
	}
	for (unsigned i = 0; i < TENSORS; i++)
		add_tensor(sample, writer, i);
	f->records = malloc((size_t)RECORDS * PLANES_UNIT_MAX);
	build_noise(f->records, (size_t)RECORDS * PLANES_UNIT_MAX, 77);
	for (unsigned i = 0; i < JOINS; i++)
		add_join(f, writer, i);
	BUILD_CHECK(image_writer_finish(writer, &sample->overhead, &sample->diag));
	image_writer_destroy(writer);
	cr_assert_eq(image_open(&f->image, sample->fd, 0, &f->diag), 0, "%s", f->diag.text);
	cr_assert_eq(image_scratch_create(&f->scratch), 0);
}

static void tear_down(struct fixture *f)
{
	image_scratch_destroy(f->scratch);
	image_close(f->image);
	build_free(&f->sample);
	free(f->records);
}

/* All bytes of a transcode; the caller frees them. */
static uint8_t *read_all(struct fixture *f, uint32_t number)
{
	size_t size = (size_t)image_transcode(f->image, number)->raw_size;
	uint8_t *all = malloc(size + 1);

	cr_assert_eq(image_read_transcode(f->image, number, 0, all, size + 1, f->scratch, &f->diag),
		     (ssize_t)size, "%s", f->diag.text);
	return all;
}

/* The product as a long double is exact: a scale has 24 bits, a difference of codes 33. */
static long double number_of(const struct fixture *f, unsigned tensor, unsigned weight)
{
	const uint8_t *codes = f->sample.streams[tensor].data;
	const struct efs_param *param =
	    &plans[tensor].params[plans[tensor].param_count == 1 ? 0 : weight / ROW];
	int64_t code = plans[tensor].bits == 8 ? codes[weight]
		       : weight % 2            ? codes[weight / 2] >> 4
					       : codes[weight / 2] & 15;

	return (long double)param->scale * (long double)(code - param->zero_point);
}

/* F32 and F64 are the exact products, rounded by the compiler's conversion. (F16 and BF16 come from
 * the same kernels, which tests/unit/codec_dequant.c holds against arithmetic in integers.) */
Test(image_transcode, numbers)
{
	struct fixture f;

	set_up(&f);
	for (unsigned i = 0; i < TENSORS; i++) {
		uint8_t *floats = read_all(&f, i * DTYPES + 2);
		uint8_t *doubles = read_all(&f, i * DTYPES + 3);

		for (unsigned w = 0; w < WEIGHTS; w++) {
			long double exact = number_of(&f, i, w);
			float as_float = (float)exact, one;
			double as_double = (double)exact, two;

			memcpy(&one, floats + 4 * (size_t)w, sizeof(one));
			memcpy(&two, doubles + 8 * (size_t)w, sizeof(two));
			cr_assert_eq(memcmp(&one, &as_float, sizeof(one)), 0,
				     "tensor %u, weight %u: %a, not %a", i, w, (double)one,
				     (double)as_float);
			cr_assert_eq(memcmp(&two, &as_double, sizeof(two)), 0,
				     "tensor %u, weight %u: %a, not %a", i, w, two, as_double);
		}
		free(floats);
		free(doubles);
	}
	tear_down(&f);
}

Test(image_transcode, records)
{
	struct fixture f;

	set_up(&f);
	for (uint32_t i = 0; i < JOINS; i++) {
		uint8_t *all = read_all(&f, TENSORS * DTYPES + i);

		cr_assert_eq(memcmp(all, f.records, (size_t)RECORDS * joins[i].unit), 0, "join %u",
			     i);
		free(all);
	}
	tear_down(&f);
}

/* Ranges that begin and end anywhere, within numbers, too, touch nothing beside them. */
Test(image_transcode, ranges)
{
	enum { TRIES = 400 };
	struct fixture f;
	uint64_t state = 5;

	set_up(&f);
	for (uint32_t number = 0; number < TRANSCODES; number++) {
		size_t size = (size_t)image_transcode(f.image, number)->raw_size;
		uint8_t *all = read_all(&f, number), *part = malloc(size + 1);

		for (unsigned i = 0; i < TRIES; i++) {
			size_t from = build_random(&state) % (size + 1);
			size_t most = i % 2 ? 40 : size, want = build_random(&state) % most;
			size_t left = size - from, get = want < left ? want : left;

			memset(part, 0xa5, size + 1);
			cr_assert_eq(image_read_transcode(f.image, number, from, part, want,
							  f.scratch, &f.diag),
				     (ssize_t)get, "%s", f.diag.text);
			cr_assert_eq(memcmp(part, all + from, get), 0, "transcode %u: %zu from %zu",
				     number, get, from);
			cr_assert_eq(part[get], 0xa5);
		}
		free(all);
		free(part);
	}
	tear_down(&f);
}
