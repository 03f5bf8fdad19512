/* SPDX-License-Identifier: MIT */
/*
 * forge.h - images made by hand, of parts that may be anything, and where they go.
 *
 * A forge holds what lies between superblock and catalog, and the catalog's arrays. forge_lay()
 * makes an image of them in which all checksums, digests and hashes are right: what is wrong is
 * only what the parts say. Nothing here looks whether they make sense.
 */
#ifndef ENTROFS_TESTS_FORGE_H
#define ENTROFS_TESTS_FORGE_H

#include "image/checksum.h"
#include "tests/hostile/truth.h"
#include "tests/unit/image_plain.h"

#include <stdarg.h>

enum { FORGE_ARRAYS = FIELD_STRINGS - FIELD_NODE + 1 };

struct forge {
	struct buffer image;                /* superblock's place, then data and indexes */
	struct buffer arrays[FORGE_ARRAYS]; /* of the catalog; see forge_array() */
	int is_compressed;                  /* the catalog is to be */
};

/* --- parts ------------------------------------------------------------------------------------ */

static inline void forge_put(struct buffer *buffer, const void *data, size_t size)
{
	if (size && efs_buffer_add(buffer, data, size))
		abort();
}

static inline void forge_zeros(struct buffer *buffer, size_t size)
{
	void *zeros = size ? efs_buffer_extend(buffer, size) : NULL;

	if (zeros)
		memset(zeros, 0, size);
}

/* The array of a part, FIELD_NODE to FIELD_STRINGS. */
static inline struct buffer *forge_array(struct forge *forge, enum field_part part)
{
	return &forge->arrays[part - FIELD_NODE];
}

static inline uint32_t forge_count(struct forge *forge, enum field_part part)
{
	return (uint32_t)(forge_array(forge, part)->size / field_part_sizes[part]);
}

static inline void *forge_record(struct forge *forge, enum field_part part, uint32_t number)
{
	return forge_array(forge, part)->data + number * field_part_sizes[part];
}

static inline struct efs_node *forge_node(struct forge *forge, uint32_t number)
{
	return forge_record(forge, FIELD_NODE, number);
}

/* Appends a record; its number. */
static inline uint32_t forge_add(struct forge *forge, enum field_part part, const void *record)
{
	uint32_t number = forge_count(forge, part);

	forge_put(forge_array(forge, part), record, field_part_sizes[part]);
	return number;
}

static inline struct efs_string forge_string(struct forge *forge, const void *text, size_t size)
{
	struct buffer *strings = forge_array(forge, FIELD_STRINGS);
	struct efs_string string = {(uint32_t)strings->size, (uint32_t)size};

	forge_put(strings, text, size);
	return string;
}

/* Puts stored bytes at the next place so aligned; where that is. */
static inline uint64_t forge_body(struct forge *forge, const void *data, size_t size, size_t align)
{
	uint64_t offset;

	forge_zeros(&forge->image, -forge->image.size & (align - 1));
	offset = forge->image.size;
	forge_put(&forge->image, data, size);
	return offset;
}

/* A section of one chunk, stored as it is said. The checksum is that of the raw bytes. */
static inline struct efs_section forge_section(struct forge *forge, const void *stored,
					       size_t stored_size, const void *raw, size_t raw_size)
{
	struct efs_chunk chunk = {(uint32_t)stored_size, checksum_of(raw, raw_size)};
	struct efs_section section = {.offset = forge_body(forge, stored, stored_size, 8),
				      .stored_size = stored_size + sizeof(chunk),
				      .raw_size = raw_size};

	forge_put(&forge->image, &chunk, sizeof(chunk));
	return section;
}

static inline int forge_put_section(void *to, const void *data, size_t size,
				    struct image_diag *diag)
{
	(void)diag;
	forge_put(to, data, size);
	return 0;
}

/* A section as the writer makes it. Setting up zstd takes longer than what it does: once for all.
 */
static inline struct efs_section forge_good_section(struct buffer *image, const void *raw,
						    size_t raw_size)
{
	static struct section_builder builder;
	struct efs_section section = {.raw_size = raw_size};
	struct image_diag diag;

	forge_zeros(image, -image->size & (EFS_SECTION_ALIGN - 1));
	section.offset = image->size;
	if (efs_section_builder_begin(&builder, forge_put_section, image, &diag) ||
	    efs_section_builder_put(&builder, raw, raw_size, &diag) ||
	    efs_section_builder_end(&builder, &diag))
		abort();
	section.stored_size = builder.stored_size;
	return section;
}

/* A root, which must come first; its links are for forge_link(). */
static inline void forge_begin(struct forge *forge)
{
	const struct efs_node root = {.type = EFS_DIRECTORY};

	*forge = (struct forge){0};
	forge_zeros(&forge->image, EFS_SUPERBLOCK_SIZE);
	forge_add(forge, FIELD_NODE, &root);
}

/* A file of one piece (of none if it is empty), or a folder if there is no piece. */
static inline uint32_t forge_child(struct forge *forge, const char *name,
				   const struct efs_piece *piece)
{
	struct efs_node node = {.name = forge_string(forge, name, strlen(name)),
				.type = piece ? EFS_FILE : EFS_DIRECTORY};

	if (piece && piece->length) {
		forge_add(forge, FIELD_PIECE, piece);
		node.count = 1;
		node.size = piece->length;
	}
	return forge_add(forge, FIELD_NODE, &node);
}

