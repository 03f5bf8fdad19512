/* SPDX-License-Identifier: MIT */
/*
 * options.c - the command line of mkentrofs; see options.h.
 */
#include "mkfs/options.h"

#include "mkfs/arguments.h"
#include "mkfs/cli.h"
#include "mkfs/pool.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

/* All views: the name, the bit, and what the help says. */
#define VIEWS(X)                                                                                   \
	X("model", VIEW_MODEL, "MODEL's weight files, dequantized")                                \
	X("gguf", VIEW_GGUF, "MODEL's .gguf file, as Q8_0, Q4_0 or Q4_1")                          \
	X("quantized", VIEW_QUANTIZED, "quantized/model.safetensors")                              \
	X("npy", VIEW_NPY, "npy/NAME.npy")                                                         \
	X("npy-float", VIEW_NPY_FLOAT, "npy-float/NAME.npy, dequantized")
#define VIEW_HELP(name, bit, text) "                        " name ": " text "\n"
#define VIEW_LINES                 VIEWS(VIEW_HELP)
#define VIEW_NAME(name, bit, text) name ", "
#define VIEW_ROW(name, bit, text)  {name, bit},

static const char help[] =
    "Usage: mkentrofs [OPTION]... MODEL IMAGE\n"
    "  or:  mkentrofs --lossless [OPTION]... SOURCE IMAGE\n"
    "  or:  mkentrofs --dry-run [OPTION]... MODEL [IMAGE]\n"
    "Quantizes and codes the model in the folder MODEL (or in one .safetensors or\n"
    ".gguf file) into the file IMAGE, which entrofs mounts.\n"
    "\n"
    "  -b, --bits=8|4      bits per weight of quantized tensors (8)\n"
    "      --bits-for=REGEX=8|4\n"
    "                      the same for tensors whose name matches REGEX\n"
    "      --keep=REGEX    store tensors whose name matches REGEX as they are\n"
    "  -n, --dry-run       write nothing, but print what would become of each tensor,\n"
    "                      and why, and about how large the image would be\n"
    "  -f, --force         replace IMAGE if it exists\n"
    "      --view=LIST     files to offer besides the tensors, separated by commas;\n"
    "                      none for none (model or gguf, and quantized):\n" VIEW_LINES
    "      --lossless      keep every byte: all files of the folder SOURCE, or that\n"
    "                      file, whatever it is, are mounted as they are\n"
    "  -j, --jobs=N        threads (all CPUs); the image does not depend on it\n"
    "      --json          print figures as JSON, for all and per tensor\n"
    "      --no-verify     do not read the image back\n"
    "  -v, --verbose       print figures per tensor, and all that was skipped\n"
    "  -h, --help          print this help\n"
    "  -V, --version       print the version and the decoder in use\n"
    "\n"
    "Float tensors of two or more dimensions are quantized; others are stored\n"
    "losslessly. Among --keep and --bits-for (POSIX extended regular expressions,\n"
    "found anywhere in the name) the last one that matches decides.\n"
    "\n"
    "Exit code: 0 the image is made (or could be: --dry-run), 1 it is not, 2 usage\n"
    "error, 3 it is made but the figures could not be printed.\n"
    "\n"
    "Environment: ENTROFS_KERNEL names the encoder and decoder to use instead of the\n"
    "fastest one.\n";

static int add_rule(struct options *options, const char *pattern, const char *shown, int bits)
{
	struct rule *rules = realloc(options->rules, (options->rule_count + 1) * sizeof *rules);
	if (!rules) {
		cli_cannot("start", NULL, "out of memory");
		return -1;
	}
	options->rules = rules;
	struct rule *rule = &rules[options->rule_count];
	*rule =
	    (struct rule){.option = bits ? "--bits-for" : "--keep", .text = shown, .bits = bits};
	int error = regcomp(&rule->regex, pattern, REG_EXTENDED | REG_NOSUB);
	if (error) {
		char reason[128];
		regerror(error, &rule->regex, reason, sizeof reason);
		cli_usage_error("%s '%s': bad regular expression: %s", rule->option, shown, reason);
		return -1;
	}
	options->rule_count++;
	return 0;
}

/* REGEX=BITS, where REGEX may contain '=', too. */
static int add_bits_rule(struct options *options, const char *argument)
{
	const char *equals = strrchr(argument, '=');
	uint64_t bits = 0;
	if (!equals || cli_uint(equals + 1, 8, &bits) || (bits != 4 && bits != 8)) {
		cli_usage_error("--bits-for wants REGEX=8 or REGEX=4, not '%s'", argument);
		return -1;
	}
	char *pattern = strndup(argument, (size_t)(equals - argument));
	if (!pattern) {
		cli_cannot("start", NULL, "out of memory");
		return -1;
	}
	int result = add_rule(options, pattern, argument, (int)bits);
	free(pattern);
	return result;
}

