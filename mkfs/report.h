/* SPDX-License-Identifier: MIT */
/*
 * report.h - what packing came to, or would come to: for people, and as JSON.
 */
#ifndef ENTROFS_REPORT_H
#define ENTROFS_REPORT_H

#include "codec/ggml_blocks.h"
#include "mkfs/json.h"
#include "mkfs/pack.h"

/* Bytes, but for the weights. */
struct report_totals {
	uint64_t source;           /* all files of the model */
	uint64_t plain;            /* the same content quantized, but not coded */
	uint64_t weights;          /* of all tensors */
	uint64_t quantized;        /* weights of quantized tensors */
	uint64_t quantized_stored; /* payload, index and padding of quantized tensors */
	uint64_t quantized_floor;  /* their bytes' entropy */
	uint64_t payload, index, padding, blobs;
	struct quant_error snapped, freely; /* with parameters of blocks of ggml, and without */
	uint64_t types[GGML_Q8_0 + 1];      /* tensors by the type of those blocks */
	int bits;                           /* of all quantized tensors, or 0: not all alike */
};
struct report_totals report_totals(const struct packed *packed);

/* Payload, index and padding of a tensor. */
uint64_t report_stored_size(const struct packed_tensor *tensor);

/* The name of a type of ggml's blocks; NULL: none. */
const char *report_type(unsigned ggml_type);

/* part / whole; 0 of nothing. */
double report_ratio(double part, double whole);

/* Why a tensor has become what it has: the plan, unless it could not be kept to. */
enum report_reason {
	REPORT_DEFAULT,
	REPORT_RULE,
	REPORT_DTYPE,
	REPORT_SHAPE,
	REPORT_ROW,
	REPORT_NAME,
	REPORT_RANGE
};
enum report_reason report_reason(const struct packed_tensor *tensor);

/* target: of the image; for an estimate, whatever is to be named. Of an estimate the plan is
 * printed, too. */
void report_print(const struct packed *packed, const char *target, double seconds, int verbose);

/* What every report as JSON begins with, and ends with: -1: out of memory, nothing is printed. */
void report_json_begin(struct text *text, int dry_run, const char *model, const char *image);
int report_json_end(struct text *text);

/* One object; target may be NULL in an estimate. -1: out of memory, nothing is printed. */
int report_json(const struct packed *packed, const char *target, double seconds);

#endif
