/* SPDX-License-Identifier: MIT */
/* fs_slots.c - the bounded cache: each thing made once, held content never reused, order of reuse.
 */
#include "fs/slots.h"
#include "tests/unit/image_build.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SLOT_SIZE = 4096, THREADS = 8, KEYS = 40, ROUNDS = 3000 };

static struct slots_key key_of(uint64_t number)
{
	return (struct slots_key){(uint32_t)(number % 3), number};
}

/* What fills a slot: the key, all over. */
static void fill(struct slot *slot, uint64_t number)
{
	for (size_t i = 0; i < SLOT_SIZE / sizeof(number); i++)
		memcpy(slot->data + i * sizeof(number), &number, sizeof(number));
}

static int holds(const struct slot *slot, uint64_t number)
{
	for (size_t i = 0; i < SLOT_SIZE / sizeof(number); i++)
		if (memcmp(slot->data + i * sizeof(number), &number, sizeof(number)) != 0)
			return 0;
	return 1;
}

/* Makes a key's content present, and lets it go. */
static void make(struct slots *slots, uint64_t number, bool finished)
{
	struct slot *slot;
	cr_assert_eq(slots_get(slots, key_of(number), &slot), SLOTS_FILL, "%d", (int)number);
	fill(slot, number);
	slots_filled(slots, slot, false);
	slots_put(slots, slot, finished);
}

static bool is_there(struct slots *slots, uint64_t number)
{
	struct slot *slot;
	if (slots_find(slots, key_of(number), &slot) != SLOTS_READY)
		return false;
	cr_assert(holds(slot, number));
	slots_put(slots, slot, false);
	return true;
}

/* The least recently used goes first; what is finished before that; what is held never. */
Test(fs_slots, order_of_reuse)
{
	struct slots *slots;
	struct slot *held, *slot;
	cr_assert_eq(slots_create(&slots, SLOT_SIZE, 4, UINT64_MAX), 0);
	for (uint64_t i = 0; i < 4; i++)
		make(slots, i, i == 2);
	make(slots, 4, false); /* instead of 2, which was finished */
	cr_assert(!is_there(slots, 2));
	cr_assert(is_there(slots, 0)); /* used: 1 is now the oldest */
	make(slots, 5, false);
	cr_assert(!is_there(slots, 1));

	cr_assert_eq(slots_get(slots, key_of(3), &held), SLOTS_READY);
	for (uint64_t i = 10; i < 20; i++)
		make(slots, i, false);
	cr_assert(holds(held, 3));
	slots_put(slots, held, false);

	struct slot *all[4];
	for (uint64_t i = 0; i < 4; i++)
		cr_assert_eq(slots_get(slots, key_of(30 + i), &all[i]), SLOTS_FILL);
	cr_assert_eq(slots_get(slots, key_of(40), &slot), SLOTS_NONE, "all are held");
	cr_assert_eq(slots_claim(slots, key_of(30), &slot), SLOTS_NONE, "on its way");
	for (uint64_t i = 0; i < 4; i++) {
		fill(all[i], 30 + i);
		slots_filled(slots, all[i], false);
		slots_put(slots, all[i], false);
	}
	cr_assert_eq(slots_claim(slots, key_of(30), &slot), SLOTS_NONE, "there");
	slots_destroy(slots);
}

/* Content that could not be made is not found, and its slot is used again. */
Test(fs_slots, failure)
{
	struct slots *slots;
	struct slot *slot;
	cr_assert_eq(slots_create(&slots, SLOT_SIZE, 1, UINT64_MAX), 0);
	for (int i = 0; i < 3; i++) {
		cr_assert_eq(slots_get(slots, key_of(1), &slot), SLOTS_FILL);
		slots_filled(slots, slot, true);
		slots_put(slots, slot, true);
	}
	make(slots, 2, false);
	cr_assert(is_there(slots, 2));
	slots_destroy(slots);
}

