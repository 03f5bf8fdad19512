/* SPDX-License-Identifier: MIT */
/* dump_data.c - the data of the page; see dump_data.h. mkfs/html/ reads it. */
#include "mkfs/dump_data.h"

#include "image/decoder.h"
#include "mkfs/dtype.h"
#include "mkfs/dump_json.h"
#include "mkfs/names.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void dump_name_add(struct text *text, struct image_name name)
{
	int cut = name.size > DUMP_NAME_MAX;
	char *shown;

	/* Not within a character. */
	if (cut)
		for (name.size = DUMP_NAME_MAX; name.size > DUMP_NAME_MAX - 3; name.size--)
			if ((name.text[name.size] & 0xc0) != 0x80)
				break;
	shown = names_show(name, NAMES_FOR_JSON);
	if (!shown) {
		text->failed = 1;
		return;
	}
	text_add_string(text, shown);
	free(shown);
	if (!cut || text->failed)
		return;
	text->size--; /* the quote */
	text_add(text, "\xe2\x80\xa6\"");
}

static void add_path(struct text *text, const struct image *image, uint32_t node)
{
	char path[DUMP_NAME_MAX + 8];
	size_t size = image_path(image, node, path, sizeof(path));

	dump_name_add(text,
		      (struct image_name){path, size < sizeof(path) ? size : sizeof(path) - 1});
}

static void add_image(struct text *text, const struct dump_view *view)
{
	const struct efs_superblock *super = image_superblock(view->dump->image);
	const char *slash = strrchr(view->dump->path, '/');
	const char *name = slash && slash[1] ? slash + 1 : view->dump->path;

	text_add(text, "\"program\": \"dump.entrofs " ENTROFS_VERSION "\", \"decoder\": \"%s\",\n",
		 image_decoder());
	text_add(text, "\"image\": {\"name\": ");
	dump_name_add(text, (struct image_name){name, strlen(name)});
	text_add(text, ", \"generator\": ");
	dump_name_add(text,
		      (struct image_name){super->generator,
					  strnlen(super->generator, sizeof(super->generator))});
	text_add(text,
		 ", \"format\": %" PRIu32 ", \"size\": %" PRIu64 ", \"digest\": ", super->version,
		 super->image_size);
	text_add_hex(text, super->digest, sizeof(super->digest));
	text_add(text, "},\n\"model\": ");
	dump_config_add(text, view->dump->image);
}

static void add_sources(struct text *text, const struct image *image)
{
	uint32_t count = image_catalog(image)->shard_count;

	text_add(text, ",\n\"sources\": [");
	for (uint32_t i = 0; i < count && i < DUMP_FILES_MAX; i++) {
		text_add(text, "%s", i ? ", " : "");
		dump_name_add(text, image_shard(image, i));
	}
	text_add(text, "], \"source_count\": %" PRIu32 ",\n", count);
}

/* What is in the indexes, before they are compressed. */
static void add_indexes(struct text *text, const struct image *image)
{
	uint64_t tables = 0, blocks = 0;

	for (uint32_t i = 0; i < image_catalog(image)->stream_count; i++) {
		tables += image_stream(image, i)->table_count;
		blocks += image_block_count(image, i);
	}
	text_add(text, "\"index\": {\"tables\": %" PRIu64 ", \"blocks\": %" PRIu64 "},\n", tables,
		 blocks);
}

static void add_layers(struct text *text, const struct dump_layers *layers)
{
	text_add(text, "\"layers\": {\"columns\": [\"name\", \"merged\", \"tensors\", \"weights\", "
		       "\"uint8\", \"uint4\", \"kept\", \"index\", \"padding\"], \"rows\": [");
	for (uint32_t i = 0; i < layers->count; i++) {
		const struct dump_layer *layer = &layers->layers[i];

		text_add(text, "%s\n[", i ? "," : "");
		if (layer->name.text)
			dump_name_add(text, layer->name);
		else
			text_add(text, "null");
		text_add(text, ", %" PRIu64 ", %" PRIu64 ", %" PRIu64, layer->merged,
			 layer->tensors, layer->weights);
		for (unsigned group = 0; group < DUMP_GROUPS; group++)
			text_add(text, ", %" PRIu64, layer->payload[group]);
		text_add(text, ", %" PRIu64 ", %" PRIu64 "]", layer->index, layer->padding);
	}
	text_add(text, "]},\n");
}

