/* SPDX-License-Identifier: MIT */
#include "lib/discover/trust.h"

#include <string.h>
#include <sys/stat.h>

#include "lib/base/base64.h"
#include "lib/base/digest.h"
#include "lib/base/file.h"
#include "lib/base/proc.h"
#include "lib/base/ssh.h"
#include "lib/discover/node.h"
#include "lib/discover/pubkey.h"

#define KEYGEN_MS 20000
#define LOCK_MS 10000

/* ---- our own keys ---- */

/* The file beside the private key may be missing, or another's. */
static int public_of(const char *path, struct pubkey *k, struct err *e)
{
	const char *const tell[] = { "ssh-keygen", "-y", "-P", "", "-f", path, NULL };
	AUTO_FREE char *text = NULL;

	return proc_run(tell, &text, KEYGEN_MS, e) || pubkey_parse(k, text, e) ? err_wrap(e, "key %s", path) : 0;
}

/* One of ~/.ssh that ssh.h would use, too: without a passphrase. */
static bool own_of_home(struct pubkey *k)
{
	static const char *const names[] = { "id_ed25519", "id_ecdsa", "id_rsa" };

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (!access(ssh_home_file(names[i]), R_OK) && !public_of(ssh_home_file(names[i]), k, NULL))
			return true;
	return false;
}

char *trust_own_key(struct err *e)
{
	const char *path = ssh_own_file("EDGE_IDENTITY", "/etc/edge/key");
	struct pubkey k;

	if (!path && own_of_home(&k))
		return strdup(k.text);
	if (!path) {
		path = file_path("/etc/edge/key");
		const char *const make[] = { "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", node_self(), "-f", path, NULL };
		if (file_mkdirs(file_path("/etc/edge"), 0700, e) || proc_run(make, NULL, KEYGEN_MS, e))
			return NULL;
	}
	return public_of(path, &k, e) ? NULL : strdup(k.text);
}

struct json *trust_host_keys(void)
{
	static const char *const usual[] = { "/etc/ssh/ssh_host_ed25519_key.pub", "/etc/ssh/ssh_host_ecdsa_key.pub",
					     "/etc/ssh/ssh_host_rsa_key.pub" };
	const char *own = node_setting("host_key");
	struct json *keys = json_array();
	struct pubkey k;

	if (own && !pubkey_read(&k, own, NULL))
		json_add(keys, json_string(k.text));
	for (size_t i = 0; !own && i < sizeof(usual) / sizeof(*usual); i++)
		if (!pubkey_read(&k, usual[i], NULL))
			json_add(keys, json_string(k.text));
	return keys;
}

/* ---- files of lines ---- */

/* The lines that keep(ctx, line) wants, and `more` behind them (each with its newline). Others may write the file, too, but
 * none sees half of it. */
static int rewrite(const char *path, mode_t mode, bool (*keep)(void *, const char *), void *ctx, const char *more, struct err *e)
{
	AUTO_FREE char *old = NULL, *text = NULL;
	size_t len = 0;
	struct stat st;
	char real[PATH_MAX];

	if (realpath(path, real)) /* a link stays one */
		path = real;
	if (!stat(path, &st)) {
		mode = st.st_mode & 07777;
		if (!(old = file_slurp(path, NULL, e)))
			return -1;
	}
	AUTO_FILE FILE *f = open_memstream(&text, &len);
	if (!f)
		return err_sys(e, "%s", path);
	for (char *line = old, *end; line && *line; line = end) {
		end = line + strcspn(line, "\n");
		bool last = !*end;
		*end = '\0';
		if (keep(ctx, line))
			fprintf(f, "%s\n", line);
		end += !last;
	}
	fputs(more, f);
	if (fflush(f))
		return err_sys(e, "%s", path);
	return old && !strcmp(old, text) && strlen(old) == len ? 0 : file_write(path, text, len, mode, e);
}

static int lock(struct err *e)
{
	return file_lock_wait("trust", LOCK_MS, e);
}

/* ---- authorized_keys ---- */

struct door {
	const char *name, *blob;
	bool free_already;
};

static bool keep_key(void *ctx, const char *line)
{
	struct door *d = ctx;
	char ours[128];

	snprintf(ours, sizeof(ours), "restrict,command=\"edge-serve --as %s\" ", d->name);
	if (!strncmp(line, ours, strlen(ours)))
		return false;
	if (d->blob && line[strspn(line, " \t")] != '#' && strstr(line, d->blob) && !strstr(line, "command=\"edge-serve --as "))
		d->free_already = true;
	return true;
}

static const char *authorized_keys(struct err *e)
{
	const char *own = node_setting("authorized_keys");
	static _Thread_local char path[PATH_MAX];

	if (own)
		return own;
	snprintf(path, sizeof(path), "%s", ssh_home_file("."));
	if (file_mkdirs(path, 0700, e))
		return NULL;
	snprintf(path, sizeof(path), "%s", ssh_home_file("authorized_keys"));
	return path;
}

