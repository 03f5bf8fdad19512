/* SPDX-License-Identifier: MIT */
/*
 * decoder.c - a run of blocks, shared by an atomic counter; see decoder.h.
 *
 * A run lies on the stack of the thread that wants it. Idle threads find it in a list, and it is
 * not given up before the last of them has left it.
 */
#include "fs/decoder.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

enum {
	GROUP = 4, /* blocks taken at once */
	/* Work that makes it worth while to wake a thread, which takes some 5 to 50 microseconds,
	 * and the other request that may need the core more. */
	SHARE_MIN = 60000, /* nanoseconds */
	WORKERS_MAX = 64,
	SPEED_DAMPING = 16, /* weight of the past in the running mean of the speed */
};

struct shared_run {
	const struct decode_run *run;
	_Atomic uint64_t next; /* group to be taken */
	uint64_t groups;
	unsigned helpers; /* threads inside; under the decoder's lock, like all below */
	pthread_cond_t left;
	struct shared_run *chain;
	int error;
	struct image_diag diag;
};

struct helper {
	struct decoder *decoder;
	struct image_scratch *scratch;
	pthread_t thread;
};

struct decoder {
	struct image *image;
	struct stats *stats;
	_Atomic uint32_t picoseconds; /* to decode a byte, about */
	_Atomic unsigned requests;    /* under way */
	unsigned helper_count;
	struct helper helpers[WORKERS_MAX];
	pthread_mutex_t lock; /* of the rest */
	pthread_cond_t more;
	struct shared_run *runs;
	bool stopping;
};

int decoder_create(struct decoder **decoder, struct image *image, struct stats *stats)
{
	struct decoder *new = calloc(1, sizeof(*new));
	if (!new)
		return -ENOMEM;
	new->image = image;
	new->stats = stats;
	atomic_init(&new->picoseconds, 0);
	atomic_init(&new->requests, 0);
	pthread_mutex_init(&new->lock, NULL);
	pthread_cond_init(&new->more, NULL);
	*decoder = new;
	return 0;
}

/* Blocks [first, end) of a run, by one thread. */
static int decode_blocks(struct decoder *decoder, const struct decode_run *run, uint64_t first,
			 uint64_t end, struct image_scratch *scratch, struct image_diag *diag)
{
	const struct image *image = decoder->image;
	unsigned log2 = image_stream(image, run->stream)->block_log2;
	uint64_t start = image_block(image, run->stream, run->first).offset;
	uint64_t from = image_block(image, run->stream, first).offset;
	const uint8_t *stored = run->stored + (from - start);
	for (uint64_t i = first; i < end; i++) {
		uint8_t *raw = run->raw + ((i - run->first) << log2);
		int error = image_decode_block(image, run->stream, i, stored, raw, scratch, diag);
		if (error)
			return error;
		stored += image_stored_size(image, run->stream, i);
	}
	return 0;
}

/* Decodes groups of a shared run until there are none left. */
static int take_part(struct decoder *decoder, struct shared_run *shared,
		     struct image_scratch *scratch, struct image_diag *diag)
{
	const struct decode_run *run = shared->run;
	int error = 0;
	while (!error) {
		uint64_t group = atomic_fetch_add(&shared->next, 1);
		if (group >= shared->groups)
			break;
		uint64_t first = run->first + group * GROUP, last = run->first + run->count;
		uint64_t end = last - first < GROUP ? last : first + GROUP;
		error = decode_blocks(decoder, run, first, end, scratch, diag);
	}
	return error;
}

static bool is_exhausted(struct shared_run *shared)
{
	return atomic_load(&shared->next) >= shared->groups;
}

/* Takes a run from the list if it is still there. The lock is held. */
static void withdraw(struct decoder *decoder, struct shared_run *shared)
{
	struct shared_run **link = &decoder->runs;
	while (*link && *link != shared)
		link = &(*link)->chain;
	if (*link)
		*link = shared->chain;
}

static void *help(void *argument)
{
	struct helper *helper = argument;
	struct decoder *decoder = helper->decoder;
	pthread_mutex_lock(&decoder->lock);
	while (!decoder->stopping) {
		struct shared_run *shared = decoder->runs;
		if (!shared) {
			pthread_cond_wait(&decoder->more, &decoder->lock);
			continue;
		}
		if (is_exhausted(shared)) {
			withdraw(decoder, shared);
			continue;
		}
		shared->helpers++;
		pthread_mutex_unlock(&decoder->lock);
		struct image_diag diag = {""};
		int error = take_part(decoder, shared, helper->scratch, &diag);
		pthread_mutex_lock(&decoder->lock);
		if (error && !shared->error) {
			shared->error = error;
			shared->diag = diag;
		}
		if (--shared->helpers == 0)
			pthread_cond_signal(&shared->left);
	}
	pthread_mutex_unlock(&decoder->lock);
	return NULL;
}

