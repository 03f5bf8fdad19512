/* SPDX-License-Identifier: MIT */
/*
 * estimate.h - what packing would make of each tensor, without making it.
 *
 * The range of a tensor is read in full: one outlier decides about the codes of all its weights,
 * and a value that is not finite must be found. Everything else comes from a sample of its blocks,
 * spread evenly, which go through the packer's own quantizer, choice of tables and coder. Of a
 * tensor of at most ESTIMATE_BLOCKS blocks that is all of it, and the estimate is what packing
 * comes to. The same for any number of threads.
 */
#ifndef ENTROFS_ESTIMATE_H
#define ENTROFS_ESTIMATE_H

#include "image/writer.h"
#include "mkfs/encode.h"
#include "mkfs/plan.h"
#include "mkfs/pool.h"
#include "mkfs/progress.h"
#include "mkfs/source.h"

enum { ESTIMATE_BLOCKS = 16 }; /* looked at of each tensor */

struct estimate;

/* What estimate_create() adds to the progress for a tensor with so many bits. */
uint64_t estimate_work(const struct safetensor *tensor, int bits);

/* Of all tensors; NULL after printing why. Not for longer than the source. */
struct estimate *estimate_create(const struct source *source, const struct plan *plan,
				 struct pool *pool, struct progress *progress);
void estimate_destroy(struct estimate *estimate);

/*
 * Rehearses the stream of a tensor with a writer that writes nothing. The result's error figures
 * are those of the sample, and its digest is the sample's. Results as in writer.h.
 */
int estimate_put(const struct estimate *estimate, size_t tensor, struct image_writer *writer,
		 struct encoded_tensor *result, struct image_diag *diag);

#endif
