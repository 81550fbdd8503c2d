/* SPDX-License-Identifier: MIT */
#include "lib/move/install.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "lib/base/crowd.h"
#include "lib/base/file.h"
#include "lib/discover/node.h"
#include "lib/discover/trust.h"
#include "lib/move/install_list.h"
#include "lib/move/openssh.h"
#include "lib/move/tar.h"

#define NODE_MS 600000
#define HOME "/usr/local/lib/edgetools"

struct installing {
	const struct json *nodes;
	struct json *tickets;
	const struct install_list *list;
	const char *key; /* the line of our public key */
	void (*warn)(const struct err *e);
};

/* What is typed there, in three steps. Nothing in it comes from anywhere but here. */

/* Its stdin: lines "DIGEST NAME PATH". Prints the names that it has nowhere. */
static const char look[] =
	"[ \"$(uname -m)\" = %s ] || { echo \"its architecture is not %s\" >&2; exit 69; }; "
	"umask 022; mkdir -p " HOME "/new && cd " HOME " && rm -rf new && mkdir -p new bin lib criu || exit; "
	"has() { [ -f \"$1\" ] && [ \"$(sha256sum <\"$1\")\" = \"$2  -\" ]; }; "
	"while read -r sum name path; do "
	"has \"$name\" \"$sum\" || { has \"$path\" \"$sum\" && cp \"$path\" new/part && chmod 755 new/part && mv new/part \"$name\"; } || "
	"echo \"$name\"; done";
/* Its stdin: an archive of these, their names with _ for /. */
static const char unpack[] = "cd " HOME "/new && tar -x -f - && chmod 755 ./*";
/* Its stdin: the first lines again, an empty one, and the public key. All is checked and put in its place, file by file. */
static const char finish[] =
	"umask 022; cd " HOME " || exit; "
	"while read -r sum name path; do [ -n \"$sum\" ] || break; part=new/$(echo \"$name\" | tr / _); "
	"[ -f \"$part\" ] || part=$name; "
	"[ \"$(sha256sum <\"$part\")\" = \"$sum  -\" ] || { echo \"$name: damaged on its way\" >&2; exit 65; }; "
	"[ \"$part\" = \"$name\" ] || mv \"$part\" \"$name\" || exit; done; "
	"rm -rf new; mkdir -p /usr/local/bin /usr/local/lib/edge-criu; "
	"script() { printf '#!/bin/sh\\nexec %s/%s/ld.so --library-path %s/%s %s/%s \"$@\"\\n' " HOME " \"$1\" " HOME " \"$1\" " HOME
	" \"$2\" >\"$3.new\" && chmod 755 \"$3.new\" && mv \"$3.new\" \"$3\"; }; "
	"for p in bin/*; do script lib \"$p\" /usr/local/\"$p\" || exit; done; "
	"[ ! -f criu/criu ] || [ -e /usr/local/lib/edge-criu/criu ] || script criu criu/criu /usr/local/lib/edge-criu/criu || exit; "
	"PATH=/usr/local/bin:$PATH; edge-serve --version >/dev/null || exit; edge-invite --accept-from -";

/* ---- one node, in a process of its own ---- */

static int target_of(const struct installing *in, size_t i, struct ssh_target *t, struct err *e)
{
	AUTO_JSON struct json *node = json_at(in->nodes, i);
	AUTO_REGISTRY struct registry *r = NULL;

	return registry_open(&r, NULL, e) || node_target(r, json_str(node, "target"), t, e) ? -1 : 0;
}

/* Runs the script with what feed() writes as its stdin; *out: what it prints (new). */
static int step(const struct ssh_target *t, const char *script, int (*feed)(void *, int, struct err *), void *ctx, char **out,
		struct err *e)
{
	int said = memfd_create("said", MFD_CLOEXEC);
	AUTO_FD int printed = memfd_create("printed", MFD_CLOEXEC);
	char why[512] = "";
	struct openssh ssh;
	struct err broken = { 0 };
	int status;

	if (said < 0 || printed < 0 || openssh_start(&ssh, t, script, true, printed, said, e))
		return err_wrap(e, "node %s: install", t->name);
	feed(ctx, ssh.in, &broken); /* ssh says better why */
	status = openssh_wait(&ssh);
	openssh_hear(said, "", NULL, why, sizeof(why));
	if (status || broken.code)
		return err_set(e, status ? openssh_code(why) : broken.code, "node %s: install: %s", t->name,
			       *why ? why : broken.code ? broken.text : "ssh has failed");
	off_t n = lseek(printed, 0, SEEK_END);
	*out = calloc(1, (size_t)n + 1);
	if (!*out || pread(printed, *out, (size_t)n, 0) != n)
		return err_sys(e, "node %s: install", t->name);
	return 0;
}

static int feed_list(void *ctx, int to, struct err *e)
{
	const struct installing *in = ctx;

	for (int i = 0; i < in->list->n; i++) {
		const struct install_file *f = &in->list->files[i];
		char line[PATH_MAX + 256];
		int n = snprintf(line, sizeof(line), "%s %s %s\n", f->digest, f->name, f->path);

		if (fd_write_all(to, line, (size_t)n))
			return err_sys(e, "list");
	}
	return 0;
}

