/* SPDX-License-Identifier: MIT */
#include "lib/move/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/file.h"

#define PARTS_MAX 64
#define BLOCK 512
#define NOT_HERE 69

struct part {
	char path[PATH_MAX], name[100];
};

struct bundle {
	struct part parts[PARTS_MAX];
	int n;
};

/* ---- what is in it ---- */

/* The program, its loader and its libraries are what is mapped to be run. */
static int collect(struct bundle *b, struct err *e)
{
	AUTO_FILE FILE *f = fopen("/proc/self/maps", "re");
	AUTO_FREE char *line = NULL;
	char self[PATH_MAX] = "", path[PATH_MAX], mode[8];
	size_t room = 0;

	if (!f || readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		return err_sys(e, "/proc/self/maps");
	while (getline(&line, &room, f) > 0) {
		if (sscanf(line, "%*s %7s %*s %*s %*s %4095[^\n]", mode, path) != 2 || *path != '/' || mode[2] != 'x')
			continue;
		const char *base = strrchr(path, '/') + 1;
		struct part *p = &b->parts[b->n];
		if (b->n && !strcmp(b->parts[b->n - 1].path, path))
			continue;
		if (b->n == PARTS_MAX)
			return err_set(e, EX_SOFTWARE, "bundle: more than %d files", PARTS_MAX);
		snprintf(p->path, sizeof(p->path), "%s", path);
		snprintf(p->name, sizeof(p->name), "%.99s",
			 !strcmp(path, self) ? "edge-probe" : !strncmp(base, "ld-", 3) ? "ld.so" : base);
		b->n++;
	}
	return 0;
}

/* One file as ustar (POSIX.1) has it. */
static int send_part(const struct part *p, int to, struct err *e)
{
	AUTO_FD int fd = open(p->path, O_RDONLY | O_CLOEXEC);
	char header[BLOCK] = { 0 }, block[64 * BLOCK];
	struct stat st;
	unsigned sum = 0;
	ssize_t n;
	off_t left;

	if (fd < 0 || fstat(fd, &st))
		return err_sys(e, "%s", p->path);
	snprintf(header, 100, "%s", p->name);
	snprintf(header + 100, 8, "%07o", 0700);
	snprintf(header + 108, 8, "%07o", 0);
	snprintf(header + 116, 8, "%07o", 0);
	snprintf(header + 124, 12, "%011llo", (unsigned long long)st.st_size);
	snprintf(header + 136, 12, "%011o", 0);
	memset(header + 148, ' ', 8);
	header[156] = '0';
	memcpy(header + 257, "ustar\00000", 8);
	for (int i = 0; i < BLOCK; i++)
		sum += (unsigned char)header[i];
	snprintf(header + 148, 8, "%06o", sum);
	if (fd_write_all(to, header, BLOCK))
		return err_sys(e, "bundle");
	for (left = st.st_size; left > 0; left -= n) {
		size_t most = left < (off_t)sizeof(block) ? (size_t)left : sizeof(block), padded;

		n = read(fd, block, most);
		if (n <= 0)
			return err_sys(e, "%s", p->path);
		padded = left == n ? ((size_t)n + BLOCK - 1) / BLOCK * BLOCK : (size_t)n;
		memset(block + n, 0, padded - (size_t)n);
		if (fd_write_all(to, block, padded))
			return err_sys(e, "bundle");
	}
	return 0;
}

static int send_all(const struct bundle *b, int to, struct err *e)
{
	static const char end[2 * BLOCK];

	for (int i = 0; i < b->n; i++)
		if (send_part(&b->parts[i], to, e))
			return -1;
	return fd_write_all(to, end, sizeof(end)) ? err_sys(e, "bundle") : 0;
}

/* ---- running it ---- */

/* What the shell there runs. Nothing in it comes from anywhere but here. */
static int command(const struct json *args, char *out, size_t size, struct err *e)
{
	struct utsname u;
	int n;

	uname(&u);
	n = snprintf(out, size,
		     "[ \"$(uname -m)\" = %s ] || { echo \"its architecture is not %s\" >&2; exit %d; }; "
		     "d=$(mktemp -d) || exit; trap 'rm -rf \"$d\"' EXIT; trap 'exit 1' HUP INT TERM PIPE; "
		     "tar -x -f - -C \"$d\" || exit; EDGE_ROOT=$d \"$d/ld.so\" --library-path \"$d\" \"$d/edge-probe\"",
		     u.machine, u.machine, NOT_HERE);
	for (size_t i = 0; i < json_len(args, NULL); i++) {
		AUTO_JSON struct json *arg = json_at(args, i);
		const char *word = json_value(arg);

		if (!word || word[strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789.-")])
			return err_set(e, EX_SOFTWARE, "bundle: argument %s", word ? word : "is no string");
		n += snprintf(out + n, size - (size_t)n, " %s", word);
	}
	return 0;
}

static void exec_ssh(const struct ssh_target *t, const char *script)
{
	const char *key = ssh_own_file("EDGE_IDENTITY", "/etc/edge/key"),
		   *hosts = ssh_own_file("EDGE_KNOWN_HOSTS", "/etc/edge/known_hosts");
	char port[16], known[PATH_MAX + 32];
	const char *argv[24] = { "ssh", "-F", "none", "-T", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes",
				 "-o", "LogLevel=ERROR", "-l", t->user, "-p", port };
	int n = 14;

	snprintf(port, sizeof(port), "%d", t->port);
	snprintf(known, sizeof(known), "UserKnownHostsFile=%s", hosts ? hosts : "");
	if (hosts) {
		argv[n++] = "-o";
		argv[n++] = known;
	}
	if (key) {
		argv[n++] = "-i";
		argv[n++] = key;
	}
	argv[n++] = "--";
	argv[n++] = t->host;
	argv[n++] = script;
	execvp("ssh", (char *const *)argv);
	dprintf(2, "ssh: %s\n", strerror(errno));
	_exit(127);
}

/* Lines of our program go on; the last other one is why it failed. */
static void hear(int fd, void (*say)(const char *), char *why, size_t size)
{
	FILE *f = fdopen(fd, "r");
	char line[1024];

	if (f)
		rewind(f);
	while (f && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\r\n")] = '\0';
		for (char *p = line; *p; p++)
			if ((unsigned char)*p < ' ' || *p == 0x7f)
				*p = ' ';
		if (!strncmp(line, "edge-probe: ", 12))
			say(line);
		else if (*line)
			snprintf(why, size, "%s", line);
	}
	if (f)
		fclose(f);
}

static int start(const struct ssh_target *t, const char *script, FILE *out, int said, pid_t *pid, struct err *e)
{
	int in[2];

	if (pipe2(in, O_CLOEXEC))
		return err_sys(e, "pipe");
	fflush(out);
	*pid = fork();
	if (!*pid) {
		dup2(in[0], 0);
		dup2(fileno(out), 1);
		dup2(said, 2);
		exec_ssh(t, script);
	}
	close(in[0]);
	if (*pid > 0)
		return in[1];
	close(in[1]);
	return err_sys(e, "fork");
}

int bundle_run(const struct ssh_target *t, const struct json *args, FILE *out, void (*say)(const char *line), struct err *e)
{
	AUTO_FREE struct bundle *b = calloc(1, sizeof(*b));
	char script[2048], why[512] = "";
	int said = memfd_create("said", MFD_CLOEXEC), in, status = 0;
	struct err broken = { 0 };
	pid_t pid = 0;

	if (!b || said < 0)
		return err_sys(e, "bundle");
	if (collect(b, e) || command(args, script, sizeof(script), e) || (in = start(t, script, out, said, &pid, e)) < 0) {
		close(said);
		return -1;
	}
	send_all(b, in, &broken); /* ssh says better why */
	close(in);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	hear(said, say, why, sizeof(why));
	if (WIFEXITED(status) && WEXITSTATUS(status) < 126 && !*why)
		return WEXITSTATUS(status);
	return err_set(e, strstr(why, "verification failed") || strstr(why, "Permission denied") ? EX_NOPERM : EX_UNAVAILABLE,
		       "node %s: bootstrap: %s", t->name, *why ? why : "ssh has failed");
}
