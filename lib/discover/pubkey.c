/* SPDX-License-Identifier: MIT */
#include "lib/discover/pubkey.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/auto.h"
#include "lib/base/base64.h"

static const char *const types[] = { "ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa" };

bool pubkey_name_valid(const char *name)
{
	size_t n = strlen(name);

	if (!n || n > 63 || strchr(".-", *name))
		return false;
	for (; *name; name++)
		if (!isalnum((unsigned char)*name) && !strchr("._-", *name))
			return false;
	return true;
}

/* The key's own bytes begin with its type, too: a u32 length, big endian, and the word. */
static bool blob_valid(const char *type, const char *blob)
{
	size_t len = 0, n = strlen(type);
	AUTO_FREE char *data = base64_decode(blob, &len);
	const unsigned char *b = (const unsigned char *)data;

	return data && len > n + 4 && !b[0] && !b[1] && !b[2] && b[3] == n && !memcmp(data + 4, type, n);
}

int pubkey_parse(struct pubkey *k, const char *line, struct err *e)
{
	struct pubkey made = { .name = "" };
	char type[64], blob[1900], rest[256] = "";
	bool known = false;
	const char *at;

	if (strchr(line, '\n') && strchr(line, '\n')[1 + strspn(strchr(line, '\n') + 1, " \r\n")])
		return err_set(e, EX_DATAERR, "more than one line");
	if (sscanf(line, "%63s %1899s %255[^\r\n]", type, blob, rest) < 2)
		return err_set(e, EX_DATAERR, "not a public key as ssh-ed25519 AAAA... name");
	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
		known |= !strcmp(type, types[i]);
	if (!known || !blob_valid(type, blob))
		return err_set(e, EX_DATAERR, "not a public key as ssh-ed25519 AAAA... name");
	snprintf(made.text, sizeof(made.text), "%s %s", type, blob);
	at = strrchr(rest, '@');
	at = at ? at + 1 : rest;
	if (pubkey_name_valid(at))
		snprintf(made.name, sizeof(made.name), "%.63s", at);
	*k = made;
	return 0;
}

int pubkey_read(struct pubkey *k, const char *path, struct err *e)
{
	bool std = !strcmp(path, "-");
	AUTO_FILE FILE *f = std ? NULL : fopen(path, "re");
	char text[4096];
	size_t n;

	if (!f && !std)
		return err_sys(e, "%s", path);
	n = fread(text, 1, sizeof(text) - 1, std ? stdin : f);
	text[n] = '\0';
	return strlen(text) < n || pubkey_parse(k, text, e) ? err_wrap(e, "%s", std ? "stdin" : path) : 0;
}
