/* SPDX-License-Identifier: MIT */
/*
 * fields.h - the fields of a JSON object, checked.
 *
 * A field that is absent and one that is null are the same. Errors: see diag.h; they name the field
 * and what it should be.
 */
#ifndef ENTROFS_RUN_FIELDS_H
#define ENTROFS_RUN_FIELDS_H

#include "runtime-demo/diag.h"

#include <jansson.h>
#include <stdbool.h>

bool field_is_absent(const json_t *value);

/* A whole number from 1 to max; the fallback if absent, 0 for none. */
int field_count(const json_t *json, const char *key, size_t max, size_t fallback, size_t *count,
		struct diag *diag);

/* A number within bounds, which are finite; the fallback if absent. */
int field_number(const json_t *json, const char *key, double min, double max, double fallback,
		 double *number, struct diag *diag);

/* The text of a value, NULL if absent; key is for the message. */
int field_text(const json_t *value, const char *key, const char **text, struct diag *diag);

/* False if absent. */
int field_flag(const json_t *json, const char *key, bool *flag, struct diag *diag);

#endif
