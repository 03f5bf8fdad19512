/* SPDX-License-Identifier: MIT */
/* dump_json.h - parts of the JSON that the page has, too; dump.entrofs(8) has their schema. */
#ifndef ENTROFS_DUMP_JSON_H
#define ENTROFS_DUMP_JSON_H

#include "mkfs/dump.h"
#include "mkfs/json.h"

enum { DUMP_FIGURES = 9 }; /* significant digits of measured values */

/* Each adds a key, its value, and a comma and end of line. */
void dump_json_contents(struct text *text, const struct dump *dump);
void dump_json_space(struct text *text, const struct dump *dump);
void dump_json_totals(struct text *text, const struct dump *dump);

#endif
