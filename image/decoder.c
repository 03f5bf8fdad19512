/* SPDX-License-Identifier: MIT */
/* decoder.c - the user's choice of a kernel; see decoder.h. */
#include "image/decoder.h"

#include "codec/codec.h"

#include <errno.h>
#include <stdio.h>

int image_choose_decoder(const char *name, struct image_diag *diag)
{
	char known[256] = "";
	size_t used = 0;

	if (!name || !*name || codec_use_kernel(name) == 0)
		return 0;
	for (size_t i = 0; codec_kernels[i] && used < sizeof(known); i++)
		used += (size_t)snprintf(known + used, sizeof(known) - used, "%s%s%s",
					 i ? ", " : "", codec_kernels[i]->name,
					 codec_kernels[i]->supported() ? "" : " (not on this CPU)");
	return image_fail(diag, -EINVAL,
			  IMAGE_DECODER_VARIABLE ": cannot use kernel '%.64s': known are %s", name,
			  known);
}

const char *image_decoder(void)
{
	return codec_kernel_in_use()->name;
}
