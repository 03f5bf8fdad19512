/* SPDX-License-Identifier: MIT */
/*
 * fetch.c - the reads that somebody waits for, and the choice of the engine for those ahead; see
 * fetch.h.
 *
 * The descriptor for direct reads is a second one for the same open file, made by way of /proc:
 * O_DIRECT is a property of the open file, and the metadata's reads are not aligned.
 */
#include "fs/fetch.h"

#include "fs/fetch_engine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROC_PATH_SIZE 64

/* What direct reads of this file must be multiples of; 0: there are none. */
static uint32_t direct_alignment(int fd)
{
#ifdef STATX_DIOALIGN
	struct statx stat;
	if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stat) == 0 &&
	    (stat.stx_mask & STATX_DIOALIGN)) {
		uint32_t align = stat.stx_dio_offset_align;
		bool usable = align && !(align & (align - 1)) && align <= FETCH_ALIGN &&
			      stat.stx_dio_mem_align <= FETCH_ALIGN;
		return usable ? align : 0;
	}
#else
	(void)fd;
#endif
	return FETCH_ALIGN; /* enough for every storage in use */
}

/* A descriptor for direct reads of what fd has open, or -1. */
static int open_direct(int fd)
{
	char path[PROC_PATH_SIZE];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_RDONLY | O_CLOEXEC | O_DIRECT | O_NOCTTY);
}

int fetch_create(struct fetch **fetch, int fd, uint64_t base, enum fetch_mode mode)
{
	struct fetch *new = calloc(1, sizeof(*new));
	if (!new)
		return -ENOMEM;
	*new = (struct fetch){.buffered_fd = fd, .direct_fd = -1, .base = base, .align = 1};
	uint32_t align = mode == FETCH_DIRECT ? direct_alignment(fd) : 0;
	if (align)
		new->direct_fd = open_direct(fd);
	if (new->direct_fd >= 0)
		new->align = align;
	atomic_init(&new->fd, new->direct_fd >= 0 ? new->direct_fd : fd);
	*fetch = new;
	return 0;
}

int fetch_start(struct fetch *fetch, const struct fetch_buffers *buffers)
{
	int error = fetch_uring_start(fetch, buffers);
	return error ? fetch_threads_start(fetch) : 0;
}

void fetch_destroy(struct fetch *fetch)
{
	if (!fetch)
		return;
	if (fetch->engine)
		fetch->engine->stop(fetch);
	if (fetch->direct_fd >= 0)
		close(fetch->direct_fd);
	free(fetch);
}

size_t fetch_lead(const struct fetch *fetch, uint64_t offset)
{
	return (size_t)((fetch->base + offset) & (fetch->align - 1));
}

struct fetch_span fetch_span_of(const struct fetch *fetch, uint64_t offset, size_t size)
{
	size_t lead = fetch_lead(fetch, offset);
	size_t mask = fetch->align - 1;
	return (struct fetch_span){.offset = fetch->base + offset - lead,
				   .size = (lead + size + mask) & ~mask,
				   .needed = lead + size};
}

/* Some file systems accept O_DIRECT when opening and refuse it when reading. */
static bool give_up_direct(struct fetch *fetch, int error)
{
	if (error != EINVAL || atomic_load(&fetch->fd) == fetch->buffered_fd)
		return false;
	atomic_store(&fetch->fd, fetch->buffered_fd);
	return true;
}

int fetch_finish(struct fetch *fetch, const struct fetch_span *span, uint8_t *buffer, size_t have)
{
	while (have < span->needed) {
		ssize_t got = pread(atomic_load(&fetch->fd), buffer + have, span->size - have,
				    (off_t)(span->offset + have));
		if (got < 0) {
			if (errno == EINTR || errno == EAGAIN || give_up_direct(fetch, errno))
				continue;
			return -errno;
		}
		size_t end = have + (size_t)got;
		if (end >= span->needed)
			return 0;
		/* The next read must be aligned, too. */
		end &= ~(size_t)(fetch->align - 1);
		if (end == have)
			return -EIO; /* the file ends here */
		have = end;
	}
	return 0;
}

int fetch_read(struct fetch *fetch, uint64_t offset, size_t size, uint8_t *buffer)
{
	struct fetch_span span = fetch_span_of(fetch, offset, size);
	return fetch_finish(fetch, &span, buffer, 0);
}

void fetch_ahead(struct fetch *fetch, struct fetch_request *list)
{
	if (fetch->engine) {
		fetch->engine->submit(fetch, list);
		return;
	}
	while (list) {
		struct fetch_request *request = list;
		list = list->next;
		request->done(request, -EBUSY);
	}
}

void fetch_advise(struct fetch *fetch, uint64_t offset, uint64_t size)
{
	posix_fadvise(fetch->buffered_fd, (off_t)(fetch->base + offset), (off_t)size,
		      POSIX_FADV_WILLNEED);
}

const char *fetch_engine(const struct fetch *fetch)
{
	return fetch->engine ? fetch->engine->name : "none";
}

bool fetch_is_direct(const struct fetch *fetch)
{
	return atomic_load(&fetch->fd) == fetch->direct_fd;
}
