/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/base64.h"
#include "lib/base/file.h"
#include "lib/base/ssh_session.h"

/* States a preference, of those names in a list that this libssh2 has: it can leave out the others by itself,
 * but 1.10 does so with an overlapping memcpy. */
static void prefer(struct ssh *s, int method, const char *names)
{
	char prefs[512] = "";
	const char **has = NULL;
	int n_has = ssh2.session_supported_algs(s->session, method, &has);
	size_t n = 0;

	while (*names) {
		size_t len = strcspn(names, ",");

		for (int i = 0; i < n_has; i++)
			if (strlen(has[i]) == len && memcmp(has[i], names, len) == 0)
				n += (size_t)snprintf(prefs + n, sizeof(prefs) - n, "%s%s", n ? "," : "",
				                      has[i]);
		names += len + (names[len] == ',');
	}
	if (n_has > 0)
		ssh2.free(s->session, has);
	if (n > 0)
		ssh2.session_method_pref(s->session, method, prefs);
}

/* Host keys. */

static const struct key_type {
	int known, offered; /* libssh2's names for it in known_hosts and in a session */
	const char *name;
} key_types[] = {
	{ LIBSSH2_KNOWNHOST_KEY_ED25519, LIBSSH2_HOSTKEY_TYPE_ED25519, "ssh-ed25519" },
	{ LIBSSH2_KNOWNHOST_KEY_ECDSA_256, LIBSSH2_HOSTKEY_TYPE_ECDSA_256, "ecdsa-sha2-nistp256" },
	{ LIBSSH2_KNOWNHOST_KEY_ECDSA_384, LIBSSH2_HOSTKEY_TYPE_ECDSA_384, "ecdsa-sha2-nistp384" },
	{ LIBSSH2_KNOWNHOST_KEY_ECDSA_521, LIBSSH2_HOSTKEY_TYPE_ECDSA_521, "ecdsa-sha2-nistp521" },
	{ LIBSSH2_KNOWNHOST_KEY_SSHRSA, LIBSSH2_HOSTKEY_TYPE_RSA, "rsa-sha2-512,rsa-sha2-256,ssh-rsa" },
};

#define N_KEY_TYPES (sizeof(key_types) / sizeof(*key_types))

static void known_free(LIBSSH2_KNOWNHOSTS *k)
{
	ssh2.knownhost_free(k);
}

AUTO_DEFINE(LIBSSH2_KNOWNHOSTS, known_free)
#define AUTO_KNOWNHOSTS AUTO(known_free_auto)

struct host_keys {
	char host[300];              /* "host", or "[host]:port" */
	LIBSSH2_KNOWNHOSTS *here;    /* the entries of this host */
	LIBSSH2_KNOWNHOSTS *revoked; /* those of all hosts */
	bool has[N_KEY_TYPES];
	bool other_port; /* the entries are for the host, not for this port of it */
};

static void host_keys_release(struct host_keys *k)
{
	if (k->here)
		ssh2.knownhost_free(k->here);
	if (k->revoked)
		ssh2.knownhost_free(k->revoked);
}

/* Index of the type of a known_hosts line's key if the line is about the host, else -1. libssh2 can only look
 * up host and key together, so the line's own key is looked up. */
static int line_type(struct ssh *s, const char *host, const char *line)
{
	AUTO_KNOWNHOSTS LIBSSH2_KNOWNHOSTS *one = ssh2.knownhost_init(s->session);
	struct libssh2_knownhost *entry = NULL;

	if (!one || ssh2.knownhost_readline(one, line, strlen(line), LIBSSH2_KNOWNHOST_FILE_OPENSSH) ||
	    ssh2.knownhost_get(one, &entry, NULL) || !entry->key)
		return -1;
	for (size_t i = 0; i < N_KEY_TYPES; i++) {
		int mask =
			LIBSSH2_KNOWNHOST_TYPE_PLAIN | LIBSSH2_KNOWNHOST_KEYENC_BASE64 | key_types[i].known;

		if ((entry->typemask & LIBSSH2_KNOWNHOST_KEY_MASK) == key_types[i].known &&
		    ssh2.knownhost_check(one, host, entry->key, 0, mask, NULL) ==
		            LIBSSH2_KNOWNHOST_CHECK_MATCH)
			return (int)i;
	}
	return -1;
}

/* Reads the lines about the host; false when there are none. */
static bool read_lines(struct ssh *s, struct host_keys *k, FILE *f)
{
	static const char revoked[] = "@revoked";
	AUTO_FREE char *line = NULL;
	size_t room = 0;
	bool any = false;

	while (getline(&line, &room, f) >= 0) {
		char *p = line + strspn(line, " \t");
		int type;

		if (strncmp(p, revoked, sizeof(revoked) - 1) == 0) {
			p += sizeof(revoked) - 1;
			p += strspn(p, " \t");
			ssh2.knownhost_readline(k->revoked, p, strlen(p), LIBSSH2_KNOWNHOST_FILE_OPENSSH);
			continue;
		}
		type = *p == '@' || *p == '#' || *p == '\n' ? -1 : line_type(s, k->host, p);
		if (type < 0)
			continue;
		ssh2.knownhost_readline(k->here, p, strlen(p), LIBSSH2_KNOWNHOST_FILE_OPENSSH);
		k->has[type] = any = true;
	}
	return any;
}

