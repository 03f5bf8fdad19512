/* SPDX-License-Identifier: MIT */
/*
 * image_hostile.c - damage anywhere in an image: cut short, flipped bits, overwritten stretches;
 * and each byte of its metadata changed with checksums that are right again.
 *
 * What is expected of each is in image_victim.h; image_fields.c goes through the fields one by one,
 * image_claims.c through structures that contradict themselves or claim too much.
 */
#include "tests/unit/image_victim.h"

enum { FLIPS = 2000, CUTS = 300, BURSTS = 1500 };

/* Every changed bit of the superblock is refused. */
Test(image_hostile, superblock_bytes)
{
	struct victim v;

	victim_setup(&v, build_tiny);
	for (size_t at = 0; at < EFS_SUPERBLOCK_SIZE; at += at < 192 || at > 4080 ? 1 : 7)
		for (unsigned bit = 0; bit < 8; bit++) {
			v.image[at] ^= (uint8_t)(1 << bit);
			cr_assert_eq(judge(&v, 0), REFUSED_BY_OPEN, "byte %zu", at);
			v.image[at] ^= (uint8_t)(1 << bit);
		}
	victim_report(&v, "bits of the superblock");
	victim_teardown(&v);
}

/* Unknown features: compatible ones are ignored, incompatible ones and newer versions refused. */
Test(image_hostile, features)
{
	struct image_diag diag = {0};
	struct image *image;
	struct victim v;
	struct efs_superblock *super;

	victim_setup(&v, build_tiny);
	super = (void *)v.image;
	super->compatible = 4;
	super->reserved1[0] = 1;
	reseal_superblock(v.image);
	cr_assert_eq(judge(&v, 1), SERVED);
	super->compatible = 0;
	reseal_superblock(v.image);
	cr_assert_eq(judge(&v, 1), REFUSED_BY_OPEN, "reserved bytes without a feature");
	super->reserved1[0] = 0;
	super->incompatible = 0x20;
	cr_assert_eq(image_open(&image, v.sample.fd, 0, &diag), -ENOTSUP,
		     "told from damage even if the checksum is of an unknown kind");
	cr_assert(strstr(diag.text, "0x20"), "%s", diag.text);
	super->incompatible = 0;
	super->version = 2;
	reseal_superblock(v.image);
	cr_assert_eq(image_open(&image, v.sample.fd, 0, &diag), -ENOTSUP);
	victim_teardown(&v);
}

/* Where a file is cut: at every 4 KiB and at CUTS random places; descending, for nothing returns.
 */
static size_t *find_cuts(size_t size, size_t *count)
{
	size_t *cuts = malloc((size / 4096 + 1 + CUTS) * sizeof(*cuts));
	uint64_t seed = 300;

	*count = 0;
	for (size_t at = 0; at < size; at += 4096)
		cuts[(*count)++] = at;
	for (unsigned i = 0; i < CUTS; i++)
		cuts[(*count)++] = build_random(&seed) % size;
	for (size_t i = 1; i < *count; i++) { /* by insertion */
		size_t cut = cuts[i], k = i;

		for (; k && cuts[k - 1] < cut; k--)
			cuts[k] = cuts[k - 1];
		cuts[k] = cut;
	}
	return cuts;
}

/* Cut anywhere, an image does not open, and the line says so. */
Test(image_hostile, truncated)
{
	struct victim v;
	size_t count, *cuts;

	victim_setup(&v, build_sample);
	cuts = find_cuts(v.size, &count);
	cr_assert_gt(count, CUTS + 900);
	for (size_t i = 0; i < count; i++) {
		cr_assert_eq(ftruncate(v.sample.fd, (off_t)cuts[i]), 0);
		cr_assert_eq(judge(&v, 0), REFUSED_BY_OPEN, "at %zu", cuts[i]);
		cr_assert(
		    strstr(v.diag.text, cuts[i] < EFS_SUPERBLOCK_SIZE ? "too short" : "truncated"),
		    "%s", v.diag.text);
	}
	victim_report(&v, "truncated (every 4 KiB, 300 random places of seed 300)");
	free(cuts);
	cr_assert_eq(ftruncate(v.sample.fd, (off_t)v.size), 0);
	victim_teardown(&v);
}

/* Cut anywhere after it was opened, what is left is served and the rest is an error. */
Test(image_hostile, truncated_while_open)
{
	struct image_diag diag = {0};
	struct image *image;
	struct victim v;
	size_t count, *cuts;

	victim_setup(&v, build_small);
	cuts = find_cuts(v.size, &count);
	cr_assert_eq(image_open(&image, v.sample.fd, 0, &diag), 0, "%s", diag.text);
	for (size_t i = 0; i < count; i++) {
		enum outcome outcome;

		if (i % 16 == 15) { /* nothing that it has learnt of the image yet */
			image_close(image);
			cr_assert_eq(ftruncate(v.sample.fd, 0), 0);
			cr_assert_eq(pwrite(v.sample.fd, v.original, v.size, 0), (ssize_t)v.size);
			cr_assert_eq(image_open(&image, v.sample.fd, 0, &diag), 0);
		}
		cr_assert_eq(ftruncate(v.sample.fd, (off_t)cuts[i]), 0);
		outcome = judge_open(&v, image);
		v.inputs[outcome]++;
		cr_assert_neq(outcome, SERVED, "at %zu", cuts[i]);
	}
	victim_report(&v, "truncated while open");
	image_close(image);
	free(cuts);
	cr_assert_eq(ftruncate(v.sample.fd, (off_t)v.size), 0);
	victim_teardown(&v);
}

