/* SPDX-License-Identifier: MIT */
/*
 * bpe.h - merging pairs of tokens. Part of tokenizer.h's implementation.
 */
#ifndef ENTROFS_RUN_BPE_H
#define ENTROFS_RUN_BPE_H

#include "runtime-demo/tokenizer.h"
#include "runtime-demo/vocabulary.h"

/* In the tokens from begin on, merges the pair of lowest rank, the leftmost first, until no pair
   is left that merges. Takes O(n log n) time for n tokens. Errors: see diag.h. */
int bpe_merge(const struct vocabulary *v, struct ids *ids, size_t begin, struct diag *diag);

#endif
