/* SPDX-License-Identifier: MIT */
/*
 * trees.h - trees that loop, share children, lose them, or are too deep; and names that are none.
 *
 * There is one way to write a tree down, so each changed link is refused, unless it is a link of
 * nothing. A tree that passes is gone through by the judge, who finds each node where it says it
 * is.
 */
#ifndef ENTROFS_TESTS_TREES_H
#define ENTROFS_TESTS_TREES_H

#include "tests/hostile/forge.h"

enum {
	TREE_NODES = 11,
	TREE_SIZE = 100,       /* bytes of each file */
	TREE_RANDOM = 3000,    /* trees of random links */
	TREE_TOO_DEEP = 20000, /* levels */
	TREE_WIDE = 4000,      /* files in a folder */
	NAME_LONG = 65536,
};

/* One raw block, that all files are. Returns what the files' piece is. */
static inline struct efs_piece trees_stream(struct forge *forge, const uint8_t data[TREE_SIZE])
{
	uint8_t index[EFS_INDEX_ENTRY_SIZE] = {0};
	uint32_t checksum = checksum_of(data, TREE_SIZE);
	struct efs_stream stream = {
	    .stored_size = TREE_SIZE, .raw_size = TREE_SIZE, .block_log2 = EFS_BLOCK_LOG2_MIN};

	stream.offset = forge_body(forge, data, TREE_SIZE, EFS_STREAM_ALIGN);
	memcpy(index, &checksum, sizeof(checksum));
	stream.index = forge_section(forge, index, sizeof(index), index, sizeof(index));
	forge_add(forge, FIELD_STREAM, &stream);
	return (struct efs_piece){EFS_PIECE_STREAM, 0, 0, TREE_SIZE};
}

/*
 * 0 root: 1 a/, 2 b/, 3 c, 4 d/;   1: 5 a1/, 6 a2;   2: 7 b1;   4: 8 d1/;   5: 9 x, 10 y
 */
static inline void trees_base(struct forge *forge, const uint8_t data[TREE_SIZE])
{
	static const char *const names[TREE_NODES] = {"",   "a",  "b",  "c", "d", "a1",
						      "a2", "b1", "d1", "x", "y"};
	static const uint8_t counts[TREE_NODES] = {4, 2, 1, 0, 1, 2};
	static const char is_file[TREE_NODES + 1] = "...f..ff.ff";
	struct efs_piece piece;

	forge_begin(forge);
	piece = trees_stream(forge, data);
	for (unsigned i = 1; i < TREE_NODES; i++)
		forge_child(forge, names[i], is_file[i] == 'f' ? &piece : NULL);
	for (unsigned i = 0; i < TREE_NODES; i++)
		if (is_file[i] != 'f')
			forge_node(forge, i)->count = counts[i];
	forge_link(forge);
}

struct trees {
	struct hostile *hostile;
	struct forge forge;
	struct buffer out;
	uint8_t *nodes; /* the right ones */
	size_t nodes_size;
};

static inline void trees_setup(struct trees *trees, struct hostile *hostile, struct truth *truth,
			       uint8_t data[TREE_SIZE])
{
	build_noise(data, TREE_SIZE, 5);
	memset(truth, 0, sizeof(*truth));
	truth->streams[0] = (struct truth_source){data, TREE_SIZE, 0};
	hostile->truth = truth;
	*trees = (struct trees){.hostile = hostile};
	trees_base(&trees->forge, data);
	trees->nodes_size = forge_array(&trees->forge, FIELD_NODE)->size;
	trees->nodes = malloc(trees->nodes_size);
	memcpy(trees->nodes, forge_node(&trees->forge, 0), trees->nodes_size);
}

static inline void trees_restore(struct trees *trees)
{
	memcpy(forge_node(&trees->forge, 0), trees->nodes, trees->nodes_size);
}

static inline void trees_teardown(struct trees *trees)
{
	forge_free(&trees->forge);
	efs_buffer_free(&trees->out);
	free(trees->nodes);
}

