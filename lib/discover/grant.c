/* SPDX-License-Identifier: MIT */
#include "lib/discover/grant.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/discover/node.h"
#include "lib/discover/pubkey.h"
#include "lib/discover/trust.h"

#define LOCK_MS 10000

static const char *const words[] = { "invite", "probe", "latency", "run", "stop", "checkpoint", "ship", "restore", "migrate" };

#define N_WORDS (sizeof(words) / sizeof(*words))

unsigned grant_verb(const char *word)
{
	for (size_t i = 1; i < N_WORDS; i++)
		if (!strcmp(word, words[i]))
			return 1u << i;
	return 0;
}

int grant_verbs(const struct json *list, unsigned *verbs, struct err *e)
{
	unsigned all = 0;

	for (size_t i = 0; i < json_len(list, NULL); i++) {
		AUTO_JSON struct json *word = json_at(list, i);
		unsigned one = json_value(word) ? grant_verb(json_value(word)) : 0;

		if (!one)
			return err_set(e, EX_DATAERR, "verb %s: not known", json_value(word) ? json_value(word) : "(no word)");
		all |= one;
	}
	*verbs = all;
	return 0;
}

struct json *grant_words(unsigned verbs)
{
	struct json *list = json_array();

	for (size_t i = 0; i < N_WORDS; i++)
		if (verbs & 1u << i)
			json_add(list, json_string(words[i]));
	return list;
}

/* ---- files ---- */

static const char *path_of(const char *name)
{
	return file_path("/var/lib/edge/grants/%s.json", name);
}

int grant_lock(struct err *e)
{
	return file_lock_wait("grants", LOCK_MS, e);
}

struct json *grant_load(const char *name, struct err *e)
{
	if (!pubkey_name_valid(name) || access(path_of(name), F_OK)) {
		err_set(e, EX_NOPERM, "%.63s: not known here", name);
		return NULL;
	}
	return json_read_file(path_of(name), e);
}

int grant_save(const struct json *grant, struct err *e)
{
	const char *name = json_str(grant, "name"), *key = json_str(grant, "key");

	if (!name || !key || !pubkey_name_valid(name))
		return err_set(e, EX_DATAERR, "grant without name or key");
	if (file_mkdir_private(file_path("/var/lib/edge/grants"), e))
		return -1;
	/* The file first: a key without one may do nothing. */
	if (json_write_file(grant, path_of(name), e))
		return -1;
	return grant_now(grant, time(NULL), NULL) ? trust_authorize(name, key, NULL, e) : trust_bar(name, e);
}

int grant_remove(const char *name, struct err *e)
{
	if (!pubkey_name_valid(name))
		return err_set(e, EX_NOPERM, "%.63s: not known here", name);
	if (unlink(path_of(name)) && errno != ENOENT)
		return err_sys(e, "%s", path_of(name));
	return trust_bar(name, e);
}

static int is_grant(const struct dirent *d)
{
	size_t n = strlen(d->d_name);

	return n > 5 && d->d_name[0] != '.' && !strcmp(d->d_name + n - 5, ".json");
}

struct json *grant_list(struct err *e)
{
	struct json *all = json_array();
	struct dirent **entries = NULL;
	int n = scandir(file_path("/var/lib/edge/grants"), &entries, is_grant, alphasort), failed = 0;

	for (int i = 0; i < n; i++) {
		struct json *one = json_read_file(file_path("/var/lib/edge/grants/%s", entries[i]->d_name), e);

		if (one)
			json_add(all, one);
		else
			failed++;
		free(entries[i]);
	}
	free(entries);
	if (!failed)
		return all;
	json_free(all);
	return NULL;
}

/* ---- what they say ---- */

bool grant_joined(const struct json *grant, time_t now)
{
	return json_str(grant, "since") && (!json_has(grant, "until") || now < clock_time(json_str(grant, "until")));
}

unsigned grant_now(const struct json *grant, time_t now, time_t *until)
{
	AUTO_JSON struct json *list = json_get(grant, "verbs");
	unsigned verbs = 0, all = 0;

	if (until)
		*until = json_str(grant, "since") ? clock_time(json_str(grant, "until")) : 0;
	if (grant_joined(grant, now) && list && !grant_verbs(list, &verbs, NULL))
		all |= verbs | GRANT_INVITE;
	if (json_has(grant, "accept") && (!json_has(grant, "accept_until") || now < clock_time(json_str(grant, "accept_until"))))
		all |= GRANT_INVITE;
	if (json_has(grant, "member"))
		all |= GRANT_RESTORE;
	/* Whom somebody else brought is only as welcome as that one. */
	if (json_str(grant, "by")) {
		AUTO_JSON struct json *host = grant_load(json_str(grant, "by"), NULL);

		all |= host && grant_joined(host, now) ? GRANT_RESTORE : 0;
	}
	return all;
}

const char *grant_fleet(const struct json *grant)
{
	static _Thread_local char fleet[256];
	AUTO_JSON struct json *host = json_str(grant, "by") ? grant_load(json_str(grant, "by"), NULL) : NULL;
	const char *own = json_str(host ? host : grant, "fleet");

	snprintf(fleet, sizeof(fleet), "%s", own ? own : "");
	return *fleet ? fleet : NULL;
}

/* What is left of it may do something, or has used tickets that must not be taken again. */
static int save_or_remove(struct json *grant, struct err *e)
{
	static const char *const kept[] = { "accept", "since", "member", "by", "used" };

	for (size_t i = 0; i < sizeof(kept) / sizeof(*kept); i++)
		if (json_has(grant, kept[i]))
			return grant_save(grant, e);
	return grant_remove(json_str(grant, "name"), e);
}

/* The others that it has brought. */
static int end_brought(const char *name, struct err *e)
{
	AUTO_JSON struct json *all = grant_list(e);

	for (size_t i = 0; all && i < json_len(all, NULL); i++) {
		AUTO_JSON struct json *one = json_at(all, i);

		if (!json_str(one, "by") || strcmp(json_str(one, "by"), name))
			continue;
		json_remove(one, "by");
		if (save_or_remove(one, e))
			return -1;
	}
	return all ? 0 : -1;
}

int grant_end(const char *name, bool guest, bool member, struct err *e)
{
	AUTO_JSON struct json *grant = grant_load(name, e);

	if (!grant)
		return -1;
	if (guest) {
		json_remove(grant, "fleet");
		json_remove(grant, "verbs");
		json_remove(grant, "since");
		json_remove(grant, "until");
	}
	if (member)
		json_remove(grant, "member");
	if (save_or_remove(grant, e))
		return -1;
	return guest ? end_brought(name, e) : 0;
}
