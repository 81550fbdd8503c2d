/* SPDX-License-Identifier: MIT */
/* Serves one session of another node over stdin and stdout; sshd starts it. */
#include <signal.h>

#include "lib/base/opt.h"
#include "lib/move/serve.h"

static const struct opt opts[] = { { 0 } };

static const struct cmd cmd = {
	.name = "edge-serve",
	.synopsis = "",
	.about = "Serves another node's programs over stdin and stdout; sshd starts it.",
	.opts = opts,
	.filter = true,
};

int main(int argc, char **argv)
{
	struct err e = { 0 };
	int status = 0;

	if (cmd_parse(&cmd, argc, argv, &status) < 0)
		return status;
	signal(SIGPIPE, SIG_IGN);
	return serve_session(&e) ? cmd_fail(&cmd, &e) : 0;
}