/* A link: 0 parent, 1 first, 2 count. */
static inline uint32_t *trees_link(struct trees *trees, uint32_t node, unsigned link)
{
	struct efs_node *record = forge_node(&trees->forge, node);

	return link == 0 ? &record->parent : link == 1 ? &record->first : &record->count;
}

/* Each link of each node to each node, and beyond. */
static inline void trees_links(struct trees *trees)
{
	for (uint32_t node = 0; node < TREE_NODES; node++)
		for (unsigned link = 0; link < 3; link++)
			for (uint32_t i = 0; i < TREE_NODES + 6; i++) {
				const uint32_t beyond[] = {UINT32_MAX, UINT32_MAX - node, INT32_MAX,
							   UINT32_C(1) << 31};
				uint32_t value =
				    i < TREE_NODES + 2 ? i : beyond[i - TREE_NODES - 2];
				uint32_t *at = trees_link(trees, node, link);

				if (*at == value)
					continue;
				*at = value;
				forge_lay(&trees->forge, &trees->out);
				hostile_put(trees->hostile, &trees->out, HOSTILE_REFUSED, "node",
					    "link %u of node %u is %u", link, node, value);
				trees_restore(trees);
			}
}

/* Folders whose children are somebody else's or their own ancestors, who agree to it. */
static inline void trees_loops(struct trees *trees)
{
	for (uint32_t node = 0; node < TREE_NODES; node++)
		for (uint32_t child = 0; child < TREE_NODES; child++) {
			struct efs_node *folder = forge_node(&trees->forge, node);

			if (folder->type != EFS_DIRECTORY ||
			    (folder->first == child && folder->count == 1))
				continue;
			folder->first = child;
			folder->count = 1;
			forge_node(&trees->forge, child)->parent = node;
			forge_lay(&trees->forge, &trees->out);
			hostile_put(trees->hostile, &trees->out, HOSTILE_REFUSED, "node",
				    "folder %u has child %u, and agrees", node, child);
			trees_restore(trees);
		}
}

static inline void trees_types(struct trees *trees)
{
	static const uint8_t types[] = {0, EFS_DIRECTORY, EFS_FILE, 3, 255};

	for (uint32_t node = 0; node < TREE_NODES; node++)
		for (size_t i = 0; i < sizeof(types); i++) {
			struct efs_node *record = forge_node(&trees->forge, node);

			if (record->type == types[i])
				continue;
			record->type = types[i];
			forge_lay(&trees->forge, &trees->out);
			hostile_put(trees->hostile, &trees->out, HOSTILE_REFUSED, "node",
				    "type of node %u is %u", node, types[i]);
			trees_restore(trees);
		}
}

static inline void trees_random(struct trees *trees)
{
	uint64_t seed = 77;

	for (unsigned round = 0; round < TREE_RANDOM; round++) {
		for (unsigned i = 0; i <= build_random(&seed) % 6; i++) {
			uint32_t node = build_random(&seed) % TREE_NODES;
			unsigned link = build_random(&seed) % 3;

			*trees_link(trees, node, link) = build_random(&seed) % (TREE_NODES + 1);
		}
		forge_lay(&trees->forge, &trees->out);
		hostile_put(trees->hostile, &trees->out, HOSTILE_JUDGED, NULL, "random links %u",
			    round);
		trees_restore(trees);
	}
}

/* A path of so many names below the root; folders, or many files in the root. */
static inline void trees_shape(struct hostile *hostile, uint32_t nodes, int is_deep,
			       enum hostile_verdict verdict)
{
	const struct efs_piece none = {EFS_PIECE_STREAM, 0, 0, 0};
	struct buffer out = {0};
	struct forge forge;
	char name[16];

	forge_begin(&forge);
	forge.is_compressed = 1;
	for (uint32_t i = 0; i < nodes; i++) {
		snprintf(name, sizeof(name), "%06u", i);
		forge_child(&forge, name, is_deep ? NULL : &none);
		if (is_deep)
			forge_node(&forge, i)->count = 1;
	}
	if (!is_deep)
		forge_node(&forge, 0)->count = nodes;
	forge_link(&forge);
	forge_lay(&forge, &out);
	hostile_put(hostile, &out, verdict, "too deep", "%u %s", nodes,
		    is_deep ? "levels" : "files in a folder");
	forge_free(&forge);
	efs_buffer_free(&out);
}

