/* SPDX-License-Identifier: MIT */
/* rules.c - what a tokenizer.json says beside its tables. */
#include "runtime-demo/rules.h"

#include "runtime-demo/vocabulary.h"

#include <string.h>

#define BLANK "\xe2\x96\x81" /* U+2581, for a space */

static int refuse(const char *what, const json_t *detail, struct diag *diag)
{
	const char *type = json_string_value(json_object_get(detail, "type"));

	return diag_fail(diag, "cannot use 'tokenizer.json': its %s%s%s is not supported", what,
			 type ? " " : "", type ? type : "");
}

static bool has_text(const json_t *json, const char *key, const char *text)
{
	const char *own = json_string_value(json_object_get(json, key));

	return own != NULL && strcmp(own, text) == 0;
}

static bool is_type(const json_t *json, const char *type)
{
	return has_text(json, "type", type);
}

static int read_model(const json_t *model, struct rules *rules, struct diag *diag)
{
	static const char *const options[] = {"dropout", "continuing_subword_prefix",
					      "end_of_word_suffix"};

	if (!is_type(model, "BPE") || !json_is_object(json_object_get(model, "vocab")))
		return refuse("model", model, diag);
	for (size_t i = 0; i < sizeof(options) / sizeof(*options); i++)
		if (!option_is_unset(model, options[i]))
			return refuse(options[i], NULL, diag);
	rules->fuse_unknown = !option_is_unset(model, "fuse_unk");
	rules->whole_words = !option_is_unset(model, "ignore_merges");
	return 0;
}

/* What SentencePiece does, as older files spell it: U+2581 in front of each piece, and for every
   space; no words. */
static int read_prepending(const json_t *normalizer, struct rules *rules, struct diag *diag)
{
	const json_t *parts = json_object_get(normalizer, "normalizers");
	const json_t *prepend = json_array_get(parts, 0), *replace = json_array_get(parts, 1);

	if (!is_type(normalizer, "Sequence") || json_array_size(parts) != 2 ||
	    !is_type(prepend, "Prepend") || !has_text(prepend, "prepend", BLANK) ||
	    !is_type(replace, "Replace") || !has_text(replace, "content", BLANK) ||
	    !has_text(json_object_get(replace, "pattern"), "String", " "))
		return refuse("normalizer", normalizer, diag);
	rules->style = CHARACTERS;
	rules->prefix_space = PREFIX_ALWAYS;
	return 0;
}

/* The same, as newer files spell it. */
static int read_metaspace(const json_t *pre, struct rules *rules, struct diag *diag)
{
	const json_t *scheme = json_object_get(pre, "prepend_scheme");

	if (!has_text(pre, "replacement", BLANK))
		return refuse("pre-tokenizer", pre, diag);
	rules->style = CHARACTERS;
	rules->split_spaces = !json_is_false(json_object_get(pre, "split"));
	if (has_text(pre, "prepend_scheme", "first"))
		rules->prefix_space = PREFIX_FIRST_UNLESS;
	else if (has_text(pre, "prepend_scheme", "always"))
		rules->prefix_space = PREFIX_UNLESS;
	else if (has_text(pre, "prepend_scheme", "never"))
		rules->prefix_space = PREFIX_NEVER;
	else if (scheme != NULL)
		return refuse("pre-tokenizer's prepend_scheme", NULL, diag);
	else if (!json_is_false(json_object_get(pre, "add_prefix_space")))
		rules->prefix_space = PREFIX_UNLESS;
	return 0;
}

/* Bytes as characters, after an optional split of digits. */
static int read_byte_level(const json_t *pre, struct rules *rules, struct diag *diag)
{
	const json_t *parts = json_object_get(pre, "pretokenizers"), *digits;

	if (is_type(pre, "Sequence") && json_array_size(parts) == 2) {
		digits = json_array_get(parts, 0);
		if (!is_type(digits, "Digits") || option_is_unset(digits, "individual_digits"))
			return refuse("pre-tokenizer", digits, diag);
		rules->split_digits = true;
		pre = json_array_get(parts, 1);
	}
	if (!is_type(pre, "ByteLevel") || json_is_false(json_object_get(pre, "use_regex")))
		return refuse("pre-tokenizer", pre, diag);
	rules->style = BYTE_LEVEL;
	rules->prefix_space =
	    option_is_unset(pre, "add_prefix_space") ? PREFIX_NEVER : PREFIX_UNLESS;
	return 0;
}

