/* SPDX-License-Identifier: MIT */
/* fields.c - the fields of a JSON object, checked. */
#include "runtime-demo/fields.h"

bool field_is_absent(const json_t *value)
{
	return value == NULL || json_is_null(value);
}

int field_count(const json_t *json, const char *key, size_t max, size_t fallback, size_t *count,
		struct diag *diag)
{
	const json_t *value = json_object_get(json, key);

	*count = fallback;
	if (field_is_absent(value) && fallback != 0)
		return 0;
	if (!json_is_integer(value) || json_integer_value(value) < 1 ||
	    json_integer_value(value) > (json_int_t)max)
		return diag_fail(diag, "%s is not a whole number from 1 to %zu", key, max);
	*count = (size_t)json_integer_value(value);
	return 0;
}

int field_number(const json_t *json, const char *key, double min, double max, double fallback,
		 double *number, struct diag *diag)
{
	const json_t *value = json_object_get(json, key);

	*number = fallback;
	if (field_is_absent(value))
		return 0;
	if (!json_is_number(value) ||
	    !(json_number_value(value) >= min && json_number_value(value) <= max))
		return diag_fail(diag, "%s is not a number from %g to %g", key, min, max);
	*number = json_number_value(value);
	return 0;
}

int field_text(const json_t *value, const char *key, const char **text, struct diag *diag)
{
	*text = json_string_value(value);
	if (!field_is_absent(value) && *text == NULL)
		return diag_fail(diag, "%s is not a text", key);
	return 0;
}

int field_flag(const json_t *json, const char *key, bool *flag, struct diag *diag)
{
	const json_t *value = json_object_get(json, key);

	*flag = json_is_true(value);
	if (!field_is_absent(value) && !json_is_boolean(value))
		return diag_fail(diag, "%s is neither true nor false", key);
	return 0;
}
