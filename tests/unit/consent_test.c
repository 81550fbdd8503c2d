/* SPDX-License-Identifier: MIT */
/* The owner's rules, one after another. */
#include "lib/discover/consent.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/discover/grant.h"
#include "tests/unit/tap.h"

static struct err e;

static struct json *parse(const char *text)
{
	return json_parse(text, strlen(text), NULL);
}

/* What is said with these rules to edge1; "" for yes. */
static const char *answer(const char *rules, struct consent_facts f)
{
	AUTO_JSON struct json *policy = parse(rules);

	e = (struct err){ 0 };
	return consent_decide(policy, &f, "edge1", &e) ? e.text : "";
}

static void test_rules(void)
{
	const struct consent_facts calm = { .load = 0.2, .processes = 100, .battery = NAN };
	struct consent_facts f = calm;

	is_str(answer("{}", calm), "", "without rules a node comes");
	is_str(answer("{\"free\":false}", calm), "it is not free", "one that is not free does not");
	is_int(e.code, EX_UNAVAILABLE, "... now");
	is_str(answer("{\"inviters\":[\"edge9\",\"edge1\"]}", calm), "", "a named inviter may");
	is_str(answer("{\"inviters\":[\"edge9\"]}", calm), "its owner lets others invite it, not edge1", "another may not");
	is_int(e.code, EX_NOPERM, "... ever");
	f.load = 0.8;
	is_str(answer("{\"load_max\":0.8}", f), "its load is 0.80 for each core, and 0.80 is too much", "load");
	is_str(answer("{\"load_max\":0.81}", f), "", "... just not too much");
	is_str(answer("{\"processes_max\":100}", f), "it has 100 processes, and 100 are too many", "processes");
	f = calm;
	f.battery = 0.29;
	is_str(answer("{\"battery_min\":0.3}", f), "its battery is at 29 %, and less than 30 % is too little", "battery");
	is_str(answer("{\"battery_min\":0.3}", calm), "", "... which does not count on mains");
	f = calm;
	f.load = f.processes = NAN;
	is_str(answer("{\"load_max\":0.1,\"processes_max\":1}", f), "", "what is not known is no reason");
	f = calm;
	snprintf(f.member, sizeof(f.member), "edge7");
	is_str(answer("{}", f), "it is a member already: edge7 has invited it", "a member elsewhere");
	is_str(answer("{\"shared\":true}", f), "", "... may be shared");
	f = (struct consent_facts){ .load = 9, .processes = 1e6, .battery = 0, .renewal = true };
	is_str(answer("{\"load_max\":1,\"processes_max\":1,\"battery_min\":1}", f), "", "what a member does for us is no reason against it");
	is_str(answer("{\"free\":false}", f), "it is not free", "... but its owner's no is");
}

/* What is wrong with node.json; "" if nothing. */
static const char *policy_of(const char *text)
{
	file_mkdirs(file_path("/etc/edge"), 0755, NULL);
	file_write(file_path("/etc/edge/node.json"), text, strlen(text), 0644, NULL);
	e = (struct err){ 0 };
	AUTO_JSON struct json *p = consent_policy(&e);
	return p ? "" : e.text;
}

static void test_reading(void)
{
	is_str(policy_of("{\"name\":\"x\"}"), "", "no rules are no rules");
	is_str(policy_of("{\"policy\":{\"free\":true,\"shared\":false,\"inviters\":[\"a\"],\"verbs\":[\"probe\"],\"load_max\":1,"
			 "\"processes_max\":1,\"battery_min\":0.5,\"lease_s\":1,\"quota\":{\"cpu\":1}}}"),
	       "", "all of them");
	is_str(policy_of("{\"policy\":{\"fre\":false}}"), "its policy: fre: no such rule", "one that there is not");
	is_str(policy_of("{\"policy\":[]}"), "its policy: not an object", "rules that are none");
	is_str(policy_of("{\"policy\":{\"free\":\"no\"}}"), "its policy: free: not true or false", "yes and no are no words");
	is_str(policy_of("{\"policy\":{\"load_max\":\"0.5\"}}"), "its policy: load_max: not a number", "nor are numbers");
	is_str(policy_of("{\"policy\":{\"inviters\":\"edge1\"}}"), "its policy: inviters: not a list", "a name is no list");
	is_str(policy_of("{\"policy\":{\"quota\":2}}"), "its policy: quota: not an object", "a number is no quota");
	is_str(policy_of("{\"policy\":{\"verbs\":[\"probe\",\"fly\"]}}"), "its policy: verb fly: not known", "a verb that there is not");
	ok(*policy_of("{\"policy\":"), "what cannot be read is not taken for no rules");
}

static void test_verbs(void)
{
	AUTO_JSON struct json *some = parse("{\"verbs\":[\"probe\",\"run\"]}"), *none = parse("{}");
	unsigned got = 0;

	consent_verbs(some, GRANT_GUEST, &got, &e);
	ok(got == (GRANT_PROBE | GRANT_RUN), "of all verbs those that the owner lists");
	consent_verbs(some, GRANT_PROBE | GRANT_STOP, &got, &e);
	ok(got == GRANT_PROBE, "of some as well");
	consent_verbs(none, GRANT_GUEST, &got, &e);
	ok(got == GRANT_GUEST, "all when there is no list");
}

static void put(const char *path, const char *text)
{
	char dir[PATH_MAX];

	snprintf(dir, sizeof(dir), "%s", file_path("%s", path));
	*strrchr(dir, '/') = '\0';
	file_mkdirs(dir, 0755, NULL);
	file_write(file_path("%s", path), text, strlen(text), 0644, NULL);
}

static void test_facts(void)
{
	struct consent_facts f;

	consent_facts(&f, "edge1");
	ok(f.load >= 0 && f.processes >= 1 && isnan(f.battery) && !*f.member && !f.renewal, "how things are here");
	put("/sys/class/power_supply/BAT0/capacity", "40\n");
	put("/sys/class/power_supply/BAT1/capacity", "20\n");
	put("/sys/class/power_supply/AC/online", "0\n");
	consent_facts(&f, "edge1");
	ok(fabs(f.battery - 0.2) < 1e-9, "of two batteries the emptier one");
	put("/sys/class/power_supply/AC/online", "1\n");
	consent_facts(&f, "edge1");
	ok(isnan(f.battery), "on mains there is none");
	put("/var/lib/edge/grants/edge1.json", "{\"name\":\"edge1\",\"key\":\"k\",\"since\":\"2026-01-01T00:00:00Z\"}");
	put("/var/lib/edge/grants/edge2.json",
	    "{\"name\":\"edge2\",\"key\":\"k\",\"since\":\"2026-01-01T00:00:00Z\",\"until\":\"2026-01-02T00:00:00Z\"}");
	consent_facts(&f, "edge1");
	ok(f.renewal && !*f.member, "an inviter that has it is known, one whose time is over is not");
	consent_facts(&f, "edge3");
	ok(!f.renewal && !strcmp(f.member, "edge1"), "for another one it is a member elsewhere");
}

int main(void)
{
	char top[] = "/tmp/consent_test.XXXXXX";

	if (!mkdtemp(top))
		return 70;
	setenv("EDGE_ROOT", top, 1);
	test_rules();
	test_reading();
	test_verbs();
	test_facts();
	file_remove_tree(top, NULL);
	return done();
}
