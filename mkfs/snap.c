/* SPDX-License-Identifier: MIT */
/* snap.c - parameters that blocks of ggml can have; see snap.h. */
#include "mkfs/snap.h"

#include "codec/ggml_blocks.h"

static const struct {
	int bits;
	enum quant_blocks blocks;
	uint8_t type;
} forms[] = {{8, QUANT_Q8_0, GGML_Q8_0}, {4, QUANT_Q4_0, GGML_Q4_0}, {4, QUANT_Q4_1, GGML_Q4_1}};

enum { FORMS = sizeof forms / sizeof *forms };

unsigned snap_tried(int bits)
{
	unsigned tried = 1;

	for (unsigned i = 0; i < FORMS; i++)
		tried += forms[i].bits == bits;
	return tried;
}

int snap_begin(struct snap *snap, const struct codes *codes, const struct quant_range *range)
{
	struct codes freely = *codes;

	*snap = (struct snap){.count = 0};
	if (codes_choose(&freely, range))
		return -1;
	if (!freely.bits)
		return 0;
	snap->params[snap->count++] = freely.params;
	for (unsigned i = 0; i < FORMS; i++) {
		if (forms[i].bits != codes->bits ||
		    quant_choose_blocks(range, forms[i].blocks, &snap->params[snap->count]))
			continue;
		snap->types[snap->count++] = forms[i].type;
	}
	return 0;
}

int snap_measure(const struct snap *snap, const struct codes *codes, struct codes_buffer *buffer,
		 uint64_t offset, size_t size, uint8_t *raw, struct quant_error errors[SNAP_TRIED])
{
	struct codes tried = *codes;

	for (unsigned i = 0; i < snap->count; i++) {
		tried.params = snap->params[i];
		if (codes_load_part(&tried, buffer, offset, size, raw, &errors[i]))
			return -1;
	}
	return 0;
}

unsigned snap_end(const struct snap *snap, const struct quant_error errors[SNAP_TRIED],
		  struct codes *codes)
{
	unsigned best = 0;

	for (unsigned i = 1; i < snap->count; i++) {
		if (!best || errors[i].noise < errors[best].noise)
			best = i;
	}
	if (best)
		codes->params = snap->params[best];
	else
		*codes = codes_of(codes->shard, codes->tensor, 0);
	return snap->types[best];
}