int trust_authorize(const char *name, const char *key, bool *free_already, struct err *e)
{
	AUTO_FD int held = lock(e);
	const char *path = held < 0 ? NULL : authorized_keys(e);
	struct door d = { .name = name, .blob = strchr(key, ' ') };
	char line[2400];

	if (!path)
		return -1;
	if (!pubkey_name_valid(name) || !d.blob)
		return err_set(e, EX_DATAERR, "%s: not the name of a node with its key", name);
	d.blob++;
	snprintf(line, sizeof(line), "restrict,command=\"edge-serve --as %s\" %s %s\n", name, key, name);
	if (rewrite(path, 0600, keep_key, &d, line, e))
		return -1;
	if (free_already)
		*free_already = d.free_already;
	return 0;
}

int trust_bar(const char *name, struct err *e)
{
	AUTO_FD int held = lock(e);
	const char *path = held < 0 ? NULL : authorized_keys(e);
	struct door d = { .name = name };

	return path ? rewrite(path, 0600, keep_key, &d, "", e) : -1;
}

/* ---- known_hosts ---- */

struct host {
	const char *name;
	const struct json *keys;
	bool *there; /* [keys]: the file has it */
	bool other;  /* it has another one of the same type */
};

/* "|1|SALT|HASH": HMAC-SHA1 of the name, as ssh-keygen -H makes it. */
static bool hash_names(const char *line, const char *host)
{
	char salt64[64], hash64[64];
	uint8_t own[DIGEST_SHA1_BYTES];
	size_t salt_len = 0, len = 0;

	if (sscanf(line, "|1|%63[^|]|%63[^ \t]", salt64, hash64) != 2)
		return false;
	AUTO_FREE char *salt = base64_decode(salt64, &salt_len), *hash = base64_decode(hash64, &len);
	if (!salt || !hash || len != sizeof(own))
		return false;
	digest_hmac_sha1(salt, salt_len, host, strlen(host), own);
	return !memcmp(own, hash, len);
}

static bool names(const char *line, const char *host)
{
	size_t n = strlen(host), end = strcspn(line, " \t");

	if (*line == '|')
		return hash_names(line, host);
	for (const char *p = line; p < line + end; p += strcspn(p, ", \t") + 1)
		if (strcspn(p, ", \t") == n && !strncmp(p, host, n))
			return true;
	return false;
}

static bool look_at_host(void *ctx, const char *line)
{
	struct host *h = ctx;
	const char *key = line + strcspn(line, " \t");
	struct pubkey k;

	if (*line == '#' || *line == '@' || !names(line, h->name) || pubkey_parse(&k, key + strspn(key, " \t"), NULL))
		return true;
	for (size_t i = 0; i < json_len(h->keys, NULL); i++) {
		AUTO_JSON struct json *mine = json_at(h->keys, i);
		const char *text = json_value(mine);

		if (!strcmp(text, k.text))
			h->there[i] = true;
		else if (!strncmp(text, k.text, strcspn(k.text, " ") + 1))
			h->other = true;
	}
	return true;
}

static const char *known_hosts(struct err *e)
{
	const char *path = ssh_own_file("EDGE_KNOWN_HOSTS", "/etc/edge/known_hosts");

	if (path)
		return path;
	if (!access(ssh_home_file("known_hosts"), F_OK))
		return ssh_home_file("known_hosts");
	return file_mkdirs(file_path("/etc/edge"), 0700, e) ? NULL : file_path("/etc/edge/known_hosts");
}

int trust_pin(const char *host, int port, const struct json *keys, struct err *e)
{
	AUTO_FD int held = lock(e);
	const char *path = held < 0 ? NULL : known_hosts(e);
	size_t n = json_len(keys, NULL), len = 0;
	AUTO_FREE bool *there = calloc(n + 1, sizeof(*there));
	AUTO_FREE char *more = NULL;
	char name[300];
	struct pubkey k;

	if (!path)
		return -1;
	if (!there || !*host || strlen(host) > 255 || strpbrk(host, " \t\r\n,*?!#@|[]"))
		return err_set(e, EX_DATAERR, "%.40s: not the address of a host", host);
	snprintf(name, sizeof(name), port == 22 ? "%s" : "[%s]:%d", host, port);
	struct host h = { .name = name, .keys = keys, .there = there };
	for (size_t i = 0; i < n; i++) {
		AUTO_JSON struct json *key = json_at(keys, i);
		if (!json_value(key) || pubkey_parse(&k, json_value(key), e))
			return err_set(e, EX_DATAERR, "host key of %s: not a public key", host);
	}
	/* for names that are hashed */
	if (!access(path, F_OK) && (digest_load(e) || rewrite(path, 0644, look_at_host, &h, "", e)))
		return -1;
	if (h.other)
		return err_set(e, EX_NOPERM, "host key of %s is known already, and is another: see %s", name, path);
	AUTO_FILE FILE *f = open_memstream(&more, &len);
	for (size_t i = 0; f && i < n; i++) {
		AUTO_JSON struct json *key = json_at(keys, i);
		if (!there[i])
			fprintf(f, "%s %s\n", name, json_value(key));
	}
	if (!f || fflush(f))
		return err_sys(e, "%s", path);
	return *more ? rewrite(path, 0644, look_at_host, &h, more, e) : 0;
}
