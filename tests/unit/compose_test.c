/* SPDX-License-Identifier: MIT */
/* Compose files of all kinds: what becomes of their services, what is said of the rest, and where what is wrong stands. */
#include "lib/app/compose.h"

#include <stdlib.h>

#include "lib/app/interpolate.h"
#include "lib/app/ytree.h"
#include "lib/base/file.h"
#include "tests/unit/tap.h"

static struct compose *parse(const char *text, struct err *e)
{
	struct compose *c = NULL;

	return compose_parse(&c, text, strlen(text), "/srv/shop/compose.yaml", NULL, false, e) ? NULL : c;
}

/* The definition of the last service in the order. */
static void is_spec(const char *text, const char *want, const char *name)
{
	struct err e = { 0 };
	AUTO_COMPOSE struct compose *c = parse(text, &e);
	AUTO_FREE char *got = c ? json_text(c->services[c->n - 1].spec) : strdup(e.text);

	is_str(got, want, name);
}

static void is_noted(const char *text, const char *want, const char *name)
{
	struct err e = { 0 };
	AUTO_COMPOSE struct compose *c = parse(text, &e);
	AUTO_FREE char *got = c ? json_text(c->notes) : strdup(e.text);

	is_str(got, want, name);
}

static void is_refused(const char *text, const char *want, const char *name)
{
	struct err e = { 0 };
	AUTO_COMPOSE struct compose *c = parse(text, &e);

	is_str(c ? "accepted" : e.text, want, name);
	if (!c && e.code != EX_DATAERR)
		ok(false, "... as bad input");
}

#define HEAD "{\"name\":\"shop-a\",\"app\":\"shop\","
#define A "services:\n  a:\n    image: x\n"

