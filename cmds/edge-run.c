/* SPDX-License-Identifier: MIT */
/* Starts a service on this node, or on another one, and prints its record; or prints those of all. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/app/launch.h"
#include "lib/app/up.h"
#include "lib/base/file.h"
#include "lib/base/opt.h"
#include "lib/discover/names.h"
#include "lib/discover/node.h"
#include "lib/move/remote.h"

static const char *name, *type = "stateful", *addr, *root, *bundle, *image, *dir, *profile, *user, *engine, *on;
static const char *compose_file, *app, *spec_file;
static struct opt_list ports, volumes, env;
static bool list, emit, definition;

static const struct opt opts[] = {
	{ "name", 'n', OPT_STR, &name, "NAME", "the service's name" },
	{ "type", 't', OPT_STR, &type, "stateful|stateless", "what a move must carry along (default stateful)" },
	{ "on", 0, OPT_STR, &on, "NODE", "start it on that node (default: this one)" },
	{ "file", 'f', OPT_STR, &compose_file, "FILE", "start the application of this compose file" },
	{ "app", 0, OPT_STR, &app, "NAME", "the application's name (default: the file's, or its folder's)" },
	{ "emit", 0, OPT_FLAG, &emit, NULL, "with --file: start nothing, print the records of its services" },
	{ "spec", 0, OPT_STR, &spec_file, "FILE", "start what the definition in this file says; -: on standard input" },
	{ "list", 'l', OPT_FLAG, &list, NULL, "start nothing: show the services of the node" },
	{ "definition", 0, OPT_FLAG, &definition, NULL, "with --list: with all that is needed to start them anew elsewhere" },
	{ "registry", 0, OPT_ENV, "EDGE_REGISTRY", "URL", "where nodes and services are written down" },
	{ "Network", 0, OPT_GROUP, NULL, NULL, NULL },
	{ "addr", 'a', OPT_STR, &addr, "IP[/LEN]", "its own address on the node's bridge (default: none)" },
	{ "port", 'p', OPT_LIST, &ports, "N", "a port that it listens on, for its record; repeatable" },
	{ "Files", 0, OPT_GROUP, NULL, NULL, NULL },
	{ "root", 'r', OPT_STR, &root, "DIR", "lower layer of its root (default /)" },
	{ "bundle", 'b', OPT_STR, &bundle, "DIR", "run this OCI bundle instead of a command" },
	{ "image", 'i', OPT_STR, &image, "REF", "run this container image; COMMAND takes the place of its own" },
	{ "volume", 'v', OPT_LIST, &volumes, "HOSTDIR:PATH", "show the node's HOSTDIR at PATH; repeatable" },
	{ "Limits and environment", 0, OPT_GROUP, NULL, NULL, NULL },
	{ "profile", 0, OPT_STR, &profile, "LIMITS", "cpu=CORES,mem=SIZE, or a name of profiles.json" },
	{ "user", 'u', OPT_STR, &user, "USER", "run as this user of its root, or as UID or UID:GID" },
	{ "dir", 'w', OPT_STR, &dir, "PATH", "its working directory (default: the image's, or /)" },
	{ "env", 'e', OPT_LIST, &env, "KEY=VALUE", "set a variable of its environment; repeatable" },
	{ "engine", 0, OPT_STR, &engine, "process|runc|docker|podman|swarm",
	  "how it runs (default process; runc for a bundle)" },
	{ 0 },
};

static const struct cmd cmd = {
	.name = "edge-run",
	.synopsis = "[--] COMMAND [ARG...] | -",
	.about = "Starts a service in its own namespaces, and prints its record.",
	.opts = opts,
	.notes = "With - it starts what the records on standard input want started, and passes the rest on.",
	.example = "edge-run --name web --addr 10.77.0.60 -- python3 -m http.server 8080",
	.names = names_print,
};

static int take_path(char to[PATH_MAX], const char *what, const char *path, struct err *e)
{
	if (path && on && strcmp(on, node_self())) { /* a folder there, of which nothing is known here */
		if (path[0] != '/' || strlen(path) >= PATH_MAX)
			return err_set(e, EX_USAGE, "%s %s: not an absolute path", what, path);
		memcpy(to, path, strlen(path) + 1);
		return 0;
	}
	if (path && !realpath(path, to))
		return err_set(e, EX_UNAVAILABLE, "%s %s: no such folder", what, path);
	return 0;
}

