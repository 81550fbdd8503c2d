/* SPDX-License-Identifier: MIT */
/* Tickets, public keys, and the files that say whom to trust. */
#include "lib/discover/ticket.h"

#include <stdlib.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/discover/grant.h"
#include "lib/discover/pubkey.h"
#include "lib/discover/trust.h"
#include "tests/unit/tap.h"

#define KEY_A "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
#define KEY_B "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB8eHRwbGhkYFxYVFBMSERAPDg0MCwoJCAcGBQQDAgEA"

static char top[] = "/tmp/ticket_test.XXXXXX";
static struct err e;

static struct json *grant_of(const char *name, const char *key)
{
	struct json *g = json_object();

	json_set_str(g, "name", name);
	json_set_str(g, "key", key);
	json_set_str(g, "accept", "once");
	return g;
}

static const char *check(const struct json *token, const struct json *grant, time_t now)
{
	e = (struct err){ 0 };
	return ticket_check(token, grant, now, &e) ? e.text : "";
}

/* The ticket with one character of a member changed. */
static const char *altered(const struct json *ticket, const char *member, const struct json *grant)
{
	AUTO_JSON struct json *t = json_copy(ticket);
	AUTO_FREE char *text = strdup(json_str(ticket, member));
	size_t last = strlen(text) - 1;

	if (!strcmp(member, "expires"))
		last = 3; /* the year's last digit */
	text[last] = text[last] == '9' ? '8' : '9';
	json_set_str(t, member, text);
	return check(t, grant, time(NULL));
}

static void test_tokens(void)
{
	static const char foreign[] = "token: not one of this node for this inviter";
	AUTO_JSON struct json *a = grant_of("edge1", KEY_A), *b = grant_of("edge2", KEY_B), *t = ticket_issue(a, 60, &e);
	time_t now = time(NULL);

	is_str(check(t, a, now), "", "a ticket is good");
	is_str(check(t, b, now), foreign, "... for its inviter only");
	is_str(altered(t, "token", a), foreign, "an altered token is not");
	is_str(altered(t, "nonce", a), foreign, "nor one of another ticket");
	is_str(altered(t, "expires", a), foreign, "nor one that was made to last");
	ok(!strncmp(check(t, a, now + 60), "token: expired at 20", 20), "nor one that has expired");
	ticket_burn(a, t, now);
	is_str(check(t, a, now), "token: used already", "nor a second time");
	AUTO_JSON struct json *more = ticket_issue(a, 60, &e);
	is_str(check(more, a, now), "", "another ticket is another one");
	ticket_burn(a, more, now + 100);
	is_int((long long)json_len(a, "used"), 1, "those that have expired need not be remembered");
	AUTO_JSON struct json *half = json_object();
	is_str(check(half, a, now), "token: not whole", "half a token");
	json_set_str(half, "nonce", "../../etc");
	json_set_str(half, "expires", "x");
	json_set_str(half, "token", "");
	is_str(check(half, a, now), foreign, "nonsense");
	setenv("EDGE_ROOT", file_path("/other"), 1);
	file_mkdirs(file_path("/etc/edge"), 0755, NULL);
	is_str(check(more, a, now), foreign, "another node");
	setenv("EDGE_ROOT", top, 1);
	AUTO_JSON struct json *open = ticket_issue(a, 0, &e);
	ok(open && !json_has(open, "token") && json_str(open, "inviter"), "a ticket without a token has none");
}

static const char *key(const char *line)
{
	static struct pubkey k;

	e = (struct err){ 0 };
	return pubkey_parse(&k, line, &e) ? "no" : k.name;
}

static void test_keys(void)
{
	is_str(key(KEY_A " edge1\n"), "edge1", "a public key and its name");
	is_str(key(KEY_A " root@edge1"), "edge1", "the host of a user");
	is_str(key(KEY_A), "", "a key without a name");
	is_str(key(KEY_A " $(id)"), "", "what cannot be a node's name is none");
	is_str(key(KEY_A " x\n" KEY_B " y\n"), "no", "two keys");
	is_str(key("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\n"), "no", "a private key");
	is_str(key("ssh-ed25519 AAAA edge1"), "no", "half a key");
	is_str(key("ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f x"), "no", "of another type than it says");
	is_str(key("command=\"sh\" " KEY_A), "no", "with options");
	is_str(key(""), "no", "nothing");
	ok(!pubkey_name_valid("-x") && !pubkey_name_valid(".x") && !pubkey_name_valid("a b") && !pubkey_name_valid("a/b") &&
		   !pubkey_name_valid("") && pubkey_name_valid("edge-1.lab_2"), "names of nodes");
}

