/* SPDX-License-Identifier: MIT */
/*
 * damage.h - an image of one of everything with fields set, bits flipped, bytes overwritten, and
 * cut short: some of what image_fields.c and image_hostile.c try by the thousand, for the programs.
 */
#ifndef ENTROFS_TESTS_DAMAGE_H
#define ENTROFS_TESTS_DAMAGE_H

#include "tests/hostile/extents.h"

enum { DAMAGE_EACH = 200 };

/* Sets some field of some record to some value; its name. */
static inline const char *damage_field(struct buffer *image, uint64_t *seed)
{
	for (;;) {
		const struct field *field = &image_fields[build_random(seed) % IMAGE_FIELDS];
		const uint64_t values[] = {0, 1, UINT64_MAX, build_random(seed)};
		uint64_t value = values[build_random(seed) % 4], old = 0;
		size_t width = field_size(field) < 8 ? field_size(field) : 8;
		struct field_place place;
		uint8_t *at;

		if (field_find(image->data, image->size, field->part,
			       field->part >= FIELD_CHUNK ? build_random(seed) % 5 : 0, &place) ||
		    !place.count)
			continue;
		at = image->data + place.at + field->at +
		     build_random(seed) % place.count * field_part_sizes[field->part];
		memcpy(&old, at, width);
		if (build_random(seed) % 2)
			value = old + value;
		memcpy(at, &value, width);
		return field->name;
	}
}

static inline void damage_bytes(struct buffer *image, unsigned round, uint64_t *seed)
{
	size_t size = 1 + build_random(seed) % 300, at = build_random(seed) % image->size;

	if (size > image->size - at)
		size = image->size - at;
	if (round % 2)
		image->data[at] ^= (uint8_t)(1 << build_random(seed) % 8);
	else if (round % 4)
		memset(image->data + at, 0, size);
	else
		build_noise(image->data + at, size, build_random(seed) | 1u);
}

static inline void hostile_damage(struct hostile *hostile)
{
	static const char *const classes[] = {"fields", "sealed fields", "bytes", "truncated"};
	struct extents e;
	uint64_t seed = 1234;

	extents_setup(&e, hostile);
	for (unsigned kind = 0; kind < 4; kind++)
		for (unsigned round = 0; round < DAMAGE_EACH; round++) {
			const char *what = "";

			hostile->class = classes[kind];
			e.out.size = 0;
			forge_put(&e.out, e.plain.data, e.plain.size);
			if (kind <= 1)
				what = damage_field(&e.out, &seed);
			if (kind == 1)
				reseal(e.out.data, e.out.size);
			if (kind == 2)
				damage_bytes(&e.out, round, &seed);
			if (kind == 3)
				e.out.size = round % 2 ? build_random(&seed) % e.plain.size
						       : round * 4096 % e.plain.size;
			hostile_put(hostile, &e.out, kind == 3 ? HOSTILE_REFUSED : HOSTILE_JUDGED,
				    NULL, "%s, %u", what, round);
		}
	extents_teardown(&e);
}

#endif