static void test_services(void)
{
	is_spec(A, HEAD "\"image\":\"x\"}", "the least service");
	is_spec("name: other\n" A, "{\"name\":\"other-a\",\"app\":\"other\",\"image\":\"x\"}", "a name for the application");
	is_spec("services:\n  a:\n    container_name: front\n    image: x\n", "{\"name\":\"front\",\"app\":\"shop\",\"image\":\"x\"}",
		"a name for the service");
	is_spec(A "    command: echo 'a b' \"c\\\"d\" e\\ f\n    entrypoint: [/bin/sh, -c]\n",
		HEAD "\"image\":\"x\",\"command\":[\"echo\",\"a b\",\"c\\\"d\",\"e f\"],\"entrypoint\":[\"/bin/sh\",\"-c\"]}",
		"commands are lists, or words as a shell cuts them");
	is_spec(A "    environment: {B: 1, C: \"\", D: yes}\n    user: \"1:2\"\n    working_dir: /w\n",
		HEAD "\"image\":\"x\",\"user\":\"1:2\",\"dir\":\"/w\",\"env\":[\"B=1\",\"C=\",\"D=yes\"]}", "environment, user, folder");
	is_spec(A "    environment:\n      - B=1=2\n", HEAD "\"image\":\"x\",\"env\":[\"B=1=2\"]}", "environment as a list");
	is_spec(A "    ports: [80, \"8081-8082:8081-8082/udp\", {target: 90}]\n    expose: [\"80\", 91]\n",
		HEAD "\"image\":\"x\",\"ports\":[80,8081,8082,90,91]}", "ports of all forms");
	is_spec(A "    volumes: [\"./d:/d\", \"/h:/h\", \"/only\", {type: bind, source: ../e, target: /e}, {type: tmpfs, target: /t}]\n",
		HEAD "\"image\":\"x\",\"volumes\":[{\"host\":\"/srv/shop/d\",\"path\":\"/d\"},{\"host\":\"/h\",\"path\":\"/h\"},"
		     "{\"host\":\"/srv/e\",\"path\":\"/e\"}]}", "volumes of all forms");
	is_spec(A "    volumes: [\"data:/d\"]\nvolumes:\n  data:\n",
		HEAD "\"image\":\"x\",\"volumes\":[{\"host\":\"/var/lib/edge/volumes/shop_data\",\"path\":\"/d\"}]}", "a named volume");
	is_spec(A "    deploy:\n      resources:\n        limits: {cpus: \"0.5\", memory: 1.5g}\n        reservations:\n"
		  "          memory: 64M\n          devices: [{capabilities: [gpu], count: 2}]\n"
		  "      placement: {constraints: [node.platform.arch == arm64, node.hostname == edge2]}\n",
		HEAD "\"image\":\"x\",\"profile\":{\"cpu\":0.5,\"mem_bytes\":1610612736},\"needs\":{\"mem_bytes\":67108864,\"gpu\":2,"
		     "\"arch\":[\"aarch64\"],\"node\":\"edge2\"}}", "limits, reservations and placement");
	is_spec(A "    healthcheck: {test: [CMD, true, -x], interval: 1m30s, timeout: 500ms, retries: 2, start_period: 1s}\n",
		HEAD "\"image\":\"x\",\"healthcheck\":{\"test\":[\"true\",\"-x\"],\"interval_s\":90,\"timeout_s\":0.5,\"retries\":2,"
		     "\"start_s\":1}}", "a healthcheck");
	is_spec(A "    healthcheck: {test: curl -f localhost}\n    restart: on-failure:3\n    stop_grace_period: 2s\n    labels: {a.b: c}\n",
		HEAD "\"image\":\"x\",\"healthcheck\":{\"test\":[\"/bin/sh\",\"-c\",\"curl -f localhost\"]},\"restart\":\"on-failure:3\","
		     "\"stop_s\":2,\"labels\":[\"a.b=c\"]}", "one by the shell; restarts, grace, labels");
	is_spec(A "    x-edge:\n      type: stateless\n      profile: cpu=2,mem=64M\n      latency: 20ms\n      alive: 1h\n"
		  "      needs: {arch: [amd64], mem: 1g, role: edge}\n      images: {arm64: y}\n      engine: runc\n      addr: 10.0.0.5\n",
		HEAD "\"image\":\"x\",\"type\":\"stateless\",\"profile\":{\"cpu\":2,\"mem_bytes\":67108864},\"needs\":{\"rtt_ms\":20,"
		     "\"arch\":[\"x86_64\"],\"mem_bytes\":1073741824,\"role\":[\"edge\"]},\"alive_s\":3600,\"images\":[{\"arch\":\"aarch64\","
		     "\"image\":\"y\"}],\"engine\":\"runc\",\"addr\":\"10.0.0.5\"}", "x-edge");
	is_spec("services:\n  a:\n    x-edge: {root: /}\n    command: [sleep, '1']\n",
		HEAD "\"root\":\"/\",\"command\":[\"sleep\",\"1\"]}", "a command on the node's own files");
	is_spec(A "    networks: {default: {ipv4_address: 10.0.0.9, aliases: [q]}}\n    extra_hosts: [\"h:10.0.0.1\"]\n",
		HEAD "\"image\":\"x\",\"addr\":\"10.0.0.9\",\"hosts\":[\"h=10.0.0.1\"]}", "an address, and hosts");
	is_spec(A "    secrets: [k]\nsecrets: {k: {file: ./k.txt}}\n",
		HEAD "\"image\":\"x\",\"volumes\":[{\"host\":\"/srv/shop/k.txt\",\"path\":\"/run/secrets/k\"}]}", "a secret is a file");
}

static void test_yaml(void)
{
	is_spec("x-c: &c {restart: always, user: u}\nservices:\n  a: {<<: *c, image: x, user: v}\n",
		HEAD "\"image\":\"x\",\"user\":\"v\",\"restart\":\"always\"}", "what stands there goes before what is merged");
	is_spec("x-c: &c {user: u}\nx-d: &d {user: w, restart: always}\nservices:\n  a: {image: x, <<: [*c, *d]}\n",
		HEAD "\"image\":\"x\",\"user\":\"u\",\"restart\":\"always\"}", "... and of several the first");
	is_spec("# one\n---\n" A "...\n", HEAD "\"image\":\"x\"}", "comments and marks of a document");
	is_spec("%YAML 1.2\n---\n" A, HEAD "\"image\":\"x\"}", "another version of YAML");
	is_spec("version: \"3.8\"\n" A, HEAD "\"image\":\"x\"}", "a version of the format");
	is_noted("version: '99'\n" A, "[\"/srv/shop/compose.yaml:1:1: version: is not used\"]", "... of which nothing is made");
	is_spec("{\"services\":{\"a\":{\"image\":\"x\"}}}", HEAD "\"image\":\"x\"}", "JSON is YAML");
}

