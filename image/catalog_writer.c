/* SPDX-License-Identifier: MIT */
/* catalog_writer.c - collects and lays out a catalog; see catalog_writer.h. */
#include "image/catalog_writer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct build_node *node_at(const struct catalog_writer *catalog, uint32_t number)
{
	return (struct build_node *)(void *)catalog->nodes.data + number;
}

static uint32_t count_of(const struct buffer *buffer, size_t record)
{
	return (uint32_t)(buffer->size / record);
}

/* Adds records to an array whose count must stay below 2^32; *first is their place. */
static int add_records(struct buffer *buffer, const void *records, size_t record, size_t count,
		       uint32_t *first, struct image_diag *diag)
{
	size_t have = buffer->size / record;

	if (count > UINT32_MAX - have)
		return image_fail(diag, -EFBIG, "the catalog is too large");
	*first = (uint32_t)have;
	if (efs_buffer_add(buffer, records, count * record))
		return image_fail(diag, -ENOMEM, "out of memory");
	return 0;
}

static int add_string(struct catalog_writer *catalog, const char *text, size_t size,
		      struct efs_string *string, struct image_diag *diag)
{
	string->size = (uint32_t)size;
	return add_records(&catalog->strings, text, 1, size, &string->offset, diag);
}

int efs_catalog_writer_init(struct catalog_writer *catalog)
{
	struct build_node root = {.type = EFS_DIRECTORY};

	catalog->slot_count = 256;
	catalog->slots = calloc(catalog->slot_count, sizeof(*catalog->slots));
	return catalog->slots ? efs_buffer_add(&catalog->nodes, &root, sizeof(root)) : -ENOMEM;
}

void efs_catalog_writer_free(struct catalog_writer *catalog)
{
	efs_buffer_free(&catalog->nodes);
	efs_buffer_free(&catalog->pieces);
	efs_buffer_free(&catalog->tensors);
	efs_buffer_free(&catalog->streams);
	efs_buffer_free(&catalog->blobs);
	efs_buffer_free(&catalog->shards);
	efs_buffer_free(&catalog->dims);
	efs_buffer_free(&catalog->params);
	efs_buffer_free(&catalog->transcodes);
	efs_buffer_free(&catalog->strings);
	efs_buffer_free(&catalog->paths);
	free(catalog->slots);
}

/* FNV-1a over the name, started from the parent. */
static uint32_t hash_name(uint32_t parent, const char *name, size_t size)
{
	uint32_t hash = 2166136261u ^ parent * 0x9e3779b1u;

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ (uint8_t)name[i]) * 16777619u;
	return hash ^ hash >> 15;
}

/* The slot that holds this child, or the free one where it belongs. */
static uint32_t *find_slot(const struct catalog_writer *catalog, uint32_t parent, const char *name,
			   size_t size)
{
	uint32_t mask = catalog->slot_count - 1;
	uint32_t at = hash_name(parent, name, size) & mask;

	for (; catalog->slots[at]; at = (at + 1) & mask) {
		const struct build_node *node = node_at(catalog, catalog->slots[at]);

		if (node->parent == parent && node->name.size == size &&
		    memcmp(catalog->strings.data + node->name.offset, name, size) == 0)
			break;
	}
	return &catalog->slots[at];
}

/* Doubles the hash table before it is half full. */
static int grow_slots(struct catalog_writer *catalog)
{
	uint32_t count = count_of(&catalog->nodes, sizeof(struct build_node));
	uint32_t *old = catalog->slots;

	if (count < catalog->slot_count / 2)
		return 0;
	if (catalog->slot_count > UINT32_MAX / 2)
		return -EFBIG;
	catalog->slots = calloc((size_t)catalog->slot_count * 2, sizeof(*old));
	if (!catalog->slots) {
		catalog->slots = old;
		return -ENOMEM;
	}
	catalog->slot_count *= 2;
	for (uint32_t i = 1; i < count; i++) {
		const struct build_node *node = node_at(catalog, i);
		const char *name = (const char *)catalog->strings.data + node->name.offset;

		*find_slot(catalog, node->parent, name, node->name.size) = i;
	}
	free(old);
	return 0;
}

