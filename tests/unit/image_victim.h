/* SPDX-License-Identifier: MIT */
/*
 * image_victim.h - an image to be damaged, and the judge of what a reader makes of the damage.
 *
 * What may happen is the same for every input, doctored or decayed:
 *
 * - It is refused, by opening it, by reading from it, or by the deep checks; with -EUCLEAN
 * (-ENOTSUP for a version or a feature, -EIO for an end that comes too early) and a line that says
 * where.
 * - Or it is served right. Right is: the bytes of streams and blobs are the ones that were once
 *   put into the image, and those of a file are the ones that the catalog says, piece by piece. The
 *   catalog is the original's, unless it has been sealed again: then it is another image, made of
 *   the same streams and blobs.
 *
 * Reads of an image that is refused late are held to the same: an error or the right bytes.
 */
#ifndef ENTROFS_TESTS_IMAGE_VICTIM_H
#define ENTROFS_TESTS_IMAGE_VICTIM_H

#include "tests/hostile/truth.h"
#include "tests/unit/image_plain.h"

#include <criterion/criterion.h>
#include <errno.h>

enum outcome { REFUSED_BY_OPEN, REFUSED_BY_READ, REFUSED_BY_DEEP_CHECK, SERVED, OUTCOMES };

enum {
	VICTIM_READ = EFS_CHUNK_SIZE,
	VICTIM_READS = 512, /* of one stream, blob or file, about */
};

struct victim {
	struct sample sample;
	struct truth truth; /* of what may be read */
	uint8_t *image;     /* mapped: what is written here is what a reader sees */
	size_t size;
	uint8_t *original;
	struct image_scratch *scratch;
	uint8_t *buffer, *expected; /* VICTIM_READ bytes each */
	unsigned inputs[OUTCOMES];  /* judged so far */
	struct image_diag diag;     /* of the last refusal */
};

static inline void victim_map(struct victim *v)
{
	v->size = (size_t)lseek(v->sample.fd, 0, SEEK_END);
	v->image = mmap(NULL, v->size, PROT_READ | PROT_WRITE, MAP_SHARED, v->sample.fd, 0);
	cr_assert_neq(v->image, MAP_FAILED);
	v->original = malloc(v->size);
	memcpy(v->original, v->image, v->size);
}

static inline void victim_setup(struct victim *v, void (*build)(struct sample *))
{
	*v = (struct victim){.buffer = malloc(VICTIM_READ), .expected = malloc(VICTIM_READ)};
	build(&v->sample);
	truth_of_sample(&v->truth, &v->sample);
	victim_map(v);
	cr_assert_eq(image_scratch_create(&v->scratch), 0);
	reseal(v->image, v->size);
	cr_assert_eq(memcmp(v->image, v->original, v->size), 0, "sealing again is exact");
}

/* The metadata uncompressed, so that its fields can be set in place. */
static inline void victim_setup_plain(struct victim *v, void (*build)(struct sample *))
{
	struct buffer out = {0};

	victim_setup(v, build);
	lay_plain(v->original, v->size, &out);
	munmap(v->image, v->size);
	free(v->original);
	cr_assert_eq(ftruncate(v->sample.fd, 0), 0);
	cr_assert_eq(pwrite(v->sample.fd, out.data, out.size, 0), (ssize_t)out.size);
	victim_map(v);
	efs_buffer_free(&out);
}

static inline void victim_restore(struct victim *v)
{
	memcpy(v->image, v->original, v->size);
}

/* Says what became of the inputs; tests/run.py shows such lines. */
static inline void victim_report(struct victim *v, const char *what)
{
	printf("inputs: %s: %u: refused %u by open, %u by reads, %u by the deep checks; "
	       "served right %u\n",
	       what, v->inputs[0] + v->inputs[1] + v->inputs[2] + v->inputs[3], v->inputs[0],
	       v->inputs[1], v->inputs[2], v->inputs[3]);
	memset(v->inputs, 0, sizeof(v->inputs));
}

static inline void victim_teardown(struct victim *v)
{
	munmap(v->image, v->size);
	image_scratch_destroy(v->scratch);
	free(v->original);
	free(v->buffer);
	free(v->expected);
	build_free(&v->sample);
}

/* Holds a result that is no success to the rules. */
static inline void check_refusal(struct victim *v, int64_t error, const struct image_diag *diag)
{
	cr_assert(error == -EUCLEAN || error == -ENOTSUP || error == -EIO, "error %d: %s",
		  (int)error, diag->text);
	cr_assert_neq(diag->text[0], 0, "a refusal says why");
	cr_assert_null(strchr(diag->text, '\n'), "in one line: %s", diag->text);
	v->diag = *diag;
}

static inline ssize_t read_source(struct victim *v, struct image *image, uint32_t kind,
				  uint32_t number, uint64_t offset, size_t size,
				  struct image_diag *diag)
{
	return kind == EFS_PIECE_STREAM
		   ? image_read_stream(image, number, offset, v->buffer, size, v->scratch, diag)
		   : image_read_blob(image, number, offset, v->buffer, size, v->scratch, diag);
}

