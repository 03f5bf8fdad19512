/* SPDX-License-Identifier: MIT */
/*
 * image.c - fuzz target: whatever an image holds, opening it and reading everything that it offers
 * neither crashes nor hangs, and what it serves agrees with its own catalog.
 *
 * The mutator knows the format: beside bytes it changes fields of records, copies, adds and removes
 * records, and puts the tree's links in order again, so that changes get past the first check.
 */
#include "tests/fuzz/image_input.h"
#include "tests/unit/image_exercise.h"
#include "tests/unit/image_fields.h"

#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
	READ_BUFFER = EXERCISE_BUFFER,
	CHANGES = 4, /* to records in one mutation, at most */
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* libFuzzer's; not there when the corpus is replayed. */
__attribute__((weak)) size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

/* What is large, or the system's, is made once: it would take longer than what is tested. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct image_scratch *scratch;
	static uint8_t *buffer;
	static int fd;
	uint8_t *image = make_image(data, &size);
	volatile uint64_t use;
	uint64_t sum = 0;

	if (!scratch) {
		buffer = malloc(READ_BUFFER);
		fd = memfd_create("image", MFD_CLOEXEC);
		if (!buffer || fd < 0 || image_scratch_create(&scratch))
			abort();
	}
	if (ftruncate(fd, 0) || pwrite(fd, image, size, 0) != (ssize_t)size)
		abort();
	exercise(fd, 0, buffer, scratch, &sum);
	use = sum;
	(void)use;
	free(image);
	return 0;
}

struct mutation {
	uint8_t *image;
	size_t size, capacity; /* bytes; whatever is in use follows the superblock */
	uint64_t state;
};

static uint32_t below(struct mutation *m, uint64_t bound)
{
	m->state = m->state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return bound ? (uint32_t)((m->state >> 33) % bound) : 0;
}

/* A value for a field: the limits, a neighbour, a power of two, anything. */
static uint64_t new_value(struct mutation *m, uint64_t old)
{
	static const uint64_t words[] = {0, 1, 2, UINT64_MAX, INT64_MAX, UINT32_MAX, INT32_MAX};

	switch (below(m, 6)) {
	case 0:
		return old + 1;
	case 1:
		return old - 1;
	case 2:
		return old ^ UINT64_C(1) << below(m, 64);
	case 3:
		return below(m, 16);
	case 4:
		return words[below(m, sizeof(words) / sizeof(words[0]))];
	default:
		return below(m, UINT32_MAX) >> below(m, 32);
	}
}

/* Sets a field of a record, or copies another record over it. */
static void change_record(struct mutation *m)
{
	const struct field *field = &image_fields[below(m, IMAGE_FIELDS)];
	size_t stride = field_part_sizes[field->part], size = field_size(field);
	struct field_place place;
	uint64_t value = 0;
	uint8_t *at;

	if (field_find(m->image, m->size, field->part, field->part >= FIELD_CHUNK ? below(m, 8) : 0,
		       &place) ||
	    !place.count || place.at + place.count * stride > m->size)
		return;
	at = m->image + place.at + below(m, place.count) * stride;
	if (below(m, 4) == 0) {
		const uint8_t *from = m->image + place.at + below(m, place.count) * stride;

		if (below(m, 2))
			memmove(at, from, stride);
		else
			memmove(at + field->at, from + field->at, size);
		return;
	}
	memcpy(&value, at + field->at, size < sizeof(value) ? size : sizeof(value));
	value = new_value(m, value);
	memcpy(at + field->at, &value, size < sizeof(value) ? size : sizeof(value));
}

/* Adds to the header's count of the records of a part: its counts are in the order of the parts. */
static void count_records(uint8_t *catalog, enum field_part part, uint32_t more)
{
	uint8_t *at = catalog + (part - FIELD_NODE) * sizeof(uint32_t);
	uint32_t count;

	memcpy(&count, at, sizeof(count));
	count += more;
	memcpy(at, &count, sizeof(count));
}