static void test_variables(void)
{
	setenv("SET", "s", 1);
	setenv("EMPTY", "", 1);
	unsetenv("NONE");
	is_spec("services:\n  a:\n    image: ${SET}-$SET-${NONE:-d}-${NONE-e}-${EMPTY-f}${EMPTY:-g}-${SET:+h}${NONE+i}-$$x-${NONE:-${SET}}\n",
		HEAD "\"image\":\"s-s-d-e-g-h-$x-s\"}", "variables in all forms");
	is_noted("services:\n  a:\n    image: x${NONE}${NONE}\n",
		 "[\"/srv/shop/compose.yaml: variable NONE: is not set, and so it is empty\"]", "one that is not set is named once");
	is_refused("services:\n  a:\n    image: ${NONE:?give it}\n",
		   "/srv/shop/compose.yaml:3:12: variable NONE: give it", "one that must be set");
	is_refused("services:\n  a:\n    image: ${NONE\n", "/srv/shop/compose.yaml:3:12: a ${ without its }", "a brace is open");
	is_refused("services:\n  a:\n    image: a$ b\n",
		   "/srv/shop/compose.yaml:3:12: a $ that no variable follows ($$ is a dollar sign)", "a lone dollar sign");
	is_refused("services:\n  a:\n    image: ${A:-${A:-${A:-${A:-${A:-${A:-${A:-${A:-${A:-x}}}}}}}}}\n",
		   "/srv/shop/compose.yaml:3:12: variables nested too deeply", "too deep");
}

static void test_order(void)
{
	struct err e = { 0 };
	AUTO_COMPOSE struct compose *c = parse("services:\n  a: {image: x, depends_on: [b]}\n  d: {image: x}\n"
					       "  b: {image: x, depends_on: {c: {condition: service_healthy}}}\n  c: {image: x}\n", &e);
	char order[16] = "";

	for (size_t i = 0; c && i < c->n; i++)
		strcat(order, c->services[i].key);
	is_str(order, "dcba", "each goes behind what it depends on");
	AUTO_FREE char *depends = c ? json_text(c->services[2].depends) : NULL;
	is_str(depends, "[{\"service\":\"c\",\"condition\":\"service_healthy\"}]", "... and waits for it as it says");
	is_refused("services:\n  a: {image: x, depends_on: [b]}\n  b: {image: x, depends_on: [a]}\n",
		   "/srv/shop/compose.yaml:2:3: services.a.depends_on: a: they wait for each other", "none can be first");
	is_refused("services:\n  a: {image: x, depends_on: [z]}\n",
		   "/srv/shop/compose.yaml:2:3: services.a.depends_on: z: no such service", "one that is nowhere");
	is_spec("services:\n  a: {image: x, depends_on: {z: {condition: service_started, required: false}}}\n",
		HEAD "\"image\":\"x\"}", "... which need not be");
	is_noted("services:\n  a: {image: x}\n  t: {image: x, profiles: [debug]}\n",
		 "[\"/srv/shop/compose.yaml:3:27: services.t: the service is left out (COMPOSE_PROFILES chooses profiles)\"]",
		 "a service of a profile is left out");
}

static void test_notes(void)
{
	is_noted("x-c: &c {logging: {driver: x}}\nservices:\n  a: {<<: *c, image: x, privileged: true}\n  b: {<<: *c, image: x}\n",
		 "[\"/srv/shop/compose.yaml:3:25: services.a.privileged: is not used\",\"/srv/shop/compose.yaml:1:10: services.a.logging: "
		 "is not used\"]", "what is not used is named once");
	is_noted(A "    ports: [\"8080:80\"]\n",
		 "[\"/srv/shop/compose.yaml:4:13: services.a.ports: 8080:80: not forwarded: clients reach port 80 at the service's own "
		 "address\"]", "a port that is not forwarded");
}