static int add_view(struct options *options, const char *name, size_t size)
{
	static const struct {
		const char *name;
		unsigned bit;
	} views[] = {VIEWS(VIEW_ROW)};

	for (size_t i = 0; i < sizeof views / sizeof *views; i++) {
		if (strlen(views[i].name) == size && memcmp(views[i].name, name, size) == 0) {
			options->views |= views[i].bit;
			return 0;
		}
	}
	cli_usage_error("--view: there is no '%.*s'; there are " VIEWS(VIEW_NAME) "none", (int)size,
			name);
	return -1;
}

static int set_views(struct options *options, const char *list)
{
	options->views = VIEW_GIVEN;
	if (strcmp(list, "none") == 0)
		return 0;
	for (;; list++) {
		size_t size = strcspn(list, ",");
		if (add_view(options, list, size))
			return -1;
		list += size;
		if (!*list)
			return 0;
	}
}

enum { OPT_KEEP = 256, OPT_BITS_FOR, OPT_VIEW, OPT_LOSSLESS, OPT_JSON, OPT_NO_VERIFY };

static const struct option long_options[] = {
    {"bits", required_argument, NULL, 'b'},
    {"bits-for", required_argument, NULL, OPT_BITS_FOR},
    {"keep", required_argument, NULL, OPT_KEEP},
    {"view", required_argument, NULL, OPT_VIEW},
    {"lossless", no_argument, NULL, OPT_LOSSLESS},
    {"dry-run", no_argument, NULL, 'n'},
    {"force", no_argument, NULL, 'f'},
    {"jobs", required_argument, NULL, 'j'},
    {"json", no_argument, NULL, OPT_JSON},
    {"no-verify", no_argument, NULL, OPT_NO_VERIFY},
    {"verbose", no_argument, NULL, 'v'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

static enum options_result take_option(struct options *options, int option, const char *argument)
{
	uint64_t number = 0;
	switch (option) {
	case 'b':
		if (cli_uint(argument, 8, &number) || (number != 4 && number != 8)) {
			cli_usage_error("--bits is 8 or 4, not '%s'", argument);
			return OPTIONS_BAD;
		}
		options->bits = (int)number;
		return OPTIONS_RUN;
	case 'j':
		return argument_jobs(argument, &options->jobs) ? OPTIONS_BAD : OPTIONS_RUN;
	case OPT_KEEP:
		return add_rule(options, argument, argument, 0) ? OPTIONS_BAD : OPTIONS_RUN;
	case OPT_BITS_FOR:
		return add_bits_rule(options, argument) ? OPTIONS_BAD : OPTIONS_RUN;
	case OPT_VIEW:
		return set_views(options, argument) ? OPTIONS_BAD : OPTIONS_RUN;
	case OPT_LOSSLESS:
		options->lossless = 1;
		return OPTIONS_RUN;
	case 'n':
		options->dry_run = 1;
		return OPTIONS_RUN;
	case 'f':
		options->force = 1;
		return OPTIONS_RUN;
	case 'v':
		options->verbose = 1;
		return OPTIONS_RUN;
	case OPT_JSON:
		options->json = 1;
		return OPTIONS_RUN;
	case OPT_NO_VERIFY:
		options->verify = 0;
		return OPTIONS_RUN;
	default:
		return argument_standard(option, help, 1) ? OPTIONS_BAD : OPTIONS_DONE;
	}
}

/* The name of an option that has no meaning without quantizing, or NULL. */
static const char *quantizing_option(int option)
{
	switch (option) {
	case 'b':
		return "--bits";
	case OPT_BITS_FOR:
		return "--bits-for";
	case OPT_KEEP:
		return "--keep";
	case OPT_VIEW:
		return "--view";
	default:
		return NULL;
	}
}

enum options_result options_parse(struct options *options, int argc, char **argv)
{
	const char *quantizing = NULL;
	int option;

	argv[0] = program_invocation_short_name; /* for getopt's messages */
	*options = (struct options){.bits = 8, .verify = 1, .jobs = pool_jobs_default()};
	while ((option = getopt_long(argc, argv, "b:nfj:vhV", long_options, NULL)) != -1) {
		enum options_result result = take_option(options, option, optarg);
		if (result != OPTIONS_RUN)
			return result;
		quantizing = quantizing ? quantizing : quantizing_option(option);
	}
	if (options->lossless && quantizing) {
		cli_usage_error("%s has no meaning with --lossless, which quantizes nothing",
				quantizing);
		return OPTIONS_BAD;
	}
	int count = argc - optind;
	if (count > 2 || count < (options->dry_run ? 1 : 2)) {
		cli_usage_error(count > 2          ? "too many arguments"
				: options->dry_run ? "a model is needed"
						   : "a model and an image are needed");
		return OPTIONS_BAD;
	}
	options->source = argv[optind];
	options->target = argv[optind + 1]; /* argv ends in NULL */
	if (options->target && strcmp(options->target, "-") == 0) {
		cli_usage_error("an image is not written front to back and cannot go to standard "
				"output ('./-' is a file of that name)");
		return OPTIONS_BAD;
	}
	return argument_decoder() ? OPTIONS_BAD : OPTIONS_RUN;
}

void options_free(struct options *options)
{
	for (size_t i = 0; i < options->rule_count; i++)
		regfree(&options->rules[i].regex);
	free(options->rules);
	options->rules = NULL;
	options->rule_count = 0;
}
