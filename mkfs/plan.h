/* SPDX-License-Identifier: MIT */
/*
 * plan.h - which tensor gets which bits.
 */
#ifndef ENTROFS_PLAN_H
#define ENTROFS_PLAN_H

#include "mkfs/options.h"
#include "mkfs/source.h"

#include <stdint.h>

/* Bits (8, 4, or 0: keep) for each of the source's tensors. NULL after printing why. The caller
 * frees. Marks rules as used. */
uint8_t *plan_bits(const struct source *source, struct options *options);

#endif
