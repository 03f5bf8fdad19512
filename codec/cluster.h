/* SPDX-License-Identifier: MIT */
/*
 * cluster.h - finds blocks that are alike, so that each kind can have a code table of its own.
 *
 * A block is known by the counts of its bytes; where it lies does not matter. Nothing but integer
 * arithmetic in memory of the caller's: the same counts in the same order give the same groups on
 * any machine.
 *
 * Source: vector quantization by repeated splitting (Linde, Buzo and Gray, 1980), with the length
 * of the coded block as the distance.
 */
#ifndef ENTROFS_CLUSTER_H
#define ENTROFS_CLUSTER_H

#include "codec/codec.h"

#include <stddef.h>
#include <stdint.h>

enum { CODEC_GROUPS_MAX = 16 };

/* A block. */
struct codec_unit {
	uint16_t counts[CODEC_SYMBOLS]; /* given */
	uint32_t size;                  /* given: their sum, at most 65535 */
	uint8_t group;                  /* found */
	uint8_t side;                   /* working memory, like what follows */
	uint32_t own;
};

struct codec_clusters; /* working memory; codec_clusters_size bytes, 64-aligned */
extern const size_t codec_clusters_size;

/*
 * Puts all units in group 0. They stay the caller's, in their place and unchanged for as long as
 * codec_cluster_divide() is called. One of them at least has a size; those without go along with
 * any group, and no group consists of them alone. All sizes together are less than 2^48.
 */
void codec_cluster_start(struct codec_clusters *work, struct codec_unit *units, size_t count);

/*
 * Divides in two the group where that saves the most and returns its number; the other part is a
 * new group, with the next number not in use. -1 if no division saves `least` coded bits, or if
 * there are CODEC_GROUPS_MAX groups. Savings are estimates made without designing a table; the
 * caller may find that tables bring a little more or less.
 */
int codec_cluster_divide(struct codec_clusters *work, uint64_t least);

#endif