static int take_lists(struct service *s, struct err *e)
{
	if (ports.n > SERVICE_PORTS_MAX || volumes.n > SERVICE_VOLUMES_MAX)
		return err_set(e, EX_USAGE, "at most %d ports and %d volumes", SERVICE_PORTS_MAX, SERVICE_VOLUMES_MAX);
	for (; s->n_ports < ports.n; s->n_ports++) {
		char *end;
		long port = strtol(ports.items[s->n_ports], &end, 10);

		if (*end || port < 1 || port > 65535)
			return err_set(e, EX_USAGE, "port %s: not a port", ports.items[s->n_ports]);
		s->ports[s->n_ports] = (int)port;
	}
	for (; s->n_volumes < volumes.n; s->n_volumes++) {
		struct service_volume *v = &s->volumes[s->n_volumes];
		const char *text = volumes.items[s->n_volumes], *colon = strrchr(text, ':');

		if (!colon || text[0] != '/' || colon[1] != '/' || !colon[2] || strlen(text) >= PATH_MAX)
			return err_set(e, EX_USAGE, "volume %s: not of the form /HOSTDIR:/PATH", text);
		snprintf(v->host, sizeof(v->host), "%.*s", (int)(colon - text), text);
		snprintf(v->path, sizeof(v->path), "%s", colon + 1);
	}
	for (int i = 0; i < env.n; i++)
		if (!strchr(env.items[i], '=') || env.items[i][0] == '=')
			return err_set(e, EX_USAGE, "env %s: not of the form KEY=VALUE", env.items[i]);
	return 0;
}

/* The definition that the options and operands give, checked as one that comes over the wire would be. */
static int take_options(struct service **out, int n, char **operands, struct err *e)
{
	AUTO_SERVICE struct service *s = calloc(1, sizeof(*s));

	if (!s)
		return err_sys(e, "service");
	if (!name || !service_name_valid(name))
		return err_set(e, EX_USAGE, name ? "name %s: not letters, digits, '.', '_' or '-'" : "--name is missing", name);
	if (bundle ? n > 0 : n == 0 && !image)
		return err_set(e, EX_USAGE, bundle ? "a bundle brings its own command" : "no command given");
	if (image && (bundle || root))
		return err_set(e, EX_USAGE, "an image brings its own files: no --%s", bundle ? "bundle" : "root");
	if (dir && (strlen(dir) >= sizeof(s->dir) || !service_path_valid(dir)))
		return err_set(e, EX_USAGE, "dir %s: not a plain absolute path", dir);
	if ((user && strlen(user) >= sizeof(s->user)) || (addr && strlen(addr) >= sizeof(s->addr) - 4))
		return err_set(e, EX_USAGE, "%s: too long", user ? user : addr);
	if (bundle && engine && !strcmp(engine, "process"))
		return err_set(e, EX_USAGE, "engine process: cannot run a bundle");
	snprintf(s->name, sizeof(s->name), "%s", name);
	snprintf(s->engine, sizeof(s->engine), "%s", engine ? engine : bundle ? "runc" : "process");
	snprintf(s->root, sizeof(s->root), "/");
	snprintf(s->addr, sizeof(s->addr), "%s", addr ? addr : "");
	snprintf(s->user, sizeof(s->user), "%s", user ? user : "");
	snprintf(s->dir, sizeof(s->dir), "%s", dir ? dir : "");
	if (image)
		service_about_set(s, "image", json_string(image));
	s->stateless = !strcmp(type, "stateless");
	if (take_path(s->root, "root", root, e) || take_path(s->bundle, "bundle", bundle, e) || take_lists(s, e) ||
	    (profile && service_profile(s, profile, e)))
		return -1;
	if (n > 0 && !(s->argv = service_strings((const char *const *)operands, n)))
		return err_sys(e, "service");
	if (env.n > 0 && !(s->env = service_strings(env.items, env.n)))
		return err_sys(e, "service");
	AUTO_JSON struct json *j = service_to_json(s);
	char given[sizeof(s->addr)];
	snprintf(given, sizeof(given), "%s", s->addr);
	if (service_from_json(out, j, e)) {
		if (e->code == EX_DATAERR)
			e->code = EX_USAGE;
		return -1;
	}
	snprintf((*out)->addr, sizeof((*out)->addr), "%s", given);
	return 0;
}

static char failure[1024]; /* why the last start has failed, for the record of it */

