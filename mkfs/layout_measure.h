/* SPDX-License-Identifier: MIT */
/*
 * layout_measure.h - what records of samples would come to, cut one way or another.
 *
 * Pure arithmetic on bytes, the same on every machine: an image depends on it.
 */
#ifndef ENTROFS_LAYOUT_MEASURE_H
#define ENTROFS_LAYOUT_MEASURE_H

#include "codec/planes.h"
#include "image/format.h"

#include <stddef.h>
#include <stdint.h>

enum { LAYOUT_SAMPLE = 256 << 10 }; /* bytes of all samples of a region together, at most */

/* Bytes that n records take if each of their planes is coded by itself, per byte of theirs: 0 to 1,
 * and more where a plane cannot be coded but costs a stream nevertheless. work: LAYOUT_SAMPLE +
 * PLANES_UNIT_MAX bytes. */
double layout_cost(const struct planes *planes, const uint8_t *records, size_t n, uint8_t *work);

/* Single bytes: what everything is compared with. */
struct planes layout_bytes(void);

/*
 * Finds the record of bytes of unknown structure, of which a sample is at hand: 2 to 256 bytes,
 * cut in fields that are alike within and unlike their neighbours. *phase: of the sample's byte
 * that a record starts at, below unit. 0, or -1: none was found.
 */
int layout_find(const uint8_t *sample, size_t size, struct planes *planes, size_t *phase);

#endif
