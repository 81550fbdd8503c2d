/* SPDX-License-Identifier: MIT */
/* Serves one session of another node over stdin and stdout; sshd starts it. */
#include <signal.h>
#include <unistd.h>

#include "lib/base/opt.h"
#include "lib/discover/pubkey.h"
#include "lib/move/serve.h"

static const char *as;

static const struct opt opts[] = {
	{ "as", 0, OPT_STR, &as, "NAME", "for that machine, which may do only what edge-invite has granted to it" },
	{ 0 },
};

static const struct cmd cmd = {
	.name = "edge-serve",
	.synopsis = "",
	.about = "Serves another node's programs over stdin and stdout; sshd starts it.",
	.opts = opts,
	.notes = "People do not run it: a line of authorized_keys names it as the command of each key that other nodes have.",
};

int main(int argc, char **argv)
{
	struct err e = { 0 };
	int status = 0;
	int first = cmd_parse(&cmd, argc, argv, &status);

	if (first < 0)
		return status;
	if (first < argc)
		return cmd_usage(&cmd, "%s: takes no operands", argv[first]);
	if (as && !pubkey_name_valid(as))
		return cmd_usage(&cmd, "--as %s: not the name of a node", as);
	if (isatty(STDIN_FILENO))
		return cmd_usage(&cmd, "standard input is a terminal: sshd runs this for the programs of other nodes");
	signal(SIGPIPE, SIG_IGN);
	return serve_session(as, &e) ? cmd_fail(&cmd, &e) : 0;
}
