/* SPDX-License-Identifier: MIT */
/*
 * json.h - parsing JSON of unknown origin in bounded memory.
 *
 * The parser's nodes may take fifty times the bytes of the text, so that a limit on a file's size
 * is none on memory. Here the parser itself is given a budget.
 */
#ifndef ENTROFS_RUN_JSON_H
#define ENTROFS_RUN_JSON_H

#include "runtime-demo/diag.h"

#include <jansson.h>

/* The value that the text is, a new reference: strict JSON without duplicate keys, for which the
   parser allocates at most budget bytes at a time. NULL on failure. Errors: see diag.h. Only one
   thread of the program may use jansson. */
json_t *bounded_json_load(const char *text, size_t size, size_t budget, struct diag *diag);

#endif
