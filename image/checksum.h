/* SPDX-License-Identifier: MIT */
/*
 * checksum.h - the CRC-32 of the format: that of gzip, zlib and every standard library.
 *
 * ISA-L's, which picks instructions at run time. Any thread may call.
 */
#ifndef ENTROFS_CHECKSUM_H
#define ENTROFS_CHECKSUM_H

#include "codec/codec.h"

#include <isa-l/crc.h>
#include <stddef.h>
#include <stdint.h>

static inline uint32_t checksum_of(const void *data, size_t size)
{
	return crc32_gzip_refl(0, data, size);
}

/* The same of a block, with what its decoder made of it; raw[0..size) are its bytes. */
static inline uint32_t checksum_of_folded(const struct codec_fold *fold, const uint8_t *raw,
					  size_t size)
{
	if (fold->covered == 0)
		return checksum_of(raw, size);
	/* ISA-L inverts what it is given, and here the register starts at 0. */
	uint32_t checksum = crc32_gzip_refl(UINT32_MAX, fold->bytes, fold->size);
	if (fold->covered < size)
		checksum = crc32_gzip_refl(checksum, raw + fold->covered, size - fold->covered);
	return checksum;
}

#endif
