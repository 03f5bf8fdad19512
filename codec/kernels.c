/* SPDX-License-Identifier: MIT */
/*
 * kernels.c - the table of kernels and the one that is in use.
 *
 * The choice is the codec's only state: one pointer, set on first use or by codec_use_kernel().
 * Threads that race to set it first all find the same kernel.
 */
#include "codec/kernels.h"

#include <stdatomic.h>

const struct codec_kernel *const codec_kernels[] = {
    &codec_kernel_reference,
    &codec_kernel_scalar,
#if defined(__x86_64__)
    &codec_kernel_bmi2,
    &codec_kernel_avx2,
    &codec_kernel_avx512,
#elif defined(__aarch64__)
    &codec_kernel_neon,
#endif
    NULL,
};

static _Atomic(const struct codec_kernel *) kernel_in_use;

const struct codec_kernel *codec_kernel_in_use(void)
{
	const struct codec_kernel *kernel =
	    atomic_load_explicit(&kernel_in_use, memory_order_relaxed);

	if (kernel)
		return kernel;
	/* The table goes from slow to fast. */
	for (unsigned i = 0; codec_kernels[i]; i++)
		if (codec_kernels[i]->supported())
			kernel = codec_kernels[i];
	/* A kernel that another thread asked for meanwhile stays. */
	const struct codec_kernel *chosen = NULL;
	if (atomic_compare_exchange_strong_explicit(&kernel_in_use, &chosen, kernel,
						    memory_order_relaxed, memory_order_relaxed))
		chosen = kernel;
	return chosen;
}

static int same_name(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

int codec_use_kernel(const char *name)
{
	for (unsigned i = 0; codec_kernels[i]; i++) {
		if (same_name(codec_kernels[i]->name, name) && codec_kernels[i]->supported()) {
			atomic_store_explicit(&kernel_in_use, codec_kernels[i],
					      memory_order_relaxed);
			return 0;
		}
	}
	return -1;
}

enum codec_result codec_decode(const struct codec_tree *tree, const uint8_t *coded,
			       size_t coded_size, uint8_t *dst, size_t size,
			       struct codec_scratch *scratch, struct codec_fold *fold)
{
	if (size == 0 || size > CODEC_BLOCK_MAX)
		return CODEC_BAD_SIZE;
	return codec_kernel_in_use()->decode(tree, coded, coded_size, dst, size, scratch, fold);
}

enum codec_result codec_encode(const struct codec_tree *tree, const uint8_t *src, size_t size,
			       uint8_t *dst, size_t capacity, size_t *coded_size,
			       struct codec_scratch *scratch)
{
	if (size == 0 || size > CODEC_BLOCK_MAX)
		return CODEC_BAD_SIZE;
	return codec_kernel_in_use()->encode(tree, src, size, dst, capacity, coded_size, scratch);
}
