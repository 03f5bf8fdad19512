/* SPDX-License-Identifier: MIT */
/*
 * ops.h - the FUSE requests, answered from an image.
 *
 * An inode number is a node number + 1, so the root is FUSE_ROOT_ID and numbers are the same on
 * every mount. Nothing changes while an image is mounted: the kernel may keep all that it is told.
 */
#ifndef ENTROFS_OPS_H
#define ENTROFS_OPS_H

#include "fs/libfuse.h"
#include "fs/pages.h"
#include "fs/push.h"
#include "fs/read.h"
#include "fs/session.h"

#include <stdbool.h>
#include <time.h>

/* A mounted image: what the requests need. Immutable while mounted, but for what the reader, the
 * image and the readahead guard themselves. */
struct ops_volume {
	struct image *image;
	struct reader *reader;
	struct session_readahead readahead;
	struct push push;
	struct pages *pages;  /* told what is served; NULL: nobody is */
	struct timespec time; /* of every file: the image file's */
	bool show_stats;      /* as an extended attribute of the root */
	bool tell_readahead;  /* log it if it is less than what was wanted */
	uid_t uid;
	gid_t gid;
	mode_t umask;
};

/* For fuse_session_new(), with a struct ops_volume as user data. */
struct fuse_lowlevel_ops ops_table(void);

/* Adds the answers to whatever would write: EROFS. */
void ops_refuse_writes(struct fuse_lowlevel_ops *ops);

#endif
