/* SPDX-License-Identifier: MIT */
/*
 * decoder.h - which of the codec's kernels decodes, by the user's choice.
 *
 * Every program that decodes heeds the same variable of the environment: it is for tests, and for a
 * machine on which the choice of the fastest proves wrong.
 */
#ifndef ENTROFS_DECODER_H
#define ENTROFS_DECODER_H

#include "image/diag.h"

#define IMAGE_DECODER_VARIABLE "ENTROFS_KERNEL"

/*
 * Makes the named kernel the one in use; NULL or "": the fastest, as it is without a call. -EINVAL
 * and a diag that names the variable and all kernels there are, if there is none of that name or
 * this CPU does not support it.
 */
int image_choose_decoder(const char *name, struct image_diag *diag);

/* The name of the kernel in use. */
const char *image_decoder(void);

#endif
