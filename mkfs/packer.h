/* SPDX-License-Identifier: MIT */
/* packer.h - an image in the making; shared by the files of mkfs/ that make it. */
#ifndef ENTROFS_PACKER_H
#define ENTROFS_PACKER_H

#include "mkfs/estimate.h"
#include "mkfs/pack.h"

struct packer {
	struct packed *packed;
	struct image_writer *writer;
	const struct estimate *estimate; /* NULL: packing in earnest */
	const char *verb, *target;       /* for errors */
	struct progress *progress;
};

/* Both print, and return -1. */
int packer_cannot(const struct packer *p, const char *reason);
int packer_out_of_memory(const struct packer *p);

/* pack_files.c: everything that is no tensor's. 0, or -1 after printing why. */
int packer_put_files(struct packer *p);
/* Units of progress that it adds for the source; of large sidecars, if sampled, only for a sample.
 */
uint64_t packer_files_work(const struct source *source, int sampled);
/* Blobs that it makes, at most. */
size_t packer_blobs_max(const struct source *source);

#endif
