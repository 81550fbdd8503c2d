/* SPDX-License-Identifier: MIT */
#include "lib/move/journal.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/file.h"

struct journal {
	char path[PATH_MAX];
	int fd;
};

static bool name_valid(const char *move)
{
	return *move && *move != '.' && !strchr(move, '/');
}

/* A file is there after a power cut once its folder is on disk, too. */
static int sync_folder(struct err *e)
{
	const char *path = file_path("/var/lib/edge/journal");
	AUTO_FD int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 || fsync(fd) ? err_sys(e, "%s", path) : 0;
}

/* A line that was cut off was never a step, and must not swallow the next one. Several processes write: the file is
 * locked. */
static int cut_tail(struct journal *j, struct err *e)
{
	struct stat st;
	char last = 0;

	if (fstat(j->fd, &st))
		return err_sys(e, "%s", j->path);
	off_t end = st.st_size;
	for (; end; end--) {
		if (pread(j->fd, &last, 1, end - 1) != 1)
			return err_sys(e, "%s", j->path);
		if (last == '\n')
			break;
	}
	return end < st.st_size && ftruncate(j->fd, end) ? err_sys(e, "%s", j->path) : 0;
}

static int open_file(struct journal **out, const char *move, int flags, struct err *e)
{
	AUTO_JOURNAL struct journal *j = calloc(1, sizeof(*j));

	if (!j)
		return err_set(e, EX_OSERR, "out of memory");
	j->fd = -1;
	if (!name_valid(move))
		return err_set(e, EX_DATAERR, "not the name of a move: %s", move);
	if (file_mkdirs(file_path("/var/lib/edge/journal"), 0700, e))
		return -1;
	snprintf(j->path, sizeof(j->path), "%s", file_path("/var/lib/edge/journal/%s", move));
	j->fd = open(j->path, flags | O_RDWR | O_APPEND | O_CLOEXEC, 0600);
	if (j->fd < 0 && !(flags & O_CREAT))
		return err_set(e, EX_UNAVAILABLE, "move %s: not in the journal", move);
	if (j->fd < 0)
		return err_sys(e, "%s", j->path);
	*out = TAKE_PTR(j);
	return 0;
}

static int append(struct journal *j, struct json *line, const char *step, struct err *e)
{
	char at[32];

	json_set_str(line, "step", step);
	json_set_str(line, "at", clock_rfc3339(at));
	AUTO_FREE char *text = json_text(line);
	AUTO_FREE char *whole = NULL;
	/* One write: a line is there or not. */
	if (!text || asprintf(&whole, "%s\n", text) < 0)
		return err_set(e, EX_OSERR, "out of memory");
	if (flock(j->fd, LOCK_EX))
		return err_sys(e, "%s", j->path);
	int rc = cut_tail(j, e);
	if (!rc && (fd_write_all(j->fd, whole, strlen(whole)) || fdatasync(j->fd))) {
		rc = err_sys(e, "%s", j->path);
		cut_tail(j, NULL);
	}
	flock(j->fd, LOCK_UN);
	return rc;
}

int journal_begin(struct journal **out, const char *move, const struct json *head, struct err *e)
{
	AUTO_JOURNAL struct journal *j = NULL;
	AUTO_JSON struct json *line = json_copy(head);

	if (open_file(&j, move, O_CREAT | O_TRUNC, e))
		return -1;
	if (append(j, line, "begun", e) || sync_folder(e)) {
		journal_end(j, NULL);
		return -1;
	}
	*out = TAKE_PTR(j);
	return 0;
}

int journal_open(struct journal **out, const char *move, struct err *e)
{
	return open_file(out, move, 0, e);
}

int journal_step(struct journal *j, const char *step, struct err *e)
{
	AUTO_JSON struct json *line = json_object();

	return append(j, line, step, e);
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

int journal_turn(const char *move, const char *from, const char *step, const struct json *more, struct err *e)
{
	AUTO_JOURNAL struct journal *j = NULL;
	AUTO_JSON struct json *line = more ? json_copy(more) : json_object();

	if (journal_open(&j, move, e))
		return -1;
	if (flock(j->fd, LOCK_EX))
		return err_sys(e, "%s", j->path);
	AUTO_FREE char *last = last_value(j->path, "step");
	return last && among(from, last) ? append(j, line, step, e) : 1;
}

bool journal_find(const char *role, const char *id, char move[64])
{
	DIR *d = opendir(file_path("/var/lib/edge/journal"));
	bool found = false;
	struct dirent *de;

	while (d && !found && (de = readdir(d))) {
		if (de->d_name[0] == '.' || strlen(de->d_name) >= 64)
			continue;
		AUTO_FREE char *its_role = journal_member(de->d_name, "role"), *its_id = journal_member(de->d_name, "id");

		found = its_role && its_id && !strcmp(its_role, role) && !strcmp(its_id, id);
		snprintf(move, 64, "%s", de->d_name);
	}
	if (d)
		closedir(d);
	return found;
}

int journal_end(struct journal *j, struct err *e)
{
	return unlink(j->path) ? err_sys(e, "%s", j->path) : 0;
}

void journal_free(struct journal *j)
{
	if (j->fd >= 0)
		close(j->fd);
	free(j);
}
