/* SPDX-License-Identifier: MIT */
/*
 * image_hostile.c - damaged and hostile images: an error or the exact bytes, never anything else.
 *
 * Damage that a checksum should find must give an error or leave every byte as it was. Doctored
 * metadata with its checksums made right again may describe another image; then nothing may crash,
 * hang or leave its buffers (run it under ASan and UBSan).
 */
#include "tests/unit/image_build.h"
#include "tests/unit/image_exercise.h"
#include "tests/unit/image_reseal.h"

#include <criterion/criterion.h>
#include <errno.h>

struct victim {
	struct sample sample;
	uint8_t *image; /* mapped: what is written here is what the reader sees */
	size_t size;
	uint8_t *original;
	uint8_t *catalog;
	struct image_scratch *scratch;
	uint8_t *buffer;
	uint64_t sum;
};

static void map_victim(struct victim *victim)
{
	victim->size = (size_t)lseek(victim->sample.fd, 0, SEEK_END);
	victim->image =
	    mmap(NULL, victim->size, PROT_READ | PROT_WRITE, MAP_SHARED, victim->sample.fd, 0);
	cr_assert_neq(victim->image, MAP_FAILED);
	victim->original = malloc(victim->size);
	memcpy(victim->original, victim->image, victim->size);
}

static void setup(struct victim *victim)
{
	*victim = (struct victim){.buffer = malloc(256 << 10)};
	build_small(&victim->sample);
	map_victim(victim);
	cr_assert_eq(image_scratch_create(&victim->scratch), 0);
	victim->catalog = reseal_section(victim->image, victim->size,
					 &((struct efs_superblock *)victim->image)->catalog);
	cr_assert_eq(memcmp(victim->image, victim->original, victim->size), 0,
		     "resealing changes nothing in a good image");
}

static void teardown(struct victim *victim)
{
	munmap(victim->image, victim->size);
	image_scratch_destroy(victim->scratch);
	free(victim->original);
	free(victim->catalog);
	free(victim->buffer);
	build_free(&victim->sample);
}

static void restore(struct victim *victim)
{
	memcpy(victim->image, victim->original, victim->size);
}

/* Opens the image and compares all that it serves with the truth; counts what is refused. */
static unsigned refused(struct victim *victim)
{
	struct image_diag diag = {0};
	struct image *image;
	unsigned count = 0;
	int err = image_open(&image, victim->sample.fd, 0, &diag);

	if (err) {
		cr_assert(err == -EUCLEAN || err == -ENOTSUP, "%d", err);
		cr_assert_neq(diag.text[0], 0, "a refusal says why");
		return 1;
	}
	cr_assert_eq(memcmp(image_catalog(image), victim->catalog,
			    image_superblock(image)->catalog.raw_size),
		     0, "a catalog that opens is the one that was written");
	for (uint32_t i = 0; i < SMALL_STREAMS + SMALL_BLOBS; i++) {
		uint32_t blob = i - SMALL_STREAMS;
		int is_stream = i < SMALL_STREAMS;
		size_t size =
		    is_stream ? victim->sample.streams[i].size : victim->sample.blobs[blob].size;
		const uint8_t *truth =
		    is_stream ? victim->sample.streams[i].data : victim->sample.blobs[blob].data;
		ssize_t got = is_stream ? image_read_stream(image, i, 0, victim->buffer, size,
							    victim->scratch, &diag)
					: image_read_blob(image, blob, 0, victim->buffer, size,
							  victim->scratch, &diag);

		count += got < 0;
		cr_assert(got == -EUCLEAN ||
			      (got == (ssize_t)size && !memcmp(victim->buffer, truth, size)),
			  "wrong bytes in source %u", i);
	}
	image_close(image);
	return count;
}

static int deep_check(struct victim *victim)
{
	struct image_diag diag = {0};
	struct image *image;
	int err = image_open(&image, victim->sample.fd, 0, &diag);

	if (err)
		return err;
	err = image_verify_hashes(image, &diag);
	image_close(image);
	return err;
}