/* Makes right what nodes say of each other, from their counts. */
static inline void forge_link(struct forge *forge)
{
	uint32_t next_node = 1, next_piece = 0, count = forge_count(forge, FIELD_NODE);

	for (uint32_t i = 0; i < count; i++) {
		struct efs_node *node = forge_node(forge, i);
		uint32_t *next = node->type == EFS_DIRECTORY ? &next_node : &next_piece;

		node->first = *next;
		*next += node->count;
		for (uint32_t k = 0; node->type == EFS_DIRECTORY && k < node->count; k++)
			if (node->first + k < count)
				forge_node(forge, node->first + k)->parent = i;
	}
}

static inline void forge_free(struct forge *forge)
{
	efs_buffer_free(&forge->image);
	for (unsigned i = 0; i < FORGE_ARRAYS; i++)
		efs_buffer_free(&forge->arrays[i]);
}

/* --- layout ----------------------------------------------------------------------------------- */

/* The parts of an image whose metadata are stored as they are. */
static inline void forge_take(struct forge *forge, const uint8_t *image, size_t size)
{
	const struct efs_superblock *super = (const void *)image;

	*forge = (struct forge){0};
	forge_put(&forge->image, image, (size_t)super->catalog.offset);
	for (enum field_part part = FIELD_NODE; part <= FIELD_STRINGS; part++) {
		struct field_place place;

		if (field_find(image, size, part, 0, &place))
			abort();
		forge_put(forge_array(forge, part), image + place.at,
			  place.count * field_part_sizes[part]);
	}
}

/* The raw catalog. */
static inline void forge_catalog(struct forge *forge, struct buffer *catalog)
{
	struct efs_catalog_header header = {0};
	uint32_t counts[FORGE_ARRAYS];

	for (unsigned i = 0; i < FORGE_ARRAYS; i++)
		counts[i] = forge_count(forge, FIELD_NODE + i);
	memcpy(&header, counts,
	       sizeof(counts)); /* the header has them in the same order, but for */
	header.string_size = counts[FIELD_STRINGS - FIELD_NODE];
	header.transcode_count = counts[FIELD_TRANSCODE - FIELD_NODE];
	forge_put(catalog, &header, sizeof(header));
	for (unsigned i = 0; i < FORGE_ARRAYS; i++)
		forge_put(catalog, forge->arrays[i].data, forge->arrays[i].size);
}

/* Closes an image that ends with the catalog. */
static inline void forge_close(struct buffer *out, struct efs_section catalog)
{
	struct efs_superblock super = {.version = EFS_VERSION,
				       .superblock_size = EFS_SUPERBLOCK_SIZE,
				       .hash_algorithm = EFS_HASH_SHA256,
				       .hash_leaf_log2 = EFS_HASH_LEAF_LOG2,
				       .generator = "forged",
				       .catalog = catalog};

	memcpy(super.magic, EFS_MAGIC, sizeof(super.magic));
	close_plain(out, &super);
}

/* The image in *out, whose bytes are replaced. The forge stays as it is. */
static inline void forge_lay(struct forge *forge, struct buffer *out)
{
	struct buffer catalog = {0};
	struct efs_section section;

	out->size = 0;
	forge_put(out, forge->image.data, forge->image.size);
	forge_catalog(forge, &catalog);
	section = forge->is_compressed ? forge_good_section(out, catalog.data, catalog.size)
				       : put_plain(out, catalog.data, catalog.size);
	forge_close(out, section);
	efs_buffer_free(&catalog);
}

/* --- where images go -------------------------------------------------------------------------- */

enum hostile_verdict {
	HOSTILE_JUDGED,  /* refused with a reason, or served right */
	HOSTILE_REFUSED, /* when opened, read, or checked */
	HOSTILE_SERVED,
};

/* One input; everything in it is lent. */
struct hostile_image {
	const char *class, *name;
	const uint8_t *bytes; /* 8-aligned */
	size_t size;
	uint64_t file_size; /* beyond size, a hole */
	const struct truth *truth;
	enum hostile_verdict verdict;
	const char *reason; /* words of a refusal when it is opened; NULL: any */
};

struct hostile {
	void (*take)(struct hostile *hostile, const struct hostile_image *image);
	const char *class;
	const struct truth *truth; /* of the images that come */
};

/* Hands on bytes that are an image as they are. */
__attribute__((format(printf, 5, 6))) static inline void
hostile_put(struct hostile *hostile, const struct buffer *bytes, enum hostile_verdict verdict,
	    const char *reason, const char *format, ...)
{
	struct hostile_image image = {.class = hostile->class,
				      .bytes = bytes->data,
				      .size = bytes->size,
				      .file_size = bytes->size,
				      .truth = hostile->truth,
				      .verdict = verdict,
				      .reason = reason};
	char name[128];
	va_list args;

	va_start(args, format);
	vsnprintf(name, sizeof(name), format, args);
	va_end(args);
	image.name = name;
	hostile->take(hostile, &image);
}

#endif
