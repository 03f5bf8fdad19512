/* SPDX-License-Identifier: MIT */
/*
 * ops.c - the FUSE requests; see ops.h.
 *
 * FORGET is left to libfuse: nodes live as long as the image, nothing counts references. So are
 * RELEASE: unanswered once, the kernel stops asking. ACCESS is the
 * kernel's affair (default_permissions).
 */
#include "fs/ops.h"

#include "fs/log.h"
#include "fs/report.h"

#include <errno.h>
#include <fcntl.h>
#include <float.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#define FOREVER DBL_MAX /* seconds for which the kernel may keep a name or an attribute */

#define STATS_ATTRIBUTE "user.entrofs.stats"

enum {
	NAME_MAX_BYTES = 255,
	STATFS_BLOCK = 4096, /* bytes */
	/* Bytes that stat() recommends for a read; a power of two, as some loaders use it as a
	 * mask. Copying programs read in such pieces. */
	READ_UNIT = 1 << 17,
	STATS_GROWTH = 256, /* bytes by which numbers may grow between asking for size and text */
};

static struct ops_volume *volume_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

/* The node with this inode number; NULL if there is none, as an old NFS handle may ask. */
static const struct efs_node *node_of(const struct ops_volume *volume, fuse_ino_t ino)
{
	if (ino == 0 || ino - 1 >= image_catalog(volume->image)->node_count)
		return NULL;
	return image_node(volume->image, (uint32_t)(ino - 1));
}

static nlink_t link_count(const struct ops_volume *volume, const struct efs_node *node)
{
	if (node->type != EFS_DIRECTORY)
		return 1;
	nlink_t links = 2;
	for (uint32_t i = 0; i < node->count; i++)
		links += image_node(volume->image, node->first + i)->type == EFS_DIRECTORY;
	return links;
}

static struct stat attributes(const struct ops_volume *volume, fuse_ino_t ino,
			      const struct efs_node *node)
{
	mode_t mode = node->type == EFS_DIRECTORY ? S_IFDIR | 0555 : S_IFREG | 0444;
	return (struct stat){
	    .st_ino = ino,
	    .st_mode = mode & ~volume->umask,
	    .st_nlink = link_count(volume, node),
	    .st_uid = volume->uid,
	    .st_gid = volume->gid,
	    .st_size = (off_t)node->size,
	    .st_blksize = READ_UNIT,
	    .st_blocks = (blkcnt_t)(node->size / 512 + (node->size % 512 != 0)),
	    .st_atim = volume->time,
	    .st_mtim = volume->time,
	    .st_ctim = volume->time,
	};
}

static struct fuse_entry_param entry_of(const struct ops_volume *volume, fuse_ino_t ino)
{
	return (struct fuse_entry_param){
	    .ino = ino,
	    .attr = attributes(volume, ino, image_node(volume->image, (uint32_t)(ino - 1))),
	    .attr_timeout = FOREVER,
	    .entry_timeout = FOREVER,
	};
}

static void ops_init(void *userdata, struct fuse_conn_info *conn)
{
	(void)userdata;
	session_configure(conn);
}

/* How far the kernel reads ahead is a matter of privilege, and worth knowing. */
static void ask_readahead(struct ops_volume *volume)
{
	struct session_readahead *readahead = &volume->readahead;
	if (!session_ask_readahead(readahead))
		return;
	uint64_t got = atomic_load(&readahead->got);
	if (volume->tell_readahead && got && got < readahead->wanted)
		log_note("'%s': the kernel reads %llu KiB ahead of a reader; root can let it read "
			 "more, see entrofs(1)",
			 readahead->mountpoint, (unsigned long long)got / 1024);
}