static int add_node(struct catalog_writer *catalog, uint32_t parent, const char *name, size_t size,
		    uint8_t type, uint32_t *number, struct image_diag *diag)
{
	struct build_node node = {.parent = parent, .type = type};
	int err = grow_slots(catalog);

	if (err)
		return image_fail(diag, err, "cannot add a file to the catalog");
	err = add_string(catalog, name, size, &node.name, diag);
	if (err)
		return err;
	node.sibling = node_at(catalog, parent)->child;
	err = add_records(&catalog->nodes, &node, sizeof(node), 1, number, diag);
	if (err)
		return err;
	node_at(catalog, parent)->child = *number;
	node_at(catalog, parent)->child_count++;
	*find_slot(catalog, parent, name, size) = *number;
	return 0;
}

static int component_ok(const char *name, size_t size)
{
	return size >= 1 && size <= 255 && !(size == 1 && name[0] == '.') &&
	       !(size == 2 && name[0] == '.' && name[1] == '.');
}

/* Makes a path's directories; *name is its last component. */
static int make_parents(struct catalog_writer *catalog, const char *path, const char **name,
			uint32_t *parent, struct image_diag *diag)
{
	unsigned depth = 1; /* of what path begins with */
	const char *end;

	*name = path;
	*parent = 0;
	for (; (end = strchr(path, '/')); path = end + 1) {
		size_t size = (size_t)(end - path);
		uint32_t there;
		int err;

		if (!component_ok(path, size) || depth++ == EFS_DEPTH_MAX)
			return image_fail(diag, -EINVAL, "'%s' is not a valid path", *name);
		there = *find_slot(catalog, *parent, path, size);
		if (there && node_at(catalog, there)->type != EFS_DIRECTORY)
			return image_fail(diag, -ENOTDIR, "a part of the path is a file");
		if (!there) {
			err = add_node(catalog, *parent, path, size, EFS_DIRECTORY, &there, diag);
			if (err)
				return err;
		}
		*parent = there;
	}
	*name = path;
	return component_ok(path, strlen(path))
		   ? 0
		   : image_fail(diag, -EINVAL, "'%s' is not a valid file name", path);
}

int efs_catalog_writer_add_file(struct catalog_writer *catalog, const char *path,
				const struct efs_piece *pieces, uint32_t piece_count,
				struct image_diag *diag)
{
	uint32_t parent, number, first;
	struct build_node *node;
	uint64_t size = 0;
	const char *name;
	int err = make_parents(catalog, path, &name, &parent, diag);

	if (err)
		return err;
	if (*find_slot(catalog, parent, name, strlen(name)))
		return image_fail(diag, -EEXIST, "two files are named '%s'", path);
	for (uint32_t i = 0; i < piece_count; i++)
		if (__builtin_add_overflow(size, pieces[i].length, &size))
			return image_fail(diag, -EINVAL, "'%s' is too large", path);
	err = add_records(&catalog->pieces, pieces, sizeof(*pieces), piece_count, &first, diag);
	if (!err)
		err = add_node(catalog, parent, name, strlen(name), EFS_FILE, &number, diag);
	if (err)
		return err;
	node = node_at(catalog, number);
	node->first_piece = first;
	node->piece_count = piece_count;
	node->size = size;
	return 0;
}

/* Tensors of a shard usually follow each other, so the newest is looked at first. */
static int find_shard(struct catalog_writer *catalog, const char *name, uint32_t *shard,
		      struct image_diag *diag)
{
	const struct efs_string *shards = (const void *)catalog->shards.data;
	size_t size = strlen(name);
	struct efs_string string;
	int err;