static inline void hostile_trees(struct hostile *hostile)
{
	struct truth truth;
	struct trees trees;
	uint8_t data[TREE_SIZE];

	hostile->class = "trees";
	trees_setup(&trees, hostile, &truth, data);
	forge_lay(&trees.forge, &trees.out);
	hostile_put(hostile, &trees.out, HOSTILE_SERVED, NULL, "as it should be");
	trees_links(&trees);
	trees_loops(&trees);
	trees_types(&trees);
	trees_random(&trees);
	trees_teardown(&trees);
	trees_shape(hostile, EFS_DEPTH_MAX, 1, HOSTILE_SERVED);
	trees_shape(hostile, EFS_DEPTH_MAX + 1, 1, HOSTILE_REFUSED);
	trees_shape(hostile, TREE_TOO_DEEP, 1, HOSTILE_REFUSED);
	trees_shape(hostile, TREE_WIDE, 0, HOSTILE_SERVED);
}

/* --- names ------------------------------------------------------------------------------------ */

#define BAD(text)                                                                                  \
	{                                                                                          \
		text, sizeof(text) - 1, HOSTILE_REFUSED                                            \
	}
#define GOOD(text)                                                                                 \
	{                                                                                          \
		text, sizeof(text) - 1, HOSTILE_SERVED                                             \
	}
static const struct {
	const char *text;
	size_t size;
	enum hostile_verdict verdict;
} names_list[] = {
    BAD(""),          BAD("."),          BAD(".."),
    BAD("/"),         BAD("a/b"),        BAD("/etc"),
    BAD("../x"),      BAD("a/"),         BAD("\0"),
    BAD("a\0b"),      BAD("a\0"),        BAD("..\0"),
    BAD("./"),        GOOD("..."),       GOOD("..x"),
    GOOD(".x"),       GOOD("\n"),        GOOD("a\nb"),
    GOOD("\x1b[31m"), GOOD("\x7f"),      GOOD("\xff\xfe\x80"),
    GOOD("\xc2\x9b"), GOOD(" "),         GOOD("-rf"),
    GOOD("*?[a]"),    GOOD("$(reboot)"), GOOD("C:\\x"),
    GOOD("a\rb"),     GOOD("\\"),        GOOD("'\"`"),
};
#undef BAD
#undef GOOD

/* A name of so many bytes n. */
static inline void names_long(struct trees *trees, uint32_t node, size_t size)
{
	char *text = malloc(size);

	memset(text, 'n', size);
	forge_node(&trees->forge, node)->name = forge_string(&trees->forge, text, size);
	forge_lay(&trees->forge, &trees->out);
	hostile_put(trees->hostile, &trees->out,
		    size <= EFS_NAME_MAX ? HOSTILE_SERVED : HOSTILE_REFUSED, "name is invalid",
		    "node %u has a name of %zu bytes", node, size);
	free(text);
	trees_restore(trees);
}

/* Names that reach out of the strings, also around the end of 32 bits. */
static inline void names_places(struct trees *trees, uint32_t node)
{
	uint32_t size = forge_count(&trees->forge, FIELD_STRINGS);
	const struct efs_string places[] = {
	    {size, 1},       {size - 1, 2},       {size + 1, UINT32_MAX - size},
	    {UINT32_MAX, 1}, {UINT32_MAX - 1, 2}, {UINT32_MAX, UINT32_MAX},
	    {0, UINT32_MAX}, {1, UINT32_MAX},     {UINT32_C(1) << 31, UINT32_C(1) << 31},
	    {0, size + 1},   {size / 2, size},
	};

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		forge_node(&trees->forge, node)->name = places[i];
		forge_lay(&trees->forge, &trees->out);
		hostile_put(trees->hostile, &trees->out, HOSTILE_REFUSED,
			    node ? "name is invalid" : "not a root",
			    "name of node %u at %u, %u bytes", node, places[i].offset,
			    places[i].size);
		trees_restore(trees);
	}
}

