/* SPDX-License-Identifier: MIT */
/*
 * contestant.h - codecs behind one interface, and one of them at work on one data set.
 *
 * A CONTESTANT codes independent PIECES of the data: our blocks, a peer's frames. An ENTRY is a
 * contestant with its pieces of a data set, coded, checked, and ready to be timed.
 */
#ifndef ENTROFS_BENCH_CONTESTANT_H
#define ENTROFS_BENCH_CONTESTANT_H

#include "benchmarks/lib/data.h"
#include "benchmarks/lib/measure.h"
#include "benchmarks/lib/team.h"
#include "codec/codec.h"
#include "image/format.h"

#include <stddef.h>
#include <stdint.h>

enum { BLOCK_SIZE = 16 << 10 };

struct piece {
	size_t offset, size; /* decoded */
	size_t coded_offset, coded_size;
	size_t number;
	uint32_t checksum; /* CRC-32 of the decoded bytes */
};

/* A block of ours: how an image stores it, and the tree that codes it. */
struct block {
	enum efs_block_kind kind;
	const struct codec_tree *tree; /* NULL if its part is not worth coding */
};

/* Our code tables, as mkentrofs chooses them, for all kernels; and what they cost. */
struct plan {
	struct codec_tree **trees;
	size_t tree_count;
	struct block *blocks; /* by number of piece */
	size_t block_count;
	double histogram_seconds; /* of all data */
	double design_seconds;    /* of all tables */
	double stored_bits;       /* per byte in an image, everything included */
};
void plan_make(struct plan *plan, const struct data *data);
void plan_free(struct plan *plan);

struct contestant {
	char codec[16];                    /* "entrofs", "zstd-3", ... */
	const struct codec_kernel *kernel; /* of entrofs; else NULL */
	size_t piece_size; /* decoded bytes; a part's or the data's last piece may be smaller */
	int level;         /* of zstd */
	int verifies;      /* of entrofs: checks each decoded piece against its CRC-32 */
	const struct contestant_methods *methods;
};

/* All return -1 if they fail. `own` is one thread's working memory. */
struct contestant_methods {
	void *(*open)(void);
	void (*close)(void *own);
	size_t (*bound)(size_t size);
	int (*encode)(const struct contestant *, const struct plan *, void *own,
		      const struct piece *, const uint8_t *src, uint8_t *dst, size_t capacity,
		      size_t *coded_size);
	int (*decode)(const struct contestant *, const struct plan *, void *own,
		      const struct piece *, const uint8_t *coded, uint8_t *dst);
};

enum { CONTESTANTS_MAX = 24 };

/* Every kernel that this processor supports, then the one in use with its checksums. */
unsigned contestants_of_entrofs(struct contestant *list);
/* zstd -1 and -3, lz4 and memcpy, each in pieces of 16 KiB, of 128 KiB and of everything. */
unsigned contestants_of_peers(struct contestant *list, size_t data_size);

struct entry {
	const struct contestant *contestant;
	const struct data *data;
	const struct plan *plan;
	struct piece *pieces;
	size_t piece_count;
	size_t segment; /* pieces that a thread takes at once */
	uint8_t *coded; /* all coded pieces, CODEC_SLACK behind them */
	size_t coded_size;
	size_t slot_size;         /* room for any coded piece */
	uint8_t *slots[TEAM_MAX]; /* where each thread writes when encoding is timed */
	void *own[TEAM_MAX];
};

/* Codes the data, decodes it and compares; fails if anything but the same bytes came out. */
void entry_open(struct entry *entry, const struct contestant *contestant, const struct data *data,
		const struct plan *plan, unsigned threads);
void entry_close(struct entry *entry);

double entry_bits_per_byte(const struct entry *entry);

/*
 * A job that codes all pieces, or decodes them to `out`, passes times. Passes overlap, so no two
 * threads may write to one place in different passes.
 */
struct decoding {
	const struct entry *entry;
	uint8_t *out;
	/* Stretches of the data's size in out, of which pass p writes to the (p % copies)-th; or 0:
	 * each thread has one. */
	unsigned copies;
};
struct job entry_encoding(struct entry *entry, unsigned passes);
struct job entry_decoding(const struct decoding *decoding, unsigned passes);

#endif