static int host_keys_load(struct ssh *s, struct host_keys *k, const struct ssh_target *t, struct err *e)
{
	const char *path = ssh_own_file("EDGE_KNOWN_HOSTS", "/etc/edge/known_hosts");
	AUTO_FILE FILE *f = NULL;

	if (!path)
		path = ssh_home_file("known_hosts");
	k->here = ssh2.knownhost_init(s->session);
	k->revoked = ssh2.knownhost_init(s->session);
	if (!k->here || !k->revoked)
		return err_set(e, EX_OSERR, "out of memory");
	f = fopen(path, "re");
	if (!f) {
		err_sys(e, "cannot check the host key: %s", path);
		if (e)
			e->code = EX_NOPERM;
		return -1;
	}
	snprintf(k->host, sizeof(k->host), t->port == 22 ? "%s" : "[%s]:%d", t->host, t->port);
	if (read_lines(s, k, f) || t->port == 22)
		return 0;
	/* as OpenSSH does it: without an entry for the port that for the host will do */
	rewind(f);
	snprintf(k->host, sizeof(k->host), "%s", t->host);
	k->other_port = read_lines(s, k, f);
	return 0;
}

/* Known types first, so that a server with several keys shows the one that we can check. */
static void prefer_known_types(struct ssh *s, const struct host_keys *k)
{
	char prefs[256] = "";
	size_t n = 0;

	for (int known = 1; known >= 0; known--)
		for (size_t i = 0; i < N_KEY_TYPES; i++)
			if (k->has[i] == known)
				n += (size_t)snprintf(prefs + n, sizeof(prefs) - n, "%s%s", n ? "," : "",
				                      key_types[i].name);
	prefer(s, LIBSSH2_METHOD_HOSTKEY, prefs);
}

static int host_keys_check(struct ssh *s, const struct host_keys *k, struct err *e)
{
	int offered = 0, mask;
	size_t len = 0, i;
	const char *key = ssh2.session_hostkey(s->session, &len, &offered);
	const char *hash = ssh2.hostkey_hash(s->session, LIBSSH2_HOSTKEY_HASH_SHA256);
	AUTO_FREE char *print = hash ? base64_encode(hash, 32) : NULL;
	bool any = false;

	if (!key || !print)
		return err_set(e, EX_NOPERM, "host key is missing");
	print[43] = '\0'; /* without the padding, as ssh-keygen shows it */
	for (i = 0; i < N_KEY_TYPES && key_types[i].offered != offered; i++)
		any |= k->has[i];
	if (i == N_KEY_TYPES)
		return err_set(e, EX_NOPERM, "host key is of an unknown type");
	for (size_t j = i; j < N_KEY_TYPES; j++)
		any |= k->has[j];
	mask = LIBSSH2_KNOWNHOST_TYPE_PLAIN | LIBSSH2_KNOWNHOST_KEYENC_RAW | key_types[i].known;
	if (ssh2.knownhost_check(k->revoked, k->host, key, len, mask, NULL) ==
	    LIBSSH2_KNOWNHOST_CHECK_MATCH)
		return err_set(e, EX_NOPERM, "host key has been revoked: SHA256:%s", print);
	switch (ssh2.knownhost_check(k->here, k->host, key, len, mask, NULL)) {
	case LIBSSH2_KNOWNHOST_CHECK_MATCH:
		return 0;
	case LIBSSH2_KNOWNHOST_CHECK_MISMATCH:
		return err_set(e, EX_NOPERM, "host key %s SHA256:%s",
		               k->other_port ? "is unknown:" : "has changed: it is now", print);
	case LIBSSH2_KNOWNHOST_CHECK_NOTFOUND:
		return err_set(e, EX_NOPERM, "host key is unknown: %sSHA256:%s",
		               any ? "only keys of other types are known: " : "", print);
	default:
		return err_set(e, EX_NOPERM, "cannot check the host key");
	}
}

/* The fast ones first among those that are sound; libssh2 passes over what it does not have. */
static void prefer_methods(struct ssh *s)
{
	static const char crypt[] = "aes128-gcm@openssh.com,aes256-gcm@openssh.com,aes128-ctr,aes256-ctr,"
				    "chacha20-poly1305@openssh.com";
	static const char mac[] =
		"hmac-sha2-256-etm@openssh.com,hmac-sha2-256,hmac-sha2-512-etm@openssh.com,hmac-sha2-512";
	static const char kex[] =
		"curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256,ecdh-sha2-nistp384,"
		"ecdh-sha2-nistp521,diffie-hellman-group16-sha512,diffie-hellman-group14-sha256";

	prefer(s, LIBSSH2_METHOD_KEX, kex);
	prefer(s, LIBSSH2_METHOD_CRYPT_CS, crypt);
	prefer(s, LIBSSH2_METHOD_CRYPT_SC, crypt);
	prefer(s, LIBSSH2_METHOD_MAC_CS, mac);
	prefer(s, LIBSSH2_METHOD_MAC_SC, mac);
	prefer(s, LIBSSH2_METHOD_COMP_CS, "none");
	prefer(s, LIBSSH2_METHOD_COMP_SC, "none");
}

