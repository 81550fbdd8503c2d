/* SPDX-License-Identifier: MIT */
#include "lib/place/eligible.h"

#include "lib/engine/ability.h"
#include "lib/engine/engine.h"
#include "tests/unit/world_lab.h"

/* "check: why; check: why" of the service "s" at the node "n"; "" when it may be there. Static storage. */
static const char *refusals(const struct world *w, double rtt_ms, const struct eligible_rules *rules)
{
	static char text[2000];
	int service = service_of(w, "s"), node = node_of(w, "n");
	unsigned bits = eligible_refusals(w, service, node, rtt_ms, rules, false);
	char why[200];

	text[0] = '\0';
	for (int c = 0; c < ELIGIBLE_CHECKS; c++) {
		if (!(bits & 1u << c))
			continue;
		eligible_why(w, service, node, rtt_ms, rules, (enum eligible_check)c, why);
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s: %s", text[0] ? "; " : "",
			 eligible_name((enum eligible_check)c), why);
	}
	return text;
}

/* A service with `needs` and other members, a node with those members, and the service's home with these. */
static void is_refused(const char *service, const char *node, const char *home, const char *want, const char *name)
{
	AUTO_WORLD struct world *w = world_new();

	take(w, "{'kind':'service','name':'s','node':'h'%s%s}", *service ? "," : "", service);
	take(w, "{'kind':'node','name':'n'%s%s}", *node ? "," : "", node);
	take(w, "{'kind':'node','name':'h'%s%s}", *home ? "," : "", home);
	world_index(w);
	is_str(refusals(w, NAN, NULL), want, name);
}

static void test_machine(void)
{
	is_refused("", "", "", "", "who needs nothing may be anywhere");
	is_refused("'needs':{'arch':['x86_64']}", "'arch':'x86_64'", "", "", "the architecture that it needs");
	is_refused("'needs':{'arch':['x86_64','riscv64']}", "'arch':'aarch64'", "", "arch: needs x86_64 or riscv64, is aarch64", "another");
	is_refused("'needs':{'arch':['x86_64']}", "", "", "arch: needs x86_64, is nothing", "what a node does not tell is not there");
	is_refused("'needs':{'arch':[]}", "'arch':'x86_64'", "", "arch: needs nothing that there is, is x86_64", "an empty list is no node");
	is_refused("'needs':{'gpu':2}", "'gpu':[{},{}]", "", "", "enough graphics processors");
	is_refused("'needs':{'gpu':2}", "'gpu':[{}]", "", "gpu: needs 2 graphics processors, has 1", "too few");
	is_refused("'needs':{'gpu':1}", "", "", "gpu: needs 1 graphics processors, tells of none", "none that it tells");
	is_refused("'needs':{'gpu':0}", "", "", "", "none needed");
	is_refused("'needs':{'gpu_mem_bytes':8e9}", "'gpu':[{'mem_bytes':4e9},{'mem_bytes':2e9}]", "",
		   "gpu: needs 8.0 GB on graphics processors, has 6.0 GB", "too little memory on them");
	is_refused("'usage':{'mem_bytes':100e6}", "'mem':{'available_bytes':200e6}", "", "", "enough memory");
	is_refused("'usage':{'mem_bytes':200e6}", "'mem':{'available_bytes':200e6}", "", "memory: needs 200 MB, available 200 MB",
		   "just as much is not enough");
	is_refused("'usage':{'mem_bytes':1e6},'needs':{'mem_bytes':3e9}", "'mem':{'available_bytes':2e9}", "",
		   "memory: needs 3.0 GB, available 2.0 GB", "what it needs counts, if it is more than what it uses");
	is_refused("'usage':{'mem_bytes':1e6},'profile':{'mem_bytes':3e9}", "'mem':{'available_bytes':2e9}", "",
		   "memory: needs 3.0 GB, available 2.0 GB", "so does its profile");
	is_refused("'usage':{'mem_bytes':1e6}", "", "", "memory: needs 1.0 MB, available unknown", "nobody knows");
	is_refused("'needs':{'disk_bytes':5e9}", "'disk':{'free_bytes':4e9}", "", "space: needs 5.0 GB, free 4.0 GB", "no space");
	is_refused("'needs':{'cpu':4}", "'cpu':{'cores':2}", "", "cpu: needs 4 cores, has 2", "too few cores");
	is_refused("'needs':{'cpu_flags':['avx2','sse2']}", "'cpu':{'flags':['sse2']}", "", "cpu: needs the flag avx2", "a flag");
}

