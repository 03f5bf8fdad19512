/* SPDX-License-Identifier: MIT */
/*
 * frames.h - chunks that are not what a chunk should be: zstd frames with other headers, too many
 * of them, too long ones, cut ones, with other things between them; in a blob, an index, the
 * catalog.
 *
 * The chunk's checksum is that of its right bytes, so whoever decodes it to anything else notices;
 * what must not happen on the way is a matter of memory and time.
 */
#ifndef ENTROFS_TESTS_FRAMES_H
#define ENTROFS_TESTS_FRAMES_H

#include "tests/hostile/forge.h"

#include <zstd.h>

enum frames_place { FRAMES_BLOB, FRAMES_INDEX, FRAMES_CATALOG, FRAMES_PLACES };

enum {
	FRAMES_BLOB_SIZE = 20000, /* text: a frame larger than the least for a chunk */
	FRAMES_STREAM_SIZE = 5000,
	FRAMES_SMALLEST = 40000, /* zeros: a frame that is filled up */
	FRAMES_RANDOM = 200,
	FRAMES_FLIPPED = 24, /* bytes */
};

struct frames {
	struct hostile *hostile;
	enum frames_place place; /* of the chunk that is changed */
	uint8_t blob[EFS_CHUNK_SIZE], stream[FRAMES_STREAM_SIZE];
	size_t blob_size;
	struct truth truth;
	struct buffer raw;   /* what the chunk should decode to */
	struct buffer frame; /* its frame, as the library makes it */
	size_t header;       /* of it, bytes */
	struct buffer chunk; /* that is tried */
	struct buffer out;
};

/* --- an image around a chunk -------------------------------------------------------------------
 */

/* The chunk that is tried, or a good one; remembers what it should decode to. */
static inline struct efs_section frames_section(struct frames *f, enum frames_place place,
						struct forge *forge, const void *raw, size_t size)
{
	if (f->place != place)
		return forge_section(forge, raw, size, raw, size);
	f->raw.size = 0;
	forge_put(&f->raw, raw, size);
	return forge_section(forge, f->chunk.data, f->chunk.size, raw, size);
}

static inline void frames_index(struct frames *f, struct forge *forge, struct efs_stream *stream)
{
	struct buffer index = {0};
	uint32_t checksums[] = {checksum_of(f->stream, 4096),
				checksum_of(f->stream + 4096, FRAMES_STREAM_SIZE - 4096)};
	struct codec_table table;

	memset(table.code, 0x80, sizeof(table.code)); /* all symbols alike; not used */
	forge_put(&index, &table, sizeof(table));
	forge_put(&index, checksums, sizeof(checksums));
	forge_zeros(&index, 2 * sizeof(uint16_t) + 2 + 2); /* two raw blocks */
	stream->index = frames_section(f, FRAMES_INDEX, forge, index.data, index.size);
	efs_buffer_free(&index);
}

/* The image in f->out, its chunk being f->chunk. */
static inline void frames_lay(struct frames *f)
{
	struct efs_stream stream = {.stored_size = FRAMES_STREAM_SIZE,
				    .raw_size = FRAMES_STREAM_SIZE,
				    .block_log2 = EFS_BLOCK_LOG2_MIN,
				    .table_count = 1};
	struct efs_piece pieces[] = {{EFS_PIECE_BLOB, 0, 0, f->blob_size},
				     {EFS_PIECE_STREAM, 0, 0, FRAMES_STREAM_SIZE}};
	struct buffer catalog = {0};
	struct efs_section section;
	struct forge forge;

	forge_begin(&forge);
	stream.offset = forge_body(&forge, f->stream, FRAMES_STREAM_SIZE, EFS_STREAM_ALIGN);
	section = frames_section(f, FRAMES_BLOB, &forge, f->blob, f->blob_size);
	forge_add(&forge, FIELD_BLOB, &section);
	frames_index(f, &forge, &stream);
	forge_add(&forge, FIELD_STREAM, &stream);
	forge_child(&forge, "blob", &pieces[0]);
	forge_child(&forge, "stream", &pieces[1]);
	forge_node(&forge, 0)->count = 2;
	forge_link(&forge);
	forge_catalog(&forge, &catalog);
	section = frames_section(f, FRAMES_CATALOG, &forge, catalog.data, catalog.size);
	f->out.size = 0;
	forge_put(&f->out, forge.image.data, forge.image.size);
	forge_close(&f->out, section);
	efs_buffer_free(&catalog);
	forge_free(&forge);
}

