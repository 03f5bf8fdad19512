/* SPDX-License-Identifier: MIT */
/* reader.c - opens an image and answers from its catalog; see reader.h. */
#include "image/internal.h"

#include "image/hashtree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int is_zero(const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (bytes[i])
			return 0;
	return 1;
}

/* Identity first: what a newer program wrote is told from what is damaged. */
static int check_identity(const struct efs_superblock *super, struct image_diag *diag)
{
	uint64_t unknown = super->incompatible & ~EFS_INCOMPATIBLE_KNOWN;
	uint8_t digest[EFS_DIGEST_SIZE];

	if (memcmp(super->magic, EFS_MAGIC, sizeof(super->magic)) != 0)
		return image_fail(diag, -EUCLEAN, "not an entrofs image");
	if (super->version != EFS_VERSION)
		return image_fail(diag, -ENOTSUP,
				  "format version %u is not supported (this program reads %u)",
				  super->version, EFS_VERSION);
	if (unknown)
		return image_fail(diag, -ENOTSUP,
				  "it needs features that this program does not have (bits %#llx)",
				  (unsigned long long)unknown);
	if (super->checksum != efs_io_superblock_checksum(super))
		return image_fail(diag, -EUCLEAN, "superblock: wrong checksum");
	if (efs_io_superblock_digest(super, digest))
		return image_fail(diag, -ENOMEM, "out of memory");
	if (memcmp(digest, super->digest, sizeof(digest)) != 0)
		return image_fail(diag, -EUCLEAN, "superblock: wrong digest");
	return 0;
}

static const char *superblock_fault(const struct efs_superblock *super, uint64_t file_size)
{
	const struct efs_section *catalog = &super->catalog;

	if (super->superblock_size != EFS_SUPERBLOCK_SIZE)
		return "its size is unknown";
	/* An unknown compatible feature may use what is reserved today. */
	if (!(super->compatible & ~EFS_COMPATIBLE_KNOWN) &&
	    (!is_zero(super->reserved0, sizeof(super->reserved0)) ||
	     !is_zero(super->reserved1, sizeof(super->reserved1))))
		return "a reserved field is not zero";
	if (super->hash_algorithm != EFS_HASH_SHA256 || super->hash_leaf_log2 != EFS_HASH_LEAF_LOG2)
		return "its hash tree is of an unknown kind";
	if (super->image_size > file_size)
		return "the file is shorter than the image: truncated?";
	if (super->hash_offset <= EFS_SUPERBLOCK_SIZE || super->hash_offset > super->image_size ||
	    super->hash_offset % EFS_SECTION_ALIGN ||
	    super->hash_size != super->image_size - super->hash_offset ||
	    super->hash_size != efs_hash_tree_size(super->hash_offset - EFS_SUPERBLOCK_SIZE))
		return "its hash tree is misplaced";
	if (catalog->raw_size > EFS_LOADED_MAX ||
	    catalog->raw_size < sizeof(struct efs_catalog_header) + sizeof(struct efs_node))
		return "its catalog has an impossible size";
	return NULL;
}

static int open_superblock(struct image *image, struct image_diag *diag)
{
	struct efs_superblock *super = &image->super;
	uint64_t file_size;
	const char *fault;
	int err = efs_io_size(&image->file, &file_size, diag);

	if (err)
		return err;
	if (file_size < EFS_SUPERBLOCK_SIZE)
		return image_fail(diag, -EUCLEAN, "not an entrofs image: too short");
	err = efs_io_read(&image->file, 0, super, sizeof(*super), diag);
	if (!err)
		err = check_identity(super, diag);
	if (err)
		return err;
	fault = superblock_fault(super, file_size);
	if (fault)
		return image_fail(diag, -EUCLEAN, "superblock: %s", fault);
	fault = efs_section_fault(&super->catalog, EFS_SUPERBLOCK_SIZE, super->hash_offset);
	if (fault)
		return image_fail(diag, -EUCLEAN, "superblock: the catalog: %s", fault);
	return 0;
}

static int open_catalog(struct image *image, struct image_diag *diag)
{
	const struct efs_section *section = &image->super.catalog;
	struct image_diag detail = {0};
	uint8_t *raw;
	int err = efs_section_load(&image->file, section, &raw, &detail);

	if (err)
		return image_fail(diag, err, "catalog: %s", detail.text);
	err = efs_catalog_parse(&image->catalog, raw, section->raw_size, &image->super, diag);
	if (err)
		return err;
	return efs_image_init_indexes(image) ? image_fail(diag, -ENOMEM, "out of memory") : 0;
}