static void test_restore(void)
{
	const char *stateful = "'type':'stateful','engine':'runc'";

	is_refused(stateful, "'engines':['process','runc'],'criu':'4.2.1'", "'criu':'4.2.1'", "", "a move that can be");
	is_refused(stateful, "'engines':['process']", "", "engine: needs runc, has process", "another engine");
	is_refused("'engine':'containerd'", "'engines':['process','containerd']", "", "engine: containerd services cannot be moved",
		   "an engine whose services cannot be moved");
	is_refused("'engine':'docker'", "'engines':['docker']", "",
		   "engine: only stateless docker services can be moved without an address of their own", "... or not so");
	is_refused("'engine':'docker','addr':'10.0.0.1'", "'engines':['docker']", "", "", "... and then they can");
	is_refused("'engine':'abacus'", "", "", "engine: abacus services cannot be moved", "... or that nobody knows");
	is_refused("'engine':'runc','container':'db'", "", "",
		   "engine: a runc container that edge-run has not started cannot be moved", "a container of somebody else");
	is_refused(stateful, "'criu':'4.1.1'", "'criu':'4.2.1'", "criu: needs version 4.2.1, as at h, has 4.1.1", "another CRIU");
	is_refused(stateful, "", "'criu':'4.2.1'", "criu: needs version 4.2.1, as at h, has nothing", "no CRIU");
	is_refused("'type':'stateless'", "", "'criu':'4.2.1'", "", "what is started anew needs none");
	is_refused(stateful, "'cpu':{'flags':['sse2']}", "'cpu':{'flags':['avx','sse2']}", "cpu: needs the flag avx, as at h",
		   "a flag that the processes may have begun to use");
	is_refused("'type':'stateless'", "'cpu':{'flags':['sse2']}", "'cpu':{'flags':['avx','sse2']}", "", "... or not");
}

static void test_place(void)
{
	const char *area = "'needs':{'area':[{'lat':47,'lon':9},{'lat':47,'lon':14},{'lat':51,'lon':14},{'lat':51,'lon':9}]}";

	is_refused("'needs':{'role':'edge'}", "'role':'cloud'", "", "role: needs edge, is cloud", "another role");
	is_refused("", "'role':'client'", "", "role: is a client", "users' devices are nobody's hosts");
	is_refused("'needs':{'role':['client']}", "'role':'client'", "", "", "... unless that is needed");
	is_refused("'needs':{'network':['a','b']}", "'network':'c'", "", "network: needs a or b, is c", "another network");
	is_refused("'needs':{'country':['DE','AT']}", "'geo':{'lat':1,'lon':1,'country':'AT'}", "", "", "the country");
	is_refused("'needs':{'country':['DE']}", "'geo':{'lat':1,'lon':1,'country':'US'}", "", "position: needs DE, is US", "another");
	is_refused(area, "'geo':{'lat':48.1,'lon':11.6}", "", "", "within the area");
	is_refused(area, "'geo':{'lat':52.5,'lon':13.4}", "", "position: 52.5000,13.4000 is not within the area", "not within it");
	is_refused(area, "", "", "position: needs to be within an area, tells no position", "no position");
	is_refused("", "'taints':['battery']", "", "taint: battery, which is not tolerated", "a taint");
	is_refused("'needs':{'tolerates':['battery','x']}", "'taints':['battery']", "", "", "... that is tolerated");
	is_refused("", "'member':'theirs'", "", "member: belongs to theirs", "somebody else's");
	is_refused("", "'member':'ours'", "'member':'ours'", "", "of our fleet");
	is_refused("'needs':{'member':['theirs']}", "'member':'theirs'", "'member':'ours'", "", "of theirs, if allowed");
	is_refused("'needs':{'node':'h'}", "", "", "node: is to be at h", "bound to another node");
	is_refused("'needs':{'arch':['a'],'network':['b']}", "'role':'client'", "", "arch: needs a, is nothing; role: is a client; network: needs b, is nothing",
		   "all reasons are told");
}

static void test_home(void)
{
	AUTO_WORLD struct world *w = world_of(
		"{'kind':'node','name':'n','role':'client','criu':'1','member':'m','cpu':{'flags':['a']}}\n{'kind':'service','name':'s',"
		"'node':'n','type':'stateful','engine':'runc','usage':{'mem_bytes':5e9},'needs':{'disk_bytes':1e9}}");

	is_str(refusals(w, NAN, NULL), "", "where it is, an instance has its memory, its space and its CRIU");
}

