/* SPDX-License-Identifier: MIT */
/* The swarm itself: made, joined and left. Secrets go over the daemon's socket, and never stand in an argument. */
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/discover/node.h"
#include "lib/engine/docker.h"
#include "lib/engine/swarm.h"

#define PORT 2377
#define TRIES 100
#define AGAIN_MS 20

/* What the daemon says of itself; a worker is not told the name of its swarm, only where that is managed. */
struct state {
	char is[32]; /* "inactive", "pending", "active", "error", "locked" */
	char node[SWARM_ID_MAX], addr[64];
	bool manages;
	struct json *managers; /* owned: [{NodeID, Addr}] */
};

static void state_clear(struct state *s)
{
	json_free(TAKE_PTR(s->managers));
}
#define AUTO_STATE AUTO(state_clear)

static void copy(char *to, size_t size, const struct json *j, const char *path)
{
	const char *v = json_str(j, path);

	snprintf(to, size, "%s", v ? v : "");
}

static int look(struct state *s, struct err *e)
{
	AUTO_JSON struct json *info = NULL;

	if (docker_get("/info", &info, e))
		return -1;
	copy(s->is, sizeof(s->is), info, "Swarm.LocalNodeState");
	copy(s->node, sizeof(s->node), info, "Swarm.NodeID");
	copy(s->addr, sizeof(s->addr), info, "Swarm.NodeAddr");
	s->manages = json_bool(info, "Swarm.ControlAvailable", false);
	json_free(s->managers);
	s->managers = json_get(info, "Swarm.RemoteManagers");
	return 0;
}

/* ---- which one is ours ---- */

#define NOTE "/var/lib/edge/swarm.json" /* {id: its node's, by: who has brought it there} */

static int note(const char *id, const char *by, struct err *e)
{
	AUTO_JSON struct json *j = json_object();

	json_set_str(j, "id", id);
	json_set_str(j, "by", by);
	return json_write_file(j, file_path(NOTE), e);
}

static struct json *noted(void)
{
	return access(file_path(NOTE), F_OK) ? NULL : json_read_file(file_path(NOTE), NULL);
}

bool swarm_is_ours(const char *id)
{
	AUTO_JSON struct json *j = noted();
	const char *is = j ? json_str(j, "id") : NULL;

	return id && is && !strcmp(id, is);
}

bool swarm_brought_by(const char *by)
{
	AUTO_JSON struct json *j = noted();
	const char *who = j ? json_str(j, "by") : NULL;

	return who && !strcmp(who, by);
}

/* ---- nodes of the swarm ---- */

static const char *label_of(const struct json *node)
{
	const char *label = json_str(node, "Spec.Labels.edge");

	return label ? label : "";
}

static const char *availability_of(const struct json *node)
{
	const char *is = json_str(node, "Spec.Availability");

	return is ? is : "";
}

static bool is_ready(const struct json *node)
{
	const char *is = json_str(node, "Status.State");

	return is && !strcmp(is, "ready");
}

/* The one with that label: of two, as after a disk was lost, the one that is there. *node NULL: there is none. */
static int find(const char *name, struct json **node, struct err *e)
{
	AUTO_JSON struct json *all = NULL, *found = NULL;

	if (docker_get("/nodes", &all, e))
		return -1;
	for (size_t i = 0; i < json_len(all, NULL); i++) {
		AUTO_JSON struct json *one = json_at(all, i);

		if (strcmp(label_of(one), name) || (found && !is_ready(one)))
			continue;
		json_free(found);
		found = TAKE_PTR(one);
	}
	*node = TAKE_PTR(found);
	return 0;
}

/* Writes the node back as it was read, with another Spec. */
static int update(const struct json *node, struct json *spec, struct err *e)
{
	char path[256];

	snprintf(path, sizeof(path), "/nodes/%.63s/update?version=%lld", json_str(node, "ID"),
		 (long long)json_int(node, "Version.Index", 0));
	return docker_post(path, spec, NULL, e);
}

/* NULL: as it is. */
static int set_once(const char *id, const char *label, const char *availability, struct err *e)
{
	AUTO_JSON struct json *node = NULL;
	char path[128];

	snprintf(path, sizeof(path), "/nodes/%.63s", id);
	if (docker_get(path, &node, e))
		return -1;
	if ((!label || !strcmp(label_of(node), label)) && (!availability || !strcmp(availability_of(node), availability)))
		return 0;
	struct json *spec = json_get(node, "Spec");
	if (availability)
		json_set_str(spec, "Availability", availability);
	if (label)
		json_set_str(spec, "Labels.edge", label);
	return update(node, spec, e);
}

/* The swarm itself changes nodes, too, as it hears of them. */
static int set(const char *id, const char *label, const char *availability, struct err *e)
{
	int rc = -1;

	for (int i = 0; i < TRIES && (rc = set_once(id, label, availability, e)) && docker_raced(e); i++)
		poll(NULL, 0, AGAIN_MS);
	return rc;
}

int swarm_label(const char *id, const char *name, const char *availability, struct err *e)
{
	return set(id, name, availability, e);
}

int swarm_find(const char *name, struct swarm_node *n, struct err *e)
{
	AUTO_JSON struct json *node = NULL;
	const char *self = node_setting("addr");

	if (find(name, &node, e))
		return -1;
	if (!node)
		return err_set(e, EX_UNAVAILABLE, "node %s: not in the swarm", name);
	if (!is_ready(node))
		return err_set(e, EX_UNAVAILABLE, "node %s: the swarm does not reach it", name);
	copy(n->id, sizeof(n->id), node, "ID");
	copy(n->addr, sizeof(n->addr), node, "Status.Addr");
	n->active = !strcmp(availability_of(node), "active");
	if (!strcmp(name, node_self()) && self)
		snprintf(n->addr, sizeof(n->addr), "%s", self);
	return 0;
}