static void use(struct victim *victim)
{
	exercise(victim->sample.fd, 0, victim->buffer, victim->scratch, &victim->sum);
}

/* The sample itself is served whole; otherwise the tests below would prove nothing. */
Test(image_hostile, sample_is_good)
{
	struct victim v;

	setup(&v);
	cr_assert_eq(refused(&v), 0);
	cr_assert_eq(deep_check(&v), 0);
	reseal(v.image, v.size);
	cr_assert_eq(memcmp(v.image, v.original, v.size), 0, "resealing is exact");
	teardown(&v);
}

/* Every changed byte of the superblock is refused. */
Test(image_hostile, superblock_bytes)
{
	struct victim v;

	setup(&v);
	for (size_t at = 0; at < EFS_SUPERBLOCK_SIZE; at += at < 192 || at > 4080 ? 1 : 7)
		for (unsigned bit = 0; bit < 8; bit++) {
			v.image[at] ^= (uint8_t)(1 << bit);
			cr_assert_eq(refused(&v), 1, "byte %zu", at);
			v.image[at] ^= (uint8_t)(1 << bit);
		}
	teardown(&v);
}

/* Each field at its limits, one off and at random, its checksums right: no crash, no hang. */
Test(image_hostile, superblock_fields_resealed)
{
	static const struct {
		size_t offset, size;
	} fields[] = {{0, 8},  {8, 4},   {12, 4},  {16, 8}, {24, 8},   {32, 8},  {40, 8},
		      {48, 8}, {56, 8},  {64, 8},  {72, 8}, {80, 1},   {81, 1},  {82, 1},
		      {88, 8}, {120, 8}, {184, 8}, {96, 8}, {4080, 8}, {4084, 8}};
	uint64_t seed = 77;
	struct victim v;

	setup(&v);
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		for (unsigned round = 0; round < 40; round++) {
			uint64_t value = 0, random = build_random(&seed);

			memcpy(&value, v.image + fields[i].offset, fields[i].size);
			random |= (uint64_t)build_random(&seed) << 32;
			switch (round) {
			case 0:
				value = 0;
				break;
			case 1:
				value = UINT64_MAX;
				break;
			case 2:
				value++;
				break;
			case 3:
				value--;
				break;
			case 4:
				value += 8;
				break;
			case 5:
				value -= 8;
				break;
			case 6:
				value += 4096;
				break;
			case 7:
				value = INT64_MAX;
				break;
			case 8:
				value = (uint64_t)INT64_MAX - 7;
				break;
			case 9:
				value = UINT64_MAX - 7;
				break;
			case 10:
				value *= 2;
				break;
			default:
				value = random >> (round % 13 * 5);
			}
			memcpy(v.image + fields[i].offset, &value, fields[i].size);
			reseal_superblock(v.image);
			use(&v);
			restore(&v);
		}
	teardown(&v);
}

/* Unknown features: compatible ones are ignored, incompatible ones and newer versions refused. */
Test(image_hostile, features)
{
	struct image_diag diag = {0};
	struct image *image;
	struct victim v;
	struct efs_superblock *super;

	setup(&v);
	super = (void *)v.image;
	super->compatible = 4;
	super->reserved1[0] = 1;
	reseal_superblock(v.image);
	cr_assert_eq(refused(&v), 0);
	super->compatible = 0;
	reseal_superblock(v.image);
	cr_assert_eq(refused(&v), 1, "reserved bytes without a feature");
	super->reserved1[0] = 0;
	super->incompatible = 0x20;
	cr_assert_eq(image_open(&image, v.sample.fd, 0, &diag), -ENOTSUP,
		     "told from damage even if the checksum is of an unknown kind");
	cr_assert(strstr(diag.text, "0x20"), "%s", diag.text);
	super->incompatible = 0;
	super->version = 2;
	reseal_superblock(v.image);
	cr_assert_eq(image_open(&image, v.sample.fd, 0, &diag), -ENOTSUP);
	teardown(&v);
}