void decoder_start(struct decoder *decoder, unsigned workers)
{
	while (decoder->helper_count + 1 < workers && decoder->helper_count < WORKERS_MAX) {
		struct helper *helper = &decoder->helpers[decoder->helper_count];
		helper->decoder = decoder;
		if (image_scratch_create(&helper->scratch))
			return;
		if (pthread_create(&helper->thread, NULL, help, helper)) {
			image_scratch_destroy(helper->scratch);
			return;
		}
		decoder->helper_count++;
	}
}

void decoder_destroy(struct decoder *decoder)
{
	if (!decoder)
		return;
	pthread_mutex_lock(&decoder->lock);
	decoder->stopping = true;
	pthread_cond_broadcast(&decoder->more);
	pthread_mutex_unlock(&decoder->lock);
	for (unsigned i = 0; i < decoder->helper_count; i++) {
		pthread_join(decoder->helpers[i].thread, NULL);
		image_scratch_destroy(decoder->helpers[i].scratch);
	}
	pthread_cond_destroy(&decoder->more);
	pthread_mutex_destroy(&decoder->lock);
	free(decoder);
}

bool decoder_begin_request(struct decoder *decoder)
{
	return atomic_fetch_add(&decoder->requests, 1) == 0;
}

void decoder_end_request(struct decoder *decoder)
{
	atomic_fetch_sub(&decoder->requests, 1);
}

/* Threads to wake for a run of so many bytes: those that are idle and would have enough to do. */
static unsigned helpers_for(struct decoder *decoder, uint64_t size)
{
	unsigned requests = atomic_load(&decoder->requests), workers = decoder->helper_count + 1;
	uint64_t time = size * atomic_load(&decoder->picoseconds) / 1000;
	uint64_t shares = time / SHARE_MIN;
	if (shares < 2 || requests >= workers)
		return 0;
	/* One of the requests, if they are counted, is this one. */
	unsigned idle = workers - (requests ? requests : 1);
	return shares - 1 < idle ? (unsigned)shares - 1 : idle;
}

static void note_speed(struct decoder *decoder, uint64_t size, uint64_t nanoseconds)
{
	uint64_t before = atomic_load(&decoder->picoseconds), now = nanoseconds * 1000 / size;
	if (now > UINT32_MAX / SPEED_DAMPING)
		return;
	uint64_t mean = before ? (before * (SPEED_DAMPING - 1) + now) / SPEED_DAMPING : now;
	atomic_store(&decoder->picoseconds, (uint32_t)mean);
}

static int run_alone(struct decoder *decoder, const struct decode_run *run, uint64_t size,
		     struct image_scratch *scratch, struct image_diag *diag)
{
	uint64_t start = stats_now();
	int error = decode_blocks(decoder, run, run->first, run->first + run->count, scratch, diag);
	note_speed(decoder, size, stats_now() - start);
	return error;
}

static int run_shared(struct decoder *decoder, const struct decode_run *run, unsigned helpers,
		      struct image_scratch *scratch, struct image_diag *diag)
{
	struct shared_run shared = {.run = run, .groups = (run->count + GROUP - 1) / GROUP};
	pthread_cond_init(&shared.left, NULL);
	pthread_mutex_lock(&decoder->lock);
	shared.chain = decoder->runs;
	decoder->runs = &shared; /* cppcheck-suppress autoVariables; it is withdrawn below */
	for (unsigned i = 0; i < helpers; i++)
		pthread_cond_signal(&decoder->more);
	pthread_mutex_unlock(&decoder->lock);
	int error = take_part(decoder, &shared, scratch, diag);
	pthread_mutex_lock(&decoder->lock);
	withdraw(decoder, &shared);
	while (shared.helpers > 0)
		pthread_cond_wait(&shared.left, &decoder->lock);
	pthread_mutex_unlock(&decoder->lock);
	pthread_cond_destroy(&shared.left);
	if (!error && shared.error) {
		error = shared.error;
		*diag = shared.diag;
	}
	stats_add(decoder->stats, STATS_SPLIT_DECODES, 1);
	return error;
}

int decoder_run(struct decoder *decoder, const struct decode_run *run,
		struct image_scratch *scratch, struct image_diag *diag)
{
	uint64_t size = run->count << image_stream(decoder->image, run->stream)->block_log2;
	unsigned helpers = helpers_for(decoder, size);
	stats_add(decoder->stats, STATS_BLOCKS_DECODED, run->count);
	return helpers ? run_shared(decoder, run, helpers, scratch, diag)
		       : run_alone(decoder, run, size, scratch, diag);
}
