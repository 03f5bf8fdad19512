/* SPDX-License-Identifier: MIT */
/*
 * json.c - bounded parsing and growing text; see json.h.
 *
 * jansson spends up to ten times the text's size on small objects, so the bound has to be on its
 * allocator. jansson's hooks take no context: the count of bytes is the one piece of static state
 * here.
 */
#include "mkfs/json.h"

#include "mkfs/names.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
	size_t used, limit;
	int refused; /* an allocation was; jansson does not always say so */
} heap = {0, SIZE_MAX, 0};

/* Before each allocation, its size; as wide as the strictest alignment. */
union heap_header {
	size_t size;
	max_align_t align;
};

static void *heap_allocate(size_t size)
{
	size_t whole;
	union heap_header *header = NULL;
	if (!__builtin_add_overflow(size, sizeof *header, &whole) && whole <= heap.limit &&
	    heap.used <= heap.limit - whole)
		header = malloc(whole);
	if (!header) {
		heap.refused = 1;
		return NULL;
	}
	header->size = whole;
	heap.used += whole;
	return header + 1;
}

static void heap_release(void *memory)
{
	if (!memory)
		return;
	union heap_header *header = (union heap_header *)memory - 1;
	heap.used -= header->size;
	free(header);
}

json_t *json_parse(const char *text, size_t size, size_t budget, struct image_diag *diag)
{
	json_error_t error;

	json_set_alloc_funcs(heap_allocate, heap_release);
	heap.limit = budget;
	heap.refused = 0;
	json_t *value = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
	heap.limit = SIZE_MAX;
	if (value)
		return value;
	if (heap.refused)
		image_fail(diag, -ENOMEM, "the JSON would take more than %zu MiB to parse",
			   budget >> 20);
	else
		image_fail(diag, -EINVAL, "bad JSON: %s (line %d, column %d)", error.text,
			   error.line, error.column);
	return NULL;
}

static int reserve(struct text *text, size_t more)
{
	size_t need;
	if (text->failed)
		return -1;
	if (__builtin_add_overflow(text->size, more, &need) ||
	    __builtin_add_overflow(need, 1, &need)) {
		text->failed = 1;
		return -1;
	}
	if (need <= text->capacity)
		return 0;
	size_t capacity = text->capacity < 4096 ? 4096 : text->capacity + text->capacity / 2;
	if (capacity < need)
		capacity = need;
	char *data = realloc(text->data, capacity);
	if (!data) {
		text->failed = 1;
		return -1;
	}
	text->data = data;
	text->capacity = capacity;
	return 0;
}

void text_add(struct text *text, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	int size = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (size < 0 || reserve(text, (size_t)size))
		return;
	va_start(args, format);
	vsnprintf(text->data + text->size, (size_t)size + 1, format, args);
	va_end(args);
	text->size += (size_t)size;
}

void text_add_bytes(struct text *text, const void *bytes, size_t size)
{
	if (reserve(text, size))
		return;
	memcpy(text->data + text->size, bytes, size);
	text->size += size;
	text->data[text->size] = '\0';
}

void text_add_string(struct text *text, const char *value)
{
	text_add(text, "\"");
	while (*value) {
		size_t plain = 0;
		while ((unsigned char)value[plain] >= 0x20 && value[plain] != '"' &&
		       value[plain] != '\\')
			plain++;
		text_add_bytes(text, value, plain);
		value += plain;
		if (!*value)
			break;
		if (*value == '"' || *value == '\\')
			text_add(text, "\\%c", *value);
		else
			text_add(text, "\\u%04x", (unsigned)(unsigned char)*value);
		value++;
	}
	text_add(text, "\"");
}

void text_add_path(struct text *text, const char *path)
{
	char *shown = names_show((struct image_name){path, strlen(path)}, NAMES_FOR_JSON);

	if (shown)
		text_add_string(text, shown);
	else
		text->failed = 1;
	free(shown);
}

void text_add_dims(struct text *text, const uint64_t *dims, unsigned rank)
{
	text_add(text, "[");
	for (unsigned i = 0; i < rank; i++)
		text_add(text, i ? ",%llu" : "%llu", (unsigned long long)dims[i]);
	text_add(text, "]");
}

void text_add_float(struct text *text, float value)
{
	char number[32];
	/* Nine digits tell any two F32 apart, and lie so close that rounding to F64 first does no
	 * harm. */
	for (int digits = 6; digits <= 9; digits++) {
		snprintf(number, sizeof number, "%.*g", digits, (double)value);
		if (strtof(number, NULL) == value && (float)strtod(number, NULL) == value)
			break;
	}
	text_add(text, "%s", number);
}

void text_add_figure(struct text *text, double value, int digits)
{
	if (isfinite(value))
		text_add(text, "%.*g", digits, value);
	else
		text_add(text, "null");
}

void text_add_hex(struct text *text, const uint8_t *bytes, size_t size)
{
	text_add(text, "\"");
	for (size_t i = 0; i < size; i++)
		text_add(text, "%02x", bytes[i]);
	text_add(text, "\"");
}
