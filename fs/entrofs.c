/* SPDX-License-Identifier: MIT */
/*
 * entrofs.c - mounts a model image as a folder of plain files.
 *
 * Everything that can fail does so before the process goes to the background: the image is opened
 * and validated, the mount is made, then the parent exits, and only then are there threads. Reads
 * that come before the child is ready wait in the kernel.
 */
#include "fs/log.h"
#include "fs/mount_helper.h"
#include "fs/mounted.h"
#include "fs/ops.h"
#include "fs/options.h"
#include "fs/preload.h"
#include "fs/report.h"
#include "fs/session.h"
#include "fs/signals.h"
#include "image/decoder.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	EXIT_USAGE = 2,
};

/* A mount in the making, taken down by unmount() from whatever point it reached. */
struct mount {
	const struct options *options;
	char *image_path; /* these two absolute: a daemon works in / */
	char *mountpoint;
	int fd; /* of the image; -1: none */
	struct ops_volume volume;
	struct fuse_session *session;
	struct preload *preload;
	bool mounted;
};

__attribute__((format(printf, 2, 3))) static int cannot_mount(const struct mount *mount,
							      const char *format, ...)
{
	char reason[PATH_MAX + 1024];
	va_list args;
	va_start(args, format);
	vsnprintf(reason, sizeof(reason), format, args);
	va_end(args);
	log_error("cannot mount '%s': %s", mount->options->image, reason);
	return -1;
}

