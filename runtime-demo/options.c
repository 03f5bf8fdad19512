/* SPDX-License-Identifier: MIT */
/* options.c - the command line of entrofs-run. */
#include "runtime-demo/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <stdnoreturn.h>

static const char help[] =
    "Usage: entrofs-run [OPTION]... MODEL_DIR\n"
    "Continues a text with a Llama-architecture model from its quantized files, or\n"
    "measures the model's perplexity.\n"
    "\n"
    "MODEL_DIR is a mounted entrofs image, or one extracted by fsck.entrofs.\n"
    "\n"
    "  -p, --prompt=TEXT         the beginning of the text (default: none)\n"
    "  -n, --tokens=N            write at most N tokens after it (default: 100)\n"
    "  -t, --temp=T              sample at temperature T (default: 0, the likeliest)\n"
    "  -k, --top-k=N             from the N likeliest tokens (default: 0, all)\n"
    "  -P, --top-p=P             from the likeliest that together have probability P\n"
    "                            (default: 1, all)\n"
    "      --repeat-penalty=R    make tokens R times less likely that stood among the\n"
    "                            last ones (default: 1, do not)\n"
    "      --repeat-last=N       how many those are (default: 64)\n"
    "  -s, --seed=N              of the sampler (default: 0); same seed, same text\n"
    "      --perplexity=FILE     print the perplexity of the text in FILE instead\n"
    "      --window=N            in windows of N tokens (default: the context)\n"
    "      --stride=N            a new one every N tokens (default: a window)\n"
    "      --skip=N              leave out the first N predictions of each\n"
    "      --json                print it as JSON\n"
    "  -j, --threads=N           share each matrix between N threads (default: 1)\n"
    "      --stats               print times and sizes to stderr at the end\n"
    "      --tokenize            only print the numbers of the prompt's tokens\n"
    "      --logits=FILE         write the logits after each token of the prompt\n"
    "  -h, --help                print this help\n"
    "  -V, --version             print the version\n"
    "\n"
    "Exit code: 0 all is written, 1 it could not be, 2 usage error.\n";

static noreturn void usage_error(const char *format, const char *argument)
{
	fputs("entrofs-run: ", stderr);
	fprintf(stderr, format, argument);
	fputs("\nTry 'entrofs-run --help' for more information.\n", stderr);
	exit(2);
}

static uint64_t number_argument(const char *option, const char *text, uint64_t min, uint64_t max)
{
	char *end;
	unsigned long long value;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || value < min ||
	    value > max) {
		fprintf(stderr,
			"entrofs-run: %s is a number from %llu to %llu, not '%s'\n"
			"Try 'entrofs-run --help' for more information.\n",
			option, (unsigned long long)min, (unsigned long long)max, text);
		exit(2);
	}
	return value;
}

/* A decimal number; infinities and what is no number are beyond any bounds. */
static double real_argument(const char *option, const char *text, double min, double max)
{
	char *end;
	const double value = strtod(text, &end);

	if (end == text || *end != '\0' || !(value >= min && value <= max)) {
		fprintf(stderr,
			"entrofs-run: %s is a number from %g to %g, not '%s'\n"
			"Try 'entrofs-run --help' for more information.\n",
			option, min, max, text);
		exit(2);
	}
	return value;
}

enum {
	OPT_STATS = 256,
	OPT_TOKENIZE,
	OPT_LOGITS,
	OPT_REPEAT_PENALTY,
	OPT_REPEAT_LAST,
	OPT_PERPLEXITY,
	OPT_WINDOW,
	OPT_STRIDE,
	OPT_SKIP,
	OPT_JSON
};

enum { MAX_TOKENS = 1 << 30 };

static const struct option long_options[] = {
    {"prompt", required_argument, NULL, 'p'},
    {"tokens", required_argument, NULL, 'n'},
    {"temp", required_argument, NULL, 't'},
    {"top-k", required_argument, NULL, 'k'},
    {"top-p", required_argument, NULL, 'P'},
    {"repeat-penalty", required_argument, NULL, OPT_REPEAT_PENALTY},
    {"repeat-last", required_argument, NULL, OPT_REPEAT_LAST},
    {"seed", required_argument, NULL, 's'},
    {"perplexity", required_argument, NULL, OPT_PERPLEXITY},
    {"window", required_argument, NULL, OPT_WINDOW},
    {"stride", required_argument, NULL, OPT_STRIDE},
    {"skip", required_argument, NULL, OPT_SKIP},
    {"json", no_argument, NULL, OPT_JSON},
    {"threads", required_argument, NULL, 'j'},
    {"stats", no_argument, NULL, OPT_STATS},
    {"tokenize", no_argument, NULL, OPT_TOKENIZE},
    {"logits", required_argument, NULL, OPT_LOGITS},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0}};

