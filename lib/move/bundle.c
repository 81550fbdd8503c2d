/* SPDX-License-Identifier: MIT */
#include "lib/move/bundle.h"

#include <dlfcn.h>
#include <limits.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "lib/base/libcurl.h"
#include "lib/move/openssh.h"
#include "lib/move/tar.h"

#define PARTS_MAX 128
#define NOT_HERE 69

struct part {
	char path[PATH_MAX], name[100];
};

struct bundle {
	struct part parts[PARTS_MAX];
	int n;
};

/* ---- what is in it ---- */

/* Where edge-invite --install has brought us, our loader is run, and told whom to load. */
static bool loader_runs(void)
{
	char exe[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	exe[n > 0 ? n : 0] = '\0';
	return strrchr(exe, '/') && !strcmp(strrchr(exe, '/'), "/ld.so");
}

static const char *path_of_program(void)
{
	Dl_info info;

	return loader_runs() && dladdr((void *)bundle_run, &info) ? info.dli_fname : "/proc/self/exe";
}

/* The program, its loader and a library, each by the name by which it is looked for. */
static int add_part(struct dl_phdr_info *i, size_t size, void *ctx)
{
	const char *base = strrchr(i->dlpi_name, '/');
	bool loader = base && (!strncmp(base, "/ld-", 4) || !strcmp(base, "/ld.so"));
	struct bundle *b = ctx;
	struct part *p = &b->parts[b->n];

	(void)size;
	if (*i->dlpi_name && !base) /* the kernel's */
		return 0;
	if (b->n == PARTS_MAX)
		return -1;
	snprintf(p->path, sizeof(p->path), "%s",
		 !base ? path_of_program() : loader && loader_runs() ? "/proc/self/exe" : i->dlpi_name);
	snprintf(p->name, sizeof(p->name), "%.99s", !base ? "edge-probe" : loader ? "ld.so" : base + 1);
	b->n++;
	return 0;
}

/* All that is loaded now; with --services what Docker's daemon is asked with, too, which is loaded late, and without which it is not
 * asked. */
static int collect(struct bundle *b, const struct json *args, struct err *e)
{
	for (size_t i = 0; i < json_len(args, NULL); i++) {
		AUTO_JSON struct json *arg = json_at(args, i);

		if (!strcmp(json_value(arg), "--services"))
			libcurl_load(NULL);
	}
	return dl_iterate_phdr(add_part, b) ? err_set(e, EX_SOFTWARE, "bundle: more than %d files", PARTS_MAX) : 0;
}

static int send_all(const struct bundle *b, int to, struct err *e)
{
	for (int i = 0; i < b->n; i++)
		if (tar_file(to, b->parts[i].name, b->parts[i].path, e))
			return -1;
	return tar_end(to, e);
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

int bundle_run(const struct ssh_target *t, const struct json *args, FILE *out, void (*say)(const char *line), struct err *e)
{
	AUTO_FREE struct bundle *b = calloc(1, sizeof(*b));
	char script[2048], why[512] = "";
	int said = memfd_create("said", MFD_CLOEXEC), status;
	struct err broken = { 0 };
	struct openssh ssh;

	if (!b || said < 0)
		return err_sys(e, "bundle");
	fflush(out);
	if (collect(b, args, e) || command(args, script, sizeof(script), e) ||
	    openssh_start(&ssh, t, script, false, fileno(out), said, e)) {
		close(said);
		return -1;
	}
	send_all(b, ssh.in, &broken); /* ssh says better why */
	status = openssh_wait(&ssh);
	openssh_hear(said, "edge-probe", say, why, sizeof(why));
	if (status >= 0 && status < 126 && !*why)
		return status;
	return err_set(e, openssh_code(why), "node %s: bootstrap: %s", t->name, *why ? why : "ssh has failed");
}
