/* SPDX-License-Identifier: MIT */
/*
 * slots.c - a hash table over an arena of slots; see slots.h.
 *
 * Slots that nobody holds wait in one of three queues: those that were never used, and the
 * others in the order of their last use. A slot that is being reused leaves the table first, so
 * that a key is never found in two places.
 */
#include "fs/slots.h"

#include "fs/stats.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

enum content { FREE, FILLING, READY, FAILED };

struct queue {
	struct entry *oldest, *newest;
};

struct entry {
	struct slot slot; /* first: a struct slot * is a struct entry * */
	struct slots_key key;
	enum content content;
	unsigned holders;            /* those who wait included */
	struct entry *chain;         /* next in the hash bucket */
	struct queue *queue;         /* that it waits in; NULL while somebody holds it */
	uint64_t since;              /* when it joined it */
	struct entry *older, *newer; /* in the queue */
	pthread_cond_t filled;
};

struct slots {
	pthread_mutex_t lock; /* of everything but what held slots hold */
	struct entry *entries;
	struct entry **buckets;
	struct queue finished;  /* reused first, from the newest: it is in the CPU's caches still */
	struct queue kept;      /* reused when it is old or there are no others, from the oldest */
	struct queue untouched; /* has no memory yet */
	uint64_t keep;          /* nanoseconds after which what is kept is old */
	uint8_t *memory;
	size_t slot_size;
	unsigned count, bucket_mask;
};

static void leave_queue(struct entry *entry)
{
	struct queue *queue = entry->queue;
	*(entry->older ? &entry->older->newer : &queue->oldest) = entry->newer;
	*(entry->newer ? &entry->newer->older : &queue->newest) = entry->older;
	entry->queue = NULL;
}

static void join_queue(struct queue *queue, struct entry *entry)
{
	entry->queue = queue;
	entry->older = queue->newest;
	entry->newer = NULL;
	*(queue->newest ? &queue->newest->newer : &queue->oldest) = entry;
	queue->newest = entry;
}

