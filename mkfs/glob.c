/* SPDX-License-Identifier: MIT */
/*
 * glob.c - shell patterns; see glob.h.
 *
 * A pattern is a row of tokens, and the tokens before which a match may stand are the states of an
 * automaton: all of them advance together with each character, so nothing is ever tried twice.
 */
#include "mkfs/glob.h"

#include "mkfs/names.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum token_kind {
	CHARACTER,
	ANY,        /* ? */
	SET,        /* [...] */
	STAR,       /* any number of characters but '/' */
	GLOBSTAR,   /* any number of characters */
	FOLDERS,    /* before "**" + "/": no folder, or go on with the next token ... */
	IN_FOLDERS, /* ... which takes characters up to and including a '/' */
	END,
};

struct token {
	enum token_kind kind;
	uint32_t character;
	int negated;
	const char *set, *set_end; /* the ranges, in the pattern */
};

struct glob {
	char *pattern;
	struct token *tokens;
	unsigned char *states;     /* both of: */
	unsigned char *now, *next; /* per token: may a match stand before it? */
	size_t count;
};

/* A character of a pattern, with its backslash taken off. */
static uint32_t take_literal(const char **at, const char *end)
{
	if (**at == '\\' && end - *at > 1)
		++*at;
	return names_take_character(at, end);
}

/* Where the set that begins at (behind its '[') ends: at its ']', or NULL. */
static const char *find_set_end(const char *at, const char *end)
{
	if (at < end && (*at == '!' || *at == '^'))
		at++;
	for (const char *first = at; at < end; at++) {
		if (*at == ']' && at != first)
			return at;
		if (*at == '\\' && end - at > 1)
			at++;
	}
	return NULL;
}

static int in_set(const struct token *token, uint32_t character)
{
	const char *at = token->set, *end = token->set_end;
	int found = 0;

	while (at < end) {
		uint32_t low = take_literal(&at, end), high = low;

		if (end - at > 1 && *at == '-') {
			at++;
			high = take_literal(&at, end);
		}
		found |= character >= low && character <= high;
	}
	return found != token->negated;
}

/* Tokens of what begins with '*'. */
static const char *take_stars(struct glob *glob, const char *at, const char *end)
{
	const char *from = at;
	int leads = from == glob->pattern || from[-1] == '/';

	while (at < end && *at == '*')
		at++;
	if (at - from == 1) {
		glob->tokens[glob->count++] = (struct token){.kind = STAR};
	} else if (leads && at < end && *at == '/') {
		glob->tokens[glob->count++] = (struct token){.kind = FOLDERS};
		glob->tokens[glob->count++] = (struct token){.kind = IN_FOLDERS};
		at++;
	} else {
		glob->tokens[glob->count++] = (struct token){.kind = GLOBSTAR};
	}
	return at;
}

/* Adds the token that begins at; what follows it, or NULL. */
static const char *take_token(struct glob *glob, const char *at, const char *end)
{
	struct token token = {.kind = CHARACTER};

	if (*at == '*')
		return take_stars(glob, at, end);
	if (*at == '[') {
		token.kind = SET;
		token.set_end = find_set_end(++at, end);
		if (!token.set_end)
			return NULL;
		token.negated = *at == '!' || *at == '^';
		token.set = at + token.negated;
		at = token.set_end + 1;
	} else if (*at == '?') {
		token.kind = ANY;
		at++;
	} else {
		token.character = take_literal(&at, end);
	}
	glob->tokens[glob->count++] = token;
	return at;
}

struct glob *glob_create(const char *pattern, const char **fault)
{
	struct glob *glob = calloc(1, sizeof(*glob));
	size_t size = strlen(pattern);
	const char *at, *end;

	*fault = "out of memory";
	if (!glob)
		return NULL;
	glob->pattern = strdup(pattern);
	glob->tokens = calloc(size + 2, sizeof(*glob->tokens)); /* "**" + "/" makes two of three */
	glob->states = glob->now = calloc(2, size + 2);
	if (!glob->pattern || !glob->tokens || !glob->now)
		goto bad;
	glob->next = glob->now + size + 2;
	*fault = "it is empty";
	if (!size)
		goto bad;
	*fault = "a '[' has no ']' (\\[ is the character itself)";
	for (at = glob->pattern, end = at + size; at < end;) {
		at = take_token(glob, at, end);
		if (!at)
			goto bad;
	}
	glob->tokens[glob->count++].kind = END;
	*fault = NULL;
	return glob;
bad:
	glob_destroy(glob);
	return NULL;
}

void glob_destroy(struct glob *glob)
{
	if (!glob)
		return;
	free(glob->pattern);
	free(glob->tokens);
	free(glob->states);
	free(glob);
}

/* A match that stands before a token stands before the next one, too, if it may be empty. */
static void enter(const struct glob *glob, unsigned char *states, size_t token)
{
	for (;; token++) {
		enum token_kind kind = glob->tokens[token].kind;

		states[token] = 1;
		if (kind == FOLDERS) {
			states[token + 1] = 1;
			token++;
		} else if (kind != STAR && kind != GLOBSTAR) {
			return;
		}
	}
}

static void step(const struct glob *glob, size_t i, uint32_t character)
{
	const struct token *token = &glob->tokens[i];

	switch (token->kind) {
	case CHARACTER:
		if (character == token->character)
			enter(glob, glob->next, i + 1);
		break;
	case ANY:
		if (character != '/')
			enter(glob, glob->next, i + 1);
		break;
	case SET:
		if (character != '/' && in_set(token, character))
			enter(glob, glob->next, i + 1);
		break;
	case STAR:
		if (character != '/')
			enter(glob, glob->next, i);
		break;
	case GLOBSTAR:
		enter(glob, glob->next, i);
		break;
	case IN_FOLDERS:
		glob->next[i] = 1;
		if (character == '/')
			enter(glob, glob->next, i + 1);
		break;
	case FOLDERS:
	case END:
		break;
	}
}

int glob_match(struct glob *glob, const char *path, size_t size)
{
	const char *end = path + size;

	memset(glob->now, 0, glob->count);
	enter(glob, glob->now, 0);
	while (path < end) {
		uint32_t character = names_take_character(&path, end);
		unsigned char *swap = glob->now;

		memset(glob->next, 0, glob->count);
		for (size_t i = 0; i < glob->count; i++)
			if (glob->now[i])
				step(glob, i, character);
		glob->now = glob->next;
		glob->next = swap;
	}
	return glob->now[glob->count - 1];
}
