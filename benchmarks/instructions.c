/* SPDX-License-Identifier: MIT */
/*
 * instructions.c - every contestant decodes (a) and (b) once between two marks, for a counter of
 * instructions around this program: benchmarks/arm64/instructions.sh.
 *
 * Prints a line for each contestant: data set, codec, kernel or frame size, bytes decoded. Before
 * them comes a pair of marks with nothing in between, the price of a mark.
 */
#include "benchmarks/lib/contestant.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { DATA_SIZE = 1 << 20 };

static void mark(void)
{
	syscall(SYS_getppid);
}

static void decode(const struct entry *entry, uint8_t *out)
{
	const struct decoding decoding = {entry, out, 1};
	const struct job job = entry_decoding(&decoding, 1);
	int failed = 0;

	mark();
	for (size_t i = 0; i < entry->piece_count; i++)
		failed |= job.work(job.context, 0, 0, i);
	mark();
	if (failed)
		fail("decode");
}

static void bench(unsigned which, uint8_t *out)
{
	struct contestant list[CONTESTANTS_MAX];
	unsigned count = contestants_of_entrofs(list);
	struct data data;
	struct plan plan;

	data_generate(&data, which, DATA_SIZE);
	plan_make(&plan, &data);
	count += contestants_of_peers(list + count, data.size);
	for (unsigned i = 0; i < count; i++) {
		struct entry entry;
		entry_open(&entry, &list[i], &data, &plan, 1);
		decode(&entry, out);
		if (list[i].kernel)
			printf("%s %s %s %zu\n", data.name, list[i].codec, list[i].kernel->name,
			       data.size);
		else
			printf("%s %s %zu %zu\n", data.name, list[i].codec, list[i].piece_size,
			       data.size);
		entry_close(&entry);
	}
	plan_free(&plan);
	data_free(&data);
}

int main(void)
{
	uint8_t *out = allocate(DATA_SIZE);

	mark();
	mark();
	printf("nothing - - 0\n");
	for (unsigned which = 0; which < 2; which++)
		bench(which, out);
	free(out);
	return 0;
}
