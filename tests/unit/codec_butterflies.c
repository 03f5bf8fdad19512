/* SPDX-License-Identifier: MIT */
/* codec_butterflies.c - the table of exchanges merges any eight bytes of two lists in order. */
#include "codec/butterflies.h"

#include <criterion/criterion.h>

static void exchange(char bytes[8], uint64_t which, unsigned distance)
{
	for (unsigned i = 0; i < 8; i++) {
		if ((which >> 8 * i & 0xff) == 0)
			continue;
		cr_assert_eq(which >> 8 * i & 0xff, 0xff);
		cr_assert(i + distance < 8 && (i & distance) == 0, "no pair %u apart starts at %u",
			  distance, i);
		char kept = bytes[i];
		bytes[i] = bytes[i + distance];
		bytes[i + distance] = kept;
	}
}

/* Left elements are called a, b, c..., right ones A, B, C... */
Test(codec_butterflies, merge_by_every_mask)
{
	for (unsigned mask = 0; mask < 256; mask++) {
		const struct codec_butterflies *table = &codec_butterflies;
		char merged[9] = "", bytes[9] = "";
		char left = 'a', right = 'A';
		for (unsigned i = 0; i < 8; i++) {
			merged[i] = mask >> i & 1 ? right++ : left++;
			bytes[i] = table->rights[mask] >> 8 * i & 0xff ? (char)('A' + 7 - i)
								       : (char)('a' + i);
		}
		exchange(bytes, table->by_four[mask], 4);
		exchange(bytes, table->by_two[mask], 2);
		exchange(bytes, table->by_one[mask], 1);
		cr_assert_eq(table->ones[mask], (uint32_t)(right - 'A'));
		cr_assert_str_eq(bytes, merged, "mask %02x", mask);
	}
}