struct parcel {
	const struct installing *in;
	const char *wanted; /* names, one a line */
};

static bool is_wanted(const char *wanted, const char *name)
{
	size_t n = strlen(name);

	for (const char *p = wanted; *p; p += strcspn(p, "\n") + (p[strcspn(p, "\n")] == '\n'))
		if (strcspn(p, "\n") == n && !strncmp(p, name, n))
			return true;
	return false;
}

static int feed_files(void *ctx, int to, struct err *e)
{
	const struct parcel *p = ctx;

	for (int i = 0; i < p->in->list->n; i++) {
		const struct install_file *f = &p->in->list->files[i];
		char name[100];

		if (!is_wanted(p->wanted, f->name))
			continue;
		snprintf(name, sizeof(name), "%.99s", f->name);
		for (char *c = name; *c; c++)
			if (*c == '/')
				*c = '_';
		if (tar_file(to, name, f->path, e))
			return -1;
	}
	return tar_end(to, e);
}

static int feed_end(void *ctx, int to, struct err *e)
{
	const struct installing *in = ctx;

	if (feed_list(ctx, to, e))
		return -1;
	return fd_write_all(to, "\n", 1) || fd_write_all(to, in->key, strlen(in->key)) ? err_sys(e, "key") : 0;
}

static int install_one(const struct installing *in, size_t i, char **ticket, struct err *e)
{
	AUTO_FREE char *wanted = NULL, *nothing = NULL;
	char script[sizeof(look) + 256];
	struct parcel p = { .in = in };
	struct utsname u;
	struct ssh_target t;

	uname(&u);
	snprintf(script, sizeof(script), look, u.machine, u.machine);
	if (target_of(in, i, &t, e) || step(&t, script, feed_list, (void *)in, &wanted, e))
		return -1;
	p.wanted = wanted;
	if (*wanted && step(&t, unpack, feed_files, &p, &nothing, e))
		return -1;
	return step(&t, finish, feed_end, (void *)in, ticket, e);
}

/* The ticket that it has printed, with the address at which it was reached. */
static int print_ticket(const struct installing *in, size_t i, const char *text, FILE *out, struct err *e)
{
	AUTO_JSON struct json *ticket = json_parse(text, strlen(text), NULL);
	struct ssh_target t;

	if (target_of(in, i, &t, e))
		return -1;
	if (!ticket || !json_is_object(ticket) || !json_str(ticket, "node"))
		return err_set(e, EX_DATAERR, "node %s: install: no ticket came back", t.name);
	json_set_str(ticket, "addr", t.host);
	json_set_num(ticket, "port", t.port);
	json_set_str(ticket, "user", t.user);
	return record_print(out, ticket, e);
}

static int work(void *ctx, size_t i, FILE *out)
{
	AUTO_FREE char *ticket = NULL;
	struct err e = { 0 };

	if (!install_one(ctx, i, &ticket, &e) && !print_ticket(ctx, i, ticket, out, &e))
		return 0;
	fprintf(out, "!%d %s\n", e.code, e.text);
	return e.code;
}

/* ---- all of them ---- */

static int line(void *ctx, size_t i, char *text, struct err *e)
{
	const struct installing *in = ctx;
	struct json *ticket;
	struct err why;
	int at = 0, code;

	(void)i;
	if (sscanf(text, "!%d %n", &code, &at) == 1 && at) {
		err_set(&why, code, "%s", text + at);
		in->warn(&why);
		return 0;
	}
	ticket = json_parse(text, strlen(text), e);
	if (!ticket)
		return -1;
	json_add(in->tickets, ticket);
	return 0;
}

static int ended(void *ctx, size_t i, int status, struct err *e)
{
	const struct installing *in = ctx;
	AUTO_JSON struct json *node = json_at(in->nodes, i);
	struct err why;

	(void)e;
	if (status != CROWD_LATE)
		return 0;
	err_set(&why, EX_UNAVAILABLE, "node %s: install: not done within %d s", json_str(node, "target"), NODE_MS / 1000);
	in->warn(&why);
	return 0;
}

int install_all(const struct json *nodes, struct json *tickets, int at_once, void (*warn)(const struct err *e), struct err *e)
{
	AUTO_INSTALL_LIST struct install_list list = { 0 };
	AUTO_FREE char *key = trust_own_key(e);
	char named[2400];
	struct installing in = { .nodes = nodes, .tickets = tickets, .list = &list, .key = named, .warn = warn };
	const struct crowd c = {
		.n = json_len(nodes, NULL),
		.at_once = at_once,
		.timeout_ms = NODE_MS,
		.work = work,
		.line = line,
		.ended = ended,
		.ctx = &in,
	};

	if (!key || install_list(&list, e))
		return -1;
	snprintf(named, sizeof(named), "%s %s\n", key, node_self());
	return crowd_run(&c, e);
}