static const char *file(const char *path)
{
	static char *text;

	free(text);
	text = file_slurp(path, NULL, NULL);
	return text ? text : "";
}

static void test_files(void)
{
	AUTO_JSON struct json *keys = json_array(), *others = json_array();
	char keys_file[PATH_MAX], hosts[PATH_MAX], settings[PATH_MAX + 64];
	bool already = false;

	snprintf(keys_file, sizeof(keys_file), "%s", file_path("/keys"));
	snprintf(hosts, sizeof(hosts), "%s", file_path("/etc/edge/known_hosts"));
	snprintf(settings, sizeof(settings), "{\"name\":\"edge9\",\"authorized_keys\":\"%s\"}", keys_file);
	file_write(file_path("/etc/edge/node.json"), settings, strlen(settings), 0644, NULL);
	file_write(keys_file, "# mine\n" KEY_B " me", strlen("# mine\n" KEY_B " me"), 0600, NULL);
	setenv("EDGE_ROOT", file_path("/."), 1); /* settings are read anew */
	is_int(trust_authorize("edge1", KEY_A, &already, &e), 0, "a key is let in");
	ok(!already, "... that was not");
	trust_authorize("edge1", KEY_A, &already, &e);
	is_str(file(keys_file), "# mine\n" KEY_B " me\nrestrict,command=\"edge-serve --as edge1\" " KEY_A " edge1\n",
	       "once, for one command, and what others wrote stays");
	trust_authorize("edge2", KEY_B, &already, &e);
	ok(already, "a key that another line lets in is found");
	trust_bar("edge2", &e);
	trust_bar("edge1", &e);
	is_str(file(keys_file), "# mine\n" KEY_B " me\n", "it is barred again");
	is_int(trust_authorize("a b", KEY_A, NULL, &e), -1, "a name that would be two words is refused");

	json_add(keys, json_string(KEY_A));
	json_add(others, json_string(KEY_B));
	file_write(hosts, "", 0, 0644, NULL);
	is_int(trust_pin("10.0.0.1", 22, keys, &e) | trust_pin("10.0.0.1", 22, keys, &e) | trust_pin("10.0.0.1", 2222, keys, &e), 0,
	       "host keys are believed");
	is_str(file(hosts), "10.0.0.1 " KEY_A "\n[10.0.0.1]:2222 " KEY_A "\n", "once for each port");
	is_int(trust_pin("10.0.0.1", 22, others, &e), -1, "another one is not");
	is_int(e.code, EX_NOPERM, "... which is forbidden");
	is_int(trust_pin("10.0.0.1 evil", 22, others, &e) | trust_pin("*", 22, others, &e), -1, "nor for what is no address");
	/* "10.0.0.2", as ssh-keygen -H writes it */
	static const char hashed[] = "|1|AAECAwQFBgcICQoLDA0ODxAREhM=|lC0ezL4dUby9C5ljwLPRvi+D6f4= " KEY_A "\n";
	file_write(hosts, hashed, sizeof(hashed) - 1, 0644, NULL);
	is_int(trust_pin("10.0.0.2", 22, others, &e), -1, "a host whose name is hashed is known, too");
	is_int(trust_pin("10.0.0.2", 22, keys, &e), 0, "... and its own key is no other one");
	is_str(file(hosts), hashed, "... and not written twice");
}

int main(void)
{
	if (!mkdtemp(top))
		return 70;
	setenv("EDGE_ROOT", top, 1);
	file_mkdirs(file_path("/etc/edge"), 0755, NULL);
	test_tokens();
	test_keys();
	test_files();
	file_remove_tree(top, NULL);
	return done();
}
