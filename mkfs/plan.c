/* SPDX-License-Identifier: MIT */
/*
 * plan.c - which tensor gets which bits; see plan.h.
 */
#include "mkfs/plan.h"

#include "mkfs/cli.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static uint8_t tensor_bits(const struct safetensor *tensor, struct options *options)
{
	if (tensor->dtype->quantizes < 0 || tensor->rank < 2 || !tensor->count)
		return 0;
	int bits = options->bits;
	/* Every rule is tried, so that each one knows whether it matches anything. */
	for (size_t i = 0; i < options->rule_count; i++) {
		if (regexec(&options->rules[i].regex, tensor->name, 0, NULL, 0) == 0) {
			bits = options->rules[i].bits;
			options->rules[i].used = 1;
		}
	}
	return (uint8_t)bits;
}

uint8_t *plan_bits(const struct source *source, struct options *options)
{
	uint8_t *bits = malloc(source->tensor_count);

	if (!bits) {
		cli_cannot("pack", options->source, "out of memory");
		return NULL;
	}
	for (size_t i = 0; i < source->tensor_count; i++)
		bits[i] = tensor_bits(&source->tensors[i].info, options);
	for (size_t i = 0; i < options->rule_count; i++) {
		if (!options->rules[i].used)
			cli_say("no tensor to quantize matches '%s'", options->rules[i].text);
	}
	return bits;
}