void dump_row_start_add(struct text *text, const struct dump_view *view, uint32_t number)
{
	const struct image *image = view->dump->image;
	const struct efs_tensor *tensor = image_tensor(image, number);
	struct dump_cost cost = dump_cost(view->dump, tensor);

	text_add(text, "\n[");
	dump_name_add(text, image_string(image, tensor->name));
	text_add(text, ",%" PRIu32 ",\"%s\",", view->layers.of[number],
		 dtype_by_code(tensor->source_dtype)->name);
	text_add_dims(text, image_dims(image, tensor), tensor->rank);
	text_add(text,
		 ",\"%s\",\"%s\",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64
		 ",%" PRIu64 ",",
		 dump_groups[dump_group(tensor)].name, dump_scheme(tensor->scheme),
		 dump_weights(image, tensor), dump_source_size(image, tensor),
		 image_node(image, tensor->node)->size, cost.payload, cost.index, cost.padding);
	text_add_figure(text, tensor->entropy, DUMP_FIGURES);
	text_add(text, ",");
	text_add_figure(text, tensor->sqnr, DUMP_FIGURES);
	text_add(text, ",");
	text_add_figure(text, tensor->max_error, DUMP_FIGURES);
	text_add(text, ",%" PRIu32 ",", tensor->param_count);
	if (tensor->param_count == 1) {
		text_add_float(text, image_params(image, tensor)->scale);
		text_add(text, ",%" PRId32, image_params(image, tensor)->zero_point);
	} else {
		text_add(text, "null,null");
	}
	text_add(text, ",%" PRIu32, tensor->first_stream);
}

/* The rest of it. */
static void add_row_end(struct text *text, const struct dump_view *view, uint32_t number)
{
	const struct efs_tensor *tensor = image_tensor(view->dump->image, number);
	struct survey_stream sum = {.indexed = 1};
	uint64_t tables = 0;

	for (uint32_t i = 0; i < tensor->stream_count; i++) {
		uint32_t stream = tensor->first_stream + i;
		const struct survey_stream *found = survey_stream(&view->survey, stream);

		tables += image_stream(view->dump->image, stream)->table_count;
		sum.coded += found->coded;
		sum.raw += found->raw;
		sum.constant += found->constant;
		sum.indexed &= found->indexed;
		sum.damaged |= found->damaged;
	}
	if (sum.indexed)
		text_add(text, ",%" PRIu64 ",%" PRIu64 ",%" PRIu64, sum.coded, sum.raw,
			 sum.constant);
	else
		text_add(text, ",null,null,null");
	text_add(text, ",%" PRIu64 ",%u]", tables, sum.damaged);
}

static void add_tensors(struct text *text, const struct dump_view *view)
{
	text_add(text,
		 "\"tensors\": {\"columns\": [\"name\", \"layer\", \"dtype\", \"shape\", \"as\", "
		 "\"scheme\", \"weights\", \"source\", \"raw\", \"payload\", \"index\", "
		 "\"padding\", \"entropy\", \"sqnr\", \"max_error\", \"params\", \"scale\", "
		 "\"zero\", \"stream\", \"coded\", \"raw_blocks\", \"constant\", \"tables\", "
		 "\"damaged\"], \"rows\": [");
	for (uint32_t i = 0; i < view->row_count; i++) {
		text_add(text, "%s", i ? "," : "");
		dump_row_start_add(text, view, view->rows[i]);
		add_row_end(text, view, view->rows[i]);
	}
	text_add(text, "]},\n");
}

/* The counts of a row, those of width codes each added up; null: not counted. */
static void add_counts(struct text *text, const struct dump_view *view, uint32_t number,
		       unsigned width)
{
	const struct efs_tensor *tensor = image_tensor(view->dump->image, number);
	uint64_t counts[CODEC_SYMBOLS];
	unsigned codes =
	    survey_codes(&view->survey, tensor, dump_weights(view->dump->image, tensor), counts);

	if (!codes) {
		text_add(text, "null");
		return;
	}
	if (codes < CODEC_SYMBOLS)
		width = 1;
	text_add(text, "[");
	for (unsigned code = 0; code < codes; code += width) {
		uint64_t sum = 0;

		for (unsigned i = 0; i < width; i++)
			sum += counts[code + i];
		text_add(text, "%s%" PRIu64, code ? "," : "", sum);
	}
	text_add(text, "]");
}

