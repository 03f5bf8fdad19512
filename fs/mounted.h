/* SPDX-License-Identifier: MIT */
/* mounted.h - what the kernel says is mounted. */
#ifndef ENTROFS_MOUNTED_H
#define ENTROFS_MOUNTED_H

#include <stdbool.h>

/*
 * True if the topmost mount on the folder is that of this image. Both are absolute paths as
 * realpath() gives them. False also when the kernel's list cannot be read.
 */
bool mounted_is(const char *image, const char *mountpoint);

#endif
