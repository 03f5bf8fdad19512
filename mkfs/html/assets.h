/* SPDX-License-Identifier: MIT */
/*
 * assets.h - the parts of the page that dump.entrofs writes, as they are in this folder. The build
 * turns each file into an array (see the Makefile), so that the program needs none of them.
 */
#ifndef ENTROFS_HTML_ASSETS_H
#define ENTROFS_HTML_ASSETS_H

#include <stddef.h>

struct html_asset {
	const char *text; /* NUL-terminated */
	size_t size;      /* without the NUL */
};

extern const struct html_asset html_page;   /* page.html: where the others go is marked {{so}} */
extern const struct html_asset html_style;  /* page.css */
extern const struct html_asset html_script; /* all .js files, joined */

#endif
