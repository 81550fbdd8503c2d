/* SPDX-License-Identifier: MIT */
#include "lib/engine/process.h"
#include "lib/engine/process_criu.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "lib/base/file.h"
#include "lib/engine/cgroup.h"
#include "lib/engine/engine.h"

/* What Docker leaves to a container, except for making devices (there is no device cgroup): enough for servers that change user or bind to low ports, and nothing that
 * reaches beyond the service's own namespaces. */
static const int kept_caps[] = { CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FSETID, CAP_FOWNER, CAP_NET_RAW,
				 CAP_SETGID, CAP_SETUID, CAP_SETFCAP, CAP_SETPCAP, CAP_NET_BIND_SERVICE, CAP_SYS_CHROOT,
				 CAP_KILL, CAP_AUDIT_WRITE };

struct identity {
	uid_t uid;
	gid_t gid;
	gid_t groups[64];
	size_t n_groups;
	char name[64], home[PATH_MAX];
};

static uint64_t kept_mask(void)
{
	uint64_t mask = 0;

	for (size_t i = 0; i < sizeof(kept_caps) / sizeof(*kept_caps); i++)
		mask |= 1ull << kept_caps[i];
	return mask;
}

static int caps_bound(struct err *e)
{
	for (int cap = 0; cap < 64; cap++)
		if (!(kept_mask() >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0)) {
			if (errno == EINVAL && cap > 0) /* beyond this kernel's last one */
				break;
			return err_sys(e, "cannot drop capability %d", cap);
		}
	return 0;
}

static int caps_set(struct err *e)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[2] = { { 0 }, { 0 } };
	uint64_t mask = kept_mask();

	if (geteuid()) /* the change of user has taken all of them */
		return 0;
	d[0].effective = d[0].permitted = (uint32_t)mask;
	d[1].effective = d[1].permitted = (uint32_t)(mask >> 32);
	return syscall(SYS_capset, &h, d) ? err_sys(e, "cannot set capabilities") : 0;
}

static bool is_number(const char *text)
{
	return *text && strspn(text, "0123456789") == strlen(text);
}

/* The group that a user of the form "user:group" names. */
static int group_find(const char *group, gid_t *gid, struct err *e)
{
	AUTO_FILE FILE *f = fopen("/etc/group", "re");
	struct group *g = NULL;

	while (f && !is_number(group) && (g = fgetgrent(f)) && strcmp(g->gr_name, group) != 0)
		;
	if (!g && !is_number(group))
		return err_set(e, EX_UNAVAILABLE, "group %s: not in the service's /etc/group", group);
	*gid = g ? g->gr_gid : (gid_t)strtoul(group, NULL, 10);
	return 0;
}

/* "user[:group]", names or numbers, by the passwd and group files of the service's own root. */
static int identity_find(const char *text, struct identity *id, struct err *e)
{
	const char *colon = strchr(text, ':');
	AUTO_FILE FILE *f = fopen("/etc/passwd", "re");
	struct passwd *p = NULL;
	char user[64];

	snprintf(user, sizeof(user), "%.*s", (int)strcspn(text, ":"), text);
	bool by_id = is_number(user);
	uid_t uid = by_id ? (uid_t)strtoul(user, NULL, 10) : 0;
	memset(id, 0, sizeof(*id));
	while (f && (p = fgetpwent(f)) && (by_id ? p->pw_uid != uid : strcmp(p->pw_name, user) != 0))
		;
	if (!p && !by_id)
		return err_set(e, EX_UNAVAILABLE, "user %s: not in the service's /etc/passwd", user);
	id->uid = p ? p->pw_uid : uid;
	id->gid = p ? p->pw_gid : uid;
	if (colon && group_find(colon + 1, &id->gid, e))
		return -1;
	snprintf(id->name, sizeof(id->name), "%s", p ? p->pw_name : "");
	snprintf(id->home, sizeof(id->home), "%s", p ? p->pw_dir : "/");
	id->groups[id->n_groups++] = id->gid;
	AUTO_FILE FILE *g = fopen("/etc/group", "re");
	for (struct group *gr; g && id->name[0] && (gr = fgetgrent(g));)
		for (char **m = gr->gr_mem; *m; m++)
			if (!strcmp(*m, id->name) && id->n_groups < sizeof(id->groups) / sizeof(*id->groups))
				id->groups[id->n_groups++] = gr->gr_gid;
	return 0;
}

static int root_enter(const struct service *s, struct err *e)
{
	static const char *const read_only[] = { "/proc/sys", "/proc/sysrq-trigger" };

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) || chdir(service_dir(s, "root")) ||
	    syscall(SYS_pivot_root, ".", ".") || umount2(".", MNT_DETACH) || chdir("/"))
		return err_sys(e, "cannot enter its root");
	if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL))
		return err_sys(e, "cannot mount /proc");
	/* What is here belongs to the whole machine, and its owner is root: a service's root too. */
	for (size_t i = 0; i < sizeof(read_only) / sizeof(*read_only); i++)
		if (!access(read_only[i], F_OK) && /* not every kernel has them all */
		    (mount(read_only[i], read_only[i], NULL, MS_BIND, NULL) ||
		     mount(NULL, read_only[i], NULL,
			   MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL)))
			return err_sys(e, "cannot protect %s", read_only[i]);
	return 0;
}