/* Without slots, everybody does without. */
Test(fs_slots, none_at_all)
{
	struct slots *slots;
	struct slot *slot;
	size_t size;
	cr_assert_eq(slots_create(&slots, SLOT_SIZE, 0, UINT64_MAX), 0);
	cr_assert_eq(slots_get(slots, key_of(1), &slot), SLOTS_NONE);
	slots_memory(slots, &size);
	cr_assert_eq(size, 0);
	slots_destroy(slots);
}

/* How many slots have memory. */
static unsigned touched(const struct slots *slots)
{
	size_t size;
	unsigned char *memory = slots_memory(slots, &size), resident[16];
	unsigned count = 0;
	cr_assert_eq(size, sizeof(resident) * SLOT_SIZE);
	cr_assert_eq(mincore(memory, size, resident), 0);
	for (size_t i = 0; i < sizeof(resident); i++)
		count += resident[i] & 1;
	return count;
}

/* Memory is taken when there is no slot that is finished, nor one that nobody used for long. */
Test(fs_slots, memory)
{
	struct slots *slots;
	if (sysconf(_SC_PAGESIZE) != SLOT_SIZE) {
		fprintf(stderr, "skipped: pages are not as large as these slots\n");
		return;
	}
	cr_assert_eq(slots_create(&slots, SLOT_SIZE, 16, UINT64_MAX), 0);
	cr_assert_eq(touched(slots), 0);
	make(slots, 0, true);
	if (touched(slots) > 1) {
		fprintf(stderr, "skipped: the kernel gives several pages at once\n");
		slots_destroy(slots);
		return;
	}
	for (uint64_t i = 1; i < 100; i++)
		make(slots, i, true);
	cr_assert_eq(touched(slots), 1);
	for (uint64_t i = 100; i < 108; i++)
		make(slots, i, false);
	cr_assert_eq(touched(slots), 8);
	slots_destroy(slots);

	cr_assert_eq(slots_create(&slots, SLOT_SIZE, 16, 0), 0);
	for (uint64_t i = 0; i < 100; i++) {
		make(slots, i, false);
		cr_assert(is_there(slots, i));
	}
	cr_assert_leq(touched(slots), 2);
	slots_destroy(slots);
}

struct shared {
	struct slots *slots;
	_Atomic int filling[KEYS]; /* threads that fill this key now */
	_Atomic int fills, wrong;
};

struct worker {
	struct shared *shared;
	uint64_t seed;
};

static void use(struct shared *shared, uint64_t number, uint64_t dice)
{
	struct slot *slot;
	enum slots_state state = dice % 5 == 0 ? slots_find(shared->slots, key_of(number), &slot)
					       : slots_get(shared->slots, key_of(number), &slot);
	if (state == SLOTS_NONE)
		return;
	if (state == SLOTS_FILL) {
		bool fails = dice % 7 == 0;
		shared->wrong += shared->filling[number]++ != 0;
		shared->fills++;
		fill(slot, number);
		if (dice % 11 == 0)
			usleep(50); /* others come meanwhile */
		shared->filling[number]--;
		slots_filled(shared->slots, slot, fails);
		if (fails) {
			slots_put(shared->slots, slot, true);
			return;
		}
	}
	shared->wrong += !holds(slot, number);
	slots_put(shared->slots, slot, dice % 3 == 0);
}

static void *use_at_random(void *argument)
{
	struct worker *worker = argument;
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t dice = build_random(&worker->seed);
		use(worker->shared, dice % KEYS, dice / KEYS);
	}
	return NULL;
}

/* Threads that want the same things: nothing is made twice at once, nobody sees another's bytes. */
Test(fs_slots, threads)
{
	struct shared shared = {0};
	struct worker workers[THREADS];
	pthread_t threads[THREADS];
	cr_assert_eq(slots_create(&shared.slots, SLOT_SIZE, 12, 10000), 0);
	for (int i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){&shared, (uint64_t)i + 1};
		cr_assert_eq(pthread_create(&threads[i], NULL, use_at_random, &workers[i]), 0);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	cr_assert_eq(shared.wrong, 0);
	cr_assert_gt(shared.fills, KEYS);
	slots_destroy(shared.slots);
}
