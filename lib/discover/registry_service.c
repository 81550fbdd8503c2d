/* SPDX-License-Identifier: MIT */
/* An instance's record goes forward only: its epoch counts the places it has been at. */
#include <string.h>

#include "lib/discover/registry.h"

#define KEY_ROOM 300
#define TRIES 100 /* each of them lost to another writer that got on */

static int service_key(char key[KEY_ROOM], const char *id, struct err *e)
{
	if (!id || !*id || strlen(id) > 200)
		return err_set(e, EX_DATAERR, "registry: service without an id");
	snprintf(key, KEY_ROOM, "service/%s", id);
	return 0;
}

static const char *word(const struct json *rec, const char *key)
{
	const char *v = json_str(rec, key);

	return v ? v : "";
}

/* Two nodes with one epoch: the first one has it. */
static bool overtaken(const struct json *known, const struct json *record)
{
	int64_t there = json_int(known, "epoch", 0), ours = json_int(record, "epoch", 0);

	return there > ours || (there == ours && strcmp(word(known, "node"), word(record, "node")) != 0);
}

/* put: else remove. */
static int write_service(struct registry *r, const struct json *record, bool put, struct err *e)
{
	char key[KEY_ROOM];

	if (service_key(key, json_str(record, "id"), e))
		return -1;
	for (int i = 0; i < TRIES; i++) {
		AUTO_JSON struct json *known = NULL;
		struct registry_version v;

		if (registry_get(r, key, &known, &v, e))
			return -1;
		if (known && overtaken(known, record))
			return 1;
		if (!known && !put)
			return 0;
		int rc = put ? registry_put(r, key, record, &v, e) : registry_remove(r, key, &v, e);
		if (rc <= 0)
			return rc;
	}
	return err_set(e, EX_TEMPFAIL, "registry: %s: changes all the time", key);
}

int registry_put_service(struct registry *r, const struct json *record, struct err *e)
{
	return write_service(r, record, true, e);
}

int registry_remove_service(struct registry *r, const struct json *record, struct err *e)
{
	return write_service(r, record, false, e);
}

int registry_stop_service(struct registry *r, const char *id, const char *node, struct err *e)
{
	AUTO_JSON struct json *known = NULL;
	char key[KEY_ROOM];

	if (service_key(key, id, e) || registry_get(r, key, &known, NULL, e))
		return -1;
	if (!known || strcmp(word(known, "node"), node) != 0 || strcmp(word(known, "state"), "running") != 0)
		return 0;
	json_set_str(known, "state", "stopped");
	/* Fenced is well, too: another node has it meanwhile. */
	return registry_put_service(r, known, e) < 0 ? -1 : 0;
}

int registry_epoch(struct registry *r, const char *id, int64_t *epoch, char node[256], struct err *e)
{
	AUTO_JSON struct json *known = NULL;
	char key[KEY_ROOM];

	if (service_key(key, id, e) || registry_get(r, key, &known, NULL, e))
		return -1;
	if (!known)
		return 1;
	*epoch = json_int(known, "epoch", 0);
	snprintf(node, 256, "%s", word(known, "node"));
	return 0;
}