/* O_NONBLOCK, or the open of a named pipe would wait for a writer. */
static int open_image_file(struct mount *mount)
{
	mount->fd = open(mount->options->image, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat stat;
	if (mount->fd < 0 || fstat(mount->fd, &stat))
		return cannot_mount(mount, "%s", strerror(errno));
	if (!S_ISREG(stat.st_mode) && !S_ISBLK(stat.st_mode))
		return cannot_mount(mount, "not a file or block device");
	mount->image_path = realpath(mount->options->image, NULL);
	if (!mount->image_path)
		return cannot_mount(mount, "%s", strerror(errno));
	/* io_uring would take it for "do not wait". */
	fcntl(mount->fd, F_SETFL, fcntl(mount->fd, F_GETFL) & ~O_NONBLOCK);
	mount->volume.time = stat.st_mtim;
	return 0;
}

static int open_image(struct mount *mount)
{
	if (open_image_file(mount))
		return -1;
	struct image_diag diag = {.text = ""};
	struct ops_volume *volume = &mount->volume;
	int error = image_open(&volume->image, mount->fd, mount->options->offset, &diag);
	if (error) {
		volume->image = NULL;
		return cannot_mount(mount, "%s", diag.text[0] ? diag.text : strerror(-error));
	}
	struct reader_options how = {.name = mount->image_path,
				     .cache_size = mount->options->cache_size,
				     .readahead = mount->options->readahead,
				     .workers = mount->options->workers,
				     .keep_compressed = mount->options->keep_compressed};
	error =
	    reader_create(&volume->reader, volume->image, mount->fd, mount->options->offset, &how);
	if (error)
		return cannot_mount(mount, "%s", strerror(-error));
	volume->uid = mount->options->uid;
	volume->gid = mount->options->gid;
	volume->umask = mount->options->umask;
	volume->tell_readahead = mount->options->debug || !mount->options->foreground;
	volume->show_stats = mount->options->show_stats;
	return 0;
}

/* True for /dev/fd/N: mount.fuse3 has mounted on our behalf and handed us its /dev/fuse. */
static bool is_handed_over(const char *path)
{
	struct stat handed;
	return strncmp(path, "/dev/fd/", 8) == 0 && stat(path, &handed) == 0 &&
	       S_ISCHR(handed.st_mode);
}

static int find_mountpoint(struct mount *mount)
{
	const char *path = mount->options->mountpoint;
	struct stat stat;
	if (is_handed_over(path)) {
		mount->mountpoint = strdup(path);
		return mount->mountpoint ? 0 : cannot_mount(mount, "%s", strerror(ENOMEM));
	}
	mount->mountpoint = realpath(path, NULL);
	if (!mount->mountpoint || lstat(mount->mountpoint, &stat)) {
		int error = errno;
		if (error == ENOTCONN)
			return cannot_mount(mount,
					    "mount point '%s': still taken by a daemon that was "
					    "killed; run 'fusermount3 -uz' on it first",
					    path);
		return cannot_mount(mount, "mount point '%s': %s", path, strerror(error));
	}
	if (!S_ISDIR(stat.st_mode))
		return cannot_mount(mount, "mount point '%s': %s", path, strerror(ENOTDIR));
	/* Another image goes on top, as with mount(8). */
	if (mounted_is(mount->image_path, mount->mountpoint))
		return cannot_mount(mount, "mount point '%s': it is mounted there already", path);
	return 0;
}

/* The words of libfuse and the kernel; NULL: out of memory. The caller frees them. */
static char *session_words(const struct mount *mount)
{
	const struct options *options = mount->options;
	char max_read[32], *words = NULL;
	snprintf(max_read, sizeof(max_read), "max_read=%d", SESSION_REQUEST_MAX);
	char *fsname = NULL;
	if (asprintf(&fsname, "fsname=%s", mount->image_path) < 0)
		return NULL;
	int failed = fuse_opt_add_opt(&words, "ro,nosuid,nodev,default_permissions") ||
		     fuse_opt_add_opt(&words, "subtype=entrofs") ||
		     fuse_opt_add_opt(&words, max_read) ||
		     fuse_opt_add_opt_escaped(&words, fsname) ||
		     (options->allow_other && fuse_opt_add_opt(&words, "allow_other")) ||
		     (options->noatime && fuse_opt_add_opt(&words, "noatime")) ||
		     (options->noexec && fuse_opt_add_opt(&words, "noexec"));
	free(fsname);
	if (failed) {
		free(words);
		return NULL;
	}
	return words;
}

static int create_session(struct mount *mount)
{
	struct fuse_lowlevel_ops ops = ops_table();
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	char *words = session_words(mount);
	if (words && !fuse_opt_add_arg(&args, "entrofs") && !fuse_opt_add_arg(&args, "-o") &&
	    !fuse_opt_add_arg(&args, words) &&
	    !(mount->options->debug && fuse_opt_add_arg(&args, "-d")))
		mount->session = fuse_session_new(&args, &ops, sizeof(ops), &mount->volume);
	fuse_opt_free_args(&args);
	free(words);
	if (!mount->session)
		return cannot_mount(mount, "%s", log_libfuse_reason("out of memory"));
	return 0;
}

static int attach(struct mount *mount)
{
	mount->volume.readahead =
	    session_want_readahead(mount->mountpoint, mount->options->readahead);
	if (create_session(mount))
		return -1;
	/* From here on a signal waits for the thread that will end the loop, and so unmounts. */
	signals_block();
	log_hold_stderr();
	int failed = fuse_session_mount(mount->session, mount->mountpoint);
	log_release_stderr();
	if (failed)
		return cannot_mount(mount, "mount point '%s': %s", mount->options->mountpoint,
				    log_libfuse_reason("fusermount3 failed"));
	mount->mounted = true;
	log_libfuse_started();
	return 0;
}

static void report(void *context)
{
	struct mount *mount = context;
	char *text = report_json(mount->volume.reader, atomic_load(&mount->volume.readahead.got));
	if (text)
		log_note("%s", text);
	free(text);
}

/* Threads that call the kernel about pages, which may wait for requests that we are to answer. */
static void stop_page_threads(void *context)
{
	struct mount *mount = context;
	preload_stop(mount->preload);
	mount->preload = NULL;
	pages_stop(mount->volume.pages);
	if (mount->volume.push.session)
		push_stop(&mount->volume.push);
}

static int start_page_threads(struct mount *mount)
{
	const struct options *options = mount->options;
	struct preload_source source = {.session = mount->session,
					.mountpoint = mount->mountpoint,
					.reader = mount->volume.reader,
					.image = mount->volume.image,
					.fd = mount->fd,
					.offset = options->offset,
					.compressed = options->keep_compressed,
					.rate = options->preload_rate};
	int error =
	    options->keep_compressed ? pages_start(&mount->volume.pages, mount->session) : 0;
	if (!error && options->preload)
		error = preload_start(&mount->preload, &source);
	return error;
}

static int serve(struct mount *mount)
{
	const struct signals_actions actions = {report, stop_page_threads, mount};
	struct signals *signals = NULL;
	if (fuse_daemonize(mount->options->foreground))
		return cannot_mount(mount, "cannot go to the background");
	if (!mount->options->foreground)
		log_to_syslog();
	reader_start(mount->volume.reader);
	if (!mount->options->single_thread)
		mount->volume.push = (struct push){mount->session, PUSH_THREADS};
	int error = start_page_threads(mount);
	if (!error)
		error = signals_start(&signals, mount->session, &actions);
	if (error)
		return cannot_mount(mount, "%s", strerror(-error));
	int result = session_serve(mount->session, mount->options->single_thread);
	signals_stop(signals);
	if (result < 0) {
		log_error("'%s': serving ended: %s", mount->image_path, strerror(-result));
		return -1;
	}
	return 0;
}

static void unmount(struct mount *mount)
{
	if (mount->mounted)
		fuse_session_unmount(mount->session);
	if (mount->session)
		fuse_session_destroy(mount->session);
	pages_destroy(mount->volume.pages);
	reader_destroy(mount->volume.reader);
	if (mount->volume.image)
		image_close(mount->volume.image);
	if (mount->fd >= 0)
		close(mount->fd);
	free(mount->mountpoint);
	free(mount->image_path);
}

static int choose_decoder(void)
{
	struct image_diag diag;
	if (image_choose_decoder(getenv(IMAGE_DECODER_VARIABLE), &diag) == 0)
		return 0;
	log_error("%s", diag.text);
	return -1;
}

/* A closed one would become the image's or the kernel's, until the daemon turns it into /dev/null.
 */
static int occupy_standard_streams(void)
{
	int fd;
	do
		fd = open("/dev/null", O_RDWR); /* fusermount3 may have them */
	while (fd >= 0 && fd <= STDERR_FILENO);
	return fd < 0 ? -1 : close(fd);
}

/* --help and --version; an exit code. */
static int print(const struct options *options, bool helper, int failure)
{
	if (options->command == OPTIONS_VERSION)
		printf("%s %s\ndecoder: %s\nlibfuse: %s\n", program_invocation_short_name,
		       ENTROFS_VERSION, image_decoder(), fuse_pkgversion());
	else if (helper)
		mount_helper_print_help();
	else
		options_print_help();
	if (fflush(stdout) == 0 && !ferror(stdout))
		return EXIT_SUCCESS;
	log_error("cannot write 'standard output': %s", strerror(errno));
	return failure;
}

/* What a mount(8) that says -N means: the image and the mount point are those of that namespace. */
static int enter_namespace(const struct mount *mount)
{
	const char *name = mount->options->mount_namespace;
	int error = name ? mount_helper_enter(name) : 0;
	return error ? cannot_mount(mount, "mount namespace '%s': %s", name, strerror(-error)) : 0;
}

static int run(struct mount *mount)
{
	if (enter_namespace(mount) || open_image(mount) || find_mountpoint(mount))
		return -1;
	if (mount->options->fake)
		return 0;
	if (attach(mount))
		return -1;
	if (mount->options->verbose) {
		printf("%s: %s mounted on %s.\n", program_invocation_short_name, mount->image_path,
		       mount->mountpoint);
		fflush(stdout); /* before there are two processes */
	}
	return serve(mount);
}

int main(int argc, char **argv)
{
	bool helper = mount_helper_is_called();
	int usage = helper ? MOUNT_HELPER_USAGE : EXIT_USAGE;
	int failure = helper ? MOUNT_HELPER_FAILED : EXIT_FAILURE;
	struct options options;
	if (occupy_standard_streams())
		return failure;
	if (helper ? mount_helper_parse(&options, argc, argv) : options_parse(&options, argc, argv))
		return usage;
	if (options.command != OPTIONS_HELP && choose_decoder())
		return usage;
	if (options.command != OPTIONS_MOUNT)
		return print(&options, helper, failure);
	log_libfuse();
	struct mount mount = {.options = &options, .fd = -1};
	int failed = run(&mount);
	unmount(&mount);
	return failed ? failure : EXIT_SUCCESS;
}
