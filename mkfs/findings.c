/* SPDX-License-Identifier: MIT */
/* findings.c - what is wrong with an image; see findings.h. */
#include "mkfs/findings.h"

#include "mkfs/check.h"
#include "mkfs/cli.h"
#include "mkfs/names.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

unsigned check_kind(int error)
{
	return error == -EUCLEAN ? CHECK_DAMAGED : CHECK_FAILED;
}

int findings_init(struct findings *findings)
{
	*findings = (struct findings){.kept = calloc(FINDINGS_KEPT, sizeof(struct finding))};
	pthread_mutex_init(&findings->lock, NULL);
	return findings->kept ? 0 : -1;
}

void findings_free(struct findings *findings)
{
	for (size_t i = 0; i < findings->count; i++)
		free((char *)findings->kept[i].message);
	free(findings->kept);
	pthread_mutex_destroy(&findings->lock);
}

static int is_after(const struct finding *a, const struct finding *b)
{
	return a->phase != b->phase ? a->phase > b->phase : a->item > b->item;
}

static void insert(struct findings *findings, const struct finding *finding)
{
	size_t at = findings->count;
	char *message;

	while (at && is_after(&findings->kept[at - 1], finding))
		at--;
	if (at == FINDINGS_KEPT)
		return;
	message = strdup(finding->message);
	if (!message)
		return; /* it is counted all the same */
	if (findings->count == FINDINGS_KEPT)
		free((char *)findings->kept[--findings->count].message);
	memmove(&findings->kept[at + 1], &findings->kept[at],
		(findings->count - at) * sizeof(*findings->kept));
	findings->kept[at] = *finding;
	findings->kept[at].message = message;
	findings->count++;
}

void findings_add(struct findings *findings, const struct finding *finding)
{
	pthread_mutex_lock(&findings->lock);
	findings->result |= finding->severity;
	findings->damage += finding->severity == CHECK_DAMAGED;
	findings->failures += finding->severity == CHECK_FAILED;
	insert(findings, finding);
	pthread_mutex_unlock(&findings->lock);
}

/* The name of a finding's tensor, or NULL. */
static char *tensor_name(const struct finding *finding, const struct image *image,
			 enum names_for use)
{
	if (!image || finding->place.tensor == NOWHERE)
		return NULL;
	return names_show(
	    image_string(image, image_tensor(image, (uint32_t)finding->place.tensor)->name), use);
}

static char *file_path(const struct finding *finding, const struct image *image, enum names_for use)
{
	if (!image || finding->place.node == NOWHERE)
		return NULL;
	return names_show_path(image, (uint32_t)finding->place.node, use);
}

void findings_print(struct findings *findings, const struct image *image, const char *path)
{
	uint64_t all = findings->damage + findings->failures;
	size_t count = findings->count < FINDINGS_PRINTED ? findings->count : FINDINGS_PRINTED;

	for (size_t i = 0; i < count; i++) {
		const struct finding *finding = &findings->kept[i];
		char *tensor = tensor_name(finding, image, NAMES_FOR_TERMINAL);
		char *file = file_path(finding, image, NAMES_FOR_TERMINAL);

		if (file && finding->phase == CHECK_EXTRACTING)
			cli_cannot("extract", file, "%s", finding->message);
		else if (file)
			cli_cannot("verify", path, "file '%s': %s", file, finding->message);
		else if (tensor)
			cli_cannot("verify", path, "tensor '%s': %s", tensor, finding->message);
		else
			cli_cannot(finding->kind == FINDING_TARGET ? "extract" : "verify", path,
				   "%s", finding->message);
		free(tensor);
		free(file);
	}
	if (all > count)
		cli_cannot("verify", path, "and %" PRIu64 " more", all - count);
}

static void add_name(struct text *text, const char *key, char *name)
{
	text_add(text, "\"%s\": ", key);
	if (name)
		text_add_string(text, name);
	else
		text_add(text, "null");
	text_add(text, ", ");
	free(name);
}

static void add_number(struct text *text, const char *key, int64_t number, const char *after)
{
	if (number == NOWHERE)
		text_add(text, "\"%s\": null%s", key, after);
	else
		text_add(text, "\"%s\": %" PRId64 "%s", key, number, after);
}

static void add_message(struct text *text, const char *message)
{
	char *shown = names_show((struct image_name){message, strlen(message)}, NAMES_FOR_TERMINAL);

	text_add(text, "\"message\": ");
	text_add_string(text, shown ? shown : "?");
	free(shown);
}

void findings_json(struct text *text, const struct findings *findings, const struct image *image)
{
	static const char *const kinds[] = {"image",  "index",     "block",   "chunk",
					    "digest", "hash_tree", "padding", "file",
					    "folder", "target",    "program"};

	text_add(text, "[");
	for (size_t i = 0; i < findings->count; i++) {
		const struct finding *finding = &findings->kept[i];
		const struct finding_place *place = &finding->place;

		text_add(text, "%s\n{\"severity\": \"%s\", \"kind\": \"%s\", \"place\": {",
			 i ? "," : "", finding->severity == CHECK_DAMAGED ? "damage" : "failure",
			 kinds[finding->kind]);
		add_name(text, "tensor", tensor_name(finding, image, NAMES_FOR_JSON));
		add_name(text, "file", file_path(finding, image, NAMES_FOR_JSON));
		add_number(text, "stream", place->stream, ", ");
		add_number(text, "block", place->block, ", ");
		add_number(text, "blob", place->blob, ", ");
		add_number(text, "chunk", place->chunk, "}, ");
		add_message(text, finding->message);
		text_add(text, "}");
	}
	text_add(text, "%s]", findings->count ? "\n" : "");
}