static void test_nowhere(void)
{
	AUTO_WORLD struct world *w = world_of("{'kind':'node','name':'n'}\n{'kind':'service','name':'s','engine':'containerd'}");

	is_str(refusals(w, NAN, NULL), "engine: containerd services cannot be started", "one that is nowhere would have to be started");
	take(w, "{'kind':'service','name':'s','engine':'process'}");
	is_str(refusals(w, NAN, NULL), "", "... which can be done with ours");
}

static void test_abilities(void)
{
	static const char *const names[] = { "process", "runc", "podman", "docker", "swarm" };

	bool can = true;

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		can &= engine_find(names[i]) && ability_of(names[i])->moves && ability_of(names[i])->starts;
	ok(can, "what there is an engine for starts and moves");
}

static void test_latency_and_age(void)
{
	AUTO_WORLD struct world *w = world_of(
		"{'kind':'node','name':'n','seen':'2026-01-01T00:00:00Z'}\n{'kind':'node','name':'h'}\n"
		"{'kind':'service','name':'s','node':'h','needs':{'rtt_ms':20}}");
	struct eligible_rules rules = { .now = 1767225600 + 60, .stale = 60 };

	is_str(refusals(w, 20, NULL), "", "users at the bound");
	is_str(refusals(w, 21.5, NULL), "latency: needs 20 ms, users would have 21.5 ms", "over it");
	is_str(refusals(w, NAN, NULL), "", "nobody knows");
	take(w, "{'kind':'latency','from':'h','to':'n','sent':5,'received':0,'loss':1}");
	is_str(refusals(w, NAN, NULL), "latency: answers nothing to h", "no probe was answered");
	take(w, "{'kind':'latency','from':'h','to':'n','loss':0.8,'rtt_ms':{'mean':5}}");
	is_str(refusals(w, NAN, &rules), "", "a node that was seen lately");
	rules.now++;
	is_str(refusals(w, NAN, &rules), "stale: last seen 61 s ago", "not so lately");
	rules.now = 0;
	is_str(refusals(w, NAN, &rules), "", "in the future: clocks differ");
	take(w, "{'kind':'node','name':'n'}");
	is_str(refusals(w, NAN, &rules), "stale: tells no time", "never, as far as it tells");
}

static void test_inside(void)
{
	const struct geo fiji[] = { { -20, 175 }, { -20, -175 }, { -15, -175 }, { -15, 175 } };
	const struct geo notched[] = { { 0, 0 }, { 0, 4 }, { 4, 4 }, { 2, 2 }, { 4, 0 } };
	int wrong = 0;

	ok(eligible_inside(fiji, 4, (struct geo){ -18, 179 }) && eligible_inside(fiji, 4, (struct geo){ -18, -179 }) &&
		   !eligible_inside(fiji, 4, (struct geo){ -18, 0 }) && !eligible_inside(fiji, 4, (struct geo){ -18, 174 }),
	   "an area across 180 degrees");
	ok(eligible_inside(notched, 5, (struct geo){ 1, 2 }) && !eligible_inside(notched, 5, (struct geo){ 3, 2 }) &&
		   eligible_inside(notched, 5, (struct geo){ 3, 0.5 }),
	   "an area with a notch");
	for (int i = 0; i < 10000; i++) { /* a box, moved around the earth */
		double lon = remainder(i * 7.3, 360), lat = -80 + i % 150, x = -3 + rand() % 6001 / 1000.0, y = -3 + rand() % 6001 / 1000.0;
		struct geo box[] = { { lat - 2, lon - 2 }, { lat - 2, remainder(lon + 2, 360) }, { lat + 2, lon + 2 }, { lat + 2, lon - 2 } };
		struct geo at = { lat + y, remainder(lon + x, 360) };

		if (fabs(fabs(x) - 2) > 1e-6 && fabs(fabs(y) - 2) > 1e-6)
			wrong += eligible_inside(box, 4, at) != (fabs(x) < 2 && fabs(y) < 2);
	}
	is_int(wrong, 0, "boxes anywhere");
}

int main(void)
{
	srand(1);
	test_machine();
	test_restore();
	test_place();
	test_home();
	test_nowhere();
	test_abilities();
	test_latency_and_age();
	test_inside();
	return done();
}
