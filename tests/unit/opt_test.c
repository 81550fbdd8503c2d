/* SPDX-License-Identifier: MIT */
#include "lib/base/opt.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "tests/unit/tap.h"

static struct {
	bool quiet, all;
	const char *name, *type;
	long count;
	double cpu;
	uint64_t mem;
	struct opt_list volumes;
} o;

static const struct opt table[] = {
	{ "quiet", 'q', OPT_FLAG, &o.quiet, NULL, "say nothing" },
	{ "all", 'a', OPT_FLAG, &o.all, NULL, "everything" },
	{ "name", 'n', OPT_STR | OPT_REQUIRED, &o.name, "NAME", "the service's name" },
	{ "Limits", 0, OPT_GROUP, NULL, NULL, NULL },
	{ "type", 0, OPT_STR, &o.type, "stateful|stateless", "keeps state or not [stateful]" },
	{ "count", 'c', OPT_INT, &o.count, "N", "how often" },
	{ "cpu", 0, OPT_NUM, &o.cpu, "CORES", "limit" },
	{ "place", 0, OPT_ENV, "EDGE_OPT_TEST", "URL", "where" },
	{ "mem", 'm', OPT_SIZE, &o.mem, "SIZE", "limit" },
	{ "volume", 0, OPT_LIST, &o.volumes, "HOST:PATH", "a folder to share" },
	{ 0 },
};

static int names(const char *what, FILE *f)
{
	return strcmp(what, "services@") ? -1 : fputs("web\n", f) < 0;
}

static const struct cmd cmd = {
	.name = "edge-test",
	.synopsis = "SERVICE... | -",
	.about = "Tests the table of options.",
	.opts = table,
	.notes = "With - it reads records.",
	.example = "edge-test --name x web",
	.names = names,
};

static char *args[16];
static int n_args, status;

/* Parses one line, whose words are parted by spaces. */
static int parse(const char *line)
{
	static char buf[256];
	char *save = NULL;

	free(o.volumes.items);
	memset(&o, 0, sizeof(o));
	snprintf(buf, sizeof(buf), "edge-test %s", line);
	n_args = 0;
	for (char *w = strtok_r(buf, " ", &save); w; w = strtok_r(NULL, " ", &save))
		args[n_args++] = w;
	args[n_args] = NULL;
	status = -1;
	return cmd_parse(&cmd, n_args, args, &status);
}

/* The same in a child with what it prints to stdout and stderr as one text, ending in its status. */
static const char *printed(const char *line, const char *stdout_path)
{
	static char out[16384];
	int p[2], st;
	size_t n = 0;
	ssize_t r;
	pid_t pid;

	if (pipe(p))
		return NULL;
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		dup2(stdout_path ? open(stdout_path, O_WRONLY) : p[1], 1);
		dup2(p[1], 2);
		close(p[0]);
		if (parse(line) >= 0)
			status = 99;
		_exit(status);
	}
	close(p[1]);
	while ((r = read(p[0], out + n, sizeof(out) - n - 32)) > 0)
		n += (size_t)r;
	close(p[0]);
	waitpid(pid, &st, 0);
	snprintf(out + n, 32, "[%d]", WEXITSTATUS(st));
	return out;
}

static void test_forms(void)
{
	is_int(parse("-q --name=x one -c 3 two"), 5, "operands are moved to the end");
	is_str(args[5], "one", "... the first");
	is_str(args[6], "two", "... and the second");
	ok(o.quiet && !o.all && o.count == 3, "a flag and a number are set");
	is_str(o.name, "x", "--name=value gives the value");
	parse("--name y");
	is_str(o.name, "y", "--name value gives the value");
	parse("--name= x");
	is_str(o.name, "", "--name= gives an empty value");
	parse("-n z");
	is_str(o.name, "z", "-n value gives the value");
	parse("-nw");
	is_str(o.name, "w", "-nvalue gives the value");
	parse("-qan v");
	ok(o.quiet && o.all, "clustered flags are set");
	is_str(o.name, "v", "... and the last of the cluster takes the next word");
	is_int(parse("-"), 1, "a lone dash is an operand");
	is_int(parse(""), 1, "no operands: the index is that of the end");
	is_int(status, 0, "... and the status 0");
	is_int(parse("--name -x"), 3, "a value may start with a dash");
	is_str(o.name, "-x", "... and is taken");
	parse("--volume a:b --volume=c:d");
	ok(o.volumes.n == 2 && strcmp(o.volumes.items[1], "c:d") == 0, "a list collects");
}

static void test_double_dash(void)
{
	is_int(parse("a -q -- sh -c -- x"), 3, "-- ends the options");
	ok(o.quiet && o.count == 0, "... so that -c behind it is not ours");
	is_str(args[3], "a", "... the operand before it comes first");
	is_str(args[5], "-c", "... what follows is untouched");
	is_str(args[6], "--", "... also a second --");
	is_int(n_args, 8, "... and nothing is lost");
	is_int(parse("-- --name"), 2, "an operand may look like an option");
}

static void test_values(void)
{
	parse("--mem 64M");
	is_int((long long)o.mem, 64 << 20, "64M");
	parse("-m1.5G");
	is_int((long long)o.mem, 3ll << 29, "1.5G");
	parse("--mem=4096");
	is_int((long long)o.mem, 4096, "4096");
	parse("--mem 2k");
	is_int((long long)o.mem, 2048, "2k");
	parse("--cpu .5");
	ok(o.cpu == 0.5, ".5");
	parse("--type stateless");
	is_str(o.type, "stateless", "a word of the list is taken");
	parse("--place x:y");
	is_str(getenv("EDGE_OPT_TEST"), "x:y", "a variable of the environment is set");
}