	for (*shard = count_of(&catalog->shards, sizeof(*shards)); (*shard)--;)
		if (shards[*shard].size == size &&
		    memcmp(catalog->strings.data + shards[*shard].offset, name, size) == 0)
			return 0;
	err = add_string(catalog, name, size, &string, diag);
	return err ? err : add_records(&catalog->shards, &string, sizeof(string), 1, shard, diag);
}

int efs_catalog_writer_add_tensor(struct catalog_writer *catalog,
				  const struct image_tensor_spec *spec, struct image_diag *diag)
{
	struct efs_tensor record = spec->record;
	uint32_t number;
	int err;

	if (record.rank > EFS_RANK_MAX)
		return image_fail(diag, -EINVAL, "a tensor has too many dimensions");
	record.first_stream = spec->stream;
	record.stream_count = 1;
	err = add_string(catalog, spec->name, spec->name_size, &record.name, diag);
	if (!err)
		err = find_shard(catalog, spec->shard, &record.shard, diag);
	if (!err)
		err = add_records(&catalog->dims, spec->dims, sizeof(*spec->dims), record.rank,
				  &record.first_dim, diag);
	if (!err)
		err = add_records(&catalog->params, spec->params, sizeof(*spec->params),
				  record.param_count, &record.first_param, diag);
	if (!err)
		err = add_records(&catalog->paths, spec->path, 1, strlen(spec->path) + 1,
				  &record.node, diag);
	if (!err)
		err = add_records(&catalog->tensors, &record, sizeof(record), 1, &number, diag);
	return err;
}

int efs_catalog_writer_add_transcode(struct catalog_writer *catalog,
				     const struct efs_transcode *record, uint32_t *transcode,
				     struct image_diag *diag)
{
	if (record->rule != EFS_JOIN &&
	    record->tensor >= count_of(&catalog->tensors, sizeof(struct efs_tensor)))
		return image_fail(diag, -EINVAL, "a transcode's tensor does not exist");
	if (record->rule == EFS_JOIN && record->first_stream + record->plane_count >
					    count_of(&catalog->streams, sizeof(struct efs_stream)))
		return image_fail(diag, -EINVAL, "a transcode's streams do not exist");
	return add_records(&catalog->transcodes, record, sizeof(*record), 1, transcode, diag);
}

/* --- layout ----------------------------------------------------------------------------------- */

/* What comparing two children takes: the name itself, as qsort() passes no context. */
struct child {
	const char *name;
	uint32_t size;
	uint32_t node;
};

static int compare_children(const void *left, const void *right)
{
	const struct child *a = left, *b = right;
	int order = memcmp(a->name, b->name, a->size < b->size ? a->size : b->size);

	return order ? order : (a->size > b->size) - (a->size < b->size);
}

/* Numbers the children of one directory from `next` on; order[] lists nodes by final number. */
static int number_children(struct catalog_writer *catalog, uint32_t directory, uint32_t next,
			   uint32_t *order)
{
	const struct build_node *node = node_at(catalog, directory);
	struct child *children = malloc(((size_t)node->child_count + 1) * sizeof(*children));
	uint32_t count = 0;

	if (!children)
		return -ENOMEM;
	for (uint32_t i = node->child; i; i = node_at(catalog, i)->sibling) {
		const struct build_node *child = node_at(catalog, i);

		children[count++] = (struct child){
		    (char *)catalog->strings.data + child->name.offset, child->name.size, i};
	}
	qsort(children, count, sizeof(*children), compare_children);
	for (uint32_t i = 0; i < count; i++) {
		order[next + i] = children[i].node;
		node_at(catalog, children[i].node)->number = next + i;
	}
	free(children);
	return 0;
}

/* Writes the nodes breadth-first into raw, and their pieces in the same order into pieces. */
static int lay_out_nodes(struct catalog_writer *catalog, uint32_t *order, struct buffer *raw,
			 struct buffer *pieces)
{
	uint32_t count = count_of(&catalog->nodes, sizeof(struct build_node));
	uint32_t next_node = 1;