/* Flipped bits anywhere: what is served is exact, and the deep checks find each of them. */
Test(image_hostile, bit_flips)
{
	struct victim v;
	uint64_t seed = 42;

	victim_setup(&v, build_small);
	for (unsigned round = 0; round < FLIPS; round++) {
		size_t at = build_random(&seed) % v.size;
		uint8_t bit = (uint8_t)(1 << build_random(&seed) % 8);

		v.image[at] ^= bit;
		cr_assert_neq(judge(&v, 0), SERVED, "byte %zu", at);
		v.image[at] ^= bit;
	}
	cr_assert_gt(v.inputs[REFUSED_BY_READ], FLIPS / 2,
		     "most bytes are data, so most flips are noticed by reading");
	victim_report(&v, "flipped bits (seed 42)");
	victim_teardown(&v);
}

/* Bursts: random bytes over a stretch; zeroed stretches; stretches copied from elsewhere. */
Test(image_hostile, bursts)
{
	struct victim v;
	uint64_t seed = 43;

	victim_setup(&v, build_small);
	for (unsigned round = 0; round < BURSTS; round++) {
		size_t size = 1 + build_random(&seed) % 3000;
		size_t at = build_random(&seed) % (v.size - size);
		size_t from = build_random(&seed) % (v.size - size);

		if (round % 3 == 0)
			build_noise(v.image + at, size, seed);
		else if (round % 3 == 1)
			memset(v.image + at, 0, size);
		else
			memmove(v.image + at, v.original + from, size);
		if (memcmp(v.image, v.original, v.size) != 0)
			cr_assert_neq(judge(&v, 0), SERVED, "%zu bytes at %zu", size, at);
		victim_restore(&v);
	}
	victim_report(&v, "overwritten stretches (seed 43)");
	victim_teardown(&v);
}

/* Changes each byte of a section that is stored uncompressed and makes all checksums right. */
static void change_each_byte(struct victim *v, const struct efs_section *section)
{
	uint64_t seed = 4;

	for (size_t at = 0; at < section->raw_size; at++) {
		uint8_t *byte = v->image + section->offset + at;
		uint8_t changes[] = {1, 0x80, 0xff, *byte, (uint8_t)build_random(&seed)};

		for (size_t i = 0; i < sizeof(changes); i++) {
			if (!changes[i])
				continue;
			*byte ^= changes[i];
			reseal(v->image, v->size);
			judge(v, 1);
			victim_restore(v);
		}
	}
}

/* Every byte of the catalog, changed in several ways and sealed again. */
Test(image_hostile, catalog_bytes_resealed)
{
	struct victim v;

	victim_setup_plain(&v, build_tiny);
	change_each_byte(&v, &((struct efs_superblock *)v.image)->catalog);
	victim_report(&v, "bytes of the catalog, sealed again");
	victim_teardown(&v);
}

/* Every byte of two block indexes with their code tables, sealed again. */
Test(image_hostile, index_bytes_resealed)
{
	struct efs_stream stream;
	struct victim v;

	victim_setup_plain(&v, build_tiny);
	for (uint32_t i = 0; i < 2; i++) {
		cr_assert_eq(field_record(v.image, v.size, FIELD_STREAM, i, &stream), 0);
		change_each_byte(&v, &stream.index);
	}
	cr_assert_eq(v.inputs[SERVED], 0);
	victim_report(&v, "bytes of block indexes, sealed again");
	victim_teardown(&v);
}

/* Many random changes of words of catalog and indexes at once, sealed again. */
Test(image_hostile, random_changes_resealed)
{
	static const uint64_t words[] = {0, 1, UINT32_MAX, UINT64_MAX, INT64_MAX, 4096, 1 << 16};
	struct efs_superblock *super;
	struct efs_stream stream;
	struct victim v;
	uint64_t seed = 12;

	victim_setup_plain(&v, build_tiny);
	super = (void *)v.image;
	cr_assert_eq(field_record(v.image, v.size, FIELD_STREAM, 0, &stream), 0);
	for (int round = 0; round < 4000; round++) {
		size_t from = (size_t)stream.index.offset;
		size_t range = (size_t)(super->catalog.offset + super->catalog.raw_size) - from;

		for (unsigned i = 0; i <= build_random(&seed) % 3; i++) {
			size_t at = from + build_random(&seed) % (range - 8);
			size_t width = (size_t)1 << build_random(&seed) % 4;
			uint64_t value = words[build_random(&seed) % 7];

			memcpy(v.image + (at & ~(width - 1)), &value, width);
		}
		reseal(v.image, v.size);
		judge(&v, 1);
		victim_restore(&v);
	}
	victim_report(&v, "random words of metadata, sealed again (seed 12)");
	victim_teardown(&v);
}
