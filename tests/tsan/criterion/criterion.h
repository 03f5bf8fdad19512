/* SPDX-License-Identifier: MIT */
/*
 * criterion.h - as much of Criterion as our suites use, for builds with ThreadSanitizer.
 *
 * Criterion places its memory where ThreadSanitizer keeps its own and aborts before the first test.
 * Here each test runs in a forked child, one after the other, and the outcome goes to the TAP file
 * that tests/run.py asks for. A header with code, as each suite is one program.
 */
#ifndef ENTROFS_TSAN_CRITERION_H
#define ENTROFS_TSAN_CRITERION_H
#pragma GCC system_header /* variadic macros without arguments */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct criterion_case {
	const char *name;
	void (*run)(void);
	int signal; /* that must end the test; 0: none */
	int disabled;
	double timeout; /* seconds; not enforced here */
	struct criterion_case *next;
};

static struct criterion_case *criterion_cases;

#define Test(suite, title, ...)                                                                    \
	static void suite##_##title(void);                                                         \
	__attribute__((constructor)) static void suite##_##title##_enter(void)                     \
	{                                                                                          \
		static struct criterion_case entered = {                                           \
		    .name = #suite "." #title, .run = suite##_##title, __VA_ARGS__};               \
		entered.next = criterion_cases;                                                    \
		criterion_cases = &entered;                                                        \
	}                                                                                          \
	static void suite##_##title(void)

/* What is done before and after each test whose name begins with the suite's. */
struct criterion_suite {
	const char *name;
	void (*init)(void), (*fini)(void);
	struct criterion_suite *next;
};

static struct criterion_suite *criterion_suites;

#define TestSuite(suite, ...)                                                                      \
	__attribute__((constructor)) static void suite##_enter(void)                               \
	{                                                                                          \
		static struct criterion_suite entered = {.name = #suite ".", __VA_ARGS__};         \
		entered.next = criterion_suites;                                                   \
		criterion_suites = &entered;                                                       \
	}                                                                                          \
	_Static_assert(1, "takes the semicolon")

#define criterion_check(holds, ...)                                                                \
	do {                                                                                       \
		if (!(holds)) {                                                                    \
			fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #holds);                \
			fprintf(stderr, "" __VA_ARGS__);                                           \
			fputc('\n', stderr);                                                       \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)

enum { CRITERION_SKIPPED = 77 }; /* exit code of a test's process */

#define cr_skip_test(...)                                                                          \
	do {                                                                                       \
		fprintf(stderr, "" __VA_ARGS__);                                                   \
		fputc('\n', stderr);                                                               \
		_exit(CRITERION_SKIPPED);                                                          \
	} while (0)

/* An expectation that fails ends the test here, too. */
#define cr_expect          cr_assert
#define cr_expect_eq       cr_assert_eq
#define cr_expect_str_eq   cr_assert_str_eq
#define cr_expect_leq      cr_assert_leq
#define cr_expect_geq      cr_assert_geq
#define cr_expect_null     cr_assert_null
#define cr_expect_not_null cr_assert_not_null

#define cr_assert(holds, ...)        criterion_check((holds), __VA_ARGS__)
#define cr_assert_not(holds, ...)    criterion_check(!(holds), __VA_ARGS__)
#define cr_assert_eq(a, b, ...)      criterion_check((a) == (b), __VA_ARGS__)
#define cr_assert_neq(a, b, ...)     criterion_check((a) != (b), __VA_ARGS__)
#define cr_assert_lt(a, b, ...)      criterion_check((a) < (b), __VA_ARGS__)
#define cr_assert_leq(a, b, ...)     criterion_check((a) <= (b), __VA_ARGS__)
#define cr_assert_gt(a, b, ...)      criterion_check((a) > (b), __VA_ARGS__)
#define cr_assert_geq(a, b, ...)     criterion_check((a) >= (b), __VA_ARGS__)
#define cr_assert_null(a, ...)       criterion_check((a) == NULL, __VA_ARGS__)
#define cr_assert_not_null(a, ...)   criterion_check((a) != NULL, __VA_ARGS__)
#define cr_assert_str_eq(a, b, ...)  criterion_check(strcmp((a), (b)) == 0, __VA_ARGS__)
#define cr_assert_str_neq(a, b, ...) criterion_check(strcmp((a), (b)) != 0, __VA_ARGS__)
#define cr_assert_str_empty(a, ...)  criterion_check((a)[0] == '\0', __VA_ARGS__)
#define cr_assert_arr_eq(a, b, size, ...)                                                          \
	criterion_check(memcmp((a), (b), (size)) == 0, __VA_ARGS__)
#define cr_assert_float_eq(a, b, error, ...)                                                       \
	criterion_check((a) - (b) <= (error) && (b) - (a) <= (error), __VA_ARGS__)

static void criterion_run(const struct criterion_case *entered)
{
	const struct criterion_suite *suite = criterion_suites;
	while (suite && strncmp(entered->name, suite->name, strlen(suite->name)) != 0)
		suite = suite->next;
	if (suite && suite->init)
		suite->init();
	entered->run();
	if (suite && suite->fini)
		suite->fini();
}

enum criterion_outcome { CRITERION_FAILS, CRITERION_PASSES, CRITERION_SKIPS };

static enum criterion_outcome criterion_outcome(const struct criterion_case *entered)
{
	int status = 1;
	pid_t child = fork();
	if (child == 0) {
		criterion_run(entered);
		exit(0); /* not _exit(): ThreadSanitizer turns a race into an exit code here */
	}
	if (child < 0 || waitpid(child, &status, 0) != child)
		return CRITERION_FAILS;
	if (WIFEXITED(status) && WEXITSTATUS(status) == CRITERION_SKIPPED)
		return CRITERION_SKIPS;
	/* The sanitizer may catch the signal and exit with a code of its own. */
	return (entered->signal ? status != 0 : status == 0) ? CRITERION_PASSES : CRITERION_FAILS;
}

int main(int argc, char **argv)
{
	FILE *tap = stdout;
	int failed = 0;
	for (int i = 1; i < argc; i++)
		if (strncmp(argv[i], "--tap=", 6) == 0)
			tap = fopen(argv[i] + 6, "w");
	if (!tap)
		return 2;
	for (struct criterion_case *entered = criterion_cases; entered; entered = entered->next) {
		fflush(NULL);
		enum criterion_outcome outcome =
		    entered->disabled ? CRITERION_SKIPS : criterion_outcome(entered);
		fprintf(tap, "%s - %s%s\n", outcome == CRITERION_FAILS ? "not ok" : "ok",
			entered->name, outcome == CRITERION_SKIPS ? " # SKIP" : "");
		failed |= outcome == CRITERION_FAILS;
	}
	return fclose(tap) || failed;
}

#endif