static void test_refusals(void)
{
	static const char *const t[][2] = {
		{ "--foo", "unknown option --foo" },
		{ "--foo=1", "unknown option --foo" },
		{ "-qx", "unknown option -x" },
		{ "--name", "--name: argument missing: NAME" },
		{ "-c", "--count: argument missing: N" },
		{ "--quiet=1", "--quiet: takes no argument" },
		{ "--count 1x", "--count: not a whole number: 1x" },
		{ "--count -1", "--count: not a whole number: -1" },
		{ "--count 1.0", "--count: not a whole number: 1.0" },
		{ "--count 99999999999999999999", "--count: not a whole number: 99999999999999999999" },
		{ "--cpu nan", "--cpu: not a number: nan" },
		{ "--cpu 0x1", "--cpu: not a number: 0x1" },
		{ "--cpu .", "--cpu: not a number: ." },
		{ "--mem 1X", "--mem: not a size such as 4096, 64M or 1.5G: 1X" },
		{ "--mem 64MB", "--mem: not a size such as 4096, 64M or 1.5G: 64MB" },
		{ "--mem -1", "--mem: not a size such as 4096, 64M or 1.5G: -1" },
		{ "--mem 99999999999999T", "--mem: not a size such as 4096, 64M or 1.5G: 99999999999999T" },
		{ "--type state", "--type: not one of stateful|stateless: state" },
		{ "--completion ksh", "--completion: not one of bash|zsh|fish: ksh" },
		{ "--Limits", "unknown option --Limits" },
	};
	char want[256];

	for (size_t i = 0; i < sizeof(t) / sizeof(*t); i++) {
		snprintf(want, sizeof(want), "edge-test: %s (see edge-test --help)\n[64]", t[i][1]);
		is_str(printed(t[i][0], NULL), want, t[i][0]);
	}
}

static void test_printing(void)
{
	const char *text;

	is_str(printed("--version", NULL), "edge-test " EDGE_VERSION "\n[0]", "--version");
	is_str(printed("x -h --bogus", NULL),
	       "Usage: edge-test --name NAME [OPTION]... SERVICE...\n"
	       "       edge-test [OPTION]... -\n"
	       "Tests the table of options.\n"
	       "\n"
	       "Options:\n"
	       "  -q, --quiet                     say nothing\n"
	       "  -a, --all                       everything\n"
	       "  -n, --name NAME                 the service's name (required)\n"
	       "\n"
	       "Limits:\n"
	       "      --type stateful|stateless   keeps state or not [stateful]\n"
	       "  -c, --count N                   how often\n"
	       "      --cpu CORES                 limit\n"
	       "      --place URL                 where\n"
	       "  -m, --mem SIZE                  limit\n"
	       "      --volume HOST:PATH          a folder to share\n"
	       "\n"
	       "Help:\n"
	       "  -h, --help                      print this help\n"
	       "      --version                   print the version\n"
	       "      --completion bash|zsh|fish  print a completion script\n"
	       "\n"
	       "With - it reads records.\n"
	       "\n"
	       "Example:\n"
	       "  edge-test --name x web\n"
	       "\n"
	       "The manual: man edge-test\n"
	       "[0]",
	       "--help");
	text = printed("--help", "/dev/full");
	is_str(text, "edge-test: cannot write to standard output: No space left on device\n[74]",
	       "a full disk under --help is noticed");
	text = printed("--completion bash", NULL);
	ok(strstr(text, "--type) mapfile -t COMPREPLY < <(compgen -W 'stateful stateless' --") &&
	           strstr(text, "$(edge-test --completion services@ 2>/dev/null)") &&
	           strstr(text, "complete -F _edge_test edge-test\n[0]"),
	   "--completion bash knows options, words and names");
	text = printed("--completion zsh", NULL);
	ok(strstr(text, "#compdef edge-test\n") &&
	           strstr(text, "'--type=[keeps state or not \\[stateful\\]]:word:("
	                        "stateful stateless)'") &&
	           strstr(text, "{-n+,--name=}'[the service'\\''s name]:NAME: '"),
	   "--completion zsh quotes what needs it");
	text = printed("--completion fish", NULL);
	ok(strstr(text, "complete -c edge-test -l name -s n -x -d 'the service\\'s name'\n"),
	   "--completion fish");
	is_str(printed("--completion services@", NULL), "web\n[0]", "names for such a script");
}

static void test_errors(void)
{
	struct err e = { 0 }, none = { 0 };

	err_set(&e, EX_UNAVAILABLE, "node edge2: cannot connect");
	is_int(cmd_fail(&cmd, &e), EX_UNAVAILABLE, "cmd_fail returns the code");
	is_int(cmd_fail(&cmd, &none), EX_SOFTWARE, "an error without a code is a bug");
	is_int(cmd_done(&cmd, 1), 1, "cmd_done returns the status");
}

int main(void)
{
	test_forms();
	test_double_dash();
	test_values();
	test_refusals();
	test_printing();
	test_errors();
	free(o.volumes.items);
	return done();
}