static void add_histograms(struct text *text, const struct dump_view *view)
{
	unsigned width = 1;
	size_t start = text->size;

	for (;; width *= 2) {
		text_add(text, "\"histograms\": {\"counted\": %s, \"width\": %u, \"rows\": [",
			 view->counted ? "true" : "false", width);
		for (uint32_t i = 0; view->counted && i < view->row_count; i++) {
			text_add(text, "%s", i ? ",\n" : "\n");
			add_counts(text, view, view->rows[i], width);
		}
		text_add(text, "]},\n");
		if (text->failed || text->size - start <= DUMP_HISTOGRAMS_TEXT ||
		    width == CODEC_SYMBOLS)
			return;
		text->size = start;
	}
}

/* Of each blob the first file that has a piece of it, or NOWHERE. NULL: out of memory. */
static int64_t *find_users(const struct image *image)
{
	const struct efs_catalog_header *catalog = image_catalog(image);
	int64_t *users = malloc((catalog->blob_count + (size_t)1) * sizeof(*users));

	for (uint32_t i = 0; users && i < catalog->blob_count; i++)
		users[i] = NOWHERE;
	for (uint32_t i = 0; users && i < catalog->node_count; i++) {
		const struct efs_node *node = image_node(image, i);

		for (uint32_t j = 0; node->type == EFS_FILE && j < node->count; j++) {
			const struct efs_piece *piece = image_piece(image, node->first + j);

			if (piece->kind == EFS_PIECE_BLOB && users[piece->source] == NOWHERE)
				users[piece->source] = i;
		}
	}
	return users;
}

static struct dump_ranked *rank_blobs(const struct image *image)
{
	uint32_t count = image_catalog(image)->blob_count;
	struct dump_ranked *blobs = calloc(count + (size_t)1, sizeof(*blobs));

	for (uint32_t i = 0; blobs && i < count; i++)
		blobs[i] = (struct dump_ranked){image_blob(image, i)->stored_size, i};
	if (blobs)
		dump_rank(blobs, count);
	return blobs;
}

static void add_file(struct text *text, const struct image *image, uint32_t blob, int64_t user)
{
	text_add(text, "\n[");
	if (user == NOWHERE)
		text_add(text, "null");
	else
		add_path(text, image, (uint32_t)user);
	text_add(text, ", %" PRIu64 ", %" PRIu64 "]", image_blob(image, blob)->raw_size,
		 image_blob(image, blob)->stored_size);
}

static void add_files(struct text *text, const struct image *image)
{
	uint32_t count = image_catalog(image)->blob_count;
	struct dump_ranked *blobs = rank_blobs(image);
	int64_t *users = find_users(image);

	if (!blobs || !users)
		text->failed = 1;
	text_add(text, "\"files\": {\"columns\": [\"path\", \"raw\", \"stored\"], \"rows\": [");
	for (uint32_t i = 0; blobs && users && i < count && i < DUMP_FILES_MAX; i++) {
		text_add(text, "%s", i ? "," : "");
		add_file(text, image, blobs[i].number, users[blobs[i].number]);
	}
	text_add(text, "]},\n");
	free(blobs);
	free(users);
}

static void add_damage(struct text *text, const struct dump_view *view)
{
	const struct findings *findings = view->findings;
	const struct image *image = view->dump->image;

	text_add(text,
		 "\"check\": {\"decoded\": %" PRIu64 ", \"findings\": %" PRIu64 ", \"listed\": [",
		 view->survey.decoded, findings->damage + findings->failures);
	for (size_t i = 0; i < findings->count && i < DUMP_DAMAGE_MAX; i++) {
		const struct finding *finding = &findings->kept[i];

		text_add(text, "%s\n{\"tensor\": ", i ? "," : "");
		if (finding->place.tensor == NOWHERE)
			text_add(text, "null");
		else
			dump_name_add(
			    text,
			    image_string(
				image, image_tensor(image, (uint32_t)finding->place.tensor)->name));
		text_add(text, ", \"message\": ");
		dump_name_add(text,
			      (struct image_name){finding->message, strlen(finding->message)});
		text_add(text, "}");
	}
	text_add(text, "]}");
}

void dump_data_add(struct text *text, const struct dump_view *view)
{
	text_add(text, "{");
	add_image(text, view);
	add_sources(text, view->dump->image);
	dump_json_contents(text, view->dump);
	dump_json_space(text, view->dump);
	add_indexes(text, view->dump->image);
	dump_json_totals(text, view->dump);
	add_layers(text, &view->layers);
	add_tensors(text, view);
	add_histograms(text, view);
	add_files(text, view->dump->image);
	add_damage(text, view);
	text_add(text, "}");
}