int ssh_handshake(struct ssh *s, const struct ssh_target *t, struct err *e)
{
	AUTO(host_keys_release) struct host_keys keys = { .here = NULL };
	int rc;

	if (host_keys_load(s, &keys, t, e))
		return -1;
	prefer_known_types(s, &keys);
	prefer_methods(s);
	rc = FINISH(s, ssh2.session_handshake(s->session, s->fd));
	if (rc == LIBSSH2_ERROR_EAGAIN)
		return err_set(e, EX_UNAVAILABLE, "cannot connect: no answer in SSH in time");
	if (rc)
		return ssh_lost(s, "cannot connect", e);
	return host_keys_check(s, &keys, e);
}

/* Authentication. */

static void agent_free(LIBSSH2_AGENT *agent)
{
	ssh2.agent_free(agent);
}

AUTO_DEFINE(LIBSSH2_AGENT, agent_free)

/* 0, or LIBSSH2_ERROR_*. */
static int try_agent(struct ssh *s, const char *user)
{
	AUTO(agent_free_auto) LIBSSH2_AGENT *agent = ssh2.agent_init(s->session);
	struct libssh2_agent_publickey *id = NULL;
	int rc = LIBSSH2_ERROR_AUTHENTICATION_FAILED;

	if (!agent || ssh2.agent_connect(agent) || ssh2.agent_list_identities(agent))
		return rc;
	while (rc && rc != LIBSSH2_ERROR_EAGAIN && ssh2.agent_get_identity(agent, &id, id) == 0)
		rc = FINISH(s, ssh2.agent_userauth(agent, user, id));
	ssh2.agent_disconnect(agent);
	return rc;
}

static int try_key(struct ssh *s, const char *user, const char *path)
{
	/* an empty passphrase: a NULL would make OpenSSL ask the terminal */
	return FINISH(s, ssh2.userauth_publickey_fromfile_ex(s->session, user, (unsigned)strlen(user), NULL, path, ""));
}

/* The keys to try, in order; the number of them. `own` says that they were named, not just found in ~/.ssh.
 */
static int list_keys(char paths[3][PATH_MAX], bool *own)
{
	static const char *const names[] = { "id_ed25519", "id_ecdsa", "id_rsa" };
	const char *path = ssh_own_file("EDGE_IDENTITY", "/etc/edge/key");
	int n = 0;

	*own = path != NULL;
	if (*own) {
		snprintf(paths[0], PATH_MAX, "%s", path);
		return 1;
	}
	for (size_t i = 0; i < 3; i++)
		if (access(ssh_home_file(names[i]), F_OK) == 0)
			snprintf(paths[n++], PATH_MAX, "%s", ssh_home_file(names[i]));
	return n;
}

int ssh_login(struct ssh *s, const struct ssh_target *t, struct err *e)
{
	char paths[3][PATH_MAX];
	bool own, agent = getenv("SSH_AUTH_SOCK") != NULL;
	int n = list_keys(paths, &own), rc = LIBSSH2_ERROR_AUTHENTICATION_FAILED;

	if (n == 0 && !agent)
		return err_set(e, EX_NOPERM,
		               "no key: neither EDGE_IDENTITY, /etc/edge/key, ~/.ssh nor an agent has one");
	for (int i = 0; i < n && rc && rc != LIBSSH2_ERROR_EAGAIN; i++) {
		if (own && access(paths[i], R_OK)) {
			err_sys(e, "cannot read key %s", paths[i]);
			if (e)
				e->code = EX_NOPERM;
			return -1;
		}
		rc = try_key(s, t->user, paths[i]);
	}
	if (rc && rc != LIBSSH2_ERROR_EAGAIN && agent)
		rc = try_agent(s, t->user);
	switch (rc) {
	case 0:
		return 0;
	case LIBSSH2_ERROR_EAGAIN:
		return err_set(e, EX_UNAVAILABLE, "cannot log in: timed out");
	case LIBSSH2_ERROR_SOCKET_DISCONNECT:
	case LIBSSH2_ERROR_SOCKET_RECV:
	case LIBSSH2_ERROR_SOCKET_SEND:
		return ssh_lost(s, "cannot log in", e);
	case LIBSSH2_ERROR_FILE:
		return err_set(e, EX_NOPERM,
		               "key refused: %s is not a key that can be used here without a passphrase",
		               n ? paths[n - 1] : "the agent's");
	default:
		return err_set(e, EX_NOPERM, "key refused: user %s, key %s%s", t->user,
		               n == 1 ? paths[0]
		               : n    ? "each of ~/.ssh"
		                      : "each of the agent",
		               n && agent ? " or agent" : "");
	}
}
