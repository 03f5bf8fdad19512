/* SPDX-License-Identifier: MIT */
/*
 * byte_table.h - tables with an entry for each mask of eight bits, computed by the compiler;
 * private to codec/.
 *
 * BYTE_TABLE(entry) is the initializer of one: entry(0) to entry(255), where the macro entry(m) may
 * use BIT and ONES of constant masks.
 */
#ifndef ENTROFS_CODEC_BYTE_TABLE_H
#define ENTROFS_CODEC_BYTE_TABLE_H

#include <stdint.h>

/* clang-format off */
#define BIT(m, i)  ((uint64_t)(m) >> (i) & 1)
#define ONES2(m)   (BIT(m, 0) + BIT(m, 1))
#define ONES4(m)   (ONES2(m) + ONES2((m) >> 2))
#define ONES(m)    (ONES4(m) + ONES4((m) >> 4)) /* of eight bits */

#define ENTRIES4(entry, m)  entry(m), entry((m) + 1), entry((m) + 2), entry((m) + 3)
#define ENTRIES16(entry, m)                                                                        \
	ENTRIES4(entry, m), ENTRIES4(entry, (m) + 4), ENTRIES4(entry, (m) + 8),                    \
	ENTRIES4(entry, (m) + 12)
#define ENTRIES64(entry, m)                                                                        \
	ENTRIES16(entry, m), ENTRIES16(entry, (m) + 16), ENTRIES16(entry, (m) + 32),               \
	ENTRIES16(entry, (m) + 48)
#ifdef __cppcheck__ /* it takes minutes over 256 such expressions and learns nothing by them */
#define BYTE_TABLE(entry)  {entry(0)}
#else
#define BYTE_TABLE(entry)                                                                          \
	{ENTRIES64(entry, 0), ENTRIES64(entry, 64), ENTRIES64(entry, 128), ENTRIES64(entry, 192)}
#endif
/* clang-format on */

#endif
