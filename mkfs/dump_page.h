/* SPDX-License-Identifier: MIT */
/*
 * dump_page.h - an image as one HTML page that needs nothing else.
 *
 * Whatever comes from the image is in one JSON element, where no byte of it can end the element.
 * The page forbids itself everything but the one script and the one style sheet in it, whose
 * digests it names, so that nothing else can run, be fetched or be sent, whatever names an image
 * has.
 */
#ifndef ENTROFS_DUMP_PAGE_H
#define ENTROFS_DUMP_PAGE_H

#include "mkfs/dump_data.h"

/* Adds the page. */
void dump_page_add(struct text *page, const struct dump_view *view);

#endif
