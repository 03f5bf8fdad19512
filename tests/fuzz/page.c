/* SPDX-License-Identifier: MIT */
/*
 * page.c - fuzz target: whatever an image holds, the page of it is made, stays within its size, and
 * has sound JSON in which nothing can end the element that it is in.
 *
 * Inputs are those of image.c, and so is the corpus.
 */
#include "mkfs/check.h"
#include "mkfs/dump_page.h"
#include "tests/fuzz/image_input.h"

#include <sys/mman.h>
#include <unistd.h>

enum {
	DATA_MOST = 1 << 20, /* bytes that are gone through; of more, indexes only */
	PAGE_MOST = 2000000, /* bytes */
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_page(const struct text *page, uint32_t rows)
{
	static const char start[] = " id=\"data\">", stop[] = "</script>";
	const char *at = page->failed ? NULL : strstr(page->data, start), *end;
	json_t *value;

	if (!at || page->size > PAGE_MOST || !(end = strstr(at += sizeof(start) - 1, stop)))
		abort();
	/* An image may claim what is more than 2^63. */
	value = json_loadb(at, (size_t)(end - at), JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL,
			   NULL);
	if (json_array_size(json_object_get(json_object_get(value, "tensors"), "rows")) != rows ||
	    !json_object_get(value, "check"))
		abort();
	json_decref(value);
}

static void show(struct image *image, struct pool *pool)
{
	struct text page = {0};
	struct dump_view view;
	struct progress progress = PROGRESS_INIT;
	struct findings findings;
	struct dump dump;

	if (findings_init(&findings) || dump_init(&dump, "image.efs", image) ||
	    dump_view_init(&view, &dump, check_claimed_size(image) < DATA_MOST, pool, &findings,
			   &progress))
		abort();
	dump_page_add(&page, &view);
	check_page(&page, view.row_count);
	free(page.data);
	dump_view_free(&view);
	dump_free(&dump);
	findings_free(&findings);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct pool *pool;
	static int fd;
	uint8_t *bytes = make_image(data, &size);
	struct image *image;

	if (!pool) {
		pool = pool_create(1);
		fd = memfd_create("image", MFD_CLOEXEC);
		if (!pool || fd < 0)
			abort();
	}
	if (ftruncate(fd, 0) || pwrite(fd, bytes, size, 0) != (ssize_t)size)
		abort();
	if (image_open(&image, fd, 0, NULL) == 0) {
		show(image, pool);
		image_close(image);
	}
	free(bytes);
	return 0;
}
