/* SPDX-License-Identifier: MIT */
#include "lib/discover/consent.h"

#include <ctype.h>
#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/discover/grant.h"

static const struct {
	const char *name, *type;
} rules[] = {
	{ "free", "true or false" },    { "shared", "true or false" }, { "inviters", "a list" },
	{ "verbs", "a list" },          { "load_max", "a number" },    { "processes_max", "a number" },
	{ "battery_min", "a number" },  { "lease_s", "a number" },     { "quota", "an object" },
};

static bool of_type(const struct json *policy, const char *rule, const char *type)
{
	AUTO_JSON struct json *v = json_get(policy, rule);

	if (!strcmp(type, "true or false"))
		return json_bool(policy, rule, true) == json_bool(policy, rule, false);
	if (!strcmp(type, "a number"))
		return json_num(policy, rule, -1) >= 0;
	if (!strcmp(type, "an object"))
		return json_is_object(v);
	return json_len(v, NULL) > 0 && !json_is_object(v);
}

/* A rule that is not understood is not to open the node. */
static int check_rule(const struct json *policy, const char *name, struct err *e)
{
	for (size_t k = 0; k < sizeof(rules) / sizeof(*rules); k++)
		if (!strcmp(name, rules[k].name))
			return of_type(policy, name, rules[k].type) ?
				       0 :
				       err_set(e, EX_DATAERR, "its policy: %s: not %s", name, rules[k].type);
	return err_set(e, EX_DATAERR, "its policy: %s: no such rule", name);
}

struct json *consent_policy(struct err *e)
{
	const char *path = file_path("/etc/edge/node.json");
	AUTO_JSON struct json *own = access(path, F_OK) ? json_object() : json_read_file(path, e);
	AUTO_JSON struct json *policy = own ? json_get(own, "policy") : NULL, *keys = NULL;
	unsigned verbs;

	if (!own) {
		err_wrap(e, "its policy");
		return NULL;
	}
	if (!policy)
		return json_object();
	if (!json_is_object(policy)) {
		err_set(e, EX_DATAERR, "its policy: not an object");
		return NULL;
	}
	keys = json_keys(policy);
	for (size_t i = 0; i < json_len(keys, NULL); i++) {
		AUTO_JSON struct json *key = json_at(keys, i);

		if (check_rule(policy, json_value(key), e))
			return NULL;
	}
	if (consent_verbs(policy, 0, &verbs, e))
		return NULL;
	return TAKE_PTR(policy);
}

/* ---- how things are ---- */

static double number_in(const char *path)
{
	AUTO_FILE FILE *f = fopen(path, "re");
	double v;

	return f && fscanf(f, "%lf", &v) == 1 ? v : NAN;
}

static double count_processes(void)
{
	DIR *d = opendir("/proc");
	double n = 0;

	while (d) {
		const struct dirent *entry = readdir(d);

		if (!entry)
			break;
		n += isdigit((unsigned char)entry->d_name[0]) != 0;
	}
	if (d)
		closedir(d);
	return d ? n : NAN;
}

/* The charge of the emptiest battery while there is no mains. */
static double on_battery(void)
{
	static const char *const root = "/sys/class/power_supply";
	DIR *d = opendir(file_path("%s", root));
	double charge = NAN, mains = 0;

	while (d) {
		const struct dirent *entry = readdir(d);

		if (!entry)
			break;
		if (entry->d_name[0] == '.')
			continue;
		charge = fmin(charge, number_in(file_path("%s/%s/capacity", root, entry->d_name)));
		mains = fmax(mains, number_in(file_path("%s/%s/online", root, entry->d_name)));
	}
	if (d)
		closedir(d);
	return mains > 0 ? NAN : charge / 100;
}

void consent_facts(struct consent_facts *f, const char *inviter)
{
	AUTO_JSON struct json *all = grant_list(NULL);
	time_t now = time(NULL);

	*f = (struct consent_facts){
		.load = number_in("/proc/loadavg") / (double)sysconf(_SC_NPROCESSORS_ONLN),
		.processes = count_processes(),
		.battery = on_battery(),
	};
	for (size_t i = 0; all && i < json_len(all, NULL); i++) {
		AUTO_JSON struct json *one = json_at(all, i);
		const char *name = json_str(one, "name");

		if (!name || !grant_joined(one, now))
			continue;
		if (!strcmp(name, inviter))
			f->renewal = true;
		else
			snprintf(f->member, sizeof(f->member), "%.63s", name);
	}
}

/* ---- the decision ---- */

static bool listed(const struct json *policy, const char *inviter)
{
	AUTO_JSON struct json *list = json_get(policy, "inviters");

	for (size_t i = 0; list && i < json_len(list, NULL); i++) {
		AUTO_JSON struct json *one = json_at(list, i);

		if (json_value(one) && !strcmp(json_value(one), inviter))
			return true;
	}
	return !list;
}

int consent_decide(const struct json *policy, const struct consent_facts *f, const char *inviter, struct err *e)
{
	double load_max = json_num(policy, "load_max", NAN), processes_max = json_num(policy, "processes_max", NAN);
	double battery_min = json_num(policy, "battery_min", NAN);

	if (!listed(policy, inviter))
		return err_set(e, EX_NOPERM, "its owner lets others invite it, not %s", inviter);
	if (!json_bool(policy, "free", true))
		return err_set(e, EX_UNAVAILABLE, "it is not free");
	if (*f->member && !json_bool(policy, "shared", false))
		return err_set(e, EX_UNAVAILABLE, "it is a member already: %s has invited it", f->member);
	if (f->renewal)
		return 0;
	if (f->load >= load_max)
		return err_set(e, EX_UNAVAILABLE, "its load is %.2f for each core, and %.2f is too much", f->load, load_max);
	if (f->processes >= processes_max)
		return err_set(e, EX_UNAVAILABLE, "it has %.0f processes, and %.0f are too many", f->processes, processes_max);
	if (f->battery < battery_min)
		return err_set(e, EX_UNAVAILABLE, "its battery is at %.0f %%, and less than %.0f %% is too little",
			       f->battery * 100, battery_min * 100);
	return 0;
}

int consent_verbs(const struct json *policy, unsigned asked, unsigned *granted, struct err *e)
{
	AUTO_JSON struct json *list = json_get(policy, "verbs");
	unsigned all = GRANT_GUEST;

	if (list && grant_verbs(list, &all, e))
		return err_wrap(e, "its policy");
	*granted = asked & all;
	return 0;
}