/* The size of the library's header, by RFC 8878. */
static inline size_t frames_header_size(const struct frames *f)
{
	unsigned descriptor = f->frame.data[4], single = descriptor >> 5 & 1;
	static const uint8_t sizes[] = {0, 2, 4, 8};

	return 5u + (single ? 0 : 1) + (descriptor >> 6 ? sizes[descriptor >> 6] : single);
}

/* What `place` should hold is known once an image has been laid out: with the chunk stored raw. */
static inline void frames_setup(struct frames *f, struct hostile *hostile, enum frames_place place,
				size_t blob_size)
{
	*f = (struct frames){.hostile = hostile, .place = place, .blob_size = blob_size};
	hostile->truth = &f->truth;
	for (size_t i = 0; i < blob_size; i++)
		f->blob[i] = blob_size == FRAMES_SMALLEST
				 ? 0
				 : (uint8_t)((size_t) " {\"ab\": 12}"[i % 11] + i / 97 % 7);
	build_noise(f->stream, FRAMES_STREAM_SIZE, 3);
	f->truth.blobs[0] = (struct truth_source){f->blob, blob_size, 0};
	f->truth.streams[0] = (struct truth_source){f->stream, FRAMES_STREAM_SIZE, 0};
	forge_put(&f->chunk, "x", 1);
	frames_lay(f);
	if (!efs_buffer_extend(&f->frame, ZSTD_compressBound(f->raw.size)))
		abort();
	f->frame.size = ZSTD_compress(f->frame.data, f->frame.size, f->raw.data, f->raw.size, 19);
	f->header = frames_header_size(f);
}

static inline void frames_teardown(struct frames *f)
{
	efs_buffer_free(&f->raw);
	efs_buffer_free(&f->frame);
	efs_buffer_free(&f->chunk);
	efs_buffer_free(&f->out);
}

__attribute__((format(printf, 3, 4))) static inline void
frames_try(struct frames *f, enum hostile_verdict verdict, const char *format, ...)
{
	static const char *const places[] = {"blob", "index", "catalog"};
	char name[96];
	va_list args;

	va_start(args, format);
	vsnprintf(name, sizeof(name), format, args);
	va_end(args);
	frames_lay(f);
	hostile_put(f->hostile, &f->out, verdict, NULL, "%s: %s", places[f->place], name);
}

/* --- chunks ------------------------------------------------------------------------------------
 */

static inline void frames_begin(struct frames *f)
{
	f->chunk.size = 0;
}

static inline void frames_word(struct frames *f, uint64_t value, size_t bytes)
{
	forge_put(&f->chunk, &value, bytes);
}

/* A frame of the library around raw bytes. */
static inline void frames_frame(struct frames *f, const uint8_t *raw, size_t size)
{
	size_t room = ZSTD_compressBound(size), at = f->chunk.size;

	if (!efs_buffer_extend(&f->chunk, room))
		abort();
	f->chunk.size = at + ZSTD_compress(f->chunk.data + at, room, raw, size, 19);
}

static inline void frames_skippable(struct frames *f, unsigned kind, uint32_t claimed, size_t size,
				    uint8_t content)
{
	frames_word(f, 0x184D2A50u + kind, 4);
	frames_word(f, claimed, 4);
	for (size_t i = 0; i < size; i++)
		forge_put(&f->chunk, &content, 1);
}

/* What fills up the chunk as it should. */
static inline void frames_fill(struct frames *f)
{
	size_t size = efs_section_filler_size(f->chunk.size, f->raw.size);

	if (size)
		frames_skippable(f, 0, (uint32_t)size - 8, size - 8, 0);
}

/* What a frame begins with. */
struct frames_header {
	uint8_t flags; /* of the descriptor, beside the sizes of the fields */
	int window;    /* descriptor; -1: none, a single segment */
	unsigned dictionary_size,
	    content_log2; /* bytes of the id; log2 of the bytes of the size, 4: none */
	uint64_t dictionary, content;
};

