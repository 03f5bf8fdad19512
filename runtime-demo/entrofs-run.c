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
#include "runtime-demo/tokenizer.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CONFIG_LIMIT = 1 << 20, TOKENIZER_LIMIT = 256 << 20 }; /* bytes */

/* What was opened, to be closed in any case. */
struct run {
	const struct options *options;
	double started;
	int folder; /* -1: not open */
	struct config config;
	struct tokenizer *tokenizer;
	struct model model;
	struct ids prompt;
};

/* A mapped page that cannot be read (a bad disk, a corrupt image) is a signal, not an error code.
 */
static void on_bus_error(int signal_number)
{
	static const char line[] = "entrofs-run: cannot read a weight: input/output error\n";

	(void)signal_number;
	if (write(STDERR_FILENO, line, sizeof(line) - 1) < 0)
		_exit(1);
	_exit(1);
}

static int open_folder(struct run *run, struct diag *diag)
{
	const char *name = run->options->folder;

	run->folder = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (run->folder < 0)
		return diag_fail(diag, "cannot open '%s': %s", name, strerror(errno));
	if (!run->options->tokenize &&
	    faccessat(run->folder, "quantized/manifest.json", F_OK, 0) != 0)
		return diag_fail(
		    diag,
		    "cannot use '%s': quantized/manifest.json: %s (is an image mounted there?)",
		    name, strerror(errno));
	return 0;
}

static int read_config(struct run *run, struct diag *diag)
{
	json_t *json = file_read_json(run->folder, "config.json", CONFIG_LIMIT, diag);
	int result = json ? config_read(json, &run->config, diag) : -1;

	json_decref(json);
	return result;
}

static int read_tokenizer(struct run *run, struct diag *diag)
{
	json_t *json = file_read_json(run->folder, "tokenizer.json", TOKENIZER_LIMIT, diag);

	run->tokenizer = json ? tokenizer_create(json, run->config.vocab, diag) : NULL;
	json_decref(json);
	return run->tokenizer ? 0 : -1;
}

static int print_tokens(struct run *run, struct diag *diag)
{
	const char *prompt = run->options->prompt;

	if (tokenizer_encode(run->tokenizer, prompt, strlen(prompt), &run->prompt, diag) != 0)
		return -1;
	for (size_t i = 0; i < run->prompt.count; i++)
		printf("%s%d", i ? " " : "", run->prompt.at[i]);
	putchar('\n');
	return 0;
}

static void print_stats(const struct run *run, double loaded, const struct generated *generated)
{
	const double first = generated->first_token, seconds = clock_seconds() - first;
	const size_t written = generated->tokens;

	fprintf(stderr, "load         %10.1f ms\n", 1e3 * (loaded - run->started));
	fprintf(stderr, "mapped       %10.2f MB\n", 1e-6 * (double)run->model.bytes_mapped);
	fprintf(stderr, "prompt       %10zu tokens\n", run->prompt.count);
	fprintf(stderr, "first token  %10.1f ms\n", written ? 1e3 * (first - run->started) : 0);
	fprintf(stderr, "written      %10zu tokens\n", written);
	fprintf(stderr, "speed        %10.1f tokens/s\n",
		written > 1 ? (double)(written - 1) / seconds : 0);
}

static int write_text(struct run *run, struct diag *diag)
{
	struct generated generated;
	double loaded;

	if (generate_prompt(run->tokenizer, &run->config, run->options, &run->prompt, diag) != 0 ||
	    model_load(run->folder, &run->config, &run->model, diag) != 0)
		return -1;
	loaded = clock_seconds();
	if (generate(&run->model, run->tokenizer, run->options, &run->prompt, &generated, diag) !=
	    0)
		return -1;
	if (run->options->stats)
		print_stats(run, loaded, &generated);
	return 0;
}

static int do_run(struct run *run, struct diag *diag)
{
	if (open_folder(run, diag) != 0 || read_config(run, diag) != 0 ||
	    read_tokenizer(run, diag) != 0)
		return -1;
	if ((run->options->tokenize ? print_tokens : write_text)(run, diag) != 0)
		return -1;
	if (fflush(stdout) != 0 || ferror(stdout))
		return diag_fail(diag, "cannot write the text: %s", strerror(errno));
	return 0;
}

static void end_run(struct run *run)
{
	free(run->prompt.at);
	model_free(&run->model);
	tokenizer_destroy(run->tokenizer);
	if (run->folder >= 0)
		close(run->folder);
}

int main(int argc, char **argv)
{
	const struct sigaction action = {.sa_handler = on_bus_error};
	struct options options;
	struct run run = {.options = &options, .started = clock_seconds(), .folder = -1};
	struct diag diag;
	int result;

	run_options_parse(argc, argv, &options);
	sigaction(SIGBUS, &action, NULL);
	result = do_run(&run, &diag);
	if (result != 0)
		fprintf(stderr, "entrofs-run: %s\n", diag.text);
	end_run(&run);
	return result != 0;
}