static void ops_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct ops_volume *volume = volume_of(req);
	const struct efs_node *directory = node_of(volume, parent);
	size_t size = strlen(name);
	if (!directory) {
		fuse_reply_err(req, ESTALE);
		return;
	}
	int64_t node;
	if (strcmp(name, ".") == 0) {
		node = (int64_t)parent - 1;
	} else if (strcmp(name, "..") == 0) {
		node = directory->parent;
	} else if (size > NAME_MAX_BYTES) {
		fuse_reply_err(req, ENAMETOOLONG);
		return;
	} else {
		node = image_lookup(volume->image, (uint32_t)(parent - 1), name, size);
	}
	struct fuse_entry_param none = {.entry_timeout = FOREVER}; /* "there is none", for good */
	struct fuse_entry_param entry = node < 0 ? none : entry_of(volume, (fuse_ino_t)node + 1);
	if (node < 0 && node != -ENOENT)
		fuse_reply_err(req, (int)-node);
	else
		fuse_reply_entry(req, &entry);
}

static void ops_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info)
{
	(void)info;
	const struct ops_volume *volume = volume_of(req);
	const struct efs_node *node = node_of(volume, ino);
	if (!node) {
		fuse_reply_err(req, ESTALE);
		return;
	}
	struct stat attr = attributes(volume, ino, node);
	fuse_reply_attr(req, &attr, FOREVER);
}

static void ops_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info)
{
	const struct efs_node *node = node_of(volume_of(req), ino);
	if (!node || node->type != EFS_DIRECTORY) {
		fuse_reply_err(req, node ? ENOTDIR : ESTALE);
		return;
	}
	info->cache_readdir = 1;
	info->keep_cache = 1;
	fuse_reply_open(req, info);
}

/*
 * Appends entry number `index` of a directory ("." is 0, ".." 1) to out[0..room): the bytes it
 * takes, more than room if it does not fit. An entry's offset is the number of the next one.
 */
static size_t add_entry(fuse_req_t req, const struct ops_volume *volume, fuse_ino_t ino,
			uint64_t index, bool plus, char *out, size_t room)
{
	const struct efs_node *node = image_node(volume->image, (uint32_t)(ino - 1));
	char name[NAME_MAX_BYTES + 1] = ".";
	struct fuse_entry_param entry = {.attr = {.st_ino = ino, .st_mode = S_IFDIR}};
	if (index == 1) {
		strcpy(name, "..");
		entry.attr.st_ino = (ino_t)node->parent + 1;
	} else if (index > 1) {
		uint32_t child = node->first + (uint32_t)(index - 2);
		struct image_name text =
		    image_string(volume->image, image_node(volume->image, child)->name);
		memcpy(name, text.text, text.size);
		name[text.size] = '\0';
		entry = entry_of(volume, (fuse_ino_t)child + 1);
	}
	off_t next = (off_t)index + 1;
	return plus ? fuse_add_direntry_plus(req, out, room, name, &entry, next)
		    : fuse_add_direntry(req, out, room, name, &entry.attr, next);
}

static void list(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, bool plus)
{
	const struct ops_volume *volume = volume_of(req);
	const struct efs_node *node = node_of(volume, ino);
	if (!node || node->type != EFS_DIRECTORY || offset < 0) {
		fuse_reply_err(req, !node ? ESTALE : offset < 0 ? EINVAL : ENOTDIR);
		return;
	}
	char *out = malloc(size);
	if (!out) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	size_t used = 0;
	uint64_t count = (uint64_t)node->count + 2;
	for (uint64_t i = (uint64_t)offset; i < count; i++) {
		size_t need = add_entry(req, volume, ino, i, plus, out + used, size - used);
		if (need > size - used)
			break;
		used += need;
	}
	fuse_reply_buf(req, out, used);
	free(out);
}

static void ops_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
			struct fuse_file_info *info)
{
	(void)info;
	list(req, ino, size, offset, false);
}

static void ops_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
			    struct fuse_file_info *info)
{
	(void)info;
	list(req, ino, size, offset, true);
}

static void ops_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info)
{
	struct ops_volume *volume = volume_of(req);
	const struct efs_node *node = node_of(volume, ino);
	if (!node) {
		fuse_reply_err(req, ESTALE);
	} else if (node->type != EFS_FILE) {
		fuse_reply_err(req, EISDIR);
	} else if ((info->flags & O_ACCMODE) != O_RDONLY) {
		fuse_reply_err(req, EROFS);
	} else {
		ask_readahead(volume);
		session_open(info);
		fuse_reply_open(req, info);
	}
}

