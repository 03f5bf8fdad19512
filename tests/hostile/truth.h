/* SPDX-License-Identifier: MIT */
/*
 * truth.h - what the streams and blobs of an image hold, kept beside it: the bytes that may be read
 * from it, and no others.
 */
#ifndef ENTROFS_TESTS_TRUTH_H
#define ENTROFS_TESTS_TRUTH_H

#include "image/reader.h"
#include "image/transcode.h"
#include "tests/unit/image_build.h"

enum { TRUTH_STREAMS = 256, TRUTH_BLOBS = 8 };

struct truth_source {
	const uint8_t *data; /* its bytes, or, of a constant one, what all of them are */
	uint64_t size;
	int is_constant;
};

/* Zero-initialised: nothing may be read. */
struct truth {
	struct truth_source streams[TRUTH_STREAMS], blobs[TRUTH_BLOBS];
};

/* That of a sample that was built; its bytes stay the sample's. */
static inline void truth_of_sample(struct truth *truth, const struct sample *sample)
{
	memset(truth, 0, sizeof(*truth));
	for (unsigned i = 0; i < SAMPLE_STREAMS; i++)
		truth->streams[i] =
		    (struct truth_source){sample->streams[i].data, sample->streams[i].size, 0};
	for (unsigned i = 0; i < SAMPLE_BLOBS; i++)
		truth->blobs[i] =
		    (struct truth_source){sample->blobs[i].data, sample->blobs[i].size, 0};
}

static inline const struct truth_source *truth_source(const struct truth *truth, uint32_t kind,
						      uint32_t number)
{
	static const struct truth_source none;

	if (kind == EFS_PIECE_STREAM)
		return number < TRUTH_STREAMS ? &truth->streams[number] : &none;
	return number < TRUTH_BLOBS ? &truth->blobs[number] : &none;
}

/* Copies the bytes of a stretch of a stream or blob; how many of them there are. */
static inline size_t truth_copy(const struct truth *truth, uint32_t kind, uint32_t number,
				uint64_t offset, uint8_t *to, size_t size)
{
	const struct truth_source *source = truth_source(truth, kind, number);

	if (offset >= source->size)
		return 0;
	if (size > source->size - offset)
		size = (size_t)(source->size - offset);
	if (source->is_constant)
		memset(to, source->data[0], size);
	else
		memcpy(to, source->data + offset, size);
	return size;
}

/* The same of what a transcode makes: its rule is the reader's own, what it is applied to is not.
 */
static inline size_t truth_copy_transcode(const struct truth *truth, const struct image *image,
					  uint32_t number, uint64_t offset, uint8_t *to,
					  size_t size)
{
	struct transcode_source sources[TRANSCODE_SOURCES_MAX];
	unsigned count = transcode_sources(image, number, offset, size, sources);
	uint64_t all = 0, known = 0;

	for (unsigned i = 0; i < count; i++)
		all += sources[i].size;
	uint8_t *bytes = malloc((size_t)all + 1);
	for (unsigned i = 0; bytes && i < count; i++)
		known += truth_copy(truth, EFS_PIECE_STREAM, sources[i].stream, sources[i].offset,
				    bytes + known, (size_t)sources[i].size);
	if (known < all)
		size = 0;
	else
		transcode(image, number, offset, size, bytes, to);
	free(bytes);
	return size;
}

/* The same of a file, by what its image says of its pieces. */
static inline size_t truth_copy_file(const struct truth *truth, const struct image *image,
				     uint32_t node, uint64_t offset, uint8_t *to, size_t size)
{
	const struct efs_node *file = image_node(image, node);
	uint64_t start = 0; /* of the piece in the file */
	size_t done = 0;

	for (uint32_t i = file->first; i < file->first + file->count && done < size; i++) {
		const struct efs_piece *piece = image_piece(image, i);
		uint64_t skip = offset + done - start;
		size_t part = size - done, known;

		start += piece->length;
		if (offset + done >= start)
			continue;
		if (part > piece->length - skip)
			part = (size_t)(piece->length - skip);
		known = piece->kind == EFS_PIECE_TRANSCODE
			    ? truth_copy_transcode(truth, image, piece->source,
						   piece->offset + skip, to + done, part)
			    : truth_copy(truth, piece->kind, piece->source, piece->offset + skip,
					 to + done, part);
		done += known;
		if (known < part)
			break;
	}
	return done;
}

#endif
