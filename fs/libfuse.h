/* SPDX-License-Identifier: MIT */
/* libfuse.h - the one place that says which libfuse API we are written for: 3.12's. */
#ifndef ENTROFS_LIBFUSE_H
#define ENTROFS_LIBFUSE_H

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>

#endif
