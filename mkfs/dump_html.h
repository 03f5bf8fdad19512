/* SPDX-License-Identifier: MIT */
/* dump_html.h - makes the page of an image: target, survey, writing. */
#ifndef ENTROFS_DUMP_HTML_H
#define ENTROFS_DUMP_HTML_H

#include "mkfs/dump.h"

struct dump_html {
	const char *target; /* a file, or "-": standard output */
	int force;          /* replace it */
	int counted;        /* go through all data and count codes */
	unsigned jobs;
};

/*
 * Writes the page of an image that is open at fd, and prints what is wrong: -1 if there is no
 * page, or the image is damaged (the page says where).
 */
int dump_html(const struct dump *dump, const struct dump_html *options, int fd);

#endif
