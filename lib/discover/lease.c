/* SPDX-License-Identifier: MIT */
#include "lib/discover/lease.h"

#include <string.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/random.h"
#include "lib/discover/node.h"

#define TRIES 100 /* each of them lost to another one, which has let go meanwhile */

static struct json *record(const struct lease *l, const char *since)
{
	struct json *rec = json_object();
	time_t now = time(NULL);
	char text[32];

	json_set_str(rec, "kind", "lock");
	json_set_str(rec, "name", l->key + strlen(LEASE_PREFIX "/"));
	json_set_str(rec, "node", node_self());
	json_set_num(rec, "pid", getpid());
	json_set_str(rec, "token", l->token);
	json_set_str(rec, "since", since ? since : clock_rfc3339_at(now, text));
	json_set_str(rec, "until", clock_rfc3339_at(now + l->seconds, text));
	json_set_num(rec, "seconds", l->seconds);
	return rec;
}

/* As the lease counts from the moment at which it is asked for, ours is over first. */
static int write_record(struct lease *l, const char *since, const struct registry_version *v, struct err *e)
{
	AUTO_JSON struct json *rec = record(l, since);
	double until = clock_ms() + l->seconds * 1e3;
	int rc = registry_put(l->r, l->key, rec, v, e);

	if (!rc)
		l->until = until;
	return rc;
}

static bool ours(const struct lease *l, const struct json *rec)
{
	const char *token = rec ? json_str(rec, "token") : NULL;

	return token && !strcmp(token, l->token);
}

/* Where the registry forgets records by itself, one that is there holds. Elsewhere its holder may live, and only our clocks differ:
 * then it changes again in its time. */
static bool over(struct lease *l, const struct json *rec, const struct registry_version *v)
{
	const char *until = json_str(rec, "until");
	double now = clock_ms();

	if (strcmp(v->text, l->seen.text)) {
		l->seen = *v;
		l->seen_ms = now;
	}
	l->over_ms = 0;
	if (until && (l->forgets || clock_time(until) >= time(NULL)))
		return false;
	l->over_ms = l->seen_ms + 1e3 * (double)json_int(rec, "seconds", l->seconds);
	return !until || now >= l->over_ms;
}

int lease_init(struct lease *l, struct registry *r, const char *name, int seconds, struct err *e)
{
	*l = (struct lease){ .r = r, .seconds = seconds, .forgets = !registry_lease(r, seconds, NULL) };
	snprintf(l->key, sizeof(l->key), LEASE_PREFIX "/%.200s", name);
	return random_hex(l->token, sizeof(l->token) / 2, e);
}

int lease_take(struct lease *l, struct json **holder, struct err *e)
{
	for (int i = 0; i < TRIES; i++) {
		AUTO_JSON struct json *rec = NULL;
		struct registry_version v;

		if (registry_get(l->r, l->key, &rec, &v, e))
			return -1;
		if (rec && !over(l, rec, &v)) {
			*holder = TAKE_PTR(rec);
			return 1;
		}
		int rc = write_record(l, NULL, &v, e);
		if (rc <= 0)
			return rc;
	}
	return err_set(e, EX_TEMPFAIL, "lock %s: changes all the time", l->key + strlen(LEASE_PREFIX "/"));
}

int lease_renew(struct lease *l, struct err *e)
{
	AUTO_JSON struct json *rec = NULL;
	struct registry_version v;

	if (registry_get(l->r, l->key, &rec, &v, e))
		return -1;
	return ours(l, rec) ? write_record(l, json_str(rec, "since"), &v, e) : 1;
}

int lease_release(struct lease *l, struct err *e)
{
	AUTO_JSON struct json *rec = NULL;
	struct registry_version v;

	if (registry_get(l->r, l->key, &rec, &v, e))
		return -1;
	return ours(l, rec) && registry_remove(l->r, l->key, &v, e) < 0 ? -1 : 0;
}