int swarm_drain(const char *name, struct err *e)
{
	AUTO_JSON struct json *node = NULL;

	if (find(name, &node, e))
		return -1;
	return node ? set(json_str(node, "ID"), NULL, "drain", e) : 0;
}

static int change_token_once(struct err *e)
{
	AUTO_JSON struct json *swarm = NULL;
	char path[128];

	if (docker_get("/swarm", &swarm, e))
		return -1;
	snprintf(path, sizeof(path), "/swarm/update?rotateWorkerToken=true&version=%lld",
		 (long long)json_int(swarm, "Version.Index", 0));
	return docker_post(path, json_get(swarm, "Spec"), NULL, e);
}

/* It has seen the token, and could come back with it. */
static int change_token(struct err *e)
{
	int rc = -1;

	for (int i = 0; i < TRIES && (rc = change_token_once(e)) && docker_raced(e); i++)
		poll(NULL, 0, AGAIN_MS);
	return rc;
}

int swarm_remove(const char *name, struct err *e)
{
	for (;;) { /* also those of that name that were lost */
		AUTO_JSON struct json *node = NULL;
		char path[128];

		if (find(name, &node, e))
			return -1;
		if (!node)
			break;
		snprintf(path, sizeof(path), "/nodes/%.63s?force=true", json_str(node, "ID"));
		if (docker_delete(path, e))
			return -1;
	}
	return change_token(e);
}

/* ---- the swarm ---- */

/* The address of this node's record is the one at which the others reach it; without one Docker finds its own. */
static int make(struct err *e)
{
	struct json *how = json_object();
	const char *addr = node_setting("addr");

	json_set_str(how, "ListenAddr", "0.0.0.0:2377");
	json_set_str(how, "AdvertiseAddr", addr ? addr : "");
	return docker_post("/swarm/init", how, NULL, e);
}

int swarm_open(struct err *e)
{
	AUTO_STATE struct state s = { 0 };

	if (look(&s, e))
		return -1;
	if (!strcmp(s.is, "inactive") && (make(e) || look(&s, e)))
		return -1;
	if (strcmp(s.is, "active"))
		return err_set(e, EX_UNAVAILABLE, "docker: its swarm is %s", s.is);
	if (!s.manages)
		return err_set(e, EX_UNAVAILABLE, "docker: this node is a worker in a swarm, which others manage");
	return swarm_label(s.node, node_self(), NULL, e) || (!swarm_is_ours(s.node) && note(s.node, node_self(), e)) ? -1 : 0;
}

int swarm_manages(struct err *e)
{
	AUTO_STATE struct state s = { 0 };

	return look(&s, e) ? -1 : s.manages && swarm_is_ours(s.node);
}

bool swarm_managed(void)
{
	return docker_here() && swarm_manages(NULL) > 0;
}

bool swarm_none(void)
{
	AUTO_STATE struct state s = { 0 };

	return !look(&s, NULL) && !strcmp(s.is, "inactive");
}

int swarm_invitation(struct json *call, struct err *e)
{
	AUTO_STATE struct state s = { 0 };
	AUTO_JSON struct json *swarm = NULL;
	char addr[96];

	if (look(&s, e) || docker_get("/swarm", &swarm, e))
		return -1;
	snprintf(addr, sizeof(addr), strchr(s.addr, ':') ? "[%s]:%d" : "%s:%d", s.addr, PORT);
	json_set_str(call, "addr", addr);
	json_set_str(call, "token", json_str(swarm, "JoinTokens.Worker"));
	return 0;
}

/* ---- the worker ---- */

static bool is_managed_at(const struct state *s, const char *addr)
{
	for (size_t i = 0; s->managers && i < json_len(s->managers, NULL); i++) {
		AUTO_JSON struct json *one = json_at(s->managers, i);

		if (json_str(one, "Addr") && !strcmp(json_str(one, "Addr"), addr))
			return true;
	}
	return false;
}

static int join(const char *addr, const char *token, struct err *e)
{
	struct json *how = json_object(), *addrs = json_array();
	const char *own = node_setting("addr");

	json_add(addrs, json_string(addr));
	json_set_str(how, "ListenAddr", "0.0.0.0:2377");
	json_set_str(how, "AdvertiseAddr", own ? own : "");
	json_set(how, "RemoteAddrs", addrs);
	json_set_str(how, "JoinToken", token);
	return docker_post("/swarm/join", how, NULL, e);
}

int swarm_join(const struct json *invitation, const char *by, char id[SWARM_ID_MAX], struct err *e)
{
	const char *addr = json_str(invitation, "addr"), *token = json_str(invitation, "token");
	AUTO_STATE struct state s = { 0 };

	if (!addr || !token)
		return err_set(e, EX_DATAERR, "swarm: no invitation");
	if (look(&s, e) || (!strcmp(s.is, "inactive") && (join(addr, token, e) || look(&s, e))))
		return -1;
	if (strcmp(s.is, "active"))
		return err_set(e, EX_UNAVAILABLE, "docker: its swarm is %s", s.is);
	if (s.manages || !is_managed_at(&s, addr))
		return err_set(e, EX_UNAVAILABLE, "docker: it is in another swarm");
	snprintf(id, SWARM_ID_MAX, "%s", s.node);
	return note(id, by, e);
}

int swarm_leave(const char *by, struct err *e)
{
	AUTO_STATE struct state s = { 0 };

	if (!swarm_brought_by(by) || !docker_here())
		return 0;
	if (look(&s, e) || (!s.manages && swarm_is_ours(s.node) && docker_post("/swarm/leave", NULL, NULL, e)))
		return -1;
	unlink(file_path(NOTE));
	return 0;
}
