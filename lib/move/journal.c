/* SPDX-License-Identifier: MIT */
#include "lib/move/journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/engine/service.h"

#define HOLD_MAX_MS 20000
#define MOVE_NAME_MAX 64
#define FILE_BYTES 4096 /* blanks, at the beginning: a disk that fills up later does not keep a step from being written */

static bool name_valid(const char *move)
{
	return *move && *move != '.' && strlen(move) < MOVE_NAME_MAX && !strchr(move, '/');
}

/* Where the last line ends, without its newline: behind it is only what was reserved. -1: it cannot be read. */
static off_t text_end(int fd)
{
	struct stat st;
	char block[4096];
	ssize_t n = 0;

	if (fstat(fd, &st))
		return -1;
	for (off_t at = st.st_size; at > 0; at -= n) {
		n = at < (off_t)sizeof(block) ? at : (off_t)sizeof(block);
		if (pread(fd, block, (size_t)n, at - n) != n)
			return -1;
		for (ssize_t i = n; i; i--)
			if (block[i - 1] != '\n' && block[i - 1] != ' ')
				return at - n + i;
	}
	return 0;
}

static int blank(int fd, off_t from, off_t to)
{
	for (; from < to; from++)
		if (pwrite(fd, " ", 1, from) != 1)
			return -1;
	return 0;
}

/* The move's file, locked until it is closed. */
static int open_file(const char *move, int flags, const char **path, struct err *e)
{
	if (!name_valid(move))
		return err_set(e, EX_DATAERR, "not the name of a move: %s", move);
	if (file_mkdirs(file_path("/var/lib/edge/journal"), 0700, e))
		return -1;
	*path = file_path("/var/lib/edge/journal/%s", move);
	AUTO_FD int fd = open(*path, flags | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0 && errno == ENOENT)
		return err_set(e, EX_UNAVAILABLE, "move %s: not in the journal", move);
	if (fd < 0 || flock(fd, LOCK_EX))
		return err_sys(e, "%s", *path);
	return TAKE_FD(fd);
}

/* Several may come to it first: one of them wins. */
static void make_boot(const char *path)
{
	AUTO_FREE char *text = file_slurp("/proc/sys/kernel/random/uuid", NULL, NULL);
	char own[PATH_MAX];

	snprintf(own, sizeof(own), "%s.%d", path, (int)getpid());
	if (!text || file_mkdirs(file_path("/run/edge"), 0755, NULL) || file_write(own, text, strlen(text), 0644, NULL))
		return;
	(void)!link(own, path);
	unlink(own);
}

/* Names the time since this node was switched on: /run does not outlive it. */
static const char *this_boot(void)
{
	static char boot[37];
	const char *path = file_path("/run/edge/boot");
	AUTO_FREE char *text = file_slurp(path, NULL, NULL);

	if (!text) {
		make_boot(path);
		text = file_slurp(path, NULL, NULL);
	}
	if (!text) /* at least the machine's own */
		text = file_slurp("/proc/sys/kernel/random/boot_id", NULL, NULL);
	snprintf(boot, sizeof(boot), "%.36s", text ? text : "");
	return boot;
}

static int reserve(int fd, const char *path, struct err *e)
{
	char blanks[FILE_BYTES];

	memset(blanks, ' ', sizeof(blanks));
	blanks[sizeof(blanks) - 1] = '\n';
	return fd_pwrite_all(fd, blanks, sizeof(blanks), 0) ? err_sys(e, "%s", path) : 0;
}

/* Over blanks that are on disk already: the file neither grows nor gets blocks, so the filesystem need not commit anything,
 * with all that others have written, before the step is on disk. A line of which only a part got there is no JSON, and no step; the next
 * one is not swallowed by it. Several processes write: the file is locked. */
