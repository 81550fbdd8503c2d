/* SPDX-License-Identifier: MIT */
#include "lib/move/decide.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/discover/registry.h"

#define KEY_ROOM 80

static const char *const words[] = { [DECIDED_RUNNING] = "running", [DECIDED_THAWED] = "thawed" };

/* The default one is this node's own: nobody else would see it. */
static int open_shared(struct registry **r)
{
	const char *url = getenv("EDGE_REGISTRY");

	return url && *url ? registry_open(r, url, NULL) : -1;
}

static const char *key_of(char key[KEY_ROOM], const char *move)
{
	snprintf(key, KEY_ROOM, "move/%.64s", move);
	return key;
}

static enum decided look(struct registry *r, const char *key)
{
	AUTO_JSON struct json *rec = NULL;

	if (registry_get(r, key, &rec, NULL, NULL))
		return DECIDED_UNKNOWN;
	if (!rec)
		return DECIDED_NOT;
	for (int how = DECIDED_RUNNING; how <= DECIDED_THAWED; how++)
		if (json_str(rec, "step") && !strcmp(json_str(rec, "step"), words[how]))
			return (enum decided)how;
	return DECIDED_UNKNOWN;
}

static struct json *record(const char *move, enum decided how)
{
	struct json *rec = json_object();

	json_set_str(rec, "kind", "decision");
	json_set_str(rec, "move", move);
	json_set_str(rec, "step", words[how]);
	return rec;
}

struct registry *decide_ready(const char *move, enum decided how)
{
	AUTO_JSON struct json *rec = record(move, how);
	struct registry *r = NULL;
	char key[KEY_ROOM];

	if (open_shared(&r))
		return NULL;
	registry_stage(r, key_of(key, move), rec, NULL); /* what could not be done now is done then */
	return r;
}

enum decided decide_in(struct registry *r, const char *move, enum decided how)
{
	const struct registry_version absent = { "" };
	AUTO_JSON struct json *rec = record(move, how);
	char key[KEY_ROOM];

	if (!r)
		return DECIDED_UNKNOWN;
	int rc = registry_put(r, key_of(key, move), rec, &absent, NULL);
	return rc < 0 ? DECIDED_UNKNOWN : rc ? look(r, key) : how;
}

enum decided decide(const char *move, enum decided how)
{
	AUTO_REGISTRY struct registry *r = NULL;

	return open_shared(&r) ? DECIDED_UNKNOWN : decide_in(r, move, how);
}

enum decided decided(const char *move)
{
	AUTO_REGISTRY struct registry *r = NULL;
	char key[KEY_ROOM];

	return open_shared(&r) ? DECIDED_UNKNOWN : look(r, key_of(key, move));
}

void decide_forget(const char *move)
{
	AUTO_REGISTRY struct registry *r = NULL;
	char key[KEY_ROOM];

	if (!open_shared(&r))
		registry_remove(r, key_of(key, move), NULL, NULL);
}
