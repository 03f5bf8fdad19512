/* SPDX-License-Identifier: MIT */
/*
 * cache.h - parts of an image that come into memory when they are needed and go again: who holds
 * them, what they take, which go first. What they are is the owner's business.
 *
 * Each part has a slot with a counter of its holders and a bit that says whether it is there. To
 * hold a part that is there is to add 1 and find the bit; to release it, to subtract 1. A part goes
 * by one compare-and-swap of "there, no holders" to "not there", so nobody ever holds what is being
 * freed. Everything else happens under a lock that is not held while a part is loaded.
 *
 * Order of eviction: second chance. Loaded parts form a list; the oldest one goes, or, if it was
 * held since it was looked at last, becomes the newest.
 */
#ifndef ENTROFS_IMAGE_CACHE_H
#define ENTROFS_IMAGE_CACHE_H

#include "image/diag.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

struct cache_owner {
	/* Makes part `number`: 0 or a negative errno. Called without a lock, once at a time for
	 * each part. */
	int (*load)(void *context, uint32_t number, void **part, struct image_diag *diag);
	void (*free)(void *context, uint32_t number, void *part);
	/* Bytes that the part takes; always the same. */
	uint64_t (*size)(const void *context, uint32_t number);
	void *context;
};

struct cache_slot {
	_Atomic uint32_t state;    /* holders, and CACHE_THERE */
	uint32_t newer, older;     /* neighbours in the list, if it is there */
	uint8_t is_loading;        /* by some thread */
	_Atomic uint8_t is_recent; /* held since the list was last gone through */
	void *part;                /* valid for whoever holds it while it is there */
};

struct cache {
	struct cache_owner owner;
	struct cache_slot *slots;
	_Atomic uint8_t is_over; /* the budget is exceeded, by parts that were held */

	pthread_mutex_t lock; /* over all that follows, and the slots' lists */
	pthread_cond_t came;  /* a part was loaded, or failed to be */
	uint64_t budget, bytes;
	uint32_t newest, oldest;
	uint32_t there, loading; /* parts */
	uint64_t loaded, evicted;
};

int efs_cache_init(struct cache *cache, uint32_t slot_count, const struct cache_owner *owner,
		   uint64_t budget);         /* 0 or -ENOMEM */
void efs_cache_destroy(struct cache *cache); /* nothing may be held; zeroed: does nothing */

/* Loads the part if it is not there; on 0 it is held. */
int efs_cache_hold(struct cache *cache, uint32_t number, struct image_diag *diag);
void efs_cache_release(struct cache *cache, uint32_t number);

/* A part that the caller holds. */
static inline void *efs_cache_held(const struct cache *cache, uint32_t number)
{
	return cache->slots[number].part;
}

void efs_cache_set_budget(struct cache *cache, uint64_t budget);

#endif
