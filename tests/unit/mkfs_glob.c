/* SPDX-License-Identifier: MIT */
/* mkfs_glob.c - what patterns match and what not, and that no pattern takes long. */
#include "mkfs/glob.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static int match(const char *pattern, const char *path)
{
	const char *fault;
	struct glob *glob = glob_create(pattern, &fault);
	int result;

	cr_assert_not_null(glob, "%s: %s", pattern, fault);
	result = glob_match(glob, path, strlen(path));
	glob_destroy(glob);
	return result;
}

struct row {
	const char *pattern, *yes[5], *no[5];
};

Test(glob, matches)
{
	static const struct row rows[] = {
	    {"config.json", {"config.json"}, {"config_json", "config.jso", "a/config.json"}},
	    {"*.json", {"a.json", ".json", ".x.json"}, {"a/b.json", "a.jsonx"}},
	    {"*/*", {"a/b", "/"}, {"a", "a/b/c"}},
	    {"a?c",
	     {"abc",
	      "a\xc3\xbc"
	      "c",
	      "a\xff"
	      "c"},
	     {"ac", "a/c", "abbc",
	      "a\xff\xff"
	      "c"}},
	    {"**", {"a", "a/b", ".a/b/c", ""}, {NULL}},
	    {"**/x", {"x", "a/x", "a/b/x"}, {"ax", "a/bx", "x/a"}},
	    {"a/**/x", {"a/x", "a/b/x", "a/b/c/x"}, {"ax", "b/a/x", "a/xx"}},
	    {"a/**", {"a/b", "a/b/c", "a/"}, {"a", "ab/c"}},
	    {"a**z", {"az", "a/b/z"}, {"a", "ba/z"}},
	    {"layers.[0-3].*",
	     {"layers.0.w", "layers.3."},
	     {"layers.4.w", "layers..w", "layers.10.w"}},
	    {"[!a-c]", {"d", "\xc3\xbc", "\xff"}, {"a", "b", "/", "dd"}},
	    {"[^x]", {"y"}, {"x"}},
	    {"a[]]b", {"a]b"}, {"a[b"}},
	    {"[a-]", {"a", "-"}, {"b"}},
	    {"[\xc3\xa4-\xc3\xbc]", {"\xc3\xb6"}, {"a", "\xc3"}},
	    {"[\\]x]", {"]", "x"}, {"\\"}},
	    {"\\*\\[", {"*["}, {"a[", "\\*["}},
	    {"a[/]b", {NULL}, {"a/b"}},
	    {"\\", {"\\"}, {""}},
	    {"*a*b*", {"ab", "xaxbx", "aab"}, {"ba", "a/b"}},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		for (size_t k = 0; k < 5 && rows[i].yes[k]; k++)
			cr_expect(match(rows[i].pattern, rows[i].yes[k]), "%s should match %s",
				  rows[i].pattern, rows[i].yes[k]);
		for (size_t k = 0; k < 5 && rows[i].no[k]; k++)
			cr_expect(!match(rows[i].pattern, rows[i].no[k]), "%s should not match %s",
				  rows[i].pattern, rows[i].no[k]);
	}
}

Test(glob, refuses)
{
	static const char *const patterns[] = {"", "[", "a[b", "[]", "[!]", "x[\\]"};
	const char *fault;

	for (size_t i = 0; i < sizeof(patterns) / sizeof(*patterns); i++) {
		fault = NULL;
		cr_expect_null(glob_create(patterns[i], &fault), "%s", patterns[i]);
		cr_expect_not_null(fault);
	}
}

/* A matcher that backtracks would take longer than the universe has. */
Test(glob, takes_bounded_time, .timeout = 10)
{
	char pattern[3 * 60 + 2], path[4000];

	for (int i = 0; i < 60; i++)
		memcpy(pattern + 3 * i, i % 2 ? "a**" : "*a*", 3);
	strcpy(pattern + 3 * 60, "b");
	memset(path, 'a', sizeof(path) - 1);
	path[sizeof(path) - 1] = 0;
	cr_assert(!match(pattern, path));
	path[sizeof(path) - 2] = 'b';
	cr_assert(match(pattern, path));
}
