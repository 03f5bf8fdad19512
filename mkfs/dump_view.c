/* SPDX-License-Identifier: MIT */
/* dump_view.c - collects what the page shows; see dump_view.h. */
#include "mkfs/dump_view.h"

#include "mkfs/dump_data.h"

#include <errno.h>
#include <stdlib.h>

/* NULL: out of memory. */
static struct dump_ranked *rank_tensors(const struct dump *dump)
{
	uint32_t count = image_catalog(dump->image)->tensor_count;
	struct dump_ranked *ranked = calloc(count + (size_t)1, sizeof(*ranked));

	for (uint32_t i = 0; ranked && i < count; i++)
		ranked[i] = (struct dump_ranked){
		    dump_stored(dump_cost(dump, image_tensor(dump->image, i))), i};
	if (ranked)
		dump_rank(ranked, count);
	return ranked;
}

static int choose_rows(struct dump_view *view)
{
	uint32_t count = image_catalog(view->dump->image)->tensor_count;
	struct dump_ranked *ranked = rank_tensors(view->dump);
	struct text text = {0};
	int failed;

	view->rows = calloc(DUMP_ROWS_MAX, sizeof(*view->rows));
	for (uint32_t i = 0; ranked && view->rows && i < count && i < DUMP_ROWS_MAX; i++) {
		dump_row_start_add(&text, view, ranked[i].number);
		if (text.size > DUMP_ROWS_TEXT)
			break;
		view->rows[view->row_count++] = ranked[i].number;
	}
	failed = !ranked || !view->rows || text.failed;
	free(text.data);
	free(ranked);
	return failed ? -ENOMEM : 0;
}

static int want_rows(struct dump_view *view)
{
	struct image *image = view->dump->image;
	uint64_t streams = 0;

	for (uint32_t i = 0; i < view->row_count; i++)
		streams += image_tensor(image, view->rows[i])->stream_count;
	if (streams >= UINT32_MAX || survey_init(&view->survey, image, (uint32_t)streams))
		return -ENOMEM;
	for (uint32_t i = 0; i < view->row_count; i++)
		survey_want(&view->survey, image_tensor(image, view->rows[i]));
	return 0;
}

int dump_view_init(struct dump_view *view, const struct dump *dump, int counted, struct pool *pool,
		   struct findings *findings, struct progress *progress)
{
	*view = (struct dump_view){.dump = dump, .findings = findings, .counted = counted};
	if (dump_layers_init(&view->layers, dump, DUMP_LAYERS_MAX) || choose_rows(view) ||
	    want_rows(view))
		return -ENOMEM;
	return survey_run(&view->survey, counted, pool, findings, progress);
}

void dump_view_free(struct dump_view *view)
{
	free(view->rows);
	survey_free(&view->survey);
	dump_layers_free(&view->layers);
}
