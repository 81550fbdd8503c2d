/* SPDX-License-Identifier: MIT */
/* What calls of other machines need, and which options they may not have. */
#include "lib/move/allow.h"

#include <stdlib.h>

#include "lib/base/file.h"
#include "lib/discover/grant.h"
#include "lib/engine/service.h"
#include "tests/unit/tap.h"

static struct err e;

static struct json *call_of(const char *text)
{
	return json_parse(text, strlen(text), NULL);
}

static unsigned needs(const char *text)
{
	AUTO_JSON struct json *call = call_of(text);

	return allow_needs(call);
}

/* Of a run of the program with these arguments (JSON); "" when it may be. */
static const char *args(const char *program, const char *list)
{
	char text[4096];

	snprintf(text, sizeof(text), "{\"verb\":\"run\",\"program\":\"%s\",\"args\":%s}", program, list);
	AUTO_JSON struct json *call = call_of(text);
	e = (struct err){ 0 };
	return allow_args(call, "edge1", &e) ? e.text : "";
}

static void test_needs(void)
{
	is_int(needs("{\"verb\":\"node\"}"), GRANT_PROBE, "to be described is to be probed");
	is_int(needs("{\"verb\":\"prepare\"}"), GRANT_RESTORE, "to bring a service is to restore it");
	is_int(needs("{\"verb\":\"settle\"}"), GRANT_MOVES, "the books of a move are for all who move");
	is_int(needs("{\"verb\":\"swarm\"}"), GRANT_RUN, "to join a swarm is to let services be started");
	is_int(needs("{\"verb\":\"join\"}"), GRANT_INVITE, "to join needs an invitation");
	is_int(needs("{\"verb\":\"run\",\"program\":\"edge-run\"}"), GRANT_RUN, "a program has its own word");
	is_int(needs("{\"verb\":\"run\",\"program\":\"sh\"}") | needs("{\"verb\":\"run\"}") | needs("{\"verb\":\"fly\"}") | needs("{}"), 0,
	       "what there is not has none");
}

static void test_args(void)
{
	is_str(args("edge-probe", "[\"--window\",\"60.000\",\"--services\",\"--verbose\"]"), "", "edge-probe, as edge-probe calls it");
	is_str(args("edge-probe", "[\"--prometheus\",\"/etc/passwd\"]"), "edge-probe: option --prometheus: not for other machines",
	       "... and with a file to write");
	is_str(args("edge-probe", "[\"--window\",\"--\",\"--prometheus\",\"/x\"]"), "edge-probe: option --prometheus: not for other machines",
	       "... also behind what looks like the end of the options");
	is_str(args("edge-probe", "[\"--window=60\",\"--registry=dir:/etc\"]"), "edge-probe: option --registry=dir:/etc: not for other machines",
	       "... or with its value joined");
	is_str(args("edge-probe", "[\"edge7\"]"), "edge-probe: edge7: not for other machines", "... or at a third node");
	is_str(args("edge-probe", "[\"--\",\"edge7\"]"), "edge-probe: edge7: not for other machines", "... in any way");
	is_str(args("edge-probe", "[\"-v\"]"), "edge-probe: option -v: not for other machines", "letters are not what programs send");
	is_str(args("edge-stop", "[\"--rm\",\"--grace\",\"10\",\"--\",\"none\"]"), "", "a service that there is not is the program's affair");
}

static void put_service(const char *name, const char *fleet)
{
	AUTO_JSON struct json *j = json_object();

	file_mkdirs(file_path("/var/lib/edge/services/%s", name), 0755, NULL);
	json_set_str(j, "name", name);
	json_set_str(j, "id", "0123456789abcdef");
	json_set_str(j, "fleet", fleet);
	json_write_file(j, file_path("/var/lib/edge/services/%s/service.json", name), NULL);
}

static void test_services(void)
{
	put_service("theirs", "edge1");
	put_service("own", NULL);
	is_str(args("edge-stop", "[\"--\",\"theirs\"]"), "", "a guest's service is its own");
	is_str(args("edge-stop", "[\"--\",\"own\"]"), "service own: not one of yours", "the owner's is not");
	is_str(args("edge-migrate", "[\"--to\",\"edge2\",\"own\"]"), "service own: not one of yours", "... to move");
	is_str(args("edge-checkpoint", "[\"--hold=30\",\"--\",\"own\"]"), "service own: not one of yours", "... or to look into");
}

/* What comes on a program's standard input. */
static const char *input(const char *program, const char *list)
{
	char text[512];

	snprintf(text, sizeof(text), "{\"verb\":\"run\",\"program\":\"%s\",\"args\":%s,\"input\":\"{}\"}", program, list);
	AUTO_JSON struct json *call = call_of(text);
	e = (struct err){ 0 };
	return allow_args(call, "edge1", &e) ? e.text : "";
}

static void test_input(void)
{
	is_str(input("edge-run", "[\"--spec=-\"]"), "", "a definition to start comes as input");
	is_str(args("edge-run", "[\"--spec\",\"/etc/shadow\"]"), "edge-run: option --spec: not for other machines", "... not from a file here");
	is_str(args("edge-run", "[\"--spec=/etc/shadow\"]"), "edge-run: option --spec=/etc/shadow: not for other machines", "... in any way");
	is_str(args("edge-run", "[\"-\"]"), "edge-run: -: not for other machines", "... nor in records");
	is_str(input("edge-run", "[\"--spec=-\",\"-\"]"), "edge-run: input: not for other machines", "... nor beside them");
	is_str(input("edge-stop", "[\"-\"]"), "edge-stop: input: not for other machines", "no records tell what to stop");
	is_str(input("edge-migrate", "[\"--to\",\"edge2\",\"-\"]"), "edge-migrate: input: not for other machines", "... or to move");
}

int main(void)
{
	char top[] = "/tmp/allow_test.XXXXXX";

	if (!mkdtemp(top))
		return 70;
	setenv("EDGE_ROOT", top, 1);
	test_needs();
	test_args();
	test_services();
	test_input();
	file_remove_tree(top, NULL);
	return done();
}
