/* SPDX-License-Identifier: MIT */
#include "lib/move/openssh.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/file.h"

#define ARGS_MAX 40

struct args {
	const char *argv[ARGS_MAX];
	int n;
};

static void add(struct args *a, const char *option, const char *value)
{
	a->argv[a->n++] = option;
	if (value)
		a->argv[a->n++] = value;
}

/* The keys that there are: with one that is named, ssh does not look for others by itself. A person's come first, as ours may
 * be let in for edge-serve alone. */
static void add_keys(struct args *a, bool person)
{
	static const char *const names[] = { "id_ed25519", "id_ecdsa", "id_rsa" };
	static char paths[3][PATH_MAX];
	const char *key = ssh_own_file("EDGE_IDENTITY", "/etc/edge/key");

	if (!key)
		return;
	for (size_t i = 0; person && i < 3; i++) {
		snprintf(paths[i], PATH_MAX, "%s", ssh_home_file(names[i]));
		if (!access(paths[i], R_OK))
			add(a, "-i", paths[i]);
	}
	add(a, "-i", key);
}

static void exec_ssh(const struct ssh_target *t, const char *script, bool person)
{
	static const char *const always[] = { "ssh", "-F", "none", "-T", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes",
					      "-o", "LogLevel=ERROR" };
	const char *hosts = ssh_own_file("EDGE_KNOWN_HOSTS", "/etc/edge/known_hosts");
	char port[16], known[2 * PATH_MAX + 32];
	struct args a = { .n = 0 };

	for (size_t i = 0; i < sizeof(always) / sizeof(*always); i++)
		add(&a, always[i], NULL);
	snprintf(port, sizeof(port), "%d", t->port);
	snprintf(known, sizeof(known), "UserKnownHostsFile=%s%s%s", hosts ? hosts : "", person ? " " : "",
		 person ? ssh_home_file("known_hosts") : "");
	if (hosts)
		add(&a, "-o", known);
	add_keys(&a, person);
	add(&a, "-l", t->user);
	add(&a, "-p", port);
	add(&a, "--", t->host);
	add(&a, script, NULL);
	a.argv[a.n] = NULL;
	execvp("ssh", (char *const *)a.argv);
	dprintf(2, "ssh: %s\n", strerror(errno));
	_exit(127);
}

int openssh_start(struct openssh *o, const struct ssh_target *t, const char *script, bool person, int out, int err, struct err *e)
{
	int in[2];

	if (pipe2(in, O_CLOEXEC))
		return err_sys(e, "pipe");
	o->pid = fork();
	if (!o->pid) {
		dup2(in[0], 0);
		dup2(out, 1);
		dup2(err, 2);
		exec_ssh(t, script, person);
	}
	close(in[0]);
	o->in = in[1];
	if (o->pid > 0)
		return 0;
	close(in[1]);
	return err_sys(e, "fork");
}

int openssh_wait(struct openssh *o)
{
	int status = 0;

	close(o->in);
	while (waitpid(o->pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int openssh_code(const char *why)
{
	return strstr(why, "verification failed") || strstr(why, "Permission denied") ? EX_NOPERM : EX_UNAVAILABLE;
}

void openssh_hear(int fd, const char *program, void (*say)(const char *), char *why, size_t size)
{
	FILE *f = fdopen(fd, "r");
	size_t n = strlen(program);
	char line[1024];

	if (f)
		rewind(f);
	while (f && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\r\n")] = '\0';
		for (char *p = line; *p; p++)
			if ((unsigned char)*p < ' ' || *p == 0x7f)
				*p = ' ';
		if (say && !strncmp(line, program, n) && !strncmp(line + n, ": ", 2))
			say(line);
		else if (*line)
			snprintf(why, size, "%s", line);
	}
	if (f)
		fclose(f);
}
