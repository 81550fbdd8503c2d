/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/ssh.h"

/* Copies n bytes of a user or host name; neither is empty, starts with a dash or has blanks or control
 * characters. */
static bool copy_name(char *to, size_t room, const char *from, size_t n, const char *allowed)
{
	if (n == 0 || n >= room || *from == '-')
		return false;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)from[i]) && (!from[i] || !strchr(allowed, from[i])))
			return false;
	memcpy(to, from, n);
	to[n] = '\0';
	return true;
}

static bool parse_port(const char *s, size_t n, int *port)
{
	long v = 0;

	if (n == 0 || n > 5 || strspn(s, "0123456789") < n)
		return false;
	v = strtol(s, NULL, 10); /* ends at the slash or the end, by the check above */
	if (v < 1 || v > 65535)
		return false;
	*port = (int)v;
	return true;
}

static bool parse(struct ssh_target *t, const char *url)
{
	static const char scheme[] = "ssh://";
	const char *end, *at, *colon;
	bool v6;

	if (strncmp(url, scheme, sizeof(scheme) - 1) != 0)
		return false;
	url += sizeof(scheme) - 1;
	end = url + strcspn(url, "/");
	if (end[0] && end[1]) /* a path would mean nothing */
		return false;
	at = memchr(url, '@', (size_t)(end - url));
	if (at && !copy_name(t->user, sizeof(t->user), url, (size_t)(at - url), "._-"))
		return false;
	url = at ? at + 1 : url;
	v6 = *url == '[';
	if (v6) {
		const char *close = memchr(url, ']', (size_t)(end - url));

		if (!close ||
		    !copy_name(t->host, sizeof(t->host), url + 1, (size_t)(close - url - 1), ":.%_-"))
			return false;
		colon = close + 1;
	} else {
		colon = url + strcspn(url, ":/");
		if (!copy_name(t->host, sizeof(t->host), url, (size_t)(colon - url), "._-"))
			return false;
	}
	if (colon == end)
		return true;
	return *colon == ':' && parse_port(colon + 1, (size_t)(end - colon - 1), &t->port);
}

int ssh_target_parse(struct ssh_target *t, const char *url, struct err *e)
{
	struct ssh_target new = { .user = "root", .port = 22 };

	if (!parse(&new, url))
		return err_set(e, EX_USAGE, "%.200s: not of the form ssh://[user@]host[:port]", url);
	memcpy(new.name, new.host, sizeof(new.name));
	*t = new;
	return 0;
}
