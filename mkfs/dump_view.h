/* SPDX-License-Identifier: MIT */
/*
 * dump_view.h - what the page of an image shows, collected.
 *
 * The page shows every tensor of usual models by itself. Of an image that has more tensors than
 * fit, the largest have rows of their own; the others are in the sums of their layers.
 */
#ifndef ENTROFS_DUMP_VIEW_H
#define ENTROFS_DUMP_VIEW_H

#include "mkfs/dump_layers.h"
#include "mkfs/dump_survey.h"

enum {
	DUMP_ROWS_MAX = 4000,
	DUMP_ROWS_TEXT = 850000, /* bytes of all rows, about */
	DUMP_LAYERS_MAX = 256,
};

struct dump_view {
	const struct dump *dump;
	struct dump_layers layers;
	struct survey survey;
	const struct findings *findings;
	uint32_t *rows; /* tensors that have one, the largest (stored) first */
	uint32_t row_count;
	int counted; /* the survey goes through all data */
};

/*
 * Goes through the image, its data included if counted is set; what is wrong becomes a finding.
 * -ENOMEM. The dump and the findings stay the caller's, and have to stay. Free it in any case.
 */
int dump_view_init(struct dump_view *view, const struct dump *dump, int counted, struct pool *pool,
		   struct findings *findings, struct progress *progress);
void dump_view_free(struct dump_view *view);

#endif
