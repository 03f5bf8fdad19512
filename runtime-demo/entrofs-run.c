/* SPDX-License-Identifier: MIT */
/*
 * entrofs-run.c - a Llama-architecture language model, run from quantized files.
 *
 * It knows nothing of images or of how they are coded: it is given a folder (a mounted image, or
 * one extracted to disk), reads config.json, tokenizer.json and quantized/manifest.json, and maps
 * the files the manifest names. Everything read is checked before it is used; whatever is wrong
 * ends the program with one line.
 */
#include "runtime-demo/config.h"
#include "runtime-demo/file.h"
#include "runtime-demo/generate.h"
#include "runtime-demo/model.h"
#include "runtime-demo/options.h"
#include "runtime-demo/perplexity.h"
#include "runtime-demo/signals.h"
#include "runtime-demo/text_out.h"
#include "runtime-demo/tokenizer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Bytes of the files, and of what parsing them may take. Of the tokenizers that are in use the
   largest have 35 MB and take 250. */
enum { CONFIG_LIMIT = 1 << 20, CONFIG_BUDGET = 16 << 20 };
enum { TOKENIZER_LIMIT = 128 << 20, TOKENIZER_BUDGET = 512 << 20 };

/* What was opened, to be closed in any case. */
struct run {
	const struct options *options;
	double started;
	struct folder folder;
	struct config config;
	struct tokenizer *tokenizer;
	struct model model;
	struct ids tokens; /* of the prompt, and what is written */
};

static int open_folder(struct run *run, struct diag *diag)
{
	const char *name = run->options->folder;

	if (folder_open(NULL, name, &run->folder, diag) != 0)
		return -1;
	if (!run->options->tokenize &&
	    faccessat(run->folder.fd, "quantized/manifest.json", F_OK, 0) != 0)
		return diag_fail(
		    diag,
		    "cannot use '%s': quantized/manifest.json: %s (is an image mounted there?)",
		    name, strerror(errno));
	return 0;
}

static int read_config(struct run *run, struct diag *diag)
{
	json_t *json =
	    file_read_json(&run->folder, "config.json", CONFIG_LIMIT, CONFIG_BUDGET, diag);
	int result;

	if (json == NULL)
		return -1;
	result = config_read(json, &run->config, diag);
	json_decref(json);
	return result == 0 ? 0 : file_blame(&run->folder, "config.json", diag);
}

static int read_tokenizer(struct run *run, struct diag *diag)
{
	json_t *json =
	    file_read_json(&run->folder, "tokenizer.json", TOKENIZER_LIMIT, TOKENIZER_BUDGET, diag);

	if (json == NULL)
		return -1;
	run->tokenizer = tokenizer_create(json, run->config.vocab, diag);
	json_decref(json);
	return run->tokenizer ? 0 : file_blame(&run->folder, "tokenizer.json", diag);
}

static int print_tokens(struct run *run, struct diag *diag)
{
	const char *prompt = run->options->prompt;

	if (tokenizer_encode(run->tokenizer, prompt, strlen(prompt), &run->tokens, diag) != 0)
		return -1;
	for (size_t i = 0; i < run->tokens.count; i++)
		printf("%s%d", i ? " " : "", run->tokens.at[i]);
	putchar('\n');
	return fflush(stdout) != 0 || ferror(stdout) ? text_out_failed(diag) : 0;
}

static void print_stats(const struct run *run, double loaded, const struct generated *generated)
{
	const double first = generated->first_token, seconds = clock_seconds() - first;
	const size_t written = generated->tokens;

	fprintf(stderr, "load         %10.1f ms\n", 1e3 * (loaded - run->started));
	fprintf(stderr, "mapped       %10.2f MB\n", 1e-6 * (double)run->model.bytes_mapped);
	fprintf(stderr, "prompt       %10zu tokens\n", run->tokens.count - written);
	fprintf(stderr, "first token  %10.1f ms\n", written ? 1e3 * (first - run->started) : 0);
	fprintf(stderr, "written      %10zu tokens\n", written);
	fprintf(stderr, "speed        %10.1f tokens/s\n",
		written > 1 ? (double)(written - 1) / seconds : 0);
}

static int write_text(struct run *run, struct diag *diag)
{
	struct generated generated;
	double loaded;

	if (generate_prompt(run->tokenizer, &run->config, run->options, &run->tokens, diag) != 0 ||
	    model_load(&run->folder, &run->config, &run->model, diag) != 0)
		return -1;
	loaded = clock_seconds();
	if (generate(&run->model, run->tokenizer, run->options, &run->tokens, &generated, diag) !=
	    0)
		return -1;
	if (run->options->stats)
		print_stats(run, loaded, &generated);
	return 0;
}

static int measure(struct run *run, struct diag *diag)
{
	struct perplexity result;

	if (model_load(&run->folder, &run->config, &run->model, diag) != 0 ||
	    perplexity_measure(&run->model, run->tokenizer, run->options, &result, diag) != 0)
		return -1;
	if (run->options->stats)
		fprintf(stderr, "speed        %10.1f tokens/s\n",
			(double)result.tokens / result.seconds);
	return perplexity_print(&result, run->options->json, diag);
}

static int do_run(struct run *run, struct diag *diag)
{
	if (open_folder(run, diag) != 0 || read_config(run, diag) != 0 ||
	    read_tokenizer(run, diag) != 0)
		return -1;
	if (run->options->tokenize)
		return print_tokens(run, diag);
	return run->options->perplexity_file ? measure(run, diag) : write_text(run, diag);
}

static void end_run(struct run *run)
{
	free(run->tokens.at);
	model_free(&run->model);
	tokenizer_destroy(run->tokenizer);
	folder_close(&run->folder);
}

int main(int argc, char **argv)
{
	struct options options;
	struct run run = {.options = &options, .started = clock_seconds(), .folder = {.fd = -1}};
	struct diag diag;
	int result;

	run_options_parse(argc, argv, &options);
	signals_handle();
	result = do_run(&run, &diag);
	if (result != 0 && diag.text[0] != '\0')
		fprintf(stderr, "entrofs-run: %s\n", diag.text);
	end_run(&run);
	return result != 0;
}
