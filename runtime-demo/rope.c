/* SPDX-License-Identifier: MIT */
/* rope.c - rotary position embedding; see rope.h. */
#include "runtime-demo/rope.h"

#include "runtime-demo/fields.h"

#include <math.h>
#include <string.h>

static int read_factors(const json_t *scaling, const char *key, size_t half, double *factors,
			struct diag *diag)
{
	const json_t *list = json_object_get(scaling, key);

	if (!json_is_array(list) || json_array_size(list) != half)
		return diag_fail(diag, "its %s is not a list of %zu numbers", key, half);
	for (size_t k = 0; k < half; k++) {
		factors[k] = json_number_value(json_array_get(list, k));
		if (!(factors[k] >= 1e-3 && factors[k] <= 1e6))
			return diag_fail(diag, "number %zu of its %s is not from 0.001 to 1e+06", k,
					 key);
	}
	return 0;
}

static int read_longrope(const json_t *json, const json_t *scaling, size_t half, size_t context,
			 struct rope *rope, struct diag *diag)
{
	static const char *const other[] = {"short_mscale", "long_mscale"};
	static const char where[] = "original_max_position_embeddings";
	double magnitude;

	if (half > ROPE_MAX_FACTORS)
		return diag_fail(diag, "its heads of %zu numbers are too wide for longrope",
				 2 * half);
	for (size_t i = 0; i < sizeof(other) / sizeof(*other); i++)
		if (!field_is_absent(json_object_get(scaling, other[i])))
			return diag_fail(diag, "its %s is not supported", other[i]);
	if (!field_is_absent(json_object_get(scaling, where)))
		json = scaling;
	if (field_count(json, where, 1u << 24, 0, &rope->original, diag) != 0 ||
	    read_factors(scaling, "short_factor", half, rope->factors[0], diag) != 0 ||
	    read_factors(scaling, "long_factor", half, rope->factors[1], diag) != 0)
		return -1;
	if (rope->original < 2)
		return diag_fail(diag, "%s is below 2", where);
	magnitude = context <= rope->original
			? 1.0
			: sqrt(1.0 + log((double)context / (double)rope->original) /
					 log((double)rope->original));
	return field_number(scaling, "attention_factor", 1e-3, 1e3, magnitude, &rope->magnitude,
			    diag);
}

static int read_scaling(const json_t *json, const char *key, size_t half, size_t context,
			struct rope *rope, struct diag *diag)
{
	const json_t *scaling = json_object_get(json, key);
	const json_t *kind = json_object_get(scaling, "rope_type");
	const char *name;

	if (field_is_absent(scaling))
		return 0;
	name = json_string_value(kind ? kind : json_object_get(scaling, "type"));
	if (name != NULL && strcmp(name, "default") == 0)
		return 0;
	/* "su": what early releases of Phi-3 called it. */
	if (name != NULL && (strcmp(name, "longrope") == 0 || strcmp(name, "su") == 0))
		return read_longrope(json, scaling, half, context, rope, diag);
	return diag_fail(diag, "its %s is %.100s, only the default and longrope are known", key,
			 name ? name : "of unknown type");
}

int rope_read(const json_t *json, size_t half, size_t context, struct rope *rope, struct diag *diag)
{
	const json_t *parameters = json_object_get(json, "rope_parameters");
	const json_t *holder = json_object_get(parameters, "rope_theta") ? parameters : json;
	double part;

	*rope = (struct rope){.magnitude = 1.0};
	if (read_scaling(json, "rope_scaling", half, context, rope, diag) != 0 ||
	    read_scaling(json, "rope_parameters", half, context, rope, diag) != 0 ||
	    field_number(holder, "rope_theta", 1.0, 1e12, 1e4, &rope->theta, diag) != 0)
		return -1;
	holder = json_object_get(parameters, "partial_rotary_factor") ? parameters : json;
	if (field_number(holder, "partial_rotary_factor", 0.0, 1.0, 1.0, &part, diag) != 0)
		return -1;
	if (part < 1.0)
		return diag_fail(diag,
				 "it rotates a part of each head (partial_rotary_factor), which is "
				 "not supported");
	return 0;
}

double rope_rate(const struct rope *rope, size_t steps, size_t k, size_t half)
{
	const double rate = pow(rope->theta, -(double)k / (double)half);

	return rope->original == 0 ? rate : rate / rope->factors[steps > rope->original][k];
}
