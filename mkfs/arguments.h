/* SPDX-License-Identifier: MIT */
/*
 * arguments.h - options, arguments and files that the command lines of mkfs/ have in common.
 *
 * Whatever is wrong has been reported, in the manner of cli.h, when a function here fails with -1
 * or NULL.
 */
#ifndef ENTROFS_ARGUMENTS_H
#define ENTROFS_ARGUMENTS_H

#include <stdint.h>

/* --offset: bytes, with k, M, G or T if the user likes. */
int argument_offset(const char *text, uint64_t *offset);

/* --jobs: threads, 1 to POOL_JOBS_MAX. */
int argument_jobs(const char *text, unsigned *jobs);

/*
 * --help ('h') and --version ('V', with the decoder in use) print and return 0; for any other
 * option, about which getopt has complained, it says where to find help and returns usage_status.
 * The exit code, in short.
 */
int argument_standard(int option, const char *help, int usage_status);

/* Heeds ENTROFS_KERNEL; -1 if it cannot be. */
int argument_decoder(void);

/* The only argument that getopt left, an image's path. */
const char *argument_image(int argc, char **argv);

/* Opens an image for reading: a file descriptor, or -1 and errno, of which nothing is said. Never
 * waits, as a named pipe would make it. */
int argument_open_image(const char *path);

/* Writes out what is still buffered for stdout; says so if any of it could not be written. */
int argument_finish_output(void);

#endif