static int append(int fd, const char *path, struct json *line, const char *step, bool sync, struct err *e)
{
	char at[32];
	struct stat st;

	json_set_str(line, "step", step);
	json_set_str(line, "at", clock_rfc3339(at));
	off_t end = fstat(fd, &st) ? -1 : text_end(fd);
	if (end < 0)
		return err_sys(e, "%s", path);
	AUTO_FREE char *text = json_text(line);
	AUTO_FREE char *whole = NULL;
	int n = text ? asprintf(&whole, "%s%s\n", end ? "\n" : "", text) : -1;
	if (n < 0)
		return err_set(e, EX_OSERR, "out of memory");
	if (!fd_pwrite_all(fd, whole, (size_t)n, end) && !(sync && fdatasync(fd)))
		return 0;
	/* A line that may not be on disk is not to be read either. */
	err_sys(e, "%s", path);
	(void)!blank(fd, end + (end > 0), st.st_size); /* and not the end of the line before it */
	return (void)!ftruncate(fd, st.st_size), -1;
}

void journal_hold(const char *step)
{
	const char *fault = getenv("EDGE_FAULT"), *held = file_path("/run/edge/held-%s", step);

	if (!fault || strcmp(fault, "hold") || rename(file_path("/run/edge/hold-%s", step), held))
		return;
	for (int i = 0; i < HOLD_MAX_MS && !access(held, F_OK); i++)
		usleep(1000);
}

int journal_begin(const char *move, const struct json *head, struct err *e)
{
	AUTO_JSON struct json *line = json_copy(head);
	const char *path;
	AUTO_FD int fd = open_file(move, O_CREAT, &path, e);

	if (fd < 0)
		return -1;
	/* A step that was written counts, also for one that comes a second time. */
	if (*journal_last(move))
		return err_set(e, EX_TEMPFAIL, "move %.12s: has begun before: it is \"%s\"", move, journal_last(move));
	json_set_str(line, "boot", this_boot());
	if (reserve(fd, path, e) || append(fd, path, line, "begun", true, e) || file_sync_folder(path, e)) {
		unlink(path);
		return -1;
	}
	flock(fd, LOCK_UN);
	journal_hold("begun");
	return 0;
}

/* Of all lines the last that has the member. */
static char *last_value(const char *path, const char *key)
{
	AUTO_FREE char *line = NULL;
	char *value = NULL;
	size_t room = 0;
	AUTO_FILE FILE *f = fopen(path, "re");

	while (f && getline(&line, &room, f) > 0) {
		AUTO_JSON struct json *j = strchr(line, '\n') ? json_parse(line, strlen(line), NULL) : NULL;

		if (!j || !json_str(j, key))
			continue;
		free(value);
		value = strdup(json_str(j, key));
	}
	return value;
}

const char *journal_last(const char *move)
{
	static __thread char step[32];
	AUTO_FREE char *last = journal_member(move, "step");

	snprintf(step, sizeof(step), "%s", last ? last : "");
	return step;
}

char *journal_member(const char *move, const char *key)
{
	return name_valid(move) ? last_value(file_path("/var/lib/edge/journal/%s", move), key) : NULL;
}

/* Is it one of the words? */
static bool among(const char *words, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = words; *p; p += strcspn(p, " "), p += strspn(p, " "))
		if (!strncmp(p, word, n) && (!p[n] || p[n] == ' '))
			return true;
	return false;
}

int journal_begin_source(const char *move, const struct service *s, const char *to, struct err *e)
{
	AUTO_JSON struct json *head = json_object();

	json_set_str(head, "role", "source");
	json_set_str(head, "service", s->name);
	json_set_str(head, "id", s->id);
	json_set_str(head, "to", to);
	return journal_begin(move, head, e);
}

static int turn(const char *move, const char *from, const char *step, const struct json *more, bool sync, struct err *e)
{
	AUTO_JSON struct json *line = more ? json_copy(more) : json_object();
	const char *path;
	AUTO_FD int fd = open_file(move, 0, &path, e);

	if (fd < 0)
		return -1;
	AUTO_FREE char *last = last_value(path, "step");
	if (!last || !among(from, last))
		return 1;
	if (append(fd, path, line, step, sync, e))
		return -1;
	flock(fd, LOCK_UN);
	journal_hold(step);
	return 0;
}

int journal_turn(const char *move, const char *from, const char *step, const struct json *more, struct err *e)
{
	return turn(move, from, step, more, true, e);
}

int journal_turn_cached(const char *move, const char *from, const char *step, const struct json *more, struct err *e)
{
	return turn(move, from, step, more, false, e);
}

