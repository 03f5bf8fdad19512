/* SPDX-License-Identifier: MIT */
/* cache.c - parts of an image that come into memory and go again; see cache.h. */
#include "image/cache.h"

#include <errno.h>
#include <stdlib.h>

#define NONE        UINT32_MAX          /* no neighbour */
#define CACHE_THERE (UINT32_C(1) << 31) /* in a slot's state */

int efs_cache_init(struct cache *cache, uint32_t slot_count, const struct cache_owner *owner,
		   uint64_t budget)
{
	/* The system gives zeros, and memory only for what is written to. */
	struct cache_slot *slots = calloc((size_t)slot_count + 1, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	*cache = (struct cache){
	    .owner = *owner, .slots = slots, .budget = budget, .newest = NONE, .oldest = NONE};
	pthread_mutex_init(&cache->lock, NULL);
	pthread_cond_init(&cache->came, NULL);
	return 0;
}

/* --- the list: under the lock ----------------------------------------------------------------- */

static void append(struct cache *cache, uint32_t number)
{
	struct cache_slot *slot = &cache->slots[number];

	slot->newer = NONE;
	slot->older = cache->newest;
	if (cache->newest == NONE)
		cache->oldest = number;
	else
		cache->slots[cache->newest].newer = number;
	cache->newest = number;
}

static void take_out(struct cache *cache, uint32_t number)
{
	const struct cache_slot *slot = &cache->slots[number];

	if (slot->newer == NONE)
		cache->newest = slot->older;
	else
		cache->slots[slot->newer].older = slot->older;
	if (slot->older == NONE)
		cache->oldest = slot->newer;
	else
		cache->slots[slot->older].newer = slot->newer;
}

/* 0 if somebody holds it. */
static int evict(struct cache *cache, uint32_t number)
{
	struct cache_slot *slot = &cache->slots[number];
	uint32_t idle = CACHE_THERE;

	if (!atomic_compare_exchange_strong(&slot->state, &idle, 0))
		return 0;
	take_out(cache, number);
	cache->owner.free(cache->owner.context, number, slot->part);
	slot->part = NULL;
	cache->bytes -= cache->owner.size(cache->owner.context, number);
	cache->there--;
	cache->evicted++;
	return 1;
}

static int is_over(const struct cache *cache)
{
	return cache->bytes > cache->budget && cache->there + (uint64_t)cache->loading > 1;
}

/* Evicts the oldest part or, if it may not go yet, makes it the newest. */
static void try_oldest(struct cache *cache)
{
	uint32_t number = cache->oldest;
	int is_recent =
	    atomic_exchange_explicit(&cache->slots[number].is_recent, 0, memory_order_relaxed);

	if (!is_recent && evict(cache, number))
		return;
	take_out(cache, number);
	append(cache, number);
}

/*
 * Evicts what is too much, going through the list twice at most: the first time may only tell what
 * is recent. What cannot go because it is held goes when it is released: either its holder sees the
 * mark that is set here first, or its release is seen here.
 */
static void trim(struct cache *cache)
{
	uint64_t tries = 2 * (uint64_t)cache->there;

	if (is_over(cache))
		atomic_store(&cache->is_over, 1);
	while (cache->there && tries-- && is_over(cache))
		try_oldest(cache);
	atomic_store(&cache->is_over, (uint8_t)is_over(cache));
}

/* --- holding ---------------------------------------------------------------------------------- */

/* Loads a part; the lock is held before and after. */
static int load(struct cache *cache, uint32_t number, struct image_diag *diag)
{
	struct cache_slot *slot = &cache->slots[number];
	uint64_t size = cache->owner.size(cache->owner.context, number);
	void *part = NULL;
	int err;

	slot->is_loading = 1;
	cache->loading++;
	cache->bytes += size;
	trim(cache);
	pthread_mutex_unlock(&cache->lock);
	err = cache->owner.load(cache->owner.context, number, &part, diag);
	pthread_mutex_lock(&cache->lock);
	slot->is_loading = 0;
	cache->loading--;
	if (err) {
		cache->bytes -= size;
	} else {
		slot->part = part;
		append(cache, number);
		cache->there++;
		cache->loaded++;
		atomic_fetch_or(&slot->state, CACHE_THERE);
	}
	trim(cache);
	pthread_cond_broadcast(&cache->came);
	return err;
}

void efs_cache_release(struct cache *cache, uint32_t number)
{
	uint32_t before = atomic_fetch_sub(&cache->slots[number].state, 1);

	if (before == (CACHE_THERE | 1) && atomic_load(&cache->is_over)) {
		pthread_mutex_lock(&cache->lock);
		trim(cache);
		pthread_mutex_unlock(&cache->lock);
	}
}

/* The caller counts as a holder already, so what comes does not go. */
static int wait_for(struct cache *cache, uint32_t number, struct image_diag *diag)
{
	struct cache_slot *slot = &cache->slots[number];
	int err = 0;

	pthread_mutex_lock(&cache->lock);
	while (!err && !(atomic_load(&slot->state) & CACHE_THERE)) {
		if (slot->is_loading)
			pthread_cond_wait(&cache->came, &cache->lock);
		else
			err = load(cache, number, diag);
	}
	pthread_mutex_unlock(&cache->lock);
	if (err)
		efs_cache_release(cache, number);
	return err;
}

int efs_cache_hold(struct cache *cache, uint32_t number, struct image_diag *diag)
{
	struct cache_slot *slot = &cache->slots[number];
	int err = 0;

	if (!(atomic_fetch_add(&slot->state, 1) & CACHE_THERE))
		err = wait_for(cache, number, diag);
	if (err)
		return err;
	if (!atomic_load_explicit(&slot->is_recent, memory_order_relaxed))
		atomic_store_explicit(&slot->is_recent, 1, memory_order_relaxed);
	return 0;
}

void efs_cache_set_budget(struct cache *cache, uint64_t budget)
{
	pthread_mutex_lock(&cache->lock);
	cache->budget = budget;
	trim(cache);
	pthread_mutex_unlock(&cache->lock);
}

void efs_cache_destroy(struct cache *cache)
{
	if (!cache->slots)
		return;
	for (uint32_t i = cache->oldest; i != NONE; i = cache->slots[i].newer)
		cache->owner.free(cache->owner.context, i, cache->slots[i].part);
	free(cache->slots);
	pthread_cond_destroy(&cache->came);
	pthread_mutex_destroy(&cache->lock);
	*cache = (struct cache){0};
}