	order[0] = 0;
	for (uint32_t i = 0; i < count; i++) {
		const struct build_node *node = node_at(catalog, order[i]);
		struct efs_node record = {.name = node->name,
					  .parent = node_at(catalog, node->parent)->number,
					  .type = node->type,
					  .size = node->size};

		if (node->type == EFS_DIRECTORY) {
			int err = number_children(catalog, order[i], next_node, order);

			if (err)
				return err;
			record.first = next_node;
			record.count = node->child_count;
			next_node += record.count;
		} else {
			record.first = count_of(pieces, sizeof(struct efs_piece));
			record.count = node->piece_count;
			if (efs_buffer_add(pieces,
					   catalog->pieces.data +
					       node->first_piece * sizeof(struct efs_piece),
					   node->piece_count * sizeof(struct efs_piece)))
				return -ENOMEM;
		}
		if (efs_buffer_add(raw, &record, sizeof(record)))
			return -ENOMEM;
	}
	return 0;
}

/* Replaces the tensors' paths by node numbers. */
static int resolve_paths(struct catalog_writer *catalog, struct image_diag *diag)
{
	struct efs_tensor *tensors = (void *)catalog->tensors.data;
	uint32_t count = count_of(&catalog->tensors, sizeof(*tensors));

	for (uint32_t i = 0; i < count; i++) {
		const char *path = (const char *)catalog->paths.data + tensors[i].node;
		const char *part = path;
		uint32_t node = 0;

		for (size_t size; *part; part += size + (part[size] == '/')) {
			size = strcspn(part, "/");
			node = *find_slot(catalog, node, part, size);
			if (!node)
				return image_fail(diag, -EINVAL,
						  "a tensor's file '%s' was not added", path);
		}
		tensors[i].node = node_at(catalog, node)->number;
	}
	return 0;
}

static int lay_out(struct catalog_writer *catalog, struct buffer *raw, struct buffer *pieces,
		   struct image_diag *diag)
{
	struct efs_catalog_header header = {
	    .node_count = count_of(&catalog->nodes, sizeof(struct build_node)),
	    .piece_count = count_of(&catalog->pieces, sizeof(struct efs_piece)),
	    .tensor_count = count_of(&catalog->tensors, sizeof(struct efs_tensor)),
	    .stream_count = count_of(&catalog->streams, sizeof(struct efs_stream)),
	    .blob_count = count_of(&catalog->blobs, sizeof(struct efs_section)),
	    .shard_count = count_of(&catalog->shards, sizeof(struct efs_string)),
	    .dim_count = count_of(&catalog->dims, sizeof(uint64_t)),
	    .param_count = count_of(&catalog->params, sizeof(struct efs_param)),
	    .string_size = (uint32_t)catalog->strings.size,
	    .transcode_count = count_of(&catalog->transcodes, sizeof(struct efs_transcode)),
	};
	const struct buffer *rest[] = {pieces,           &catalog->tensors,    &catalog->streams,
				       &catalog->blobs,  &catalog->shards,     &catalog->dims,
				       &catalog->params, &catalog->transcodes, &catalog->strings};
	uint32_t *order = calloc(header.node_count, sizeof(*order));
	int err = order ? efs_buffer_add(raw, &header, sizeof(header)) : -ENOMEM;

	if (!err)
		err = lay_out_nodes(catalog, order, raw, pieces);
	free(order);
	if (err)
		return image_fail(diag, err, "out of memory");
	err = resolve_paths(catalog, diag);
	if (err)
		return err;
	for (size_t i = 0; i < sizeof(rest) / sizeof(rest[0]); i++)
		if (efs_buffer_add(raw, rest[i]->data, rest[i]->size))
			return image_fail(diag, -ENOMEM, "out of memory");
	return 0;
}

int efs_catalog_writer_finish(struct catalog_writer *catalog, struct buffer *raw,
			      struct image_diag *diag)
{
	struct buffer pieces = {0};
	int err = lay_out(catalog, raw, &pieces, diag);

	efs_buffer_free(&pieces);
	return err;
}
