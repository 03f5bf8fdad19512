/* SPDX-License-Identifier: MIT */
/* report.c - the statistics, for people and scripts; see report.h. */
#include "fs/report.h"

#include "codec/codec.h"

#include <jansson.h>

static const struct {
	const char *name;
	enum stats_counter counter;
} counters[] = {
    {"reads", STATS_READS},
    {"bytes_served", STATS_BYTES_SERVED},
    {"bytes_pushed", STATS_BYTES_PUSHED},
    {"bytes_fetched", STATS_BYTES_FETCHED},
    {"blocks_decoded", STATS_BLOCKS_DECODED},
    {"blocks_found", STATS_BLOCKS_FOUND},
    {"segments_found", STATS_SEGMENTS_FOUND},
    {"segments_ahead", STATS_SEGMENTS_AHEAD},
    {"split_decodes", STATS_SPLIT_DECODES},
    {"errors", STATS_ERRORS},
};

static json_t *latencies(const struct stats_snapshot *stats)
{
	return json_pack("{s:f, s:f, s:f, s:f}", "p50", (double)stats->p50 / 1000, "p90",
			 (double)stats->p90 / 1000, "p99", (double)stats->p99 / 1000, "p99.9",
			 (double)stats->p999 / 1000);
}

static json_t *settings(const struct reader_options *options, uint64_t kernel_readahead)
{
	return json_pack("{s:s, s:I, s:I, s:I, s:I}", "cache",
			 options->keep_compressed ? "compressed" : "decoded", "cachesize",
			 (json_int_t)options->cache_size, "readahead",
			 (json_int_t)options->readahead, "kernel_readahead",
			 (json_int_t)kernel_readahead, "workers", (json_int_t)options->workers);
}

char *report_json(struct reader *reader, uint64_t kernel_readahead)
{
	struct stats_snapshot stats = stats_take(reader_stats(reader));
	json_t *root = json_pack("{s:s, s:s, s:s, s:b, s:o, s:o}", "version", ENTROFS_VERSION,
				 "decoder", codec_kernel_in_use()->name, "fetch",
				 reader_fetch_engine(reader), "direct", reader_is_direct(reader),
				 "options", settings(reader_options(reader), kernel_readahead),
				 "latency_us", latencies(&stats));
	for (size_t i = 0; root && i < sizeof(counters) / sizeof(*counters); i++)
		json_object_set_new(root, counters[i].name,
				    json_integer((json_int_t)stats.counters[counters[i].counter]));
	char *text = root ? json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
	json_decref(root);
	return text;
}
