/* SPDX-License-Identifier: MIT */
/*
 * plan.c - which tensor gets which bits, and why; see plan.h.
 */
#include "mkfs/plan.h"

#include "mkfs/cli.h"

#include <stdlib.h>

/* What a rule does with the tensors of a model. */
struct use {
	const char *kept; /* a tensor that matches, but is kept anyway */
	int overruled;    /* whether later rules decide about one that matches */
	int decides;
};

static struct plan decide(const struct safetensor *tensor, const struct options *options,
			  struct use *uses)
{
	uint8_t blocks = (options->views & VIEW_GGUF) != 0;
	enum plan_reason reason = tensor->dtype->quantizes < 0         ? PLAN_DTYPE
				  : tensor->rank < 2 || !tensor->count ? PLAN_SHAPE
				  : blocks                             ? plan_for_gguf(tensor)
								       : PLAN_DEFAULT;
	struct plan plan = {.reason = reason,
			    .bits = reason == PLAN_DEFAULT ? (uint8_t)options->bits : 0};
	int fixed = plan.bits == 0 && reason != PLAN_NAME;
	size_t last = options->rule_count;

	/* Every rule is tried, so that each one's use is known. */
	for (size_t i = 0; i < options->rule_count; i++) {
		if (regexec(&options->rules[i].regex, tensor->name, 0, NULL, 0))
			continue;
		if (fixed) {
			uses[i].kept = tensor->name;
			continue;
		}
		if (last < options->rule_count)
			uses[last].overruled = 1;
		last = i;
		plan = (struct plan){.bits = (uint8_t)options->rules[i].bits,
				     .reason = PLAN_RULE,
				     .rule = &options->rules[i]};
	}
	if (last < options->rule_count)
		uses[last].decides = 1;
	plan.blocks = plan.bits && blocks;
	return plan;
}

static void report_use(const struct rule *rule, const struct use *use)
{
	if (use->decides)
		return;
	if (use->overruled)
		cli_say("%s '%s' is of no use: later patterns decide about all that it matches",
			rule->option, rule->text);
	else if (use->kept)
		cli_say("%s '%s' is of no use: what it matches is kept anyway, such as '%s'",
			rule->option, rule->text, use->kept);
	else
		cli_say("%s '%s' matches no tensor's name (--dry-run prints the names)",
			rule->option, rule->text);
}

struct plan *plan_create(const struct source *source, const struct options *options)
{
	struct plan *plan = calloc(source->tensor_count + 1, sizeof *plan);
	struct use *uses = calloc(options->rule_count + 1, sizeof *uses);

	if (!plan || !uses) {
		cli_cannot("start", NULL, "out of memory");
		free(plan);
		free(uses);
		return NULL;
	}
	for (size_t i = 0; i < source->tensor_count; i++)
		plan[i] = decide(&source->tensors[i].info, options, uses);
	for (size_t i = 0; i < options->rule_count; i++)
		report_use(&options->rules[i], &uses[i]);
	free(uses);
	return plan;
}
