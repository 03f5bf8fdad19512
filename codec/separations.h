/* SPDX-License-Identifier: MIT */
/* separations.h - controls for byte shuffles that part eight elements; private to codec/. */
#ifndef ENTROFS_CODEC_SEPARATIONS_H
#define ENTROFS_CODEC_SEPARATIONS_H

#include "codec/byte_table.h"

/* clang-format off */
#define PLACE(m, i)    (BIT(m, i) * (i) << 8 * ONES((m) & ((1 << (i)) - 1)))
#define RIGHTS(m)                                                                                  \
	(PLACE(m, 1) | PLACE(m, 2) | PLACE(m, 3) | PLACE(m, 4) | PLACE(m, 5) | PLACE(m, 6) |       \
	 PLACE(m, 7))
#define SEPARATION(m)  {RIGHTS(~(m) & 0xff), RIGHTS(m)}
/* clang-format on */

/*
 * For a mask of eight bits: byte i of the first word says which element the i-th zero belongs to,
 * byte i of the second the i-th one. Bytes beyond those are 0.
 */
static const _Alignas(64) uint64_t separations[256][2] = BYTE_TABLE(SEPARATION);

#undef PLACE
#undef RIGHTS
#undef SEPARATION

#endif