/* Options of sampling. False: it is none of them. */
static bool take_sampling(int option, struct sampler_settings *s)
{
	switch (option) {
	case 't':
		s->temperature = real_argument("--temp", optarg, 0, 1000);
		return true;
	case 'k':
		s->top_k = number_argument("--top-k", optarg, 0, MAX_TOKENS);
		return true;
	case 'P':
		s->top_p = real_argument("--top-p", optarg, 0, 1);
		return true;
	case OPT_REPEAT_PENALTY:
		s->repeat_penalty = real_argument("--repeat-penalty", optarg, 1, 1000);
		return true;
	case OPT_REPEAT_LAST:
		s->repeat_last = number_argument("--repeat-last", optarg, 0, MAX_TOKENS);
		return true;
	case 's':
		s->seed = number_argument("--seed", optarg, 0, UINT64_MAX);
		return true;
	default:
		return false;
	}
}

/* The same of measuring. */
static bool take_measuring(int option, struct options *o)
{
	switch (option) {
	case OPT_PERPLEXITY:
		o->perplexity_file = optarg;
		return true;
	case OPT_WINDOW:
		o->window = number_argument("--window", optarg, 2, MAX_TOKENS);
		return true;
	case OPT_STRIDE:
		o->stride = number_argument("--stride", optarg, 1, MAX_TOKENS);
		return true;
	case OPT_SKIP:
		o->skip = number_argument("--skip", optarg, 0, MAX_TOKENS);
		return true;
	case OPT_JSON:
		o->json = true;
		return true;
	default:
		return false;
	}
}

/* All others. */
static void take_other(int option, struct options *o)
{
	switch (option) {
	case 'p':
		o->prompt = optarg;
		break;
	case 'n':
		o->tokens = number_argument("--tokens", optarg, 0, MAX_TOKENS);
		break;
	case 'j':
		o->threads = number_argument("--threads", optarg, 1, 256);
		break;
	case OPT_STATS:
		o->stats = true;
		break;
	case OPT_TOKENIZE:
		o->tokenize = true;
		break;
	case OPT_LOGITS:
		o->logits_file = optarg;
		break;
	case 'h':
		fputs(help, stdout);
		exit(fflush(stdout) != 0);
	case 'V':
		puts("entrofs-run " ENTROFS_VERSION);
		exit(fflush(stdout) != 0);
	default:
		fputs("Try 'entrofs-run --help' for more information.\n", stderr);
		exit(2);
	}
}

static void check_together(const struct options *o)
{
	if (o->perplexity_file == NULL &&
	    (o->window > 0 || o->stride > 0 || o->skip > 0 || o->json))
		usage_error("%s go with --perplexity only",
			    "--window, --stride, --skip and --json");
	if (o->perplexity_file != NULL &&
	    (o->tokenize || o->logits_file != NULL || *o->prompt != '\0'))
		usage_error("%s do not go with --perplexity", "--prompt, --tokenize and --logits");
	if (o->window > 0 && o->stride > o->window)
		usage_error("%s between its windows",
			    "--stride beyond --window would leave out text");
	if (o->window > 0 && o->skip + 1 >= o->window)
		usage_error("%s", "--skip would leave out all that --window holds");
}

void run_options_parse(int argc, char **argv, struct options *o)
{
	int option;

	argv[0] = program_invocation_short_name; /* for getopt's messages */
	*o = (struct options){.prompt = "",
			      .tokens = 100,
			      .threads = 1,
			      .sampling = {.top_p = 1, .repeat_penalty = 1, .repeat_last = 64}};
	while ((option = getopt_long(argc, argv, "p:n:t:k:P:s:j:hV", long_options, NULL)) != -1)
		if (!take_sampling(option, &o->sampling) && !take_measuring(option, o))
			take_other(option, o);
	if (optind == argc)
		usage_error("%s is needed", "a folder, MODEL_DIR,");
	if (optind + 1 < argc)
		usage_error("unexpected argument '%s'", argv[optind + 1]);
	check_together(o);
	o->folder = argv[optind];
}