int slots_create(struct slots **slots, size_t slot_size, unsigned count, uint64_t keep)
{
	struct slots *new = calloc(1, sizeof(*new));
	if (!new)
		return -ENOMEM;
	unsigned buckets = 16;
	while (buckets < 2 * count)
		buckets *= 2;
	*new = (struct slots){
	    .slot_size = slot_size, .count = count, .bucket_mask = buckets - 1, .keep = keep};
	new->entries = calloc(count ? count : 1, sizeof(*new->entries));
	new->buckets = calloc(buckets, sizeof(struct entry *));
	new->memory = count ? mmap(NULL, slot_size * count, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
			    : NULL;
	if (!new->entries || !new->buckets || new->memory == MAP_FAILED) {
		if (new->memory != MAP_FAILED &&new->memory)
			munmap(new->memory, slot_size * count);
		free(new->entries);
		free(new->buckets);
		free(new);
		return -ENOMEM;
	}
	if (new->memory)
		madvise(new->memory, slot_size * count, MADV_HUGEPAGE);
	pthread_mutex_init(&new->lock, NULL);
	for (unsigned i = 0; i < count; i++) {
		struct entry *entry = &new->entries[i];
		entry->slot.data = new->memory + i *slot_size;
		pthread_cond_init(&entry->filled, NULL);
		join_queue(&new->untouched, entry);
	}
	*slots = new;
	return 0;
}

void slots_destroy(struct slots *slots)
{
	if (!slots)
		return;
	for (unsigned i = 0; i < slots->count; i++)
		pthread_cond_destroy(&slots->entries[i].filled);
	if (slots->memory)
		munmap(slots->memory, slots->slot_size * slots->count);
	pthread_mutex_destroy(&slots->lock);
	free(slots->entries);
	free(slots->buckets);
	free(slots);
}

static struct entry **bucket_of(struct slots *slots, struct slots_key key)
{
	uint64_t hash = (key.number + ((uint64_t)key.source << 40)) * UINT64_C(0x9e3779b97f4a7c15);
	return &slots->buckets[(hash >> 32) & slots->bucket_mask];
}

static struct entry *look_up(struct slots *slots, struct slots_key key)
{
	struct entry *entry = *bucket_of(slots, key);
	while (entry && (entry->key.number != key.number || entry->key.source != key.source))
		entry = entry->chain;
	return entry;
}

static void forget(struct slots *slots, struct entry *entry)
{
	struct entry **link = bucket_of(slots, entry->key);
	while (*link != entry)
		link = &(*link)->chain;
	*link = entry->chain;
	entry->content = FREE;
}

static void hold(struct entry *entry)
{
	if (entry->holders++ == 0)
		leave_queue(entry);
}

static void let_go(struct slots *slots, struct entry *entry, bool finished)
{
	if (--entry->holders > 0)
		return;
	if (entry->content == FAILED)
		entry->content = FREE; /* it left the table when it failed */
	entry->since = stats_now();
	join_queue(finished || entry->content == FREE ? &slots->finished : &slots->kept, entry);
}

/* Holds an entry that is there until it is filled. The lock is held, but not while it waits. */
static enum slots_state await(struct slots *slots, struct entry *entry)
{
	hold(entry);
	while (entry->content == FILLING)
		pthread_cond_wait(&entry->filled, &slots->lock);
	if (entry->content == READY)
		return SLOTS_READY;
	let_go(slots, entry, true);
	return SLOTS_NONE;
}

/* The slot that is least worth keeping; NULL if all are held. */
static struct entry *choose(const struct slots *slots)
{
	struct entry *kept = slots->kept.oldest;
	if (slots->finished.newest)
		return slots->finished.newest;
	if (!slots->untouched.oldest || (kept && stats_now() - kept->since >= slots->keep))
		return kept;
	return slots->untouched.oldest;
}

/* A slot, now under this key; NULL if all are held. */
static struct entry *reuse(struct slots *slots, struct slots_key key)
{
	struct entry *entry = choose(slots);
	if (!entry)
		return NULL;
	if (entry->content != FREE)
		forget(slots, entry);
	entry->key = key;
	entry->content = FILLING;
	hold(entry);
	struct entry **bucket = bucket_of(slots, key);
	entry->chain = *bucket;
	*bucket = entry;
	return entry;
}

/* What the three public ways of asking have in common. */
static enum slots_state ask(struct slots *slots, struct slots_key key, bool wait, bool fill,
			    struct slot **slot)
{
	enum slots_state state = SLOTS_NONE;
	pthread_mutex_lock(&slots->lock);
	struct entry *entry = look_up(slots, key);
	if (entry && wait) {
		state = await(slots, entry);
	} else if (!entry && fill) {
		entry = reuse(slots, key);
		if (entry)
			state = SLOTS_FILL;
	}
	pthread_mutex_unlock(&slots->lock);
	*slot = state == SLOTS_NONE ? NULL : &entry->slot;
	return state;
}

enum slots_state slots_get(struct slots *slots, struct slots_key key, struct slot **slot)
{
	return ask(slots, key, true, true, slot);
}

enum slots_state slots_find(struct slots *slots, struct slots_key key, struct slot **slot)
{
	return ask(slots, key, true, false, slot);
}

enum slots_state slots_claim(struct slots *slots, struct slots_key key, struct slot **slot)
{
	return ask(slots, key, false, true, slot);
}

void slots_filled(struct slots *slots, struct slot *slot, bool failed)
{
	struct entry *entry = (struct entry *)slot;
	pthread_mutex_lock(&slots->lock);
	if (failed)
		forget(slots, entry);
	entry->content = failed ? FAILED : READY;
	pthread_cond_broadcast(&entry->filled);
	pthread_mutex_unlock(&slots->lock);
}

void slots_put(struct slots *slots, struct slot *slot, bool finished)
{
	pthread_mutex_lock(&slots->lock);
	let_go(slots, (struct entry *)slot, finished);
	pthread_mutex_unlock(&slots->lock);
}

void *slots_memory(const struct slots *slots, size_t *size)
{
	*size = slots->slot_size * slots->count;
	return slots->memory;
}
