/* SPDX-License-Identifier: MIT */
/* dump_page.c - puts the page together; see dump_page.h. */
#include "mkfs/dump_page.h"

#include "mkfs/html/assets.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

/* What a Content-Security-Policy calls a script or style by. */
static void add_digest(struct text *page, const struct html_asset *asset)
{
	enum { BASE64 = (SHA256_DIGEST_LENGTH + 2) / 3 * 4 };
	unsigned char digest[SHA256_DIGEST_LENGTH], encoded[BASE64 + 1];

	SHA256((const unsigned char *)asset->text, asset->size, digest);
	EVP_EncodeBlock(encoded, digest, sizeof(digest));
	text_add(page, "sha256-%s", (const char *)encoded);
}

/* JSON for within a script element: these three are in its strings only, and may be escaped. */
static void add_escaped(struct text *page, const char *json, size_t size)
{
	for (size_t at = 0; at < size;) {
		size_t plain = at;

		while (plain < size && !strchr("<>&", json[plain]))
			plain++;
		text_add_bytes(page, json + at, plain - at);
		if (plain < size)
			text_add(page, "\\u%04x", (unsigned)json[plain++]);
		at = plain;
	}
}

static void add_data(struct text *page, const struct dump_view *view)
{
	struct text data = {0};

	dump_data_add(&data, view);
	if (data.failed)
		page->failed = 1;
	else
		add_escaped(page, data.data, data.size);
	free(data.data);
}

static void add_part(struct text *page, const char *name, size_t size, const struct dump_view *view)
{
	static const struct {
		const char *name;
		const struct html_asset *asset;
		int digest;
	} parts[] = {{"style", &html_style, 0},
		     {"script", &html_script, 0},
		     {"style digest", &html_style, 1},
		     {"script digest", &html_script, 1}};

	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
		if (strlen(parts[i].name) != size || memcmp(parts[i].name, name, size) != 0)
			continue;
		if (parts[i].digest)
			add_digest(page, parts[i].asset);
		else
			text_add_bytes(page, parts[i].asset->text, parts[i].asset->size);
		return;
	}
	add_data(page, view); /* {{data}} */
}

void dump_page_add(struct text *page, const struct dump_view *view)
{
	const char *at = html_page.text, *mark, *end;

	while ((mark = strstr(at, "{{")) && (end = strstr(mark, "}}"))) {
		text_add_bytes(page, at, (size_t)(mark - at));
		add_part(page, mark + 2, (size_t)(end - mark) - 2, view);
		at = end + 2;
	}
	text_add_bytes(page, at, strlen(at));
}
