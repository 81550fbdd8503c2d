/* SPDX-License-Identifier: MIT */
#include "lib/discover/ldap_map.h"

#include <math.h>
#include <string.h>

#include "lib/base/base64.h"

const struct ldap_attribute ldap_attributes[] = {
	{ "cn", "name", LDAP_TEXT },
	{ "edgeAddress", "addr", LDAP_TEXT },
	{ "edgePort", "port", LDAP_WHOLE },
	{ "edgeUser", "user", LDAP_TEXT },
	{ "edgeRole", "role", LDAP_TEXT },
	{ "edgeNetwork", "network", LDAP_TEXT },
	{ "edgeMember", "member", LDAP_TEXT },
	{ "edgeArchitecture", "arch", LDAP_TEXT },
	{ "edgeKernel", "kernel", LDAP_TEXT },
	{ "edgeCpuModel", "cpu.model", LDAP_TEXT },
	{ "edgeCpuCores", "cpu.cores", LDAP_WHOLE },
	{ "edgeCpuScore", "cpu.score", LDAP_WHOLE },
	{ "edgeMemoryBytes", "mem.total_bytes", LDAP_WHOLE },
	{ "edgeMemoryAvailableBytes", "mem.available_bytes", LDAP_WHOLE },
	{ "edgeDiskFreeBytes", "disk.free_bytes", LDAP_WHOLE },
	{ "edgeLatitude", "geo.lat", LDAP_NUMBER },
	{ "edgeLongitude", "geo.lon", LDAP_NUMBER },
	{ "edgeEngine", "engines", LDAP_WORDS },
	{ "edgeCriu", "criu", LDAP_TEXT },
	{ "edgeSeen", "seen", LDAP_TEXT },
	{ 0 },
};

/* What RFC 2849 lets stand as it is. */
static bool plain(const char *v)
{
	if (strchr(" :<", *v) || v[strlen(v) - 1] == ' ')
		return false;
	for (; *v; v++)
		if (*v < ' ' || *v > '~')
			return false;
	return true;
}

static void put(FILE *f, const char *name, const char *value)
{
	AUTO_FREE char *coded = *value && !plain(value) ? base64_encode(value, strlen(value)) : NULL;

	if (*value)
		fprintf(f, "%s%s %s\n", name, coded ? "::" : ":", coded ? coded : value);
}

static void put_member(FILE *f, const struct json *node, const struct ldap_attribute *a)
{
	double v = json_num(node, a->member, NAN);
	char text[64];

	if (a->type == LDAP_TEXT) {
		put(f, a->name, json_str(node, a->member) ? json_str(node, a->member) : "");
	} else if (a->type == LDAP_WORDS) {
		AUTO_JSON struct json *words = json_get(node, a->member);

		for (size_t i = 0; words && i < json_len(words, NULL); i++) {
			AUTO_JSON struct json *word = json_at(words, i);

			put(f, a->name, json_value(word) ? json_value(word) : "");
		}
	} else if (!isnan(v)) {
		snprintf(text, sizeof(text), a->type == LDAP_WHOLE ? "%.0f" : "%.6f", v);
		put(f, a->name, text);
	}
}

char *ldap_entry(const struct json *node, const char *base, struct err *e)
{
	const char *name = json_str(node, "name");
	char *text = NULL;
	size_t n = 0;
	FILE *f;

	if (!strchr(base, '=') || strpbrk(base, "\r\n")) {
		err_set(e, EX_USAGE, "%s: not a distinguished name", base);
		return NULL;
	}
	if (!name || name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")]) {
		err_set(e, EX_DATAERR, "node %s: not a name", name ? name : "without one");
		return NULL;
	}
	if (!(f = open_memstream(&text, &n))) {
		err_set(e, EX_OSERR, "out of memory");
		return NULL;
	}
	fprintf(f, "dn: cn=%s,%s\nobjectClass: edgeDevice\n", name, base);
	for (const struct ldap_attribute *a = ldap_attributes; a->name; a++)
		put_member(f, node, a);
	putc('\n', f);
	fclose(f);
	return text;
}