static void test_refusals(void)
{
	static const char *const bad[][3] = {
		{ "", "compose.yaml:1:1: empty", "nothing" },
		{ "- a\n", "compose.yaml:1:1: not a map", "a list" },
		{ "a: b\n", "compose.yaml:1:1: no services", "no services" },
		{ "services: {}\n", "compose.yaml:1:11: services: not a map with services", "none of them" },
		{ "web:\n  image: x\n", "compose.yaml:1:1: no services", "the first version of the format" },
		{ "services:\n  a:\n    imag: x\n", "compose.yaml:3:5: services.a: imag: no such key", "an unknown key" },
		{ "services:\n  a:\n\timage: x\n", "compose.yaml:3:1: found character that cannot start any token", "a tab" },
		{ "services:\n  a: [\n", "compose.yaml:3:1: did not find expected node content", "an open bracket" },
		{ A "    image: y\n", "compose.yaml:4:5: image: a second time", "a key twice" },
		{ "services:\n  a: {image: *b}\n", "compose.yaml:2:14: this alias has no anchor before it", "an unknown alias" },
		{ "services: &s\n  a: {image: x, depends_on: *s}\n", "compose.yaml:2:29: this alias has no anchor before it",
		  "an alias into itself" },
		{ "services:\n  a: {<<: 5, image: x}\n", "compose.yaml:2:22: <<: what is merged is not a map", "a merge of a number" },
		{ "services:\n  a: {image: !app x}\n", "compose.yaml:2:14: a tag that is not of YAML itself", "a tag" },
		{ A "---\n" A, "compose.yaml:4:1: a second document", "two documents" },
		{ "%YAML 9.9\n---\n" A, "compose.yaml:1:1: found incompatible YAML document", "an unknown version of YAML" },
		{ "services:\n  a:\n    image: \"a\\0b\"\n", "compose.yaml:3:12: a NUL character", "a NUL" },
		{ "services:\n  a: {image: [x]}\n", "compose.yaml:2:14: services.a.image: not a text", "a list for a text" },
		{ "services:\n  a: {image: }\n", "compose.yaml:2:14: services.a.image: not a text", "nothing for a text" },
		{ "services:\n  a: {restart: no}\n", "compose.yaml:2:6: services.a: neither image nor build, nor a root in x-edge", "no image" },
		{ "services:\n  /a: {image: x}\n", "compose.yaml:2:3: services: /a: not letters, digits, '.', '_' or '-'", "a name with a slash" },
		{ "services:\n  a: {image: x, ports: [0]}\n", "compose.yaml:2:25: services.a.ports: 0: not a port", "a port that is none" },
		{ "services:\n  a: {image: x, ports: [1-99]}\n", "compose.yaml:2:25: services.a.ports: more than 16 ports", "too many ports" },
		{ "services:\n  a: {image: x, volumes: [d:/d]}\n", "compose.yaml:2:27: services.a.volumes: d: no such volume at the top of the file", "an unknown volume" },
		{ "services:\n  a: {image: x, volumes: [/d:e]}\n", "compose.yaml:2:27: services.a.volumes: /d:e: not of the form SOURCE:/PATH", "a volume nowhere" },
		{ "services:\n  a: {image: x, networks: [n]}\n", "compose.yaml:2:28: services.a.networks: n: no such network at the top of the file", "an unknown network" },
		{ "services:\n  a: {image: x, restart: maybe}\n", "compose.yaml:2:26: services.a.restart: maybe: not no, always, unless-stopped or on-failure[:N]", "a policy" },
		{ "services:\n  a: {image: x, deploy: {resources: {limits: {memory: much}}}}\n", "compose.yaml:2:55: services.a.deploy.resources.limits.memory: not a size such as 64m or 1.5g", "a size" },
		{ "services:\n  a: {image: x, healthcheck: {interval: 5}}\n", "compose.yaml:2:41: services.a.healthcheck.interval: not a time such as 1m30s", "a time" },
		{ "services:\n  a: {image: x, healthcheck: {test: [curl]}}\n", "compose.yaml:2:37: services.a.healthcheck.test: not [CMD, PROGRAM, ...], [CMD-SHELL, LINE], [NONE] or a line", "a test" },
		{ "services:\n  a: {image: x, command: 'a \"b'}\n", "compose.yaml:2:26: services.a.command: a quote that does not end", "a quote" },
		{ "services:\n  a: {image: x, environment: [=1]}\n", "compose.yaml:2:31: services.a.environment: not of the form KEY=VALUE", "a variable without a name" },
		{ "services:\n  a: {image: x, extends: b}\n", "compose.yaml:2:26: services.a.extends: not supported: without it the service would be another one", "extends" },
		{ "include: [b]\nservices:\n  a: {image: x}\n", "compose.yaml:1:10: include: not supported: without it the application would be another one", "include" },
		{ "services:\n  a: {image: x, x-edge: {needs: {moon: 1}}}\n", "compose.yaml:2:34: services.a.x-edge.needs: moon: no such key", "a need" },
		{ "services:\n  a: {image: x, x-edge: {type: odd}}\n", "compose.yaml:2:32: services.a.x-edge.type: odd: not stateful or stateless", "a type" },
		{ "services:\n  a: {image: x, container_name: n}\n  b: {image: x, container_name: n}\n", "compose.yaml:3:3: services.b: n: a second one of that name", "a name twice" },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		char name[128], want[256];

		snprintf(name, sizeof(name), "refused: %s", bad[i][2]);
		snprintf(want, sizeof(want), "/srv/shop/%s", bad[i][1]);
		is_refused(bad[i][0], want, name);
	}
}