static int fail(const struct err *e)
{
	snprintf(failure, sizeof(failure), "%s", e->text);
	return cmd_fail(&cmd, e);
}

static void relay(const char *line)
{
	const char *said = strncmp(line, "edge-run: ", 10) ? line : line + 10;

	snprintf(failure, sizeof(failure), "%s", said);
	cmd_relay(line);
}

/* Gives the exit status, an error being told already. */
static int start(struct service *s, const char *node)
{
	AUTO_JSON struct json *rec = NULL;
	struct err e;
	int rc;

	if (!node || !strcmp(node, node_self()))
		return launch_here(s, &rec, &e) || record_print(stdout, rec, &e) ? fail(&e) : 0;
	rc = launch_there(node, s, stdout, relay, &e);
	return rc < 0 ? fail(&e) : rc;
}

static int start_spec(const struct json *spec, const char *id, const char *node)
{
	AUTO_SERVICE struct service *s = NULL;
	struct err e;

	if (launch_definition(&s, spec, &e))
		return cmd_fail(&cmd, &e);
	if (id)
		snprintf(s->id, sizeof(s->id), "%.16s", id);
	return start(s, node);
}

/* Services that records on stdin have defined, for the moves behind them to start. */
static struct json *wanted;

static void see(const struct json *rec)
{
	const char *kind = json_str(rec, "kind");

	if (kind && !strcmp(kind, "service") && json_has(rec, "service_spec") && json_str(rec, "id"))
		json_add(wanted, json_copy(rec));
}

/* What the record of a move does not tell, the node knows where the service runs: NULL if it does not, or there is none. */
static struct json *ask_definition(const char *node, const char *service, struct err *e)
{
	AUTO_JSON struct json *args = json_array();
	AUTO_SERVICE struct service *s = NULL;
	AUTO_FREE char *text = NULL;
	size_t len = 0;
	int rc;

	if (!strcmp(node, node_self()))
		return service_load(&s, service, e) ? NULL : service_definition(s);
	json_add(args, json_string("--list"));
	json_add(args, json_string("--definition"));
	FILE *all = open_memstream(&text, &len);
	if (!all) {
		err_sys(e, "service %s", service);
		return NULL;
	}
	rc = remote_run(node, "edge-run", args, all, cmd_relay, e);
	fclose(all);
	for (char *at = text, *line; !rc && (line = strsep(&at, "\n"));) {
		AUTO_JSON struct json *rec = json_parse(line, strlen(line), NULL);

		if (rec && json_str(rec, "name") && !strcmp(json_str(rec, "name"), service))
			return TAKE_PTR(rec);
	}
	if (rc >= 0)
		err_set(e, EX_UNAVAILABLE, "service %s: node %s has no such service", service, node);
	return NULL;
}

/* One of them by its id, or NULL. */
static struct json *find_wanted(const char *id)
{
	for (size_t i = 0; id && i < json_len(wanted, NULL); i++) {
		AUTO_JSON struct json *one = json_at(wanted, i);

		if (!strcmp(json_str(one, "id"), id))
			return TAKE_PTR(one);
	}
	return NULL;
}

/* That it has not been started at the node of the move, so that another one is chosen. Of a replica the id is that of the instance
 * that is copied: it is the name that is not to be there. */
static void tell_refusal(const struct json *move)
{
	AUTO_JSON struct json *rec = json_object(), *all = json_array();
	struct json *one = json_object();
	struct err e;

	json_set_str(rec, "kind", "move");
	json_set_str(rec, "action", "stay");
	json_set_str(rec, "service", json_str(move, "service"));
	json_set_str(rec, "id", strcmp(json_str(move, "action"), "start") ? NULL : json_str(move, "id"));
	json_set_str(rec, "from", json_str(move, "from"));
	json_set_str(rec, "to", json_str(move, "to"));
	json_set_str(one, "check", "start");
	json_set_str(one, "why", failure);
	json_add(all, one);
	json_set(rec, "refusals", TAKE_PTR(all));
	if (record_print(stdout, rec, &e))
		cmd_fail(&cmd, &e);
}