/* Either style is known by how it prepares a text. */
static int read_style(const json_t *json, struct rules *rules, struct diag *diag)
{
	const json_t *normalizer = json_object_get(json, "normalizer");
	const json_t *pre = json_object_get(json, "pre_tokenizer");

	if (pre == NULL || json_is_null(pre))
		return read_prepending(normalizer, rules, diag);
	if (!option_is_unset(json, "normalizer"))
		return refuse("normalizer", normalizer, diag);
	return is_type(pre, "Metaspace") ? read_metaspace(pre, rules, diag)
					 : read_byte_level(pre, rules, diag);
}

/* One step of the way back from characters. */
static int read_decoder_step(const json_t *step, struct rules *rules, struct diag *diag)
{
	const bool replaces = is_type(step, "Replace") && has_text(step, "content", " ") &&
			      has_text(json_object_get(step, "pattern"), "String", BLANK);
	const bool strips = is_type(step, "Strip") && has_text(step, "content", " ") &&
			    json_integer_value(json_object_get(step, "start")) == 1 &&
			    json_integer_value(json_object_get(step, "stop")) == 0;

	if (!replaces && !strips && !is_type(step, "ByteFallback") && !is_type(step, "Fuse"))
		return refuse("decoder", step, diag);
	rules->strip_space = rules->strip_space || strips;
	return 0;
}

/* How tokens become text again; it must be the way that the style came. */
static int read_decoder(const json_t *decoder, struct rules *rules, struct diag *diag)
{
	const json_t *steps = json_object_get(decoder, "decoders");
	const bool absent = decoder == NULL || json_is_null(decoder);

	if (rules->style == BYTE_LEVEL)
		return absent || is_type(decoder, "ByteLevel") ? 0
							       : refuse("decoder", decoder, diag);
	if (absent || is_type(decoder, "Metaspace")) {
		rules->strip_space = rules->prefix_space != PREFIX_NEVER;
		return 0;
	}
	if (!is_type(decoder, "Sequence"))
		return refuse("decoder", decoder, diag);
	for (size_t i = 0; i < json_array_size(steps); i++)
		if (read_decoder_step(json_array_get(steps, i), rules, diag) != 0)
			return -1;
	return 0;
}

/* "single" is a list of special tokens with the sequence itself somewhere among them. */
static int read_template(const json_t *processor, size_t limit, struct rules *rules,
			 struct diag *diag)
{
	const json_t *specials = json_object_get(processor, "special_tokens"), *ids, *id;
	const json_t *parts = json_object_get(processor, "single");
	bool before = true;

	for (size_t i = 0; i < json_array_size(parts); i++) {
		const json_t *special = json_object_get(json_array_get(parts, i), "SpecialToken");

		if (special == NULL) {
			before = false;
			continue;
		}
		ids = json_object_get(specials, json_string_value(json_object_get(special, "id")));
		ids = json_object_get(ids, "ids");
		for (size_t k = 0; k < json_array_size(ids); k++) {
			size_t *count = before ? &rules->prefix_count : &rules->suffix_count;

			id = json_array_get(ids, k);
			if (!json_is_integer(id) || json_integer_value(id) < 0 ||
			    (uint64_t)json_integer_value(id) >= limit ||
			    *count == RULES_MAX_AFFIXES)
				return refuse("post-processor", processor, diag);
			(before ? rules->prefix : rules->suffix)[(*count)++] =
			    (int)json_integer_value(id);
		}
	}
	return 0;
}

/* One that is no sequence of others. */
static int read_processor(const json_t *processor, size_t limit, struct rules *rules,
			  struct diag *diag)
{
	if (is_type(processor, "ByteLevel"))
		return 0; /* it trims offsets, which are not used here */
	if (is_type(processor, "TemplateProcessing"))
		return read_template(processor, limit, rules, diag);
	return refuse("post-processor", processor, diag);
}

static int read_post_processor(const json_t *processor, size_t limit, struct rules *rules,
			       struct diag *diag)
{
	const json_t *parts = json_object_get(processor, "processors");

	if (processor == NULL || json_is_null(processor))
		return 0;
	if (!is_type(processor, "Sequence"))
		return read_processor(processor, limit, rules, diag);
	for (size_t i = 0; i < json_array_size(parts); i++)
		if (read_processor(json_array_get(parts, i), limit, rules, diag) != 0)
			return -1;
	return 0;
}

int rules_read(const json_t *json, size_t limit, struct rules *rules, struct diag *diag)
{
	*rules = (struct rules){0};
	if (read_model(json_object_get(json, "model"), rules, diag) != 0 ||
	    read_style(json, rules, diag) != 0 ||
	    read_decoder(json_object_get(json, "decoder"), rules, diag) != 0)
		return -1;
	return read_post_processor(json_object_get(json, "post_processor"), limit, rules, diag);
}
