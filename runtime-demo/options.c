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
    "Continues a text with a Llama-architecture model from its quantized files.\n"
    "\n"
    "MODEL_DIR is a mounted entrofs image, or one extracted by fsck.entrofs.\n"
    "\n"
    "  -p, --prompt=TEXT    the beginning of the text (default: none)\n"
    "  -n, --tokens=N       write at most N tokens after it (default: 100)\n"
    "  -t, --temp=T         sample at temperature T (default: 0, the likeliest token)\n"
    "  -s, --seed=N         of the sampler (default: 0); same seed, same text\n"
    "  -j, --threads=N      share each matrix between N threads (default: 1)\n"
    "      --stats          print times and sizes to stderr at the end\n"
    "      --tokenize       only print the numbers of the prompt's tokens\n"
    "      --logits=FILE    write the logits after each token of the prompt\n"
    "  -h, --help           print this help\n"
    "  -V, --version        print the version\n"
    "\n"
    "Exit code: 0 the text is written, 1 it could not be, 2 usage error.\n";

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

static double temperature_argument(const char *text)
{
	char *end;
	const double value = strtod(text, &end);

	if (end == text || *end != '\0' || !(value >= 0 && value <= 1000))
		usage_error("--temp is a number from 0 to 1000, not '%s'", text);
	return value;
}

enum { OPT_STATS = 256, OPT_TOKENIZE, OPT_LOGITS };

static const struct option long_options[] = {{"prompt", required_argument, NULL, 'p'},
					     {"tokens", required_argument, NULL, 'n'},
					     {"temp", required_argument, NULL, 't'},
					     {"seed", required_argument, NULL, 's'},
					     {"threads", required_argument, NULL, 'j'},
					     {"stats", no_argument, NULL, OPT_STATS},
					     {"tokenize", no_argument, NULL, OPT_TOKENIZE},
					     {"logits", required_argument, NULL, OPT_LOGITS},
					     {"help", no_argument, NULL, 'h'},
					     {"version", no_argument, NULL, 'V'},
					     {NULL, 0, NULL, 0}};

void run_options_parse(int argc, char **argv, struct options *o)
{
	int option;

	argv[0] = program_invocation_short_name; /* for getopt's messages */
	*o = (struct options){.prompt = "", .tokens = 100, .threads = 1};
	while ((option = getopt_long(argc, argv, "p:n:t:s:j:hV", long_options, NULL)) != -1) {
		switch (option) {
		case 'p':
			o->prompt = optarg;
			break;
		case 'n':
			o->tokens = number_argument("--tokens", optarg, 0, 1u << 30);
			break;
		case 't':
			o->temperature = temperature_argument(optarg);
			break;
		case 's':
			o->seed = number_argument("--seed", optarg, 0, UINT64_MAX);
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
	if (optind == argc)
		usage_error("%s is needed", "a folder, MODEL_DIR,");
	if (optind + 1 < argc)
		usage_error("unexpected argument '%s'", argv[optind + 1]);
	o->folder = argv[optind];
}
