/* SPDX-License-Identifier: MIT */
/* image_opened.h - the small sample of image_build.h, opened. */
#ifndef ENTROFS_TESTS_IMAGE_OPENED_H
#define ENTROFS_TESTS_IMAGE_OPENED_H

#include "tests/unit/image_build.h"

#include <criterion/criterion.h>

struct opened {
	struct sample sample;
	struct image *image;
};

static inline void open_small(struct opened *opened)
{
	struct image_diag diag = {0};

	build_small(&opened->sample);
	cr_assert_eq(image_open(&opened->image, opened->sample.fd, 0, &diag), 0, "%s", diag.text);
}

static inline void close_small(struct opened *opened)
{
	image_close(opened->image);
	build_free(&opened->sample);
}

#endif