static void copy_member(const char *move, const char *key, char *to, size_t size)
{
	AUTO_FREE char *value = journal_member(move, key);

	snprintf(to, size, "%s", value ? value : "");
}

int journal_entry(const char *move, struct journal_entry *j, struct err *e)
{
	char boot[40], was_here[8], forced[8];

	memset(j, 0, sizeof(*j));
	if (strlen(move) >= sizeof(j->move) || !*journal_last(move))
		return err_set(e, EX_UNAVAILABLE, "move %.40s: not in the journal", move);
	strcpy(j->move, move);
	copy_member(move, "step", j->step, sizeof(j->step));
	copy_member(move, "at", j->at, sizeof(j->at));
	copy_member(move, "role", j->role, sizeof(j->role));
	copy_member(move, "service", j->service, sizeof(j->service));
	copy_member(move, "id", j->id, sizeof(j->id));
	copy_member(move, strcmp(j->role, "source") ? "from" : "to", j->peer, sizeof(j->peer));
	copy_member(move, "boot", boot, sizeof(boot));
	copy_member(move, "was_here", was_here, sizeof(was_here));
	copy_member(move, "forced", forced, sizeof(forced));
	j->same_boot = !strcmp(boot, this_boot());
	j->was_here = !strcmp(was_here, "yes");
	j->forced = !strcmp(forced, "yes");
	return 0;
}

static int by_time(const void *a, const void *b)
{
	const struct journal_entry *x = a, *y = b;
	int rc = strcmp(x->at, y->at);

	return rc ? rc : strcmp(x->move, y->move);
}

int journal_entries(struct journal_entry **list, size_t *n, struct err *e)
{
	DIR *d = opendir(file_path("/var/lib/edge/journal"));
	struct dirent *de;
	int rc = 0;

	*list = NULL;
	*n = 0;
	if (!d && errno != ENOENT)
		return err_sys(e, "%s", file_path("/var/lib/edge/journal"));
	while (d && !rc && (de = readdir(d))) {
		struct journal_entry one, *bigger;

		/* One that is just going, or whose first line was never whole, is none. */
		if (de->d_name[0] == '.' || journal_entry(de->d_name, &one, NULL))
			continue;
		bigger = realloc(*list, (*n + 1) * sizeof(**list));
		if (!bigger)
			rc = err_set(e, EX_OSERR, "out of memory");
		else
			(*list = bigger)[(*n)++] = one;
	}
	if (d)
		closedir(d);
	if (*n)
		qsort(*list, *n, sizeof(**list), by_time);
	return rc;
}

bool journal_find(const char *role, const char *id, char move[64])
{
	AUTO_FREE struct journal_entry *list = NULL;
	size_t n = 0;

	if (journal_entries(&list, &n, NULL))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!strcmp(list[i].role, role) && !strcmp(list[i].id, id)) {
			strcpy(move, list[i].move);
			return true;
		}
	return false;
}

int journal_lock(const char *service, int wait_ms, struct err *e)
{
	int lock = service_lock(service, wait_ms, e);
	AUTO_FREE struct journal_entry *list = NULL;
	size_t n = 0;

	if (lock >= 0 || !e || e->code != EX_TEMPFAIL || journal_entries(&list, &n, NULL))
		return lock;
	for (size_t i = 0; i < n; i++) {
		const struct journal_entry *j = &list[i];

		if (strcmp(j->service, service))
			continue;
		if (!strcmp(j->role, "destination"))
			err_set(e, EX_TEMPFAIL, "service %s: busy: it is being moved here from %s (%s)", service, j->peer, j->move);
		else if (j->peer[0])
			err_set(e, EX_TEMPFAIL, "service %s: busy: it is being moved to %s (%s)", service, j->peer, j->move);
		else
			err_set(e, EX_TEMPFAIL, "service %s: busy: edge-checkpoint holds it (%s)", service, j->move);
	}
	return lock;
}

int journal_forget(const char *move, struct err *e)
{
	const char *path = file_path("/var/lib/edge/journal/%s", move);

	return name_valid(move) && unlink(path) && errno != ENOENT ? err_sys(e, "%s", path) : 0;
}

bool journal_has(const char *move)
{
	return name_valid(move) && (!access(file_path("/var/lib/edge/journal/%s", move), F_OK) || errno != ENOENT);
}