int image_open(struct image **image, int fd, uint64_t offset, struct image_diag *diag)
{
	struct image *made = calloc(1, sizeof(*made));
	int err;

	if (!made)
		return image_fail(diag, -ENOMEM, "out of memory");
	made->file = (struct image_file){.fd = fd, .base = offset};
	err = open_superblock(made, diag);
	if (!err)
		err = open_catalog(made, diag);
	if (err) {
		image_close(made);
		return err;
	}
	if (diag)
		diag->text[0] = 0;
	*image = made;
	return 0;
}

int efs_image_check_same(const struct image *image, struct image_diag *diag)
{
	struct efs_superblock now;
	int err = efs_io_read(&image->file, 0, &now, sizeof(now), diag);

	if (err)
		return err;
	return memcmp(&now, &image->super, sizeof(now)) == 0
		   ? 0
		   : image_fail(diag, -EUCLEAN, "the image has been replaced since it was opened");
}

void image_close(struct image *image)
{
	if (!image)
		return;
	efs_cache_destroy(&image->indexes);
	efs_catalog_free(&image->catalog);
	free(image);
}

const struct efs_superblock *image_superblock(const struct image *image)
{
	return &image->super;
}

const struct efs_catalog_header *image_catalog(const struct image *image)
{
	return image->catalog.header;
}

const struct efs_node *image_node(const struct image *image, uint32_t node)
{
	return &image->catalog.nodes[node];
}

const struct efs_piece *image_piece(const struct image *image, uint32_t piece)
{
	return &image->catalog.pieces[piece];
}

const struct efs_tensor *image_tensor(const struct image *image, uint32_t tensor)
{
	return &image->catalog.tensors[tensor];
}

const struct efs_stream *image_stream(const struct image *image, uint32_t stream)
{
	return &image->catalog.streams[stream];
}

const struct efs_section *image_blob(const struct image *image, uint32_t blob)
{
	return &image->catalog.blobs[blob];
}

const struct efs_transcode *image_transcode(const struct image *image, uint32_t transcode)
{
	return &image->catalog.transcodes[transcode];
}

const uint64_t *image_dims(const struct image *image, const struct efs_tensor *tensor)
{
	return image->catalog.dims + tensor->first_dim;
}

const struct efs_param *image_params(const struct image *image, const struct efs_tensor *tensor)
{
	return image->catalog.params + tensor->first_param;
}

struct image_name image_string(const struct image *image, struct efs_string string)
{
	return (struct image_name){image->catalog.strings + string.offset, string.size};
}

struct image_name image_shard(const struct image *image, uint32_t shard)
{
	return image_string(image, image->catalog.shards[shard]);
}

int64_t image_lookup(const struct image *image, uint32_t directory, const char *name, size_t size)
{
	const struct efs_node *node = image_node(image, directory);
	uint32_t low = 0, high = node->count;

	if (node->type != EFS_DIRECTORY)
		return -ENOTDIR;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		struct image_name other =
		    image_string(image, image_node(image, node->first + middle)->name);
		int order = memcmp(name, other.text, size < other.size ? size : other.size);

		if (!order)
			order = (size > other.size) - (size < other.size);
		if (!order)
			return node->first + middle;
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return -ENOENT;
}

/* Copies what of text falls below size when it is put at byte `at`. */
static void put_text(char *path, size_t size, size_t at, const char *text, size_t count)
{
	if (at < size)
		memcpy(path + at, text, count < size - at ? count : size - at);
}

size_t image_path(const struct image *image, uint32_t node, char *path, size_t size)
{
	size_t length = 0, at;

	/* A parent's number is lower than its child's, and the tree's depth is limited. */
	for (uint32_t i = node; i; i = image_node(image, i)->parent)
		length += image_node(image, i)->name.size + (image_node(image, i)->parent != 0);
	at = length;
	for (uint32_t i = node; i; i = image_node(image, i)->parent) {
		struct image_name name = image_string(image, image_node(image, i)->name);

		at -= name.size;
		put_text(path, size, at, name.text, name.size);
		if (image_node(image, i)->parent)
			put_text(path, size, --at, "/", 1);
	}
	if (size)
		path[length < size ? length : size - 1] = 0;
	return length;
}

int64_t image_find_piece(const struct image *image, uint32_t node, uint64_t offset,
			 uint64_t *piece_start)
{
	const struct efs_node *file = image_node(image, node);
	const uint64_t *starts = image->catalog.piece_starts + file->first;
	uint32_t low = 0, high = file->count;

	if (file->type != EFS_FILE)
		return -EISDIR;
	if (offset >= file->size)
		return -ENOENT;
	/* starts[low] <= offset < starts[high], the latter being the end for high = count */
	while (high - low > 1) {
		uint32_t middle = low + (high - low) / 2;

		if (starts[middle] <= offset)
			low = middle;
		else
			high = middle;
	}
	*piece_start = starts[low];
	return file->first + low;
}
