/* SPDX-License-Identifier: MIT */
/*
 * image_fields.c - every field of the format, set to what it should not be: 0, the largest value,
 * one more, one less, twice, another sign, anything.
 *
 * Each value is tried twice: with checksums left as they were, where some check has to find it, and
 * with everything around it sealed again, where the value itself must be judged. image_fields.h has
 * the fields and what is expected of each, image_victim.h what is right.
 */
#include "tests/unit/image_victim.h"

enum { VALUES = 9, RANDOM_VALUES = 3 };

/* A field that is not described fails here: the description covers each record without gaps. */
Test(image_fields, description_is_complete)
{
	unsigned next = 0;

	for (enum field_part part = 0; part < FIELD_PARTS; part++) {
		size_t end = 0;

		for (; next < IMAGE_FIELDS && image_fields[next].part == part; next++) {
			cr_assert_eq(image_fields[next].at, end, "a field before %s",
				     image_fields[next].name);
			end += field_size(&image_fields[next]);
		}
		cr_assert_eq(end, field_part_sizes[part], "the end of part %d", (int)part);
	}
	cr_assert_eq(next, IMAGE_FIELDS, "parts in order");
}

/* The value number `round` instead of old, cut to the field's size. */
static uint64_t other_value(unsigned round, uint64_t old, size_t size, uint64_t *seed)
{
	uint64_t top = UINT64_C(1) << (8 * (size < 8 ? size : 8) - 1);
	uint64_t values[VALUES] = {0, UINT64_MAX, old + 1, old - 1, old * 2, old ^ top};

	for (unsigned i = VALUES - RANDOM_VALUES; i < VALUES; i++) {
		values[i] = build_random(seed);
		values[i] |= (uint64_t)build_random(seed) << 32;
		values[i] >>= build_random(seed) % 64;
	}
	return values[round] & (top | (top - 1));
}

/*
 * Makes right what a writer of this value would have made right: all checksums and hashes that
 * cover it. Not the value itself, if it is one of them.
 */
static void seal_around(struct victim *v, const struct field *field)
{
	struct efs_superblock *super = (void *)v->image;

	if (field->verdict != FIELD_SEALED)
		reseal(v->image, v->size);
	else if (field->part != FIELD_SUPERBLOCK) {
		reseal_hashes(v->image, v->size);
		reseal_superblock(v->image);
	} else if (field->at < offsetof(struct efs_superblock, digest))
		reseal_superblock(v->image);
	else if (field->at < offsetof(struct efs_superblock, checksum))
		super->checksum = efs_io_superblock_checksum(super);
}

static void check_verdict(const struct field *field, uint64_t record, uint64_t value,
			  enum outcome outcome)
{
	const char *name = field->name;

	if (field->verdict == FIELD_FREE)
		cr_assert_eq(outcome, SERVED, "%s of %llu = %#llx", name,
			     (unsigned long long)record, (unsigned long long)value);
	else if (field->verdict != FIELD_JUDGED)
		cr_assert_neq(outcome, SERVED, "%s of %llu = %#llx", name,
			      (unsigned long long)record, (unsigned long long)value);
}

/* Tries all values of one field of one record. */
static void try_field(struct victim *v, const struct field *field, uint64_t record, size_t at,
		      int is_sealed, uint64_t *seed)
{
	size_t size = field_size(field), width = size < 8 ? size : 8;
	uint64_t old = 0;

	memcpy(&old, v->image + at, width);
	for (unsigned round = 0; round < VALUES; round++) {
		uint64_t value = other_value(round, old, width, seed);
		enum outcome outcome;

		if (value == old)
			continue;
		memcpy(v->image + at, &value, width);
		if (is_sealed)
			seal_around(v, field);
		outcome = judge(v, is_sealed);
		if (is_sealed)
			check_verdict(field, record, value, outcome);
		else
			cr_assert_neq(outcome, SERVED, "%s of %llu = %#llx is noticed", field->name,
				      (unsigned long long)record, (unsigned long long)value);
		victim_restore(v);
	}
}

/* Code tables and names have many bytes that are all alike: every third is tried. */
static uint64_t step_of(const struct field *field)
{
	return field->part == FIELD_TABLE || field->part == FIELD_STRINGS ? 3 : 1;
}

static void try_fields(struct victim *v, int is_sealed)
{
	uint64_t seed = 20250508;
	struct field_place place;

	for (unsigned i = 0; i < IMAGE_FIELDS; i++) {
		const struct field *field = &image_fields[i];
		unsigned tried = 0;

		for (uint32_t n = 0; n <= 1 + TINY_STREAMS + TINY_BLOBS; n++) {
			if (field_find(v->image, v->size, field->part, n, &place))
				continue;
			for (uint64_t k = 0; k < place.count; k += step_of(field), tried++)
				try_field(v, field, k,
					  place.at + k * field_part_sizes[field->part] + field->at,
					  is_sealed, &seed);
		}
		cr_assert_gt(tried, 0, "the image has a %s", field->name);
	}
}

/* The image as it is, is served whole: else the tests below would prove nothing. */
Test(image_fields, sample_is_good)
{
	struct victim v;

	victim_setup_plain(&v, build_tiny);
	cr_assert_eq(judge(&v, 0), SERVED, "%s", v.diag.text);
	victim_teardown(&v);
}

/* Checksums left broken: every value is found, and nothing wrong is served before it is. */
Test(image_fields, checksums_broken)
{
	struct victim v;

	victim_setup_plain(&v, build_tiny);
	try_fields(&v, 0);
	victim_report(&v, "fields, checksums broken");
	victim_teardown(&v);
}

/* Everything sealed again: the value itself is judged. */
Test(image_fields, resealed)
{
	struct victim v;

	victim_setup_plain(&v, build_tiny);
	try_fields(&v, 1);
	victim_report(&v, "fields, sealed again");
	victim_teardown(&v);
}