/* Replies with a range of a file; next as for reader_read(). */
static void reply_range(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
			struct read_next *next)
{
	struct ops_volume *volume = volume_of(req);
	struct read_lease lease;
	int error =
	    reader_read(volume->reader, (uint32_t)(ino - 1), (uint64_t)offset, size, next, &lease);
	if (error) {
		fuse_reply_err(req, -error);
		return;
	}
	fuse_reply_buf(req, lease.data, lease.size);
	if (volume->pages)
		pages_note(volume->pages, ino, (uint64_t)offset, lease.size);
	/* The kernel reads ahead by several requests at once, and its reader waits for the first of
	 * them: now it shall run here while other threads make the rest, rather than wait for a
	 * processor until they have made it all. */
	bool others_follow = lease.alone && lease.size > PUSH_REQUEST_MAX;
	reader_release(volume->reader, &lease);
	if (others_follow)
		sched_yield();
}

static void ops_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		     struct fuse_file_info *info)
{
	struct ops_volume *volume = volume_of(req);
	const struct efs_node *node = node_of(volume, ino);
	if (!node || node->type != EFS_FILE || offset < 0) {
		fuse_reply_err(req, !node ? ESTALE : offset < 0 ? EINVAL : EISDIR);
		return;
	}
	struct read_next next = {0};
	/* Who reads past the page cache does not want it there. */
	bool pushing = !(info->flags & O_DIRECT) && push_begin(&volume->push, size);
	reply_range(req, ino, size, offset, pushing ? &next : NULL);
	if (!pushing)
		return;
	push_store(&volume->push, volume->reader, &next);
	if (volume->pages)
		pages_note(volume->pages, ino, next.offset, next.size);
	push_end(&volume->push);
}

/* The statistics are read where they do not appear in the tree: getfattr -n user.entrofs.stats */
static void ops_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	const struct ops_volume *volume = volume_of(req);
	if (!volume->show_stats) {
		fuse_reply_err(req, ENOSYS); /* the kernel does not ask again */
		return;
	}
	if (ino != FUSE_ROOT_ID || strcmp(name, STATS_ATTRIBUTE) != 0) {
		fuse_reply_err(req, ENODATA);
		return;
	}
	char *text = report_json(volume->reader, atomic_load(&volume->readahead.got));
	size_t length = text ? strlen(text) : 0;
	if (!text)
		fuse_reply_err(req, ENOMEM);
	else if (size == 0)
		fuse_reply_xattr(req, length + STATS_GROWTH);
	else if (size < length)
		fuse_reply_err(req, ERANGE);
	else
		fuse_reply_buf(req, text, length);
	free(text);
}

static void ops_statfs(fuse_req_t req, fuse_ino_t ino)
{
	(void)ino;
	const struct ops_volume *volume = volume_of(req);
	uint64_t size = image_superblock(volume->image)->image_size;
	struct statvfs stat = {
	    .f_bsize = STATFS_BLOCK,
	    .f_frsize = STATFS_BLOCK,
	    .f_blocks = size / STATFS_BLOCK + (size % STATFS_BLOCK != 0),
	    .f_files = image_catalog(volume->image)->node_count,
	    .f_flag = ST_RDONLY | ST_NOSUID,
	    .f_namemax = NAME_MAX_BYTES,
	};
	fuse_reply_statfs(req, &stat);
}

struct fuse_lowlevel_ops ops_table(void)
{
	struct fuse_lowlevel_ops ops = {
	    .init = ops_init,
	    .lookup = ops_lookup,
	    .getattr = ops_getattr,
	    .opendir = ops_opendir,
	    .readdir = ops_readdir,
	    .readdirplus = ops_readdirplus,
	    .open = ops_open,
	    .read = ops_read,
	    .statfs = ops_statfs,
	    .getxattr = ops_getxattr,
	};
	ops_refuse_writes(&ops);
	return ops;
}