/* From one read to the next: terabytes are looked at here and there. */
static inline uint64_t stride(uint64_t size, uint64_t step)
{
	uint64_t reads = size / step;

	return reads > VICTIM_READS ? reads / VICTIM_READS * step + step / 2 + 1 : step;
}

/* Reads a stream in blocks or a blob in chunks. Returns whether all of it was served. */
static inline int judge_source(struct victim *v, struct image *image, uint32_t kind,
			       uint32_t number)
{
	uint64_t raw_size = kind == EFS_PIECE_STREAM ? image_stream(image, number)->raw_size
						     : image_blob(image, number)->raw_size;
	size_t step = kind == EFS_PIECE_STREAM ? 1 << EFS_BLOCK_LOG2_MIN : EFS_CHUNK_SIZE;
	struct image_diag diag = {0};
	int served = 1;

	for (uint64_t at = 0; at < raw_size; at += stride(raw_size, step)) {
		ssize_t got = read_source(v, image, kind, number, at, step, &diag);

		if (got < 0) {
			check_refusal(v, got, &diag);
			served = 0;
			continue;
		}
		cr_assert(truth_copy(&v->truth, kind, number, at, v->expected, (size_t)got) ==
				  (size_t)got &&
			      !memcmp(v->buffer, v->expected, (size_t)got),
			  "wrong bytes in source %u of kind %u at %llu", number, kind,
			  (unsigned long long)at);
	}
	return served;
}

static inline int judge_file(struct victim *v, struct image *image, uint32_t node)
{
	uint64_t size = image_node(image, node)->size;
	struct image_diag diag = {0};
	int served = 1;

	for (uint64_t at = 0; at < size; at += stride(size, VICTIM_READ)) {
		ssize_t got =
		    image_read_file(image, node, at, v->buffer, VICTIM_READ, v->scratch, &diag);

		if (got < 0) {
			check_refusal(v, got, &diag);
			return 0;
		}
		cr_assert_eq(truth_copy_file(&v->truth, image, node, at, v->expected, (size_t)got),
			     (size_t)got);
		cr_assert_eq(memcmp(v->buffer, v->expected, (size_t)got), 0,
			     "wrong bytes in node %u", node);
	}
	return served;
}

/* A tensor's digest against its stream, unless that is too long to hash. */
static inline int judge_digest(struct victim *v, const struct efs_tensor *tensor)
{
	const struct truth_source *source =
	    truth_source(&v->truth, EFS_PIECE_STREAM, tensor->first_stream);
	uint8_t digest[EFS_DIGEST_SIZE];

	if (source->is_constant)
		return 1;
	cr_assert_eq(efs_io_sha256(source->data, (size_t)source->size, digest), 0);
	return memcmp(digest, tensor->digest, sizeof(digest)) == 0;
}

/* Padding first: of an image that is mostly a hole it is what is wrong, and takes no time to see.
 */
static inline int judge_deep(struct victim *v, struct image *image)
{
	struct image_diag diag = {0};
	int err = image_verify_padding(image, &diag), good = 1;

	if (!err)
		err = image_verify_hashes(image, &diag);
	if (err)
		check_refusal(v, err, &diag);
	for (uint32_t i = 0; i < image_catalog(image)->tensor_count; i++)
		good &= judge_digest(v, image_tensor(image, i));
	return good && !err;
}

/* Reads all of an open image. Fails the test if anything but errors or the right bytes come. */
static inline enum outcome judge_open(struct victim *v, struct image *image)
{
	const struct efs_catalog_header *catalog = image_catalog(image);
	int served = 1;

	for (uint32_t i = 0; i < catalog->stream_count; i++)
		served &= judge_source(v, image, EFS_PIECE_STREAM, i);
	for (uint32_t i = 0; i < catalog->blob_count; i++)
		served &= judge_source(v, image, EFS_PIECE_BLOB, i);
	for (uint32_t i = 0; i < catalog->node_count; i++) {
		struct image_name name = image_string(image, image_node(image, i)->name);

		if (image_node(image, i)->type == EFS_FILE)
			served &= judge_file(v, image, i);
		cr_assert(!i || image_lookup(image, image_node(image, i)->parent, name.text,
					     name.size) == i);
	}
	if (!served)
		return REFUSED_BY_READ;
	return judge_deep(v, image) ? SERVED : REFUSED_BY_DEEP_CHECK;
}

/* Opens the image and reads all of it; is_sealed: its checksums were made right again. */
static inline enum outcome judge(struct victim *v, int is_sealed)
{
	const struct efs_superblock *super = (const void *)v->original;
	struct image_diag diag = {0};
	enum outcome outcome = REFUSED_BY_OPEN;
	struct image *image;
	int err = image_open(&image, v->sample.fd, 0, &diag);

	if (err) {
		check_refusal(v, err, &diag);
	} else {
		cr_assert(
		    is_sealed ||
			(image_superblock(image)->catalog.raw_size == super->catalog.raw_size &&
			 !memcmp(image_superblock(image)->digest, super->digest, EFS_DIGEST_SIZE)),
		    "an image that opens is the one that was written");
		outcome = judge_open(v, image);
		image_close(image);
	}
	v->inputs[outcome]++;
	return outcome;
}

#endif
