/* SPDX-License-Identifier: MIT */
/* image_index.c - each rule of a block index, broken alone: the diag must name that rule. */
#include "tests/unit/image_opened.h"

#include "image/checksum.h"
#include "image/internal.h"

#include <criterion/criterion.h>
#include <errno.h>

/* Loads stream 0's index (a table, 5 blocks) with one byte changed; the result. */
static int load_with(struct opened *opened, size_t at, uint8_t value, struct image_diag *diag)
{
	struct efs_stream *record = (void *)(uintptr_t)image_stream(opened->image, 0);
	struct efs_stream before = *record;
	struct stream_index *index = NULL;
	struct efs_chunk chunk;
	uint64_t end = image_superblock(opened->image)->image_size;
	uint8_t *raw;
	int err;

	cr_assert_eq(efs_section_load(&opened->image->file, &record->index, &raw, diag), 0);
	raw[at] = value;
	/* The changed index lies behind the image, where only this record looks for it. */
	chunk.stored_size = (uint32_t)record->index.raw_size;
	chunk.checksum = checksum_of(raw, record->index.raw_size);
	cr_assert_eq(efs_io_write(&opened->image->file, end, raw, record->index.raw_size, diag), 0);
	cr_assert_eq(efs_io_write(&opened->image->file, end + record->index.raw_size, &chunk,
				  sizeof(chunk), diag),
		     0);
	record->index.offset = end;
	record->index.stored_size = record->index.raw_size + sizeof(chunk);
	err = efs_stream_index_load(opened->image, 0, &index, diag);
	efs_stream_index_free(index);
	*record = before;
	free(raw);
	return err;
}

Test(image_index, fields)
{
	enum { CHECKSUMS = 256, SIZES = CHECKSUMS + 20, KINDS = SIZES + 10, ARGUMENTS = KINDS + 5 };
	static const struct {
		unsigned at;
		uint8_t value;
		const char *text;
	} changes[] = {
	    {0, 0x00, "not a complete code"},
	    {96 + 30, 0xff, "not a complete code"},
	    {KINDS, 3, "unknown kind"},
	    {KINDS, EFS_BLOCK_RAW, "raw block has a size"},
	    {KINDS, EFS_BLOCK_CONSTANT, "constant block has a size"},
	    {ARGUMENTS, 1, "code table does not exist"},
	    {ARGUMENTS, 255, "code table does not exist"},
	    {SIZES + 1, 0xff, "stored size is impossible"},
	    {SIZES + 1, 0x00, "do not add up"},
	    {SIZES + 8, 1, "constant block has a size"},
	    {KINDS + 4, EFS_BLOCK_CODED, "code table does not exist"},
	    {KINDS + 4, EFS_BLOCK_RAW, "raw block has"},
	};
	struct image_diag diag = {0};
	struct opened opened;

	open_small(&opened);
	cr_assert_eq(load_with(&opened, CHECKSUMS, 77, &diag), 0, "%s", diag.text);
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		cr_assert_eq(load_with(&opened, changes[i].at, changes[i].value, &diag), -EUCLEAN,
			     "change %zu", i);
		cr_assert(strstr(diag.text, changes[i].text), "change %zu: '%s', not '%s'", i,
			  diag.text, changes[i].text);
	}
	close_small(&opened);
}