/* The bytes of the library's frame behind its header, with another header before them. */
static inline void frames_reheaded(struct frames *f, struct frames_header header)
{
	uint64_t content = header.content_log2 == 1 ? header.content - 256 : header.content;
	unsigned id_code = header.dictionary_size == 4 ? 3 : header.dictionary_size;
	unsigned size_code = header.content_log2 == 4 ? 0 : header.content_log2;

	frames_begin(f);
	frames_word(f, ZSTD_MAGICNUMBER, 4);
	frames_word(f, size_code << 6 | (header.window < 0 ? 0x20 : 0) | header.flags | id_code, 1);
	if (header.window >= 0)
		frames_word(f, (uint64_t)header.window, 1);
	frames_word(f, header.dictionary, header.dictionary_size);
	if (header.content_log2 < 4)
		frames_word(f, content, (size_t)1 << header.content_log2);
	forge_put(&f->chunk, f->frame.data + f->header, f->frame.size - f->header);
}

static inline void frames_headers(struct frames *f)
{
	uint64_t size = f->raw.size;
	struct {
		const char *what;
		struct frames_header header;
		enum hostile_verdict verdict;
	} cases[] = {
	    {"no size of the content", {0, 0x38, 0, 4, 0, 0}, HOSTILE_SERVED},
	    {"a size in 8 bytes", {0, 0x38, 0, 3, 0, size}, HOSTILE_SERVED},
	    {"a size in 8 bytes, single", {0, -1, 0, 3, 0, size}, HOSTILE_SERVED},
	    {"a window of 1 KiB", {0, 0, 0, 4, 0, 0}, HOSTILE_JUDGED},
	    {"a window of 144 KiB", {0, 7 << 3 | 1, 0, 4, 0, 0}, HOSTILE_REFUSED},
	    {"a window of 128 MiB", {0, 17 << 3, 0, 4, 0, 0}, HOSTILE_REFUSED},
	    {"a window of 2 GiB", {0, 21 << 3, 0, 4, 0, 0}, HOSTILE_REFUSED},
	    {"a window of 2 TiB", {0, 31 << 3, 0, 4, 0, 0}, HOSTILE_REFUSED},
	    {"the largest window", {0, 0xff, 0, 4, 0, 0}, HOSTILE_REFUSED},
	    {"dictionary 7", {0, 0x38, 1, 4, 7, 0}, HOSTILE_REFUSED},
	    {"dictionary 700", {0, 0x38, 2, 4, 700, 0}, HOSTILE_REFUSED},
	    {"dictionary 2^32 - 1", {0, 0x38, 4, 4, UINT32_MAX, 0}, HOSTILE_REFUSED},
	    {"dictionary 0", {0, 0x38, 4, 4, 0, 0}, HOSTILE_JUDGED},
	    {"the unused bit", {0x10, 0x38, 0, 4, 0, 0}, HOSTILE_JUDGED},
	    {"the reserved bit", {0x08, 0x38, 0, 4, 0, 0}, HOSTILE_REFUSED},
	    {"a checksum that is not there", {0x04, 0x38, 0, 4, 0, 0}, HOSTILE_REFUSED},
	    {"one byte more", {0, 0x38, 0, 3, 0, size + 1}, HOSTILE_REFUSED},
	    {"one byte less", {0, 0x38, 0, 3, 0, size - 1}, HOSTILE_REFUSED},
	    {"no bytes", {0, 0x38, 0, 3, 0, 0}, HOSTILE_REFUSED},
	    {"no bytes, single", {0, -1, 0, 3, 0, 0}, HOSTILE_REFUSED},
	    {"4 GiB", {0, 0x38, 0, 3, 0, UINT64_C(1) << 32}, HOSTILE_REFUSED},
	    {"4 GiB and the size", {0, -1, 0, 3, 0, (UINT64_C(1) << 32) + size}, HOSTILE_REFUSED},
	    {"2^63 bytes", {0, -1, 0, 3, 0, UINT64_C(1) << 63}, HOSTILE_REFUSED},
	    {"2^64 - 1 bytes", {0, 0x38, 0, 3, 0, UINT64_MAX}, HOSTILE_JUDGED},
	    {"2^64 - 2 bytes", {0, -1, 0, 3, 0, UINT64_MAX - 1}, HOSTILE_REFUSED},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		frames_reheaded(f, cases[i].header);
		frames_fill(f);
		frames_try(f, cases[i].verdict, "a header with %s", cases[i].what);
	}
	for (uint32_t magic = 0xFD2FB51E; magic <= 0xFD2FB529; magic++) {
		frames_begin(f);
		forge_put(&f->chunk, f->frame.data, f->frame.size);
		memcpy(f->chunk.data, &magic, sizeof(magic));
		frames_fill(f);
		frames_try(f, magic == ZSTD_MAGICNUMBER ? HOSTILE_SERVED : HOSTILE_REFUSED,
			   "magic number %#x", magic);
	}
}