/* `n` lists, each of nine times the one before it. */
static char *bomb(int n, const char *first, const char *rest)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	fprintf(f, "%s", first);
	for (int i = 1; i < n; i++) {
		fprintf(f, "x-%d: &a%d %s", i, i, rest[0] == '[' ? "[" : "{<<: [");
		for (int k = 0; k < 9; k++)
			fprintf(f, "%s*a%d", k ? "," : "", i - 1);
		fprintf(f, "%s\n", rest[0] == '[' ? "]" : "]}");
	}
	fprintf(f, A);
	fclose(f);
	return text;
}

static void test_hostile(void)
{
	struct err e = { 0 };
	AUTO_FREE char *aliases = bomb(12, "x-0: &a0 [1,2,3,4,5,6,7,8,9]\n", "[");
	AUTO_FREE char *big = malloc(10 << 20), *deep = malloc(200000), *keys = malloc(200000);
	struct compose *c = NULL;
	size_t at = 0;

	is_refused(aliases, "/srv/shop/compose.yaml:6:15: too large with all its aliases written out", "aliases that multiply");
	memset(big, '#', 10 << 20);
	ok(compose_parse(&c, big, 10 << 20, "big", NULL, false, &e) && e.code == EX_DATAERR, "10 MB are refused");
	is_str(e.text, "big: larger than 1048576 bytes", "... unread");
	memset(deep, '[', 199999);
	deep[199999] = '\0';
	is_refused(deep, "/srv/shop/compose.yaml:1:33: nested too deeply", "200,000 brackets");
	for (int i = 0; i < 10000; i++)
		at += (size_t)sprintf(keys + at, "k%d: 1\n", i);
	is_refused(keys, "/srv/shop/compose.yaml:4097:1: too many keys in one map", "10,000 keys");
	is_refused("services:\n  a\xff: {image: x}\n", "/srv/shop/compose.yaml: byte 13: invalid leading UTF-8 octet", "no UTF-8");
	is_refused("\xff\xfes\0e\0", "/srv/shop/compose.yaml: byte 0: invalid leading UTF-8 octet", "UTF-16");
	is_refused("services:\n  a: {image: x, command: \"\x01\"}\n", "/srv/shop/compose.yaml: byte 36: control characters are not allowed",
		   "a control character");
}

int main(void)
{
	unsetenv("EDGE_ROOT");
	unsetenv("COMPOSE_PROFILES");
	test_services();
	test_yaml();
	test_variables();
	test_order();
	test_notes();
	test_refusals();
	test_hostile();
	return done();
}
