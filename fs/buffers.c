/* SPDX-License-Identifier: MIT */
/*
 * buffers.c - the pool of reply buffers; see buffers.h.
 *
 * The one that was put back last on the same processor is taken next: its caches may hold it still,
 * and those of another processor do not.
 *
 * Large replies lie in large pages, two in each: the kernel looks up every page that it copies from
 * on its own, which is cheaper there.
 */
#include "fs/buffers.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>

enum {
	LARGE_PAGE = 2 << 20,
	SLICE = LARGE_PAGE / 2, /* bytes; the largest request there is */
	SLICES = 16,            /* more than threads answer */
	ARENA = SLICES * SLICE,
};

struct buffers {
	pthread_mutex_t lock; /* of all below */
	struct read_buffer *free;
	void *mapping;         /* around the slices, not aligned; MAP_FAILED: none */
	unsigned slices_given; /* to buffers, for good */
};

int buffers_create(struct buffers **buffers)
{
	struct buffers *new = calloc(1, sizeof(*new));
	if (!new)
		return -ENOMEM;
	pthread_mutex_init(&new->lock, NULL);
	new->mapping = mmap(NULL, ARENA + LARGE_PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (new->mapping != MAP_FAILED)
		madvise(new->mapping, ARENA + LARGE_PAGE, MADV_HUGEPAGE);
	*buffers = new;
	return 0;
}

static void free_data(struct read_buffer *buffer)
{
	if (!buffer->is_slice)
		free(buffer->data);
	buffer->data = NULL;
	buffer->capacity = 0;
}

static void destroy_buffer(struct read_buffer *buffer)
{
	streams_work_free(&buffer->work);
	free_data(buffer);
	free(buffer->source);
	free(buffer);
}

void buffers_destroy(struct buffers *buffers)
{
	if (!buffers)
		return;
	while (buffers->free) {
		struct read_buffer *buffer = buffers->free;
		buffers->free = buffer->next;
		destroy_buffer(buffer);
	}
	if (buffers->mapping != MAP_FAILED)
		munmap(buffers->mapping, ARENA + LARGE_PAGE);
	pthread_mutex_destroy(&buffers->lock);
	free(buffers);
}

static struct read_buffer *pop(struct buffers *buffers)
{
	int cpu = sched_getcpu();
	pthread_mutex_lock(&buffers->lock);
	struct read_buffer **link = &buffers->free;
	while (*link && (*link)->cpu != cpu)
		link = &(*link)->next;
	if (!*link)
		link = &buffers->free;
	struct read_buffer *buffer = *link;
	if (buffer)
		*link = buffer->next;
	pthread_mutex_unlock(&buffers->lock);
	return buffer;
}

void buffers_put(struct buffers *buffers, struct read_buffer *buffer)
{
	buffer->cpu = sched_getcpu();
	pthread_mutex_lock(&buffers->lock);
	buffer->next = buffers->free;
	buffers->free = buffer;
	pthread_mutex_unlock(&buffers->lock);
}

/* The next slice, NULL if all are given away. */
static uint8_t *take_slice(struct buffers *buffers)
{
	pthread_mutex_lock(&buffers->lock);
	bool is_left = buffers->mapping != MAP_FAILED && buffers->slices_given < SLICES;
	size_t number = is_left ? buffers->slices_given++ : 0;
	pthread_mutex_unlock(&buffers->lock);
	if (!is_left)
		return NULL;
	uint8_t *mapping = buffers->mapping;
	size_t lead = (LARGE_PAGE - (uintptr_t)mapping % LARGE_PAGE) % LARGE_PAGE;
	return mapping + lead + number * SLICE;
}

static uint8_t *allocate(size_t size)
{
	void *data;
	return posix_memalign(&data, BUFFERS_PAGE, size) ? NULL : data;
}

/* Grows a buffer to hold size bytes; its content is lost. */
static int reserve(struct buffers *buffers, struct read_buffer *buffer, size_t size)
{
	if (size <= buffer->capacity)
		return 0;
	uint8_t *slice = size > SLICE / 2 && size <= SLICE ? take_slice(buffers) : NULL;
	uint8_t *data = slice ? slice : allocate(size);
	if (!data)
		return -ENOMEM;
	free_data(buffer);
	buffer->data = data;
	buffer->is_slice = slice != NULL;
	buffer->capacity = slice ? SLICE : size;
	return 0;
}

static struct read_buffer *create_buffer(void)
{
	struct read_buffer *buffer = calloc(1, sizeof(*buffer));
	if (buffer && streams_work_create(&buffer->work)) {
		free(buffer);
		return NULL;
	}
	return buffer;
}

struct read_buffer *buffers_take(struct buffers *buffers, size_t size)
{
	struct read_buffer *buffer = pop(buffers);
	if (!buffer)
		buffer = create_buffer();
	if (!buffer)
		return NULL;
	if (reserve(buffers, buffer, size)) {
		buffers_put(buffers, buffer);
		return NULL;
	}
	return buffer;
}
