/* SPDX-License-Identifier: MIT */
/* view_npy.c - headers of .npy files; see view_npy.h. */
#include "mkfs/view_npy.h"

#include "mkfs/views.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* In the order of enum efs_dtype. */
static const char descriptions[][4] = {"|b1", "|u1", "|i1", "|u1", "|u1", "|u1",
				       "<u2", "<i2", "<f2", "<u2", "<u4", "<i4",
				       "<f4", "<u8", "<i8", "<f8", "<c8"};
static_assert(sizeof descriptions / sizeof *descriptions == EFS_DTYPE_END - 1,
	      "every efs_dtype has one");

/* A tuple of Python, which has a comma behind a single element. */
static void add_shape(struct text *text, const uint64_t *dims, unsigned rank)
{
	text_add(text, "(");
	for (unsigned i = 0; i < rank; i++)
		text_add(text, i + 1 < rank || rank == 1 ? "%llu," : "%llu",
			 (unsigned long long)dims[i]);
	text_add(text, ")");
}

void view_npy_header(struct text *text, const struct safetensor *tensor, int bits,
		     enum efs_dtype dtype)
{
	static const uint8_t begin[] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, 0, 0};
	enum { LENGTH_AT = sizeof begin - 2 };
	uint64_t dims[EFS_RANK_MAX];
	size_t start = text->size;
	unsigned rank = view_code_shape(tensor, bits, dims);

	text_add_bytes(text, begin, sizeof begin);
	text_add(text, "{'descr': '%s', 'fortran_order': False, 'shape': ",
		 descriptions[(bits ? EFS_U8 : dtype) - 1]);
	add_shape(text, dims, rank);
	text_add(text, ", }");
	while (!text->failed && (text->size - start + 1) % NPY_HEADER_ALIGN)
		text_add(text, " ");
	text_add(text, "\n");
	if (text->failed)
		return;
	/* 32 dimensions of 20 digits are far from what 16 bits can say. */
	size_t length = text->size - start - sizeof begin;
	text->data[start + LENGTH_AT] = (char)(length & 0xff);
	text->data[start + LENGTH_AT + 1] = (char)(length >> 8);
}
