/* SPDX-License-Identifier: MIT */
/*
 * manifest.h - quantized/manifest.json of a model folder: which tensors there are, how they are
 * encoded and in which files.
 */
#ifndef ENTROFS_RUN_MANIFEST_H
#define ENTROFS_RUN_MANIFEST_H

#include "runtime-demo/tensor.h"

#include <jansson.h>

struct manifest {
	struct folder folder; /* holds the manifest and the files it names */
	json_t *entries;      /* by tensor name */
};

/* On success, end with manifest_close(). Errors: see diag.h. */
int manifest_open(const struct folder *model, struct manifest *manifest, struct diag *diag);
void manifest_close(struct manifest *manifest);

/* Maps the tensor of this name, which must be of this shape; rows 0: one dimension. The caller ends
   with file_unmap(&tensor->file), and may outlive the manifest. */
int manifest_tensor(const struct manifest *manifest, const char *name, size_t rows, size_t cols,
		    struct tensor *tensor, struct diag *diag);

#endif
