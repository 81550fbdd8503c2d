/* SPDX-License-Identifier: MIT */
#include "lib/discover/ticket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/digest.h"
#include "lib/base/file.h"
#include "lib/base/random.h"
#include "lib/discover/node.h"
#include "lib/discover/trust.h"

#define SECRET_BYTES 32
#define NONCE_BYTES 16
#define USED_MAX 1000

/* This node's own; made at the first need. */
static int secret(unsigned char key[SECRET_BYTES], struct err *e)
{
	const char *path = file_path("/var/lib/edge/grants/.secret");
	AUTO_FREE char *text = NULL;
	size_t len = 0;

	if (file_mkdir_private(file_path("/var/lib/edge/grants"), e))
		return -1;
	if (access(path, F_OK) && errno == ENOENT) {
		if (getrandom(key, SECRET_BYTES, 0) != SECRET_BYTES)
			return err_sys(e, "no random numbers");
		return file_write(path, key, SECRET_BYTES, 0600, e);
	}
	if (!(text = file_slurp(path, &len, e)))
		return -1;
	if (len != SECRET_BYTES)
		return err_set(e, EX_DATAERR, "%s: damaged", path);
	memcpy(key, text, SECRET_BYTES);
	return 0;
}

/* The parts are joined by newlines, which none of them can contain. */
static int token_make(char token[65], const char *key, const char *nonce, const char *expires, struct err *e)
{
	uint8_t own[SECRET_BYTES], mac[DIGEST_BYTES];
	AUTO_FREE char *text = NULL;
	int n;

	if (digest_load(e) || secret(own, e))
		return -1;
	n = asprintf(&text, "edge-ticket 1\n%s\n%s\n%s\n%s\n", node_self(), key, nonce, expires);
	if (n < 0)
		return err_set(e, EX_OSERR, "out of memory");
	digest_hmac(own, sizeof(own), text, (size_t)n, mac);
	explicit_bzero(own, sizeof(own));
	digest_hex(mac, token);
	return 0;
}

/* How it is reached: by its settings, else as whoever has logged in to say this has reached it. */
static void set_way(struct json *t)
{
	AUTO_JSON struct json *self = node_describe();
	const char *from = getenv("SSH_CONNECTION");
	char addr[64] = "";
	int port = 22;

	json_set_str(t, "addr", json_str(self, "addr"));
	json_set(t, "port", json_get(self, "port"));
	json_set_str(t, "user", json_str(self, "user"));
	if (json_str(self, "addr") || !from || sscanf(from, "%*s %*s %63s %d", addr, &port) != 2)
		return;
	json_set_str(t, "addr", addr);
	json_set_num(t, "port", port);
}

struct json *ticket_issue(const struct json *grant, long seconds, struct err *e)
{
	AUTO_JSON struct json *t = json_object();
	char nonce[2 * NONCE_BYTES + 1], expires[32], token[65];

	json_set_str(t, "kind", "ticket");
	json_set_str(t, "node", node_self());
	set_way(t);
	json_set(t, "host_keys", trust_host_keys());
	json_set_str(t, "inviter", json_str(grant, "name"));
	if (!seconds)
		return TAKE_PTR(t);
	if (random_hex(nonce, NONCE_BYTES, e))
		return NULL;
	clock_rfc3339_at(time(NULL) + seconds, expires);
	if (token_make(token, json_str(grant, "key"), nonce, expires, e))
		return NULL;
	json_set_str(t, "nonce", nonce);
	json_set_str(t, "expires", expires);
	json_set_str(t, "token", token);
	return TAKE_PTR(t);
}

static bool is_used(const struct json *grant, const char *nonce)
{
	AUTO_JSON struct json *used = json_get(grant, "used");

	for (size_t i = 0; used && i < json_len(used, NULL); i++) {
		AUTO_JSON struct json *one = json_at(used, i);

		if (json_str(one, "nonce") && !strcmp(json_str(one, "nonce"), nonce))
			return true;
	}
	return false;
}

int ticket_check(const struct json *token, const struct json *grant, time_t now, struct err *e)
{
	const char *nonce = json_str(token, "nonce"), *expires = json_str(token, "expires"), *given = json_str(token, "token");
	AUTO_JSON struct json *used = json_get(grant, "used");
	char right[65];

	if (!nonce || !expires || !given)
		return err_set(e, EX_NOPERM, "token: not whole");
	/* before anything of it is looked at any closer; the lengths are no secret */
	if (strlen(nonce) != 2 * NONCE_BYTES || strspn(nonce, "0123456789abcdef") != 2 * NONCE_BYTES || strlen(expires) != 20)
		return err_set(e, EX_NOPERM, "token: not one of this node for this inviter");
	if (token_make(right, json_str(grant, "key"), nonce, expires, e))
		return -1;
	if (strlen(given) != 64 || !digest_same(given, right, 64))
		return err_set(e, EX_NOPERM, "token: not one of this node for this inviter");
	if (now >= clock_time(expires))
		return err_set(e, EX_NOPERM, "token: expired at %s", expires);
	if (is_used(grant, nonce))
		return err_set(e, EX_NOPERM, "token: used already");
	if (used && json_len(used, NULL) >= USED_MAX)
		return err_set(e, EX_NOPERM, "token: too many have been used");
	return 0;
}

void ticket_burn(struct json *grant, const struct json *token, time_t now)
{
	AUTO_JSON struct json *used = json_get(grant, "used"), *note = json_object();
	struct json *left = json_array();

	for (size_t i = 0; used && i < json_len(used, NULL); i++) {
		struct json *one = json_at(used, i);

		if (now < clock_time(json_str(one, "expires")))
			json_add(left, one);
		else
			json_free(one);
	}
	json_set_str(note, "nonce", json_str(token, "nonce"));
	json_set_str(note, "expires", json_str(token, "expires"));
	json_add(left, TAKE_PTR(note));
	json_set(grant, "used", left);
}

struct json *ticket_read(const char *path, struct err *e)
{
	bool std = !strcmp(path, "-");
	AUTO_FILE FILE *f = std ? NULL : fopen(path, "re");
	AUTO_FREE char *text = malloc(TICKET_MAX + 1);
	const char *name = std ? "stdin" : path, *kind;
	size_t n;

	if (!text || (!f && !std)) {
		err_sys(e, "ticket %s", name);
		return NULL;
	}
	n = fread(text, 1, TICKET_MAX + 1, std ? stdin : f);
	if (n > TICKET_MAX) {
		err_set(e, EX_DATAERR, "ticket %s: longer than %d bytes", name, TICKET_MAX);
		return NULL;
	}
	AUTO_JSON struct json *t = json_parse(text, n, e);
	if (!t) {
		err_wrap(e, "ticket %s", name);
		return NULL;
	}
	kind = json_is_object(t) ? json_str(t, "kind") : NULL;
	if (!kind || strcmp(kind, "ticket") || !json_str(t, "node") || !json_has(t, "host_keys")) {
		err_set(e, EX_DATAERR, "ticket %s: not one", name);
		return NULL;
	}
	return TAKE_PTR(t);
}
