/* SPDX-License-Identifier: MIT */
/* A shell command on a machine that has nothing of ours, over OpenSSH's client: for bringing it there. Nothing of what is in the
 * command may come from records. */
#ifndef EDGE_MOVE_OPENSSH_H
#define EDGE_MOVE_OPENSSH_H

#include <stdbool.h>
#include <sys/types.h>

#include "lib/base/ssh.h"

struct openssh {
	pid_t pid;
	int in; /* its stdin, to be closed */
};

/* Starts it with stdout and stderr as given, with the key and the host keys of lib/base/ssh.h; `person`: with those of ~/.ssh,
 * too, as one who installs is a person. */
int openssh_start(struct openssh *o, const struct ssh_target *t, const char *script, bool person, int out, int err, struct err *e);
/* Closes stdin and waits: its exit status, -1 when it was killed. */
int openssh_wait(struct openssh *o);
/* EX_NOPERM when these last words of its mean that it was not let in, else EX_UNAVAILABLE. */
int openssh_code(const char *why);
/* Is said on stderr (a file that was written to): each line of the form "PROGRAM: ..." goes to say (or NULL), free of control
 * characters; the last other one is why it has failed. */
void openssh_hear(int fd, const char *program, void (*say)(const char *line), char *why, size_t size);

#endif
