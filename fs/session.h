/* SPDX-License-Identifier: MIT */
/*
 * session.h - how requests come from the kernel: their size, their number, the threads that answer.
 *
 * The same for the daemon and for the null server that its speed is measured against.
 */
#ifndef ENTROFS_SESSION_H
#define ENTROFS_SESSION_H

#include "fs/libfuse.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum {
	SESSION_REQUEST_MAX = 1 << 20, /* bytes of the largest READ; also to be a mount option */
};

/* For the init operation of a file system that never changes. */
void session_configure(struct fuse_conn_info *conn);

/* For the open operation of a file that never changes. */
void session_open(struct fuse_file_info *info);

/* How far the kernel reads ahead in the files of a mount. */
struct session_readahead {
	const char *mountpoint; /* as realpath() gives it; the caller's */
	uint64_t wanted;        /* bytes */
	_Atomic uint64_t got;   /* bytes; 0: not known yet */
	pthread_mutex_t lock;   /* of asked */
	bool asked;
};

/* To be copied to its place before the first request. */
struct session_readahead session_want_readahead(const char *mountpoint, uint64_t wanted);

/*
 * Asks the kernel for it, the first time it is called; true that time. For the open operation:
 * the kernel takes the answer to INIT as an upper limit, and a file keeps what is in force when it
 * has been opened. Not for lookup, which need not come first: who lists a directory has looked up.
 * Calls meanwhile wait, or files that are opened at the same time would get less.
 */
bool session_ask_readahead(struct session_readahead *readahead);

/* Answers requests until the mount ends or a signal asks for it: 0, that signal, or a negative
 * errno. */
int session_serve(struct fuse_session *session, bool single_thread);

#endif
