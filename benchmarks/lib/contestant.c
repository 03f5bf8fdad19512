/* SPDX-License-Identifier: MIT */
/* contestant.c - entries: pieces cut, coded, verified; see contestant.h. */
#include "benchmarks/lib/contestant.h"

#include "image/checksum.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEGMENT_SIZE = 64 << 10 };

/* Our blocks end where a part ends, since each part is a stream; a peer takes the data as it comes.
 */
static void cut(struct entry *entry)
{
	const struct data *data = entry->data;
	size_t most = entry->contestant->piece_size, capacity = data->size / most + 1;

	if (entry->contestant->kernel)
		capacity += data->part_count;
	entry->pieces = allocate(capacity * sizeof *entry->pieces);
	for (size_t offset = 0, part = 0; offset < data->size;) {
		const struct part *place = &data->parts[part];
		size_t end = entry->contestant->kernel ? place->offset + place->size : data->size;
		size_t size = end - offset < most ? end - offset : most;
		entry->pieces[entry->piece_count] =
		    (struct piece){.offset = offset,
				   .size = size,
				   .number = entry->piece_count,
				   .checksum = checksum_of(data->bytes + offset, size)};
		entry->piece_count++;
		offset += size;
		if (offset == end)
			part++;
	}
}

static int encode_piece(void *context, unsigned worker, unsigned pass, size_t number)
{
	const struct entry *entry = context;
	const struct contestant *contestant = entry->contestant;
	const struct piece *piece = &entry->pieces[number];
	size_t coded_size;

	(void)pass;
	return contestant->methods->encode(contestant, entry->plan, entry->own[worker], piece,
					   entry->data->bytes + piece->offset, entry->slots[worker],
					   entry->slot_size, &coded_size);
}

static int decode_piece(void *context, unsigned worker, unsigned pass, size_t number)
{
	const struct decoding *decoding = context;
	const struct entry *entry = decoding->entry;
	const struct contestant *contestant = entry->contestant;
	const struct piece *piece = &entry->pieces[number];
	unsigned stretch = decoding->copies > 0 ? pass % decoding->copies : worker;
	uint8_t *dst = decoding->out + stretch * entry->data->size + piece->offset;

	return contestant->methods->decode(contestant, entry->plan, entry->own[worker], piece,
					   entry->coded + piece->coded_offset, dst);
}

struct job entry_encoding(struct entry *entry, unsigned passes)
{
	return (struct job){entry->piece_count, entry->segment, passes,
			    SHARE_COUNTER,      encode_piece,   entry};
}

struct job entry_decoding(const struct decoding *decoding, unsigned passes)
{
	return (struct job){decoding->entry->piece_count,
			    decoding->entry->segment,
			    passes,
			    SHARE_COUNTER,
			    decode_piece,
			    (void *)decoding};
}

static void code_all(struct entry *entry)
{
	const struct contestant *contestant = entry->contestant;

	entry->coded = allocate(entry->piece_count * entry->slot_size + CODEC_SLACK);
	for (size_t i = 0; i < entry->piece_count; i++) {
		struct piece *piece = &entry->pieces[i];
		piece->coded_offset = entry->coded_size;
		if (contestant->methods->encode(contestant, entry->plan, entry->own[0], piece,
						entry->data->bytes + piece->offset,
						entry->coded + piece->coded_offset,
						entry->slot_size, &piece->coded_size))
			fail("encode");
		entry->coded_size += piece->coded_size;
	}
	memset(entry->coded + entry->coded_size, 0, CODEC_SLACK);
}

static void verify(const struct entry *entry)
{
	const struct contestant *contestant = entry->contestant;
	uint8_t *out = calloc(1, entry->data->size);
	struct decoding decoding = {entry, out, 1};

	if (!out)
		fail("allocate memory");
	for (size_t i = 0; i < entry->piece_count; i++)
		if (decode_piece(&decoding, 0, 0, i))
			fail("decode");
	if (memcmp(out, entry->data->bytes, entry->data->size) != 0) {
		fprintf(stderr, "%s: %s %s decoded '%s' to other bytes\n",
			program_invocation_short_name, contestant->codec,
			contestant->kernel ? contestant->kernel->name : "", entry->data->name);
		exit(1);
	}
	free(out);
}

void entry_open(struct entry *entry, const struct contestant *contestant, const struct data *data,
		const struct plan *plan, unsigned threads)
{
	*entry = (struct entry){.contestant = contestant, .data = data, .plan = plan};
	entry->slot_size = contestant->methods->bound(contestant->piece_size);
	for (unsigned i = 0; i < threads; i++) {
		entry->own[i] = contestant->methods->open();
		entry->slots[i] = allocate(entry->slot_size);
	}
	cut(entry);
	entry->segment = (SEGMENT_SIZE + contestant->piece_size - 1) / contestant->piece_size;
	code_all(entry);
	verify(entry);
}

void entry_close(struct entry *entry)
{
	for (unsigned i = 0; i < TEAM_MAX && entry->own[i]; i++) {
		entry->contestant->methods->close(entry->own[i]);
		free(entry->slots[i]);
	}
	free(entry->pieces);
	free(entry->coded);
}

double entry_bits_per_byte(const struct entry *entry)
{
	if (entry->contestant->kernel)
		return entry->plan->stored_bits;
	return 8 * (double)entry->coded_size / (double)entry->data->size;
}