/* Cut anywhere, an image does not open; cut after it was opened, reads fail. */
Test(image_hostile, truncation)
{
	struct image_diag diag = {0};
	struct image *image;
	struct victim v;
	ssize_t got;

	setup(&v);
	/* Downwards: what is cut off does not come back. */
	for (size_t size = v.size - 1; size > 0; size -= size % 5 && size > 97 ? 97 : 1) {
		cr_assert_eq(ftruncate(v.sample.fd, (off_t)size), 0);
		cr_assert_eq(image_open(&image, v.sample.fd, 0, &diag), -EUCLEAN, "at %zu", size);
		cr_assert(size < EFS_SUPERBLOCK_SIZE || strstr(diag.text, "truncated"));
	}
	cr_assert_eq(ftruncate(v.sample.fd, 0), 0);
	cr_assert_eq(pwrite(v.sample.fd, v.original, v.size, 0), (ssize_t)v.size);
	cr_assert_eq(image_open(&image, v.sample.fd, 0, &diag), 0, "%s", diag.text);
	cr_assert_eq(ftruncate(v.sample.fd, 4100), 0);
	got = image_read_stream(image, 0, 0, v.buffer, 20000, v.scratch, &diag);
	cr_assert_eq(got, -EIO, "%s", diag.text);
	image_close(image);
	cr_assert_eq(ftruncate(v.sample.fd, (off_t)v.size), 0);
	teardown(&v);
}

/* Flipped bits anywhere: what is served is exact, and the deep check finds each of them. */
Test(image_hostile, bit_flips)
{
	struct victim v;
	uint64_t seed = 42;
	unsigned found = 0;

	setup(&v);
	for (int round = 0; round < 3000; round++) {
		size_t at = build_random(&seed) % v.size;
		uint8_t bit = (uint8_t)(1 << build_random(&seed) % 8);

		v.image[at] ^= bit;
		found += refused(&v) != 0;
		cr_assert_neq(deep_check(&v), 0, "byte %zu", at);
		v.image[at] ^= bit;
	}
	cr_assert_gt(found, 1500, "most bytes are data, so most flips are noticed by reading");
	teardown(&v);
}

/* Bursts: random bytes over a stretch; zeroed stretches; stretches copied from elsewhere. */
Test(image_hostile, bursts)
{
	struct victim v;
	uint64_t seed = 43;

	setup(&v);
	for (int round = 0; round < 1500; round++) {
		size_t size = 1 + build_random(&seed) % 3000;
		size_t at = build_random(&seed) % (v.size - size);
		size_t from = build_random(&seed) % (v.size - size);

		if (round % 3 == 0)
			build_noise(v.image + at, size, seed);
		else if (round % 3 == 1)
			memset(v.image + at, 0, size);
		else
			memmove(v.image + at, v.original + from, size);
		refused(&v);
		restore(&v);
	}
	teardown(&v);
}

/*
 * Lays the image out anew with the last stream's index and the catalog stored uncompressed, so that
 * single bytes of both can be changed in place.
 */
