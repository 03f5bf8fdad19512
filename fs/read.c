/* SPDX-License-Identifier: MIT */
/*
 * read.c - ranges of files by pread() and decoding in the calling thread; see read.h.
 *
 * Each read takes a buffer with its decoding memory from a pool and puts it back after the reply.
 * The pool is a stack, so that the memory used last, still warm in the cache, is used next; there
 * are never more buffers than reads were under way at once. Its lock covers a push or a pop.
 */
#include "fs/read.h"

#include "fs/damage.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

enum {
	PAGE_ALIGN = 4096, /* so that the kernel copies whole pages out of a buffer */
};

struct read_buffer {
	struct read_buffer *next; /* in the pool */
	struct image_scratch *scratch;
	uint8_t *data;
	size_t capacity; /* bytes of data */
};

struct reader {
	struct image *image;
	const char *name;
	pthread_mutex_t lock; /* of free */
	struct read_buffer *free;
};

int reader_create(struct reader **reader, struct image *image, const char *name)
{
	struct reader *new = calloc(1, sizeof(*new));
	if (!new)
		return -ENOMEM;
	new->image = image;
	new->name = name;
	pthread_mutex_init(&new->lock, NULL);
	*reader = new;
	return 0;
}

static void destroy_buffer(struct read_buffer *buffer)
{
	image_scratch_destroy(buffer->scratch);
	free(buffer->data);
	free(buffer);
}

void reader_destroy(struct reader *reader)
{
	if (!reader)
		return;
	while (reader->free) {
		struct read_buffer *buffer = reader->free;
		reader->free = buffer->next;
		destroy_buffer(buffer);
	}
	pthread_mutex_destroy(&reader->lock);
	free(reader);
}

static struct read_buffer *pop_buffer(struct reader *reader)
{
	pthread_mutex_lock(&reader->lock);
	struct read_buffer *buffer = reader->free;
	if (buffer)
		reader->free = buffer->next;
	pthread_mutex_unlock(&reader->lock);
	return buffer;
}

static void push_buffer(struct reader *reader, struct read_buffer *buffer)
{
	pthread_mutex_lock(&reader->lock);
	buffer->next = reader->free;
	reader->free = buffer;
	pthread_mutex_unlock(&reader->lock);
}

static struct read_buffer *create_buffer(void)
{
	struct read_buffer *buffer = calloc(1, sizeof(*buffer));
	if (buffer && image_scratch_create(&buffer->scratch)) {
		free(buffer);
		return NULL;
	}
	return buffer;
}

/* Grows a buffer to hold size bytes; its content is lost. */
static int reserve(struct read_buffer *buffer, size_t size)
{
	if (size <= buffer->capacity)
		return 0;
	free(buffer->data);
	buffer->data = NULL;
	buffer->capacity = 0;
	void *data;
	if (posix_memalign(&data, PAGE_ALIGN, size))
		return -ENOMEM;
	buffer->data = data;
	buffer->capacity = size;
	return 0;
}

/* A buffer of at least size bytes from the pool, or a new one; NULL: out of memory. */
static struct read_buffer *take_buffer(struct reader *reader, size_t size)
{
	struct read_buffer *buffer = pop_buffer(reader);
	if (!buffer)
		buffer = create_buffer();
	if (!buffer)
		return NULL;
	if (reserve(buffer, size)) {
		push_buffer(reader, buffer);
		return NULL;
	}
	return buffer;
}

/* Fills data[0..size) from the file's pieces; the range lies within it. */
static int read_pieces(struct reader *reader, uint32_t node, uint64_t offset, uint8_t *data,
		       size_t size, struct image_scratch *scratch)
{
	struct image *image = reader->image;
	uint64_t start = 0; /* of the piece, in the file */
	int64_t number = image_find_piece(image, node, offset, &start);
	for (; size; number++) {
		const struct efs_piece *piece = image_piece(image, (uint32_t)number);
		uint64_t skip = offset - start;
		size_t part = size < piece->length - skip ? size : (size_t)(piece->length - skip);
		uint64_t from = piece->offset + skip;
		struct image_diag diag;
		diag.text[0] = '\0';
		ssize_t got =
		    piece->kind == EFS_PIECE_STREAM
			? image_read_stream(image, piece->source, from, data, part, scratch, &diag)
			: image_read_blob(image, piece->source, from, data, part, scratch, &diag);
		if (got < 0) {
			struct damage damage = {image, reader->name, node, piece, (int)got, diag};
			return damage_report(&damage);
		}
		data += part;
		size -= part;
		offset += part;
		start += piece->length;
	}
	return 0;
}

int reader_read(struct reader *reader, uint32_t node, uint64_t offset, size_t size,
		struct read_lease *lease)
{
	uint64_t file_size = image_node(reader->image, node)->size;
	uint64_t rest = offset < file_size ? file_size - offset : 0;
	if (size > rest)
		size = (size_t)rest;
	*lease = (struct read_lease){0};
	if (size == 0)
		return 0;
	struct read_buffer *buffer = take_buffer(reader, size);
	if (!buffer)
		return -ENOMEM;
	int error = read_pieces(reader, node, offset, buffer->data, size, buffer->scratch);
	if (error)
		push_buffer(reader, buffer);
	else
		*lease = (struct read_lease){buffer->data, size, buffer};
	return error;
}

void reader_release(struct reader *reader, struct read_lease *lease)
{
	if (lease->buffer)
		push_buffer(reader, lease->buffer);
	*lease = (struct read_lease){0};
}
