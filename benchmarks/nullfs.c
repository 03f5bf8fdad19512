/* SPDX-License-Identifier: MIT */
/*
 * nullfs.c - the ceiling: a FUSE server that answers reads as entrofs does, from memory that is
 * already there.
 *
 *   nullfs BYTES READAHEAD MOUNTPOINT
 *
 * One file, `data`, of BYTES bytes; the kernel is asked to read READAHEAD bytes ahead. Stays in the
 * foreground; ends at SIGTERM or when unmounted.
 */
#include "fs/libfuse.h"
#include "fs/session.h"

#include <errno.h>
#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { DATA_INO = 2 };

static uint64_t data_size;
static struct session_readahead kernel_readahead;
static uint8_t *content; /* SESSION_REQUEST_MAX bytes, the reply to everything */

static struct stat attributes(fuse_ino_t ino)
{
	return (struct stat){.st_ino = ino,
			     .st_mode = ino == DATA_INO ? S_IFREG | 0444 : S_IFDIR | 0555,
			     .st_nlink = 1,
			     .st_size = ino == DATA_INO ? (off_t)data_size : 0};
}

static void null_init(void *userdata, struct fuse_conn_info *conn)
{
	(void)userdata;
	session_configure(conn);
}

static void null_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param entry = {.ino = DATA_INO,
					 .attr = attributes(DATA_INO),
					 .attr_timeout = DBL_MAX,
					 .entry_timeout = DBL_MAX};
	if (parent != FUSE_ROOT_ID || strcmp(name, "data") != 0)
		fuse_reply_err(req, ENOENT);
	else
		fuse_reply_entry(req, &entry);
}

static void null_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info)
{
	(void)info;
	struct stat attr = attributes(ino);
	fuse_reply_attr(req, &attr, DBL_MAX);
}

static void null_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info)
{
	(void)ino;
	session_ask_readahead(&kernel_readahead);
	session_open(info);
	fuse_reply_open(req, info);
}

static void null_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		      struct fuse_file_info *info)
{
	(void)ino, (void)info;
	uint64_t rest = (uint64_t)offset < data_size ? data_size - (uint64_t)offset : 0;
	fuse_reply_buf(req, (const char *)content, size < rest ? size : (size_t)rest);
}

int main(int argc, char **argv)
{
	if (argc == 4) {
		data_size = strtoull(argv[1], NULL, 10);
		kernel_readahead =
		    session_want_readahead(realpath(argv[3], NULL), strtoull(argv[2], NULL, 10));
	}
	if (!data_size || !kernel_readahead.mountpoint) {
		fprintf(stderr, "usage: nullfs BYTES READAHEAD MOUNTPOINT\n");
		return 2;
	}
	content = aligned_alloc(4096, SESSION_REQUEST_MAX);
	if (!content)
		return 1;
	for (size_t i = 0; i < SESSION_REQUEST_MAX; i++)
		content[i] = (uint8_t)(i * 31);
	struct fuse_lowlevel_ops ops = {.init = null_init,
					.lookup = null_lookup,
					.getattr = null_getattr,
					.open = null_open,
					.read = null_read};
	char options[64];
	snprintf(options, sizeof(options), "ro,max_read=%d", SESSION_REQUEST_MAX);
	char *words[] = {argv[0], "-o", options, NULL};
	struct fuse_args args = FUSE_ARGS_INIT(3, words);
	struct fuse_session *session = fuse_session_new(&args, &ops, sizeof(ops), NULL);
	if (!session || fuse_set_signal_handlers(session) ||
	    fuse_session_mount(session, kernel_readahead.mountpoint))
		return 1;
	int result = session_serve(session, false);
	fuse_session_unmount(session);
	fuse_session_destroy(session);
	free(content);
	return result < 0;
}
