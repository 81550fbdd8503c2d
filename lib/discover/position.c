/* SPDX-License-Identifier: MIT */
#include "lib/discover/position.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <maxminddb.h>
#include <string.h>

struct network {
	uint8_t addr[16]; /* of IPv6; IPv4 is mapped into it */
	int len;          /* of the prefix, 0 to 128 */
	double lat, lon;
};

struct position {
	MMDB_s mmdb;
	bool has_mmdb;
	struct network *v; /* by length, the longest first, and address */
	size_t n, room;
};

static int parse_address(const char *text, uint8_t addr[16])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (inet_pton(AF_INET6, text, addr) == 1)
		return 128;
	memcpy(addr, mapped, sizeof(mapped));
	return inet_pton(AF_INET, text, addr + 12) == 1 ? 32 : -1;
}

static void mask(uint8_t addr[16], int len)
{
	for (int i = 0; i < 16; i++) {
		int keep = len - 8 * i;

		addr[i] &= (uint8_t)(keep >= 8 ? 0xff : keep <= 0 ? 0 : 0xff << (8 - keep));
	}
}

static int compare(const void *x, const void *y)
{
	const struct network *a = x, *b = y;

	return a->len != b->len ? b->len - a->len : memcmp(a->addr, b->addr, sizeof(a->addr));
}

/* One line, changed on the way; what is wrong with it, or NULL. */
static const char *parse_line(char *line, struct network *n)
{
	char *lat = strchr(line, ','), *lon = lat ? strchr(lat + 1, ',') : NULL, *slash, *end;
	int width;

	if (!lon)
		return "not NETWORK,LATITUDE,LONGITUDE";
	*lat++ = *lon++ = '\0';
	if ((slash = strchr(line, '/')))
		*slash++ = '\0';
	width = parse_address(line, n->addr);
	if (width < 0)
		return "not an IP network";
	n->len = slash ? (int)strtol(slash, &end, 10) : width;
	if (slash && (!isdigit((unsigned char)*slash) || *end || n->len > width))
		return "not a length of a network";
	n->len += 128 - width;
	mask(n->addr, n->len);
	n->lat = strtod(lat, &end);
	if (end == lat || *end || !(n->lat >= -90 && n->lat <= 90))
		return "latitude: not between -90 and 90";
	n->lon = strtod(lon, &end);
	if (end == lon || *end || !(n->lon >= -180 && n->lon <= 180))
		return "longitude: not between -180 and 180";
	return NULL;
}

static int read_csv(struct position *p, const char *path, struct err *e)
{
	AUTO_FILE FILE *f = fopen(path, "re");
	AUTO_FREE char *line = NULL;
	size_t room = 0;

	if (!f)
		return err_sys(e, "%s", path);
	for (unsigned long number = 1; getline(&line, &room, f) > 0; number++) {
		struct network n;

		line[strcspn(line, "\r\n")] = '\0';
		/* a heading begins with a word, a network of IPv6 may begin with a letter, too */
		if (!*line || *line == '#' || (number == 1 && isalpha((unsigned char)*line) && !strchr(line, ':')))
			continue;
		const char *why = parse_line(line, &n);
		if (why)
			return err_set(e, EX_DATAERR, "%s: line %lu: %s", path, number, why);
		if (p->n == p->room) {
			p->room = p->room ? 2 * p->room : 256;
			p->v = realloc(p->v, p->room * sizeof(*p->v));
			if (!p->v)
				abort();
		}
		p->v[p->n++] = n;
	}
	if (ferror(f))
		return err_sys(e, "%s", path);
	if (p->n)
		qsort(p->v, p->n, sizeof(*p->v), compare);
	return 0;
}

int position_open(struct position **out, const char *path, struct err *e)
{
	AUTO_POSITION struct position *p = calloc(1, sizeof(*p));
	const char *dot = strrchr(path, '.');
	int rc;

	if (!p)
		return err_sys(e, "%s", path);
	if (dot && !strcmp(dot, ".csv")) {
		if (read_csv(p, path, e))
			return -1;
	} else {
		if (access(path, R_OK))
			return err_sys(e, "%s", path);
		rc = MMDB_open(path, MMDB_MODE_MMAP, &p->mmdb);
		p->has_mmdb = rc == MMDB_SUCCESS;
		if (rc != MMDB_SUCCESS)
			return err_set(e, EX_DATAERR, "%s: not a MaxMind database: %s", path, MMDB_strerror(rc));
	}
	*out = TAKE_PTR(p);
	return 0;
}

void position_free(struct position *p)
{
	if (!p)
		return;
	if (p->has_mmdb)
		MMDB_close(&p->mmdb);
	free(p->v);
	free(p);
}

static int find_mmdb(const struct position *p, const char *addr, double *lat, double *lon)
{
	MMDB_entry_data_s data[2];
	int gai, rc;
	MMDB_lookup_result_s r = MMDB_lookup_string(&p->mmdb, addr, &gai, &rc);

	if (gai || rc || !r.found_entry || MMDB_get_value(&r.entry, &data[0], "location", "latitude", NULL) ||
	    MMDB_get_value(&r.entry, &data[1], "location", "longitude", NULL))
		return 0;
	for (int i = 0; i < 2; i++)
		if (!data[i].has_data || data[i].type != MMDB_DATA_TYPE_DOUBLE)
			return 0;
	*lat = data[0].double_value;
	*lon = data[1].double_value;
	return 1;
}

int position_find(const struct position *p, const char *addr, double *lat, double *lon)
{
	struct network key;
	uint8_t whole[16];

	if (parse_address(addr, whole) < 0) /* also keeps MMDB_lookup_string from asking a name server */
		return 0;
	if (p->has_mmdb)
		return find_mmdb(p, addr, lat, lon);
	for (size_t i = 0; i < p->n;) {
		const struct network *found;
		size_t end = i + 1;

		while (end < p->n && p->v[end].len == p->v[i].len)
			end++;
		key.len = p->v[i].len;
		memcpy(key.addr, whole, sizeof(key.addr));
		mask(key.addr, key.len);
		found = bsearch(&key, p->v + i, end - i, sizeof(*p->v), compare);
		if (found) {
			*lat = found->lat;
			*lon = found->lon;
			return 1;
		}
		i = end;
	}
	return 0;
}

int position_add(const struct position *p, struct json *rec)
{
	const char *addr = json_str(rec, "addr");
	double lat, lon;

	if (!addr || json_has(rec, "geo.lat") || !position_find(p, addr, &lat, &lon))
		return 0;
	json_set_num(rec, "geo.lat", lat);
	json_set_num(rec, "geo.lon", lon);
	return 1;
}
