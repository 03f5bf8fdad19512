/* SPDX-License-Identifier: MIT */
/*
 * slots.h - a bounded set of equal buffers that keep what is expensive to make, each thing made
 * once however many threads want it at the same time.
 *
 * A slot is free, being filled by the one caller that got SLOTS_FILL, or ready. Whoever holds a
 * slot (a reference) may read its data without a lock; slots that nobody holds are reused, the
 * least recently used first, those marked finished before all others. All calls may come from any
 * thread. The lock covers bookkeeping only; slots_get() waits without it, and only for a filler,
 * who is to make content from storage or from other slots of a LATER kind or key, never of an
 * earlier one.
 */
#ifndef ENTROFS_SLOTS_H
#define ENTROFS_SLOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct slots;

struct slots_key {
	uint32_t source;
	uint64_t number;
};

struct slot {
	uint8_t *data; /* page-aligned; the size given at creation */
};

enum slots_state {
	SLOTS_READY, /* held; data may be read until slots_put() */
	SLOTS_FILL,  /* held; the caller must fill it and call slots_filled(), then slots_put() */
	SLOTS_NONE,  /* not there, and no slot can be had: do without */
};

/*
 * count slots of slot_size bytes; memory is taken from the system when a slot is first used, which
 * is put off while there are others that are finished, or that nobody has used for `keep`
 * nanoseconds. 0 or -ENOMEM.
 */
int slots_create(struct slots **slots, size_t slot_size, unsigned count, uint64_t keep);

/* Nothing may be held. NULL does nothing. */
void slots_destroy(struct slots *slots);

/* Waits while another thread fills it; should that fail, the result is SLOTS_NONE. */
enum slots_state slots_get(struct slots *slots, struct slots_key key, struct slot **slot);

/* Only what is ready or being filled: SLOTS_READY or SLOTS_NONE; waits like slots_get(). */
enum slots_state slots_find(struct slots *slots, struct slots_key key, struct slot **slot);

/* For filling ahead of use, without waiting: SLOTS_FILL, or SLOTS_NONE if it is there already, on
 * its way, or no slot is to be had. */
enum slots_state slots_claim(struct slots *slots, struct slots_key key, struct slot **slot);

/* Ends filling. failed: those who wait get SLOTS_NONE, and nobody finds it any more. */
void slots_filled(struct slots *slots, struct slot *slot, bool failed);

/* Lets go. finished: nobody is likely to want it again. */
void slots_put(struct slots *slots, struct slot *slot, bool finished);

/* All buffers, for registration; each slot's data lies in it. */
void *slots_memory(const struct slots *slots, size_t *size);

#endif
