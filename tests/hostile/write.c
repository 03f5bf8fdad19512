/* SPDX-License-Identifier: MIT */
/*
 * write.c - writes a sample of all classes of hostile images to a folder, for tests that run the
 * programs on them:
 *
 *   write FOLDER EACH [CLASS]
 *
 * Of each class about EACH images that are served, EACH that are refused, and EACH that may be
 * either, evenly from all there are. For each there is an object in a list of JSON on stdout: the
 * file, class and name; "verdict": judged, refused or served; "opens": whether the
 * library opens it; and if it does, "files": path in hexadecimal, size, and the SHA-256 of the
 * first WRITE_HASHED bytes, as they were put into the image, null where that is not known.
 */
#include "tests/hostile/claims.h"
#include "tests/hostile/damage.h"
#include "tests/hostile/extents.h"
#include "tests/hostile/frames.h"
#include "tests/hostile/tables.h"
#include "tests/hostile/trees.h"

#include <fcntl.h>
#include <openssl/evp.h>

enum {
	WRITE_HASHED = 1 << 20,
	WRITE_CLASSES = 16,
};

static void (*const makers[])(struct hostile *) = {
    hostile_trees,  hostile_names,  hostile_extents, hostile_sums,   hostile_frames,
    hostile_tables, hostile_blocks, hostile_claims,  hostile_damage,
};

struct writing {
	struct hostile hostile;
	const char *folder, *only;
	unsigned each;
	int is_counting;
	struct {
		const char *name;
		struct {
			unsigned count, seen;
		} by_verdict[3];
	} classes[WRITE_CLASSES];
	unsigned written;
	uint8_t *buffer;
};

/* The class's place in the list. */
static unsigned class_of(struct writing *writing, const char *name)
{
	unsigned i = 0;

	while (writing->classes[i].name && strcmp(writing->classes[i].name, name) != 0)
		i++;
	writing->classes[i].name = name;
	return i;
}

/* Whether this image is one of those to be written; the first pass only counts. */
static int is_chosen(struct writing *writing, const struct hostile_image *image)
{
	unsigned class = class_of(writing, image->class), verdict = image->verdict;
	unsigned *count = &writing->classes[class].by_verdict[verdict].count;
	unsigned *seen = &writing->classes[class].by_verdict[verdict].seen;
	uint64_t before;

	if (writing->is_counting) {
		++*count;
		return 0;
	}
	before = (uint64_t)(*seen)++ * writing->each / *count;
	if (writing->only && strcmp(writing->only, image->class) != 0)
		return 0;
	/* Claims that are kept are few, and worth each of them. */
	return (strcmp(image->class, "claims") == 0 && verdict == HOSTILE_SERVED) ||
	       image->file_size != image->size ||
	       (uint64_t)*seen * writing->each / *count != before;
}

static void print_hex(const void *data, size_t size)
{
	const uint8_t *bytes = data;

	putchar('"');
	for (size_t i = 0; i < size; i++)
		printf("%02x", bytes[i]);
	putchar('"');
}

static void print_files(struct writing *writing, const struct image *image,
			const struct truth *truth)
{
	uint32_t count = image_catalog(image)->node_count, files = 0;
	char path[IMAGE_PATH_MAX];

	for (uint32_t i = 0; i < count; i++) {
		uint64_t size = image_node(image, i)->size;
		size_t wanted = size < WRITE_HASHED ? (size_t)size : WRITE_HASHED;
		uint8_t digest[EFS_DIGEST_SIZE];

		if (image_node(image, i)->type != EFS_FILE)
			continue;
		printf("%s\n  [", files++ ? "," : "");
		print_hex(path, image_path(image, i, path, sizeof(path)));
		printf(", %llu, ", (unsigned long long)size);
		if (truth_copy_file(truth, image, i, 0, writing->buffer, wanted) == wanted &&
		    efs_io_sha256(writing->buffer, wanted, digest) == 0)
			print_hex(digest, sizeof(digest));
		else
			printf("null");
		putchar(']');
	}
}

static void take(struct hostile *hostile, const struct hostile_image *from)
{
	static const char *const verdicts[] = {"judged", "refused", "served"};
	struct writing *writing = (struct writing *)hostile;
	struct image *image = NULL;
	struct image_diag diag;
	char path[4096];
	int fd;

	if (!is_chosen(writing, from))
		return;
	snprintf(path, sizeof(path), "%s/%05u.efs", writing->folder, writing->written);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0 || write(fd, from->bytes, from->size) != (ssize_t)from->size ||
	    ftruncate(fd, (off_t)from->file_size)) {
		perror(path);
		exit(EXIT_FAILURE);
	}
	image_open(&image, fd, 0, &diag);
	printf("%s{\"file\": \"%05u.efs\", \"class\": \"%s\", \"name\": \"%s\", \"verdict\": "
	       "\"%s\", \"opens\": %s, \"files\": [",
	       writing->written ? ",\n" : "", writing->written, from->class, from->name,
	       verdicts[from->verdict], image ? "true" : "false");
	writing->written++;
	if (image)
		print_files(writing, image, from->truth);
	printf("]}");
	image_close(image);
	close(fd);
}

int main(int argc, char **argv)
{
	struct writing writing = {.hostile = {.take = take}, .buffer = malloc(WRITE_HASHED)};

	if (argc < 3 || argc > 4 || !writing.buffer) {
		fprintf(stderr, "Usage: write FOLDER EACH [CLASS]\n");
		return EXIT_FAILURE;
	}
	writing.folder = argv[1];
	writing.each = (unsigned)strtoul(argv[2], NULL, 10);
	writing.only = argc == 4 ? argv[3] : NULL;
	printf("[");
	for (int pass = 0; pass < 2; pass++) {
		writing.is_counting = !pass;
		for (size_t i = 0; i < sizeof(makers) / sizeof(makers[0]); i++)
			makers[i](&writing.hostile);
	}
	printf("]\n");
	free(writing.buffer);
	return EXIT_SUCCESS;
}