static void unpack(struct victim *v)
{
	struct efs_superblock super;
	struct efs_catalog_header *header = (void *)v->catalog;
	struct efs_stream *stream;
	struct efs_chunk chunk = {0};
	struct buffer out = {0};
	uint8_t *index;
	size_t catalog_size, gap;

	memcpy(&super, v->image, sizeof(super));
	catalog_size = (size_t)super.catalog.raw_size;
	stream =
	    (void *)(v->catalog + sizeof(*header) + header->node_count * sizeof(struct efs_node) +
		     header->piece_count * sizeof(struct efs_piece) +
		     header->tensor_count * sizeof(struct efs_tensor));
	stream += header->stream_count - 1;
	index = reseal_section(v->image, v->size, &stream->index);
	efs_buffer_add(&out, v->image, (size_t)super.catalog.offset);
	stream->index.offset = out.size;
	stream->index.stored_size = stream->index.raw_size + sizeof(chunk);
	chunk.stored_size = (uint32_t)stream->index.raw_size;
	efs_buffer_add(&out, index, (size_t)stream->index.raw_size);
	efs_buffer_add(&out, &chunk, sizeof(chunk));
	super.catalog.offset = out.size;
	super.catalog.stored_size = catalog_size + sizeof(chunk);
	chunk.stored_size = (uint32_t)catalog_size;
	efs_buffer_add(&out, v->catalog, catalog_size);
	efs_buffer_add(&out, &chunk, sizeof(chunk));
	gap = -out.size & 7;
	memset(efs_buffer_extend(&out, gap), 0, gap);
	super.hash_offset = out.size;
	super.hash_size = efs_hash_tree_size(super.hash_offset - EFS_SUPERBLOCK_SIZE);
	super.image_size = super.hash_offset + super.hash_size;
	memset(efs_buffer_extend(&out, (size_t)super.hash_size), 0, (size_t)super.hash_size);
	memcpy(out.data, &super, sizeof(super));
	reseal(out.data, out.size);
	munmap(v->image, v->size);
	free(v->original);
	cr_assert_eq(ftruncate(v->sample.fd, 0), 0);
	cr_assert_eq(pwrite(v->sample.fd, out.data, out.size, 0), (ssize_t)out.size);
	map_victim(v);
	cr_assert_eq(refused(v), 0, "the image laid out anew is good");
	cr_assert_eq(deep_check(v), 0);
	free(index);
	efs_buffer_free(&out);
}

/* Changes each byte of a section that is stored uncompressed and makes the checksums right. */
static void change_each_byte(struct victim *v, const struct efs_section *section, size_t step)
{
	struct efs_superblock *super = (void *)v->image;
	uint64_t seed = 4;

	for (size_t at = 0; at < section->raw_size; at += step) {
		uint8_t *byte = v->image + section->offset + at;
		uint8_t changes[] = {1, 0x80, 0xff, *byte, (uint8_t)build_random(&seed)};

		for (size_t i = 0; i < sizeof(changes); i++) {
			if (!changes[i])
				continue;
			*byte ^= changes[i];
			free(reseal_section(v->image, v->size, section));
			reseal_superblock(v->image);
			use(v);
			*byte ^= changes[i];
		}
	}
	free(reseal_section(v->image, v->size, section));
	memcpy(super, v->original, sizeof(*super));
	cr_assert_eq(refused(v), 0, "the image is itself again");
}

/* Every byte of the catalog, changed in several ways, its checksums right. */
Test(image_hostile, catalog_bytes_resealed)
{
	struct efs_section section;
	struct victim v;

	setup(&v);
	unpack(&v);
	section = ((struct efs_superblock *)v.image)->catalog;
	change_each_byte(&v, &section, 1);
	teardown(&v);
}

/* Every byte of a block index with its code table, its checksums right. */
Test(image_hostile, index_bytes_resealed)
{
	struct image_diag diag = {0};
	struct efs_section section;
	struct image *image;
	struct victim v;

	setup(&v);
	unpack(&v);
	cr_assert_eq(image_open(&image, v.sample.fd, 0, &diag), 0);
	section = image_stream(image, SMALL_STREAMS - 1)->index;
	image_close(image);
	change_each_byte(&v, &section, 1);
	teardown(&v);
}

/* Many random changes of catalog and index words at once, checksums right. */
Test(image_hostile, random_changes_resealed)
{
	static const uint64_t words[] = {0, 1, UINT32_MAX, UINT64_MAX, INT64_MAX, 4096, 1 << 16};
	struct efs_superblock *super;
	struct victim v;
	uint64_t seed = 12;

	setup(&v);
	unpack(&v);
	for (int round = 0; round < 2000; round++) {
		super = (void *)v.image;
		for (unsigned i = 0; i <= build_random(&seed) % 3; i++) {
			size_t at = (size_t)super->catalog.offset - 296 +
				    build_random(&seed) % ((size_t)super->catalog.raw_size + 290);
			size_t width = (size_t)1 << build_random(&seed) % 4;
			uint64_t value = words[build_random(&seed) % 7];

			memcpy(v.image + (at & ~(width - 1)), &value, width);
		}
		reseal(v.image, v.size);
		use(&v);
		restore(&v);
	}
	teardown(&v);
}
