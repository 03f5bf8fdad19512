/* SPDX-License-Identifier: MIT */
/*
 * pack.h - a whole model into an image, and what that came to.
 */
#ifndef ENTROFS_PACK_H
#define ENTROFS_PACK_H

#include "image/writer.h"
#include "mkfs/encode.h"
#include "mkfs/plan.h"
#include "mkfs/source.h"

#include <stddef.h>
#include <stdint.h>

struct packed_tensor {
	const struct source_tensor *source;
	const struct plan *plan;
	char *file; /* its name under quantized/tensors */
	struct encoded_tensor result;
};

struct packed_blob {
	char *path; /* in the tree */
	uint32_t blob;
	uint64_t size, stored_size;
	uint8_t digest[EFS_DIGEST_SIZE]; /* SHA-256 */
};

struct packed {
	const struct source *source;
	unsigned views;                /* view bits */
	int estimated;                 /* all figures are, and there is no digest */
	struct packed_tensor *tensors; /* in the source's order */
	size_t tensor_count;
	struct packed_blob *blobs; /* sidecars, then the headers of views */
	size_t blob_count;
	struct image_overhead overhead;
};

/* What packing, and reading back, add to the progress. */
uint64_t pack_work(const struct source *source, const struct plan *plan);
uint64_t packed_verify_work(const struct source *source, const struct plan *plan);

/*
 * Packs the source into fd (empty, open for reading and writing), each tensor as planned, with
 * these views. 0, or -1 after printing why; packed_free() in any case.
 */
int pack(struct packed *packed, const struct source *source, const struct plan *plan,
	 unsigned views, int fd, const char *target, struct pool *pool, struct progress *progress);
/*
 * What pack() would come to, from samples, and without writing anything: see estimate.h. Of large
 * sidecars, too, only a sample is compressed. Fails where pack() would, as far as that can be told
 * without writing.
 */
uint64_t pack_estimate_work(const struct source *source, const struct plan *plan);
int pack_estimate(struct packed *packed, const struct source *source, const struct plan *plan,
		  unsigned views, struct pool *pool, struct progress *progress);
void packed_free(struct packed *packed);

/* Reads the image back and compares every tensor and blob with what was packed. */
int packed_verify(const struct packed *packed, int fd, const char *target, struct pool *pool,
		  struct progress *progress);

#endif
