/* SPDX-License-Identifier: MIT */
/*
 * checksum.h - the CRC-32 of the format: that of gzip, zlib and every standard library.
 *
 * ISA-L's, which picks instructions at run time. Any thread may call.
 */
#ifndef ENTROFS_CHECKSUM_H
#define ENTROFS_CHECKSUM_H

#include <isa-l/crc.h>
#include <stddef.h>
#include <stdint.h>

static inline uint32_t checksum_of(const void *data, size_t size)
{
	return crc32_gzip_refl(0, data, size);
}

#endif
