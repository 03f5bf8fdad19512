/* SPDX-License-Identifier: MIT */
/*
 * dump_data.h - what the page of an image has to know, as one JSON object of bounded size.
 *
 * Counts of codes are exact, but neighbouring codes share a count where there is not room for all.
 */
#ifndef ENTROFS_DUMP_DATA_H
#define ENTROFS_DUMP_DATA_H

#include "mkfs/dump_view.h"
#include "mkfs/json.h"

enum {
	DUMP_HISTOGRAMS_TEXT = 850000, /* bytes of all counts, at most */
	DUMP_FILES_MAX = 100,
	DUMP_DAMAGE_MAX = 100, /* findings that are listed */
};

/* Adds the object. May read the image's config.json. */
void dump_data_add(struct text *text, const struct dump_view *view);

/* Adds the part of a tensor's row that is known without a survey. */
void dump_row_start_add(struct text *text, const struct dump_view *view, uint32_t tensor);

/* Adds what config.json tells of the model, an object of strings and integers, or null. */
void dump_config_add(struct text *text, struct image *image);

/* Adds a name as a JSON string, cut to DUMP_NAME_MAX bytes and an ellipsis. */
void dump_name_add(struct text *text, struct image_name name);

#endif
