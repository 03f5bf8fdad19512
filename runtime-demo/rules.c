/* SPDX-License-Identifier: MIT */
/* rules.c - what a tokenizer.json says beside its tables. */
#include "runtime-demo/rules.h"

#include "runtime-demo/vocabulary.h"

#include <string.h>

#define BLANK "\xe2\x96\x81" /* U+2581, for a space */

static int refuse(const char *what, const json_t *detail, struct diag *diag)
{
	const char *type = json_string_value(json_object_get(detail, "type"));

	return diag_fail(diag, "its %s%s%.100s is not supported", what, type ? " " : "",
			 type ? type : "");
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

static bool is_absent(const json_t *value)
{
	return value == NULL || json_is_null(value);
}

/* True or false, the fallback if absent or null. */
static int read_flag(const json_t *json, const char *key, bool fallback, bool *flag,
		     struct diag *diag)
{
	const json_t *value = json_object_get(json, key);

	*flag = is_absent(value) ? fallback : json_is_true(value);
	if (!is_absent(value) && !json_is_boolean(value))
		return diag_fail(diag, "its %s is neither true nor false", key);
	return 0;
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
	if (read_flag(model, "fuse_unk", false, &rules->fuse_unknown, diag) != 0 ||
	    read_flag(model, "ignore_merges", false, &rules->whole_words, diag) != 0)
		return -1;
	return read_flag(model, "byte_fallback", false, &rules->byte_fallback, diag);
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
	bool prefix;

	if (!has_text(pre, "replacement", BLANK))
		return refuse("pre-tokenizer", pre, diag);
	if (read_flag(pre, "split", true, &rules->split_spaces, diag) != 0 ||
	    read_flag(pre, "add_prefix_space", true, &prefix, diag) != 0)
		return -1;
	rules->style = CHARACTERS;
	if (has_text(pre, "prepend_scheme", "first"))
		rules->prefix_space = PREFIX_FIRST_UNLESS;
	else if (has_text(pre, "prepend_scheme", "always"))
		rules->prefix_space = PREFIX_UNLESS;
	else if (has_text(pre, "prepend_scheme", "never"))
		rules->prefix_space = PREFIX_NEVER;
	else if (json_object_get(pre, "prepend_scheme") != NULL)
		return refuse("pre-tokenizer's prepend_scheme", NULL, diag);
	else
		rules->prefix_space = prefix ? PREFIX_UNLESS : PREFIX_NEVER;
	return 0;
}

/* Bytes as characters, after an optional split of digits. */
static int read_byte_level(const json_t *pre, struct rules *rules, struct diag *diag)
{
	const json_t *parts = json_object_get(pre, "pretokenizers"), *digits;
	bool prefix, pattern;

	if (is_type(pre, "Sequence") && json_array_size(parts) == 2) {
		digits = json_array_get(parts, 0);
		if (read_flag(digits, "individual_digits", false, &rules->split_digits, diag) != 0)
			return -1;
		if (!is_type(digits, "Digits") || !rules->split_digits)
			return refuse("pre-tokenizer", digits, diag);
		pre = json_array_get(parts, 1);
	}
	if (read_flag(pre, "add_prefix_space", true, &prefix, diag) != 0 ||
	    read_flag(pre, "use_regex", true, &pattern, diag) != 0)
		return -1;
	if (!is_type(pre, "ByteLevel") || !pattern)
		return refuse("pre-tokenizer", pre, diag);
	rules->style = BYTE_LEVEL;
	rules->prefix_space = prefix ? PREFIX_UNLESS : PREFIX_NEVER;
	return 0;
}

/* Either style is known by how it prepares a text. */
static int read_style(const json_t *json, struct rules *rules, struct diag *diag)
{
	const json_t *normalizer = json_object_get(json, "normalizer");
	const json_t *pre = json_object_get(json, "pre_tokenizer");

	if (is_absent(pre))
		return read_prepending(normalizer, rules, diag);
	if (!is_absent(normalizer))
		return refuse("normalizer", normalizer, diag);
	return is_type(pre, "Metaspace") ? read_metaspace(pre, rules, diag)
					 : read_byte_level(pre, rules, diag);
}

/* The steps of the way back from characters, in the only order in which they are that. */
enum decoder_step { START, REPLACE, BYTE_FALLBACK, FUSE, STRIP, UNKNOWN };

static enum decoder_step decoder_step(const json_t *step)
{
	const json_t *start = json_object_get(step, "start"), *stop = json_object_get(step, "stop");

	if (is_type(step, "Replace") && has_text(step, "content", " ") &&
	    has_text(json_object_get(step, "pattern"), "String", BLANK))
		return REPLACE;
	if (is_type(step, "ByteFallback"))
		return BYTE_FALLBACK;
	if (is_type(step, "Fuse"))
		return FUSE;
	if (is_type(step, "Strip") && has_text(step, "content", " ") && json_is_integer(start) &&
	    json_integer_value(start) == 1 && json_is_integer(stop) &&
	    json_integer_value(stop) == 0)
		return STRIP;
	return UNKNOWN;
}

static int read_decoder_steps(const json_t *decoder, struct rules *rules, struct diag *diag)
{
	const json_t *steps = json_object_get(decoder, "decoders"), *step;
	enum decoder_step last = START, next;

	for (size_t i = 0; i < json_array_size(steps); i++, last = next) {
		step = json_array_get(steps, i);
		next = decoder_step(step);
		if (next == UNKNOWN || next <= last || (last == START && next != REPLACE) ||
		    (next == STRIP && last != FUSE))
			return refuse("decoder", step, diag);
	}
	if (last == START)
		return refuse("decoder", decoder, diag);
	rules->strip_space = last == STRIP;
	return 0;
}

/* How tokens become text again; it must be the way that the style came. */
static int read_decoder(const json_t *decoder, struct rules *rules, struct diag *diag)
{
	if (rules->style == BYTE_LEVEL)
		return is_absent(decoder) || is_type(decoder, "ByteLevel")
			   ? 0
			   : refuse("decoder", decoder, diag);
	if (is_absent(decoder) || is_type(decoder, "Metaspace")) {
		rules->strip_space = rules->prefix_space != PREFIX_NEVER;
		return 0;
	}
	return is_type(decoder, "Sequence") ? read_decoder_steps(decoder, rules, diag)
					    : refuse("decoder", decoder, diag);
}

/* The tokens of one special token of a template. */
static int read_special(const json_t *processor, const json_t *special, size_t limit, int *affixes,
			size_t *count, struct diag *diag)
{
	const char *name = json_string_value(json_object_get(special, "id"));
	const json_t *known = json_object_get(processor, "special_tokens");
	const json_t *ids = json_object_get(json_object_get(known, name), "ids"), *id;

	if (name == NULL || json_array_size(ids) == 0)
		return diag_fail(diag, "its post-processor names a special token without ids");
	for (size_t i = 0; i < json_array_size(ids); i++) {
		id = json_array_get(ids, i);
		if (!json_is_integer(id) || json_integer_value(id) < 0 ||
		    (uint64_t)json_integer_value(id) >= limit)
			return diag_fail(diag,
					 "its post-processor has an id that is not a whole number "
					 "below the model's %zu",
					 limit);
		if (*count == RULES_MAX_AFFIXES)
			return diag_fail(diag,
					 "its post-processor puts more than %d tokens on one side",
					 RULES_MAX_AFFIXES);
		affixes[(*count)++] = (int)json_integer_value(id);
	}
	return 0;
}

/* "single" is a list of special tokens with the text itself somewhere among them. */
static int read_template(const json_t *processor, size_t limit, struct rules *rules,
			 struct diag *diag)
{
	const json_t *parts = json_object_get(processor, "single");
	bool after = false;

	for (size_t i = 0; i < json_array_size(parts); i++) {
		const json_t *part = json_array_get(parts, i);
		const json_t *special = json_object_get(part, "SpecialToken");

		if (special == NULL && json_object_get(part, "Sequence") != NULL && !after)
			after = true;
		else if (special == NULL)
			return diag_fail(diag,
					 "part %zu of its post-processor is neither the text "
					 "nor a special token",
					 i);
		else if (read_special(
			     processor, special, limit, after ? rules->suffix : rules->prefix,
			     after ? &rules->suffix_count : &rules->prefix_count, diag) != 0)
			return -1;
	}
	return after ? 0 : diag_fail(diag, "its post-processor leaves the text out");
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

/* At most one of a sequence puts tokens around the text: around which of them is not asked here. */
static int read_processors(const json_t *processor, size_t limit, struct rules *rules,
			   struct diag *diag)
{
	const json_t *parts = json_object_get(processor, "processors");
	size_t templates = 0;

	if (!json_is_array(parts))
		return refuse("post-processor", processor, diag);
	for (size_t i = 0; i < json_array_size(parts); i++) {
		const json_t *part = json_array_get(parts, i);

		templates += is_type(part, "TemplateProcessing");
		if (templates > 1)
			return refuse("second post-processor", part, diag);
		if (read_processor(part, limit, rules, diag) != 0)
			return -1;
	}
	return 0;
}

int rules_read(const json_t *json, size_t limit, struct rules *rules, struct diag *diag)
{
	static const char *const unsupported[] = {"truncation", "padding"};
	const json_t *processor = json_object_get(json, "post_processor");

	*rules = (struct rules){0};
	for (size_t i = 0; i < sizeof(unsupported) / sizeof(*unsupported); i++)
		if (!is_absent(json_object_get(json, unsupported[i])))
			return refuse(unsupported[i], NULL, diag);
	if (read_model(json_object_get(json, "model"), rules, diag) != 0 ||
	    read_style(json, rules, diag) != 0 ||
	    read_decoder(json_object_get(json, "decoder"), rules, diag) != 0)
		return -1;
	if (is_absent(processor))
		return 0;
	return is_type(processor, "Sequence") ? read_processors(processor, limit, rules, diag)
					      : read_processor(processor, limit, rules, diag);
}