/* The definition that the move carries, or that came before it, or that the node has where it runs. */
static int start_of_move(const struct json *rec)
{
	const char *id = json_str(rec, "id"), *from = json_str(rec, "from"), *service = json_str(rec, "service");
	AUTO_JSON struct json *spec = json_get(rec, "service_spec"), *defined = find_wanted(id);
	struct err e;

	if (!spec && defined)
		spec = json_get(defined, "service_spec");
	if (!spec && from && service && !(spec = ask_definition(from, service, &e)))
		return cmd_fail(&cmd, &e);
	failure[0] = '\0';
	int rc = spec ? start_spec(spec, defined ? id : NULL, json_str(rec, "to")) : 0;

	/* What may go well the next time is no reason to go elsewhere. */
	if (rc && rc != EX_TEMPFAIL && rc != EX_IOERR && failure[0] && service && json_str(rec, "to"))
		tell_refusal(rec);
	if (spec)
		return rc ? EX_NO : 0;
	err_set(&e, EX_DATAERR, "service %s: the record to start it has no service_spec", service ? service : "(unnamed)");
	return cmd_fail(&cmd, &e);
}

static int start_file(void)
{
	AUTO_JSON struct json *spec = NULL;
	AUTO_FREE char *text = NULL;
	size_t len;
	struct err e;

	text = file_slurp(strcmp(spec_file, "-") ? spec_file : "/dev/stdin", &len, &e);
	if (!text || !(spec = json_parse(text, len, &e)))
		return cmd_fail(&cmd, &e);
	return start_spec(spec, NULL, on);
}

/* What of the file means nothing here is said, once each. */
static void tell_notes(const struct compose *c)
{
	for (size_t i = 0; i < json_len(c->notes, NULL); i++) {
		AUTO_JSON struct json *note = json_at(c->notes, i);

		fprintf(stderr, "edge-run: %s\n", json_value(note));
	}
}

static int start_application(void)
{
	const struct up_options opt = { .on = on, .engine = engine, .out = stdout, .say = cmd_relay };
	AUTO_COMPOSE struct compose *c = NULL;
	struct err e;

	if (compose_read(&c, compose_file, app, &e))
		return cmd_fail(&cmd, &e);
	tell_notes(c);
	return (emit ? up_emit(c, &opt, &e) : up(c, &opt, &e)) ? cmd_fail(&cmd, &e) : 0;
}

static int list_services(void)
{
	AUTO_JSON struct json *args = json_array(), *all = NULL;
	struct err e = { 0 };
	int rc;

	if (on && strcmp(on, node_self())) {
		json_add(args, json_string("--list"));
		if (definition)
			json_add(args, json_string("--definition"));
		rc = remote_run(on, "edge-run", args, stdout, cmd_relay, &e);
		return rc < 0 ? cmd_fail(&cmd, &e) : rc;
	}
	all = service_list(&e);
	for (size_t i = 0; definition && all && i < json_len(all, NULL); i++) {
		AUTO_JSON struct json *rec = json_at(all, i);
		AUTO_SERVICE struct service *s = NULL;

		if (service_load(&s, json_str(rec, "name"), &e))
			continue; /* it has just gone */
		AUTO_JSON struct json *whole = service_definition(s);
		if (record_print(stdout, whole, &e))
			return cmd_fail(&cmd, &e);
	}
	if (definition && all)
		return 0;
	return all && !record_print_all(stdout, all, &e) ? 0 : cmd_fail(&cmd, &e);
}

int main(int argc, char **argv)
{
	AUTO_SERVICE struct service *s = NULL;
	struct err e;
	int status, first = cmd_parse(&cmd, argc, argv, &status);

	if (first < 0)
		return status;
	if (definition && !list)
		return cmd_usage(&cmd, "--definition: only with --list");
	if (list && argc > first)
		return cmd_usage(&cmd, "--list: takes no operand");
	if (list)
		return cmd_done(&cmd, list_services());
	if ((compose_file || spec_file) && argc > first)
		return cmd_usage(&cmd, "%s takes no operand", compose_file ? "--file" : "--spec");
	if ((emit || app) && !compose_file)
		return cmd_usage(&cmd, "--emit and --app are for --file");
	if (compose_file || spec_file)
		return cmd_done(&cmd, compose_file ? start_application() : start_file());
	if (argc - first == 1 && !strcmp(argv[first], "-")) {
		wanted = json_array();
		return cmd_moves_seeing(&cmd, (const char *const[]){ "start", "replicate", NULL }, start_of_move, see);
	}
	if (take_options(&s, argc - first, argv + first, &e))
		return e.code == EX_USAGE ? cmd_usage(&cmd, "%s", e.text) : cmd_fail(&cmd, &e);
	return cmd_done(&cmd, start(s, on));
}
