/* SPDX-License-Identifier: MIT */
/* layout.c - lists of regions; see layout.h. */
#include "mkfs/layout_build.h"

#include "mkfs/cli.h"
#include "mkfs/layout_measure.h"

#include <stdlib.h>
#include <string.h>

static int is_text(const struct region *region)
{
	return region->planes.count == 0;
}

static int add_region(struct layout_build *build, const struct region *region)
{
	struct layout *layout = &build->layout;
	struct region *last = layout->count ? &layout->regions[layout->count - 1] : NULL;

	build->end += region->size;
	if (!region->size)
		return 0;
	if (last && is_text(last) && is_text(region)) {
		last->size += region->size;
		return 0;
	}
	if (!layout->regions || layout->count == build->capacity) {
		size_t more = build->capacity ? 2 * build->capacity : 16;
		struct region *regions = realloc(layout->regions, more * sizeof *regions);
		if (!regions) {
			cli_cannot("read", build->file->path, "out of memory");
			return -1;
		}
		layout->regions = regions;
		build->capacity = more;
	}
	layout->regions[layout->count++] = *region;
	return 0;
}

int layout_add_text(struct layout_build *build, uint64_t end)
{
	const struct region text = {.offset = build->end, .size = end - build->end};

	return add_region(build, &text);
}

int layout_add_records(struct layout_build *build, const struct planes *planes, uint64_t end)
{
	uint64_t most = (uint64_t)LAYOUT_REGION_MAX / planes->unit * planes->unit;

	while (end - build->end >= planes->unit) {
		uint64_t size = (end - build->end) / planes->unit * planes->unit;
		const struct region records = {build->end, size < most ? size : most, *planes};

		if (add_region(build, &records))
			return -1;
	}
	return layout_add_text(build, end);
}

static int build_layout(struct layout_build *build)
{
	uint64_t size = (uint64_t)build->file->stat.st_size;

	build->sample = malloc(LAYOUT_SAMPLE);
	build->work = malloc(LAYOUT_SAMPLE + PLANES_UNIT_MAX);
	if (!build->sample || !build->work) {
		cli_cannot("read", build->file->path, "out of memory");
		return -1;
	}
	int result = layout_add_tensors(build);
	return result > 0 ? layout_add_unknown(build, size) : result;
}

int layout_of_file(const struct source_file *file, struct layout *layout)
{
	struct layout_build build = {.file = file};
	int result = build_layout(&build);

	free(build.sample);
	free(build.work);
	if (result)
		layout_free(&build.layout);
	*layout = build.layout;
	return result;
}

void layout_free(struct layout *layout)
{
	free(layout->regions);
	*layout = (struct layout){NULL, 0};
}
