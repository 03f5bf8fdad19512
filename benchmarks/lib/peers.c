/* SPDX-License-Identifier: MIT */
/*
 * peers.c - zstd, lz4 and memcpy as contestants; see contestant.h.
 *
 * Frames of zstd carry no checksum, as it is by default, and ours are not verified either.
 */
#include "benchmarks/lib/contestant.h"

#include <lz4.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

struct zstd {
	ZSTD_CCtx *compress;
	ZSTD_DCtx *decompress;
};

static void *open_zstd(void)
{
	struct zstd *zstd = allocate(sizeof *zstd);

	zstd->compress = ZSTD_createCCtx();
	zstd->decompress = ZSTD_createDCtx();
	if (!zstd->compress || !zstd->decompress)
		fail("allocate memory");
	return zstd;
}

static void close_zstd(void *own)
{
	struct zstd *zstd = own;

	ZSTD_freeCCtx(zstd->compress);
	ZSTD_freeDCtx(zstd->decompress);
	free(zstd);
}

static int encode_zstd(const struct contestant *self, const struct plan *plan, void *own,
		       const struct piece *piece, const uint8_t *src, uint8_t *dst, size_t capacity,
		       size_t *coded_size)
{
	struct zstd *zstd = own;

	(void)plan;
	*coded_size =
	    ZSTD_compressCCtx(zstd->compress, dst, capacity, src, piece->size, self->level);
	return ZSTD_isError(*coded_size) ? -1 : 0;
}

static int decode_zstd(const struct contestant *self, const struct plan *plan, void *own,
		       const struct piece *piece, const uint8_t *coded, uint8_t *dst)
{
	struct zstd *zstd = own;

	(void)self;
	(void)plan;
	return ZSTD_decompressDCtx(zstd->decompress, dst, piece->size, coded, piece->coded_size) ==
		       piece->size
		   ? 0
		   : -1;
}

static size_t bound_lz4(size_t size)
{
	return (size_t)LZ4_compressBound((int)size);
}

static void *open_lz4(void)
{
	return allocate((size_t)LZ4_sizeofState());
}

static int encode_lz4(const struct contestant *self, const struct plan *plan, void *own,
		      const struct piece *piece, const uint8_t *src, uint8_t *dst, size_t capacity,
		      size_t *coded_size)
{
	(void)self;
	(void)plan;
	int size = LZ4_compress_fast_extState(own, (const char *)src, (char *)dst, (int)piece->size,
					      (int)capacity, 1);
	*coded_size = (size_t)size;
	return size > 0 ? 0 : -1;
}

static int decode_lz4(const struct contestant *self, const struct plan *plan, void *own,
		      const struct piece *piece, const uint8_t *coded, uint8_t *dst)
{
	(void)self;
	(void)plan;
	(void)own;
	return LZ4_decompress_safe((const char *)coded, (char *)dst, (int)piece->coded_size,
				   (int)piece->size) == (int)piece->size
		   ? 0
		   : -1;
}

static void *open_copy(void)
{
	return allocate(1);
}

static size_t bound_copy(size_t size)
{
	return size;
}

static int encode_copy(const struct contestant *self, const struct plan *plan, void *own,
		       const struct piece *piece, const uint8_t *src, uint8_t *dst, size_t capacity,
		       size_t *coded_size)
{
	(void)self;
	(void)plan;
	(void)own;
	(void)capacity;
	memcpy(dst, src, piece->size);
	*coded_size = piece->size;
	return 0;
}

static int decode_copy(const struct contestant *self, const struct plan *plan, void *own,
		       const struct piece *piece, const uint8_t *coded, uint8_t *dst)
{
	(void)self;
	(void)plan;
	(void)own;
	memcpy(dst, coded, piece->size);
	return 0;
}

static const struct contestant_methods zstd_methods = {open_zstd, close_zstd, ZSTD_compressBound,
						       encode_zstd, decode_zstd};
static const struct contestant_methods lz4_methods = {open_lz4, free, bound_lz4, encode_lz4,
						      decode_lz4};
static const struct contestant_methods copy_methods = {open_copy, free, bound_copy, encode_copy,
						       decode_copy};

unsigned contestants_of_peers(struct contestant *list, size_t data_size)
{
	static const struct contestant peers[] = {
	    {.codec = "zstd-1", .level = 1, .methods = &zstd_methods},
	    {.codec = "zstd-3", .level = 3, .methods = &zstd_methods},
	    {.codec = "lz4", .methods = &lz4_methods},
	    {.codec = "memcpy", .methods = &copy_methods},
	};
	const size_t sizes[] = {16 << 10, 128 << 10, data_size};
	unsigned count = 0;

	for (size_t i = 0; i < sizeof peers / sizeof peers[0]; i++) {
		for (size_t j = 0; j < sizeof sizes / sizeof sizes[0]; j++) {
			if (sizes[j] > data_size)
				continue;
			list[count] = peers[i];
			list[count++].piece_size = sizes[j];
		}
	}
	return count;
}
