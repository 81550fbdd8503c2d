/* SPDX-License-Identifier: MIT */
/* files make DIR: one file of each kind. files describe DIR: all that must survive a move, one line a file.
 * Times of folders and blocks on disk are told only as far as they must be equal. */
#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#define HOLE (1ll << 30)

static void put(const char *name, size_t n, off_t at)
{
	int fd = open(name, O_RDWR | O_CREAT, 0644);
	uint8_t *buf = malloc(n);

	if (fd < 0 || !buf)
		err(1, "%s", name);
	for (size_t i = 0; i < n; i++)
		buf[i] = (uint8_t)(i * 7 + (i >> 8) + 1);
	if (pwrite(fd, buf, n, at) != (ssize_t)n)
		err(1, "%s", name);
	free(buf);
	close(fd);
}

static void must(int rc, const char *what)
{
	if (rc)
		err(1, "%s", what);
}

static void make_all(void)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX, .sun_path = "socket" };
	const struct timespec times[2] = { { 1000000000, 123456789 }, { 1100000000, 987654321 } };
	int s = socket(AF_UNIX, SOCK_STREAM, 0);

	put("plain", 200000, 0);
	put("empty", 0, 0);
	put("sparse", 5000, HOLE);
	must(truncate("sparse", 2 * HOLE), "sparse");
	put("owned", 10, 0);
	must(chown("owned", 1234, 4321), "owned");
	must(chmod("owned", 06751), "owned");
	put("tagged", 10, 0);
	must(setxattr("tagged", "user.edge", "a\0b", 3, 0), "user.edge");
	must(link("plain", "hard"), "hard");
	must(mkdir("folder", 0700), "folder");
	must(chmod("folder", 03777) || chown("folder", 7, 8), "folder");
	must(link("plain", "folder/hard"), "folder/hard");
	put("folder/nome \xc3\xa8\n\"", 3, 0);
	must(symlink("../plain", "folder/soft") || symlink("/no/where", "dangling"), "links");
	must(lchown("dangling", 5, 6), "dangling");
	must(mkfifo("fifo", 0620), "fifo");
	must(s < 0 || bind(s, (struct sockaddr *)&un, sizeof(un)) || chmod("socket", 0711), "socket");
	put("dated", 10, 0);
	must(utimensat(AT_FDCWD, "dated", times, 0), "dated");
	must(utimensat(AT_FDCWD, "dangling", times, AT_SYMLINK_NOFOLLOW), "dangling");
}

static uint64_t content(const char *path)
{
	static uint8_t buf[1 << 16];
	uint64_t h = 14695981039346656037ull;
	int fd = open(path, O_RDONLY);
	off_t at = 0;
	ssize_t n;

	/* Only data: what is a hole on one side must be one on the other. */
	while ((at = lseek(fd, at, SEEK_DATA)) >= 0) {
		h = (h ^ (uint64_t)at) * 1099511628211ull;
		while ((n = pread(fd, buf, sizeof(buf), at)) > 0 && lseek(fd, at, SEEK_HOLE) > at) {
			for (ssize_t i = 0; i < n; i++)
				h = (h ^ buf[i]) * 1099511628211ull;
			at += n;
		}
	}
	close(fd);
	return h;
}

static void show_text(const char *what, const char *text, size_t n)
{
	printf(" %s", what);
	for (size_t i = 0; i < n; i++)
		printf(text[i] > ' ' && text[i] < 127 ? "%c" : "\\%02x", (unsigned char)text[i]);
}

static void show_xattrs(const char *path)
{
	char names[4096], value[4096];
	ssize_t n = llistxattr(path, names, sizeof(names));

	for (char *p = names; n > 0 && p < names + n; p += strlen(p) + 1) {
		ssize_t len = lgetxattr(path, p, value, sizeof(value));

		if (strncmp(p, "trusted.overlay.", 16) && len >= 0) {
			show_text("", p, strlen(p));
			show_text("", value, (size_t)len);
		}
	}
}

static void describe(const char *path)
{
	char target[4096];
	struct stat st;
	ssize_t n;

	if (lstat(path, &st))
		err(1, "%s", path);
	show_text("", path, strlen(path));
	printf(" %o %u:%u", st.st_mode, st.st_uid, st.st_gid);
	if (!S_ISDIR(st.st_mode))
		printf(" %u names %lld.%09ld", (unsigned)st.st_nlink, (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
	if (S_ISREG(st.st_mode))
		printf(" %lld bytes%s %016llx", (long long)st.st_size, st.st_blocks < 2048 ? " in few blocks" : "",
		       (unsigned long long)content(path));
	if (S_ISLNK(st.st_mode) && (n = readlink(path, target, sizeof(target))) > 0)
		show_text("-> ", target, (size_t)n);
	show_xattrs(path);
	putchar('\n');
	struct dirent **list;
	int count = S_ISDIR(st.st_mode) ? scandir(path, &list, NULL, alphasort) : 0;
	for (int i = 0; i < count; i++) {
		char *below;

		if (strcmp(list[i]->d_name, ".") && strcmp(list[i]->d_name, "..") &&
		    asprintf(&below, "%s/%s", path, list[i]->d_name) > 0) {
			describe(below);
			free(below);
		}
		free(list[i]);
	}
	if (S_ISDIR(st.st_mode))
		free(list);
}

int main(int argc, char **argv)
{
	if (argc != 3 || chdir(argv[2]))
		errx(64, "usage: files make|describe DIR");
	if (!strcmp(argv[1], "make"))
		make_all();
	else
		describe(".");
	return 0;
}
