/* SPDX-License-Identifier: MIT */
/* separations.h - controls for byte shuffles that part eight elements; private to codec/. */
#ifndef ENTROFS_CODEC_SEPARATIONS_H
#define ENTROFS_CODEC_SEPARATIONS_H

#include <stdint.h>

/* clang-format off */
#define BIT(m, i)     ((uint64_t)(m) >> (i) & 1)
#define ONES2(m)      (BIT(m, 0) + BIT(m, 1))
#define ONES4(m)      (ONES2(m) + ONES2((m) >> 2))
#define ONES8(m)      (ONES4(m) + ONES4((m) >> 4))
#define PLACE(m, i)   (BIT(m, i) * (i) << 8 * ONES8((m) & ((1 << (i)) - 1)))
#define RIGHTS(m)                                                                                  \
	(PLACE(m, 1) | PLACE(m, 2) | PLACE(m, 3) | PLACE(m, 4) | PLACE(m, 5) | PLACE(m, 6) |       \
	 PLACE(m, 7))
#define ENTRY(m)      {RIGHTS(~(m) & 0xff), RIGHTS(m)}
#define ENTRIES4(m)   ENTRY(m), ENTRY((m) + 1), ENTRY((m) + 2), ENTRY((m) + 3)
#define ENTRIES16(m)  ENTRIES4(m), ENTRIES4((m) + 4), ENTRIES4((m) + 8), ENTRIES4((m) + 12)
#define ENTRIES64(m)  ENTRIES16(m), ENTRIES16((m) + 16), ENTRIES16((m) + 32), ENTRIES16((m) + 48)
/* clang-format on */

/*
 * For a mask of eight bits: byte i of the first word says which element the i-th zero belongs to,
 * byte i of the second the i-th one. Bytes beyond those are 0.
 */
static const _Alignas(64) uint64_t separations[256][2] = {ENTRIES64(0), ENTRIES64(64),
							  ENTRIES64(128), ENTRIES64(192)};

#undef BIT
#undef ONES2
#undef ONES4
#undef ONES8
#undef PLACE
#undef RIGHTS
#undef ENTRY
#undef ENTRIES4
#undef ENTRIES16
#undef ENTRIES64

#endif