/* Doubles or removes a record of the catalog, which is the last thing in the image. */
static void resize_array(struct mutation *m)
{
	enum field_part part = FIELD_NODE + below(m, FIELD_STRINGS - FIELD_NODE + 1);
	struct efs_superblock *super = (void *)m->image;
	size_t stride = field_part_sizes[part], end;
	struct efs_chunk chunk = {0};
	struct field_place place;
	int is_removed = below(m, 3) == 0;
	uint8_t *at;

	if (field_find(m->image, m->size, part, 0, &place) || !place.count ||
	    super->catalog.offset < EFS_SUPERBLOCK_SIZE ||
	    super->catalog.raw_size + stride > EFS_CHUNK_SIZE ||
	    m->size + stride + 2 * sizeof(chunk) > m->capacity)
		return;
	end = (size_t)(super->catalog.offset + super->catalog.raw_size);
	at = m->image + place.at + below(m, place.count) * stride;
	if (is_removed) {
		memmove(at, at + stride, (size_t)(m->image + end - at) - stride);
		super->catalog.raw_size -= stride;
	} else {
		memmove(at + stride, at, (size_t)(m->image + end - at));
		super->catalog.raw_size += stride;
	}
	count_records(m->image + super->catalog.offset, part, is_removed ? UINT32_MAX : 1);
	end = (size_t)(super->catalog.offset + super->catalog.raw_size);
	chunk.stored_size = (uint32_t)super->catalog.raw_size;
	memcpy(m->image + end, &chunk, sizeof(chunk));
	super->catalog.stored_size = super->catalog.raw_size + sizeof(chunk);
	m->size = end + sizeof(chunk);
	for (; m->size % 8; m->size++)
		m->image[m->size] = 0;
}

/* Numbers what the tree's nodes refer to as the format wants it, from their counts. */
static void relink(struct mutation *m)
{
	struct field_place nodes, pieces;
	uint64_t next_node = 1, next_piece = 0;

	if (field_find(m->image, m->size, FIELD_NODE, 0, &nodes) ||
	    field_find(m->image, m->size, FIELD_PIECE, 0, &pieces))
		return;
	for (uint64_t i = 0; i < nodes.count; i++) {
		uint8_t *record = m->image + nodes.at + i * sizeof(struct efs_node);
		struct efs_node node, child;

		memcpy(&node, record, sizeof(node));
		node.first = (uint32_t)(node.type == EFS_FILE ? next_piece : next_node);
		node.size = 0;
		for (uint64_t k = 0; k < node.count; k++)
			if (node.type == EFS_FILE && next_piece < pieces.count) {
				struct efs_piece piece;

				memcpy(&piece, m->image + pieces.at + next_piece++ * sizeof(piece),
				       sizeof(piece));
				node.size += piece.length;
			} else if (node.type != EFS_FILE && next_node < nodes.count) {
				uint8_t *at =
				    m->image + nodes.at + next_node++ * sizeof(struct efs_node);

				memcpy(&child, at, sizeof(child));
				child.parent = (uint32_t)i;
				memcpy(at, &child, sizeof(child));
			} else {
				break;
			}
		memcpy(record, &node, sizeof(node));
	}
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
	struct mutation m = {.size = size, .state = seed};
	size_t body;

	if (size < HEAD || max_size < HEAD || below(&m, 4) == 0)
		return LLVMFuzzerMutate(data, size, max_size);
	m.capacity = EFS_SUPERBLOCK_SIZE + max_size - HEAD;
	m.image = expand(data, &m.size, m.capacity);
	for (unsigned i = 0; i <= below(&m, CHANGES); i++)
		if (below(&m, 5) == 0)
			resize_array(&m);
		else
			change_record(&m);
	if (below(&m, 2))
		relink(&m);
	body = m.size - EFS_SUPERBLOCK_SIZE;
	memcpy(data, m.image, HEAD);
	memcpy(data + HEAD, m.image + EFS_SUPERBLOCK_SIZE, body);
	free(m.image);
	return HEAD + body;
}
