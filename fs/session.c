/* SPDX-License-Identifier: MIT */
/* session.c - the connection with the kernel; see session.h. */
#include "fs/session.h"

#include "fs/mounted.h"

#include <errno.h>
#include <unistd.h>

enum {
	THREADS_MIN = 3,     /* one may store pages, which waits for requests that others answer */
	THREADS_MAX = 8,     /* more take turns at the same lock of the kernel, and memory each */
	BACKGROUND_MAX = 64, /* requests that the kernel may have under way, reads ahead included */
};

void session_configure(struct fuse_conn_info *conn)
{
	conn->max_read = SESSION_REQUEST_MAX;
	/* Nobody writes, but libfuse derives the pages of a request, reads included, from this. */
	conn->max_write = SESSION_REQUEST_MAX;
	/* max_readahead stays at what the kernel offers: it takes no more. */
	conn->max_background = BACKGROUND_MAX;
	conn->congestion_threshold = BACKGROUND_MAX; /* never drop a read ahead */
	/* NFS servers look up "." and ".." by number alone. */
	conn->want |= conn->capable & FUSE_CAP_EXPORT_SUPPORT;
	/* An immutable file needs no look at its mtime before each read. */
	conn->want &= ~(unsigned)FUSE_CAP_AUTO_INVAL_DATA;
}

void session_open(struct fuse_file_info *info)
{
	/* Never direct_io: it would forbid shared mappings, by which most loaders read. */
	info->keep_cache = 1;
	info->noflush = 1; /* nothing to flush, and close() works when we are gone */
}

struct session_readahead session_want_readahead(const char *mountpoint, uint64_t wanted)
{
	return (struct session_readahead){
	    .mountpoint = mountpoint, .wanted = wanted, .lock = PTHREAD_MUTEX_INITIALIZER};
}

bool session_ask_readahead(struct session_readahead *readahead)
{
	pthread_mutex_lock(&readahead->lock);
	bool first = !readahead->asked;
	if (first)
		atomic_store(&readahead->got,
			     mounted_read_ahead(readahead->mountpoint, readahead->wanted));
	readahead->asked = true;
	pthread_mutex_unlock(&readahead->lock);
	return first;
}

static unsigned thread_count(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	/* One more than can run: it waits for storage meanwhile. */
	if (cpus + 1 < THREADS_MIN)
		return THREADS_MIN;
	return cpus + 1 > THREADS_MAX ? THREADS_MAX : (unsigned)cpus + 1;
}

int session_serve(struct fuse_session *session, bool single_thread)
{
	if (single_thread)
		return fuse_session_loop(session);
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	if (!config)
		return -ENOMEM;
	fuse_loop_cfg_set_clone_fd(config, 1);
	fuse_loop_cfg_set_max_threads(config, thread_count());
	int result = fuse_session_loop_mt(session, config);
	fuse_loop_cfg_destroy(config);
	return result;
}