/* Two children of a folder: alike, or in another order than that of unsigned bytes. */
static inline void names_pairs(struct trees *trees, uint32_t first)
{
	static const struct {
		const char *names[2];
		enum hostile_verdict verdict;
	} pairs[] = {
	    {{"x", "x"}, HOSTILE_REFUSED},
	    {{"y", "x"}, HOSTILE_REFUSED},
	    {{"xx", "x"}, HOSTILE_REFUSED},
	    {{"x", "xx"}, HOSTILE_SERVED},
	    {{"\x80", "\x7f"}, HOSTILE_REFUSED},
	    {{"\x7f", "\x80"}, HOSTILE_SERVED},
	    {{"a", "B"}, HOSTILE_REFUSED},
	    {{"B", "a"}, HOSTILE_SERVED},
	    {{"\xc3\xa9", "e\xcc\x81"}, HOSTILE_REFUSED},
	};

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		for (uint32_t k = 0; k < 2; k++)
			forge_node(&trees->forge, first + k)->name = forge_string(
			    &trees->forge, pairs[i].names[k], strlen(pairs[i].names[k]));
		forge_lay(&trees->forge, &trees->out);
		hostile_put(trees->hostile, &trees->out, pairs[i].verdict, "not sorted",
			    "siblings from node %u on, pair %zu", first, i);
		trees_restore(trees);
	}
	/* The same bytes, not only the same name. */
	forge_node(&trees->forge, first)->name = forge_node(&trees->forge, first + 1)->name;
	forge_lay(&trees->forge, &trees->out);
	hostile_put(trees->hostile, &trees->out, HOSTILE_REFUSED, "not sorted",
		    "siblings from node %u on share a name", first);
	trees_restore(trees);
}

/* Every good name as that of a file that cannot be read: programs have to speak of it. */
static inline void names_of_damage(struct trees *trees)
{
	const struct efs_stream *stream = forge_record(&trees->forge, FIELD_STREAM, 0);
	uint8_t *byte = trees->forge.image.data + stream->offset;

	*byte ^= 1;
	for (size_t i = 0; i < sizeof(names_list) / sizeof(names_list[0]); i++) {
		if (names_list[i].verdict != HOSTILE_SERVED)
			continue;
		forge_node(&trees->forge, 7)->name =
		    forge_string(&trees->forge, names_list[i].text, names_list[i].size);
		forge_lay(&trees->forge, &trees->out);
		hostile_put(trees->hostile, &trees->out, HOSTILE_REFUSED, NULL,
			    "a damaged file has name %zu of the list", i);
		trees_restore(trees);
	}
	*byte ^= 1;
}

static inline void hostile_names(struct hostile *hostile)
{
	static const uint32_t alone[] = {7, 8}; /* a file and a folder without siblings */
	struct truth truth;
	struct trees trees;
	uint8_t data[TREE_SIZE];

	hostile->class = "names";
	trees_setup(&trees, hostile, &truth, data);
	for (size_t k = 0; k < 2; k++) {
		for (size_t i = 0; i < sizeof(names_list) / sizeof(names_list[0]); i++) {
			forge_node(&trees.forge, alone[k])->name =
			    forge_string(&trees.forge, names_list[i].text, names_list[i].size);
			forge_lay(&trees.forge, &trees.out);
			hostile_put(hostile, &trees.out, names_list[i].verdict, "name is invalid",
				    "node %u has name %zu of the list", alone[k], i);
			trees_restore(&trees);
		}
		for (size_t size = EFS_NAME_MAX; size <= NAME_LONG; size = size * 3 / 2 + 1)
			names_long(&trees, alone[k], size);
		names_long(&trees, alone[k], EFS_NAME_MAX + 1);
		names_long(&trees, alone[k], 4096);
		names_places(&trees, alone[k]);
	}
	names_pairs(&trees, 5);
	names_pairs(&trees, 9);
	names_places(&trees, 0);
	hostile->class = "names of damage";
	names_of_damage(&trees);
	trees_teardown(&trees);
}

#endif