static int environment_set(const struct service *s, const struct identity *id, struct err *e)
{
	if (clearenv() || setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1) ||
	    setenv("HOME", id->home, 1) || setenv("TERM", "dumb", 1) || setenv("LANG", "C.UTF-8", 1) ||
	    setenv("EDGE_SERVICE", s->name, 1))
		return err_sys(e, "environment");
	for (char **v = s->env; v && *v; v++)
		if (putenv(*v))
			return err_sys(e, "environment");
	return 0;
}

static int dir_enter(const struct service *s, const struct identity *id, struct err *e)
{
	if (!s->dir[0])
		return 0;
	if (access(s->dir, F_OK) && (file_mkdirs(s->dir, 0755, e) || chown(s->dir, id->uid, id->gid)))
		return err_wrap(e, "folder %s", s->dir);
	return chdir(s->dir) ? err_sys(e, "folder %s", s->dir) : 0;
}

/* All that happens between clone and exec. Nothing of the node may stay open or mounted: criu refuses a process with
 * a file whose mount it cannot see. log: -1 for a test, which is no part of the service: it must not be in the way of a dump. */
static int become(const struct service *s, char *const argv[], int netns, int log, int *report, struct err *e)
{
	struct identity id;

	if (log >= 0 && cgroup_join(s->name, 0, e))
		return -1;
	if (setns(netns, CLONE_NEWNET))
		return err_sys(e, "cannot enter its network");
	if (setsid() < 0 || sethostname(s->name, strlen(s->name)))
		return err_sys(e, "cannot start its session");
	if (root_enter(s, e) || identity_find(s->user[0] ? s->user : "0", &id, e))
		return -1;
	AUTO_FD int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0)
		return err_sys(e, "/dev/null");
	if (child_fds((int[]){ null, log < 0 ? null : log, log < 0 ? null : log, *report }, 4))
		return err_sys(e, "descriptors");
	null = -1;
	*report = 3;
	umask(022);
	if (dir_enter(s, &id, e) || caps_bound(e))
		return -1;
	if (setgroups(id.n_groups, id.groups) || setresgid(id.gid, id.gid, id.gid) ||
	    setresuid(id.uid, id.uid, id.uid))
		return err_sys(e, "user %s", s->user);
	if (caps_set(e) || environment_set(s, &id, e))
		return -1;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || (log < 0 && prctl(PR_SET_PDEATHSIG, SIGKILL)))
		return err_sys(e, "no_new_privs");
	execvp(argv[0], argv);
	return err_sys(e, "cannot run %s", argv[0]);
}

int process_spawn(const struct service *s, char *const argv[], int netns, int log, pid_t *pid, struct err *e)
{
	struct err cause = { .code = EX_UNAVAILABLE };
	int fds[2];

	if (!argv || !argv[0])
		return err_set(e, EX_USAGE, "service %s: no command", s->name);
	if (pipe2(fds, O_CLOEXEC))
		return err_sys(e, "service %s", s->name);
	AUTO_FD int from = fds[0], to = fds[1];
	/* raw: the C library has no wrapper that forks into namespaces without a stack of its own */
	long child = syscall(SYS_clone, CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | SIGCHLD, 0, 0, 0, 0);
	if (child < 0)
		return err_sys(e, "service %s: cannot make its namespaces", s->name);
	if (!child) {
		child_signals();
		become(s, argv, netns, log, &to, &cause);
		cause.code = EX_UNAVAILABLE;
		if (fd_write_all(to, &cause, sizeof(cause)))
			_exit(2);
		_exit(1);
	}
	close(TAKE_FD(to));
	if (child_report(from, s->name, e))
		return -1;
	*pid = (pid_t)child;
	return 0;
}

static const char *process_missing(void)
{
	return geteuid() ? "it needs root" : NULL;
}

static int process_check(struct service *s, struct err *e)
{
	if (s->bundle[0] || !s->argv)
		return err_set(e, EX_USAGE, "service %s: engine process: %s", s->name,
			       s->bundle[0] ? "cannot run a bundle" : "no command");
	return 0;
}

static int process_start(struct service *s, struct keeper *k, struct err *e)
{
	return keeper_start(k, &s->pid, e);
}

static int process_forget(struct service *s, struct err *e)
{
	(void)s;
	(void)e;
	return 0;
}

const struct engine_look process_look = { .name = "process", .missing = process_missing };
const struct engine engine_process = {
	.look = &process_look,
	.check = process_check,
	.start = process_start,
	.dump = process_dump,
	.restore_arm = process_restore_arm,
	.lazy_dir = process_lazy_dir,
	.restore = process_restore,
	.forget = process_forget,
};