/* More than one frame, all of them good. */
static inline void frames_several(struct frames *f)
{
	const uint8_t *raw = f->raw.data;
	size_t size = f->raw.size;

	for (size_t cut = 0; cut <= size; cut += cut == 0 ? size / 2 : size - size / 2) {
		frames_begin(f);
		frames_frame(f, raw, cut);
		frames_frame(f, raw + cut, size - cut);
		frames_fill(f);
		frames_try(f, HOSTILE_REFUSED, "two frames, the first of %zu bytes", cut);
	}
	for (unsigned kind = 0; kind < 16; kind++) {
		frames_begin(f);
		frames_skippable(f, kind, 3, 3, 0);
		frames_frame(f, raw, size);
		frames_fill(f);
		frames_try(f, HOSTILE_REFUSED, "skippable frame %u first", kind);
	}
	frames_begin(f);
	frames_skippable(f, 0, (uint32_t)(size / 2), size / 2, 0);
	frames_try(f, HOSTILE_REFUSED, "a skippable frame alone");
	frames_begin(f);
	while (f->chunk.size + 8 < size && f->chunk.size < 60000)
		frames_skippable(f, 0, 0, 0, 0);
	frames_try(f, HOSTILE_REFUSED, "thousands of skippable frames");
}

/* What follows the frame is more, less or something else than what it should be. */
static inline void frames_fillers(struct frames *f)
{
	size_t good = efs_section_filler_size(f->frame.size, f->raw.size);

	for (size_t size = 0; size < 24 && f->frame.size + good + size < f->raw.size; size++)
		for (unsigned kind = 0; kind < 4; kind++) {
			size_t whole = size + (good >= 8 ? good - 8 : 0);
			static const char *const kinds[] = {"zeros", "a skippable frame",
							    "one with content",
							    "one of another kind"};
			int is_good = (kind == 1 || (kind == 2 && !whole)) && whole + 8 == good;

			if (kind == 0 && !whole)
				continue;
			frames_begin(f);
			forge_put(&f->chunk, f->frame.data, f->frame.size);
			if (kind == 0)
				forge_zeros(&f->chunk, whole);
			else
				frames_skippable(f, kind == 3 ? 5 : 0, (uint32_t)whole, whole,
						 kind == 2 ? 1 : 0);
			frames_try(f, is_good ? HOSTILE_SERVED : HOSTILE_REFUSED,
				   "%zu bytes behind the frame: %s", f->chunk.size - f->frame.size,
				   kinds[kind]);
		}
	for (unsigned i = 0; i < 4; i++) {
		const uint32_t claims[] = {UINT32_MAX, UINT32_MAX - 7, (uint32_t)good, 0};

		frames_begin(f);
		forge_put(&f->chunk, f->frame.data, f->frame.size);
		frames_skippable(f, 0, claims[i], good > 8 ? good - 8 : 1, 0);
		frames_try(f, HOSTILE_REFUSED, "a skippable frame that claims %u bytes", claims[i]);
	}
}

/* Blocks made by hand: (kind, size, byte or content) */
static inline void frames_block(struct frames *f, unsigned kind, uint32_t size, int is_last)
{
	frames_word(f, (uint32_t)is_last | kind << 1 | size << 3, 3);
}

static inline void frames_head(struct frames *f)
{
	frames_begin(f);
	frames_word(f, ZSTD_MAGICNUMBER, 4);
	frames_word(f, 0, 1);
	frames_word(f, 0x38, 1); /* a window of 128 KiB */
}

