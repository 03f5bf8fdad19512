/* SPDX-License-Identifier: MIT */
/*
 * words.h - where byte-level tokenizers cut a text into words. Pure functions of bytes, for any
 * thread.
 */
#ifndef ENTROFS_RUN_WORDS_H
#define ENTROFS_RUN_WORDS_H

#include <stddef.h>

/* Length of the word at s, n being at least 1, by the rule that GPT-2 introduced:
   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
size_t word_length(const char *s, size_t n);

#endif
