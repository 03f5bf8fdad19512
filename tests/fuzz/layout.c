/* SPDX-License-Identifier: MIT */
/*
 * layout.c - fuzz target: the layout of any file covers it from its first byte to its last, in
 * regions of whole records that an image can describe, and finding it twice finds the same.
 *
 * Input: a byte that tells how often what follows is repeated, less one: files of unknown structure
 * are looked at only if they are not small.
 */
#include "mkfs/layout.h"
#include "image/format.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { FILE_MAX = 192 << 10 }; /* bytes: one search */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition)
{
	if (!condition)
		abort();
}

static void check_region(const struct region *region, const struct region *before)
{
	const struct planes *planes = &region->planes;

	require(region->size > 0);
	if (planes->count == 0) {
		require(!before || before->planes.count != 0);
		return;
	}
	require(planes_valid(planes) && planes->count <= EFS_PLANES_MAX);
	require(region->size % planes->unit == 0 && region->size <= LAYOUT_REGION_MAX);
}

static void check_layout(const struct layout *layout, uint64_t size)
{
	uint64_t end = 0;

	for (size_t i = 0; i < layout->count; i++) {
		require(layout->regions[i].offset == end);
		check_region(&layout->regions[i], i ? &layout->regions[i - 1] : NULL);
		end += layout->regions[i].size;
	}
	require(end == size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct source_file file = {.name = "input", .path = "input"};
	struct layout layout, again;
	unsigned times;

	if (size < 2)
		return 0;
	times = data[0] + 1U;
	if (size * times > FILE_MAX)
		times = FILE_MAX / size ? (unsigned)(FILE_MAX / size) : 1;
	data++;
	size--;
	file.fd = memfd_create("input", MFD_CLOEXEC);
	require(file.fd >= 0);
	for (unsigned i = 0; i < times; i++)
		require(write(file.fd, data, size) == (ssize_t)size);
	file.stat.st_size = (off_t)(size * times);
	require(layout_of_file(&file, &layout) == 0);
	check_layout(&layout, size * times);
	require(layout_of_file(&file, &again) == 0);
	require(again.count == layout.count &&
		(!layout.count || memcmp(again.regions, layout.regions,
					 layout.count * sizeof *layout.regions) == 0));
	layout_free(&layout);
	layout_free(&again);
	close(file.fd);
	return 0;
}
