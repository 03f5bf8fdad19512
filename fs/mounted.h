/* SPDX-License-Identifier: MIT */
/* mounted.h - what the kernel says is mounted, and how far it reads ahead there. */
#ifndef ENTROFS_MOUNTED_H
#define ENTROFS_MOUNTED_H

#include <stdbool.h>
#include <stdint.h>

/*
 * True if the topmost mount on the folder is that of this image. Both are absolute paths as
 * realpath() gives them. False also when the kernel's list cannot be read.
 */
bool mounted_is(const char *image, const char *mountpoint);

/*
 * Tells the kernel to read up to so many bytes ahead in the files of a mount, unless it does more
 * already. What it does afterwards: less than was asked for where we may not tell it; 0 unknown.
 */
uint64_t mounted_read_ahead(const char *mountpoint, uint64_t bytes);

#endif
