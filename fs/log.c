/* SPDX-License-Identifier: MIT */
/*
 * log.c - messages of the daemon; see log.h.
 *
 * The state is file-static because what it mirrors is process-wide: stderr, syslog, and libfuse's
 * log callback, which is given no pointer of ours. Its lock is held only to consult the table of
 * recent messages, never while writing.
 */
#include "fs/log.h"

#include "fs/libfuse.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

enum {
	LINE_SIZE = 10240,  /* bytes; two paths and what is wrong; a longer message is cut */
	RECENT_COUNT = 256, /* messages remembered, by hash; a collision forgets the older one */
	RECENT_SECONDS = 60,
};

struct recent {
	uint64_t hash;
	time_t since; /* CLOCK_MONOTONIC seconds */
	bool used;
};

static struct {
	bool syslog;
	bool libfuse_started;
	char libfuse_reason[256]; /* the last error, without who says so */
	int stderr_kept;          /* while stderr is held back; else -1 */
	int stderr_held;          /* file that gathers what is written meanwhile */
	pthread_mutex_t lock;     /* of recent */
	struct recent recent[RECENT_COUNT];
} logger = {.stderr_kept = -1, .lock = PTHREAD_MUTEX_INITIALIZER};

/* A terminal obeys control characters: C0, DEL, and C1 as UTF-8 has them. */
static void make_printable(char *line)
{
	for (unsigned char *c = (unsigned char *)line; *c; c++) {
		if (*c < 0x20 || *c == 0x7f)
			*c = '?';
		else if (c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0)
			c[0] = c[1] = '?';
	}
}

static void write_line(int priority, char *line)
{
	make_printable(line);
	if (logger.syslog)
		syslog(priority, "%s", line);
	else
		fprintf(stderr, "%s: %s\n", program_invocation_short_name, line);
}

void log_error(const char *format, ...)
{
	char line[LINE_SIZE];
	va_list args;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	write_line(LOG_ERR, line);
}

void log_note(const char *format, ...)
{
	char line[LINE_SIZE];
	va_list args;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	write_line(LOG_INFO, line);
}

/* True if this line was let through less than RECENT_SECONDS ago; else remembers it. */
static bool is_recent(const char *line)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a, 64 bits */
	for (const char *c = line; *c; c++)
		hash = (hash ^ (unsigned char)*c) * UINT64_C(0x100000001b3);
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);

	struct recent *slot = &logger.recent[hash % RECENT_COUNT];
	pthread_mutex_lock(&logger.lock);
	bool recent = slot->used && slot->hash == hash && now.tv_sec - slot->since < RECENT_SECONDS;
	if (!recent)
		*slot = (struct recent){.hash = hash, .since = now.tv_sec, .used = true};
	pthread_mutex_unlock(&logger.lock);
	return recent;
}

void log_limited(const char *format, ...)
{
	char line[LINE_SIZE];
	va_list args;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (!is_recent(line))
		write_line(LOG_ERR, line);
}

void log_to_syslog(void)
{
	openlog("entrofs", LOG_PID, LOG_DAEMON);
	logger.syslog = true;
}

static int priority_of(enum fuse_log_level level)
{
	return level <= FUSE_LOG_ERR       ? LOG_ERR
	       : level <= FUSE_LOG_WARNING ? LOG_WARNING
					   : LOG_DEBUG;
}

static void keep_reason(const char *line, const char *speaker)
{
	size_t skip = strncmp(line, speaker, strlen(speaker)) == 0 ? strlen(speaker) : 0;
	snprintf(logger.libfuse_reason, sizeof(logger.libfuse_reason), "%.*s",
		 (int)sizeof(logger.libfuse_reason) - 1, line + skip);
}

__attribute__((format(printf, 2, 0))) static void libfuse_message(enum fuse_log_level level,
								  const char *format, va_list args)
{
	if (level >= FUSE_LOG_NOTICE && !logger.syslog) {
		vfprintf(stderr, format, args); /* -d: whole and part lines, as they come */
		return;
	}
	char line[LINE_SIZE];
	vsnprintf(line, sizeof(line), format, args);
	line[strcspn(line, "\n")] = '\0';
	if (logger.libfuse_started)
		write_line(priority_of(level), line);
	else
		keep_reason(line, "fuse: ");
}

void log_libfuse(void)
{
	fuse_set_log_func(libfuse_message);
}

void log_hold_stderr(void)
{
	int held = memfd_create("entrofs-stderr", MFD_CLOEXEC);
	int kept = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	if (held < 0 || kept < 0 || dup2(held, STDERR_FILENO) < 0) {
		if (held >= 0)
			close(held);
		if (kept >= 0)
			close(kept);
		return; /* then two lines instead of one */
	}
	logger.stderr_held = held;
	logger.stderr_kept = kept;
}

void log_release_stderr(void)
{
	if (logger.stderr_kept < 0)
		return;
	dup2(logger.stderr_kept, STDERR_FILENO);
	char line[LINE_SIZE];
	ssize_t size = pread(logger.stderr_held, line, sizeof(line) - 1, 0);
	if (size > 0) {
		line[size] = '\0';
		line[strcspn(line, "\n")] = '\0';
		keep_reason(line, "fusermount3: ");
	}
	close(logger.stderr_held);
	close(logger.stderr_kept);
	logger.stderr_kept = -1;
}

const char *log_libfuse_reason(const char *fallback)
{
	return logger.libfuse_reason[0] ? logger.libfuse_reason : fallback;
}

void log_libfuse_started(void)
{
	logger.libfuse_started = true;
}