/* Frames of a few bytes that decode to more than the chunk, up to gigabytes. */
static inline void frames_bombs(struct frames *f)
{
	enum { BLOCK = 128 << 10 };

	for (uint64_t extra = 1; extra <= UINT64_C(1) << 30; extra *= 32) {
		uint64_t left = f->raw.size + extra;

		frames_head(f);
		while (left && f->chunk.size + 5 < f->raw.size) {
			uint32_t size = left < BLOCK ? (uint32_t)left : BLOCK;

			left -= size;
			frames_block(f, 1, size, !left || f->chunk.size + 9 >= f->raw.size);
			frames_word(f, 0, 1);
		}
		frames_fill(f);
		frames_try(f, HOSTILE_REFUSED, "a bomb of %llu bytes",
			   (unsigned long long)(f->raw.size + extra - left));
	}
	frames_head(f);
	frames_block(f, 1, (uint32_t)f->raw.size - 1, 1);
	frames_word(f, 0, 1);
	frames_fill(f);
	frames_try(f, HOSTILE_REFUSED, "a frame of one byte too few");
	frames_head(f);
	frames_block(f, 1, (1 << 21) - 1, 1);
	frames_word(f, 0, 1);
	frames_fill(f);
	frames_try(f, HOSTILE_REFUSED, "a block of 2 MiB");
	frames_head(f);
	frames_block(f, 3, 100, 1);
	frames_fill(f);
	frames_try(f, HOSTILE_REFUSED, "a block of the reserved kind");
	frames_head(f);
	while (f->chunk.size + 3 < f->raw.size)
		frames_block(f, 0, 0, 0);
	frames_try(f, HOSTILE_REFUSED, "a frame without an end");
}

/* The frame cut short anywhere, a bit flipped in its beginning, anything. */
static inline void frames_damage(struct frames *f)
{
	uint64_t seed = 9 + f->place;

	for (size_t size = 1; size < f->frame.size; size += 1 + size / 24) {
		frames_begin(f);
		forge_put(&f->chunk, f->frame.data, size);
		frames_fill(f);
		frames_try(f, HOSTILE_REFUSED, "a frame cut at byte %zu", size);
	}
	for (size_t bit = 0; bit < 8 * FRAMES_FLIPPED && bit / 8 < f->frame.size; bit++) {
		frames_begin(f);
		forge_put(&f->chunk, f->frame.data, f->frame.size);
		f->chunk.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		frames_fill(f);
		frames_try(f, HOSTILE_JUDGED, "bit %zu of the frame flipped", bit);
	}
	for (unsigned round = 0; round < FRAMES_RANDOM; round++) {
		size_t at = f->header + build_random(&seed) % (f->frame.size - f->header);

		frames_begin(f);
		forge_put(&f->chunk, f->frame.data, f->frame.size);
		for (size_t i = at; i < f->chunk.size && i < at + 1 + round % 40; i++)
			f->chunk.data[i] = (uint8_t)build_random(&seed);
		frames_fill(f);
		frames_try(f, HOSTILE_JUDGED, "random bytes from byte %zu of the frame on", at);
	}
}

static inline void frames_all(struct hostile *hostile, enum frames_place place, size_t blob_size)
{
	struct frames *f = malloc(sizeof(*f));

	if (!f)
		abort();
	frames_setup(f, hostile, place, blob_size);
	frames_begin(f);
	forge_put(&f->chunk, f->frame.data, f->frame.size);
	frames_fill(f);
	frames_try(f, HOSTILE_SERVED, "the frame as it should be");
	frames_begin(f);
	forge_put(&f->chunk, f->raw.data, f->raw.size);
	frames_try(f, HOSTILE_SERVED, "stored as it is");
	frames_headers(f);
	frames_several(f);
	frames_fillers(f);
	frames_bombs(f);
	frames_damage(f);
	frames_teardown(f);
	free(f);
}

static inline void hostile_frames(struct hostile *hostile)
{
	hostile->class = "frames";
	for (enum frames_place place = 0; place < FRAMES_PLACES; place++)
		frames_all(hostile, place, FRAMES_BLOB_SIZE);
	frames_all(hostile, FRAMES_BLOB, FRAMES_SMALLEST);
	frames_all(hostile, FRAMES_BLOB, EFS_CHUNK_SIZE);
}

#endif
