/* SPDX-License-Identifier: MIT */
#include "lib/place/world.h"

#include "lib/place/distance.h"
#include "tests/unit/world_lab.h"

static bool near(double a, double b)
{
	return fabs(a - b) <= 1e-9 * fmax(1, fabs(b));
}

static void test_node(void)
{
	AUTO_WORLD struct world *w = world_of(
		"{'kind':'node','name':'edge1','addr':'10.77.0.1','port':22,'role':'edge','network':'site-a','arch':'x86_64',"
		"'cpu':{'model':'m','cores':2,'score':2104,'use':0.31,'flags':['avx2','sse']},'mem':{'total_bytes':8589934592,"
		"'available_bytes':6100000000},'disk':{'free_bytes':80000000000},'gpu':[{'model':'g','mem_bytes':8e9},{'mem_bytes':"
		"8e9}],'geo':{'lat':48.14,'lon':11.58,'country':'DE'},'engines':['process','runc'],'criu':'4.2.1','taints':[],"
		"'power':{'idle_w':5,'max_w':15},'price':{'cpu_hour':0.02},'unknown':{'x':[1,2]},'seen':'2026-01-01T00:00:00Z'}");
	struct world_node *n = w->node;

	is_int(w->n_nodes, 1, "a node");
	is_str(world_text(w, n->name), "edge1", "its name");
	ok(n->cores == 2 && n->score == 2104 && n->use == 0.31, "its processors");
	ok(n->mem_total == 8589934592.0 && n->mem_available == 6.1e9 && n->disk_free == 8e10, "its memory and disk");
	ok(n->gpus == 2 && n->gpu_mem == 16e9, "its graphics processors");
	ok(n->geo.lat == 48.14 && n->geo.lon == 11.58 && !strcmp(world_text(w, n->country), "DE"), "its position");
	ok(world_list_has(w, n->engines, world_find(w, "runc")), "its engines");
	ok(n->idle_w == 5 && n->max_w == 15 && n->cpu_hour == 0.02 && isnan(n->egress_gb), "its power and prices");
	ok(n->seen == 1767225600, "when it was seen");
	ok(n->site == n->network, "its network is its site if it tells none");
	ok(n->member == -1 && isnan(n->users_max), "what is absent is -1 or NAN");
	take(w, "{'kind':'node','name':'edge2'}");
	take(w, "{'kind':'node','name':'edge1','arch':null}");
	ok(w->n_nodes == 2 && node_of(w, "edge1") == 0 && isnan(w->node[0].cores) && w->node[0].arch == -1,
	   "a later record takes the place of the earlier one, whole");
}

static void test_service(void)
{
	AUTO_WORLD struct world *w = world_of(
		"{'kind':'service','id':'c0ffee0123456789','name':'counter','node':'edge1','engine':'process','type':'stateful',"
		"'needs':{'arch':['x86_64','aarch64','x86_64'],'mem_bytes':67108864,'rtt_ms':20,'network':'site-a',"
		"'area':[{'lat':0,'lon':0},{'lat':0,'lon':1},{'lat':1,'lon':1}]},'profile':{'cpu':0.5,'mem_bytes':134217728},"
		"'usage':{'cpu':0.12,'mem_bytes':70000000,'net_bps':12000},'epoch':3,'state':'running'}\n"
		"{'kind':'service','name':'plain'}\n"
		"{'kind':'service','id':'0000000000000001','name':'counter','node':'edge2','state':'stopped'}");
	const struct world_service *s = w->service;
	int n;

	is_int(w->n_services, 3, "services");
	ok(s->stateful && !s->stateless && s->running && !s[2].running && s[1].running && !s[1].stateful, "their type and state");
	ok(s->cpu == 0.12 && s->mem == 7e7 && s->net_bps == 12000 && s->quota_cpu == 0.5, "usage and profile");
	world_list(w, s->needs.arch, &n);
	is_int(n, 2, "a word counts once in a list");
	world_list(w, s->needs.network, &n);
	is_int(n, 1, "one word is a list, too");
	ok(s->needs.n_area == 3 && w->corner[s->needs.area + 2].lat == 1, "an area");
	ok(s[1].needs.arch == -1 && s[1].needs.area == -1 && isnan(s[1].needs.mem), "no needs");
	take(w, "{'kind':'service','id':'c0ffee0123456789','name':'counter','node':'edge7','epoch':2,'state':'moved'}");
	ok(w->n_services == 3 && s->running && s->epoch == 3 && !strcmp(world_text(w, s->node), "edge1"),
	   "what an earlier node of an instance still tells of it is the past");
	ok(s->app == s[2].app && s->app != s[1].app && w->app[s->app].n_services == 2, "instances of a name are one service");
	is_int(w->of_app[w->app[s->app].first_service + 1], 2, "... in the order of their records");
	take(w, "{'kind':'service','id':'c0ffee0123456789','name':'counter','node':'edge9'}");
	ok(w->n_services == 3 && !strcmp(world_text(w, w->service[0].node), "edge9"), "an instance is known by its id");
	for (int i = 0; i < 3; i++)
		take(w, "{'kind':'service','id':'2','name':'s','needs':{'area':[{'lat':%d,'lon':0},{'lat':0,'lon':1},{'lat':1,'lon':1}]},"
			"'peers':[{'service':'plain','net_bps':%d}]}", i, i);
	ok(w->n_corners == 6 && w->n_peers == 1 && w->corner[w->service[3].needs.area].lat == 2 && w->peer->net_bps == 2,
	   "one that is told again and again takes no more room");
	take(w, "{'kind':'service','name':'plain','node':'edge1'}");
	is_int(w->n_services, 5, "without an id, by its name and node");
}

static void test_rest(void)
{
	AUTO_WORLD struct world *w = world_of(
		"{'kind':'latency','from':'edge1','to':'edge2','sent':5,'received':5,'loss':0,'rtt_ms':{'mean':2.1,'p50':2.0,'p95':2.6}}\n"
		"{'kind':'user','addr':'203.0.113.7','service':'counter','node':'edge1','count':812,'rtt_ms':{'p50':38,'p95':55},"
		"'geo':{'lat':48.2,'lon':16.4}}\n"
		"{'kind':'user','service':'counter'}\n{'kind':'user','service':'counter'}\n"
		"{'kind':'group','service':'other','geo':{'lat':48.2,'lon':16.4},'users':41,'qoe':0.3}\n"
		"{'kind':'score','service':'counter','node':'edge2','eligible':true,'score':61.5}\n{'kind':'rumour'}\n{'x':1}\n{}");

	ok(w->latency[world_latency(w, world_find(w, "edge1"), world_find(w, "edge2"))].p50 == 2, "a latency");
	is_int(world_latency(w, world_find(w, "edge2"), world_find(w, "edge1")), 0, "... which serves for the other direction, too");
	ok(w->n_users == 3 && w->user[0].p50 == 38 && w->user[0].count == 812 && w->user[0].demand == 1, "users");
	ok(w->n_groups == 1 && w->group[0].users == 41 && w->group[0].qoe == 0.3, "a group");
	ok(w->n_scored == 1 && w->scored[0].score == 61.5 && w->scored[0].eligible, "a score");
	ok(w->app[world_app(w, world_find(w, "counter"))].n_users == 3, "users by service, though nobody has a record of it");
	take(w, "{'kind':'user','addr':'203.0.113.7','service':'counter','node':'edge2'}");
	take(w, "{'kind':'latency','from':'edge1','to':'edge2','rtt_ms':{'mean':3}}");
	take(w, "{'kind':'group','service':'other','geo':{'lat':48.2,'lon':16.4},'users':2}");
	take(w, "{'kind':'score','service':'counter','node':'edge2','eligible':false}");
	take(w, "{'kind':'group','service':'other','users':7,'qoe':0.5,'rtt_ms':{'p50':80}}");
	take(w, "{'kind':'group','service':'other','users':3}");
	ok(w->n_groups == 2 && w->group[1].users == 3 && isnan(w->group[1].geo.lat), "there is one group of users nobody knows where");
	ok(w->n_users == 3 && w->n_latencies == 1 && w->n_groups == 2 && w->n_scored == 1, "all are known again");
}

static void test_old(void)
{
	AUTO_WORLD struct world *w = world_new();

	world_time("2026-01-01T00:00:00Z", 20, &w->since);
	take(w, "{'kind':'latency','from':'a','to':'b','seen':'2025-12-31T23:59:59Z'}");
	take(w, "{'kind':'latency','from':'a','to':'c','seen':'2026-01-01T00:00:00Z'}");
	take(w, "{'kind':'latency','from':'a','to':'d'}");
	take(w, "{'kind':'user','service':'s','seen':'2025-12-31T23:59:59Z'}");
	take(w, "{'kind':'group','service':'s','geo':{'lat':0,'lon':0},'seen':'2025-12-31T23:59:59Z'}");
	take(w, "{'kind':'node','name':'a','seen':'2025-12-31T23:59:59Z'}");
	ok(w->n_latencies == 2 && !w->n_users && !w->n_groups && w->n_old == 3, "latencies, users and groups can be too old");
	is_int(w->n_nodes, 1, "... nodes are for others to judge");
}

static void test_bad(void)
{
	static const char *const bad[][2] = {
		{ "{'kind':'node'}", "node: name: missing" },
		{ "{'kind':'node','name':''}", "node: name: missing" },
		{ "{'kind':'node','name':7}", "node: name: not a string" },
		{ "{'kind':'node','name':'a\\u0000b'}", "node: name: missing" },
		{ "{'kind':'node','name':'a','mem':{'available_bytes':-5}}", "node a: mem.available_bytes: -5: not from 0 to 1e+18" },
		{ "{'kind':'node','name':'a','mem':{'available_bytes':'5'}}", "node a: mem.available_bytes: not a number" },
		{ "{'kind':'node','name':'a','mem':5}", "node a: mem.total_bytes: not in an object" },
		{ "{'kind':'node','name':'a','mem':{'available_bytes':5,'total_bytes':4}}",
		  "node a: mem.available_bytes: more than mem.total_bytes" },
		{ "{'kind':'node','name':'a','cpu':{'use':31}}", "node a: cpu.use: 31: not from 0 to 1.1" },
		{ "{'kind':'node','name':'a','cpu':{'cores':1e999}}", "node a: cpu.cores: inf: not from 0 to 1000000" },
		{ "{'kind':'node','name':'a','geo':{'lat':1}}", "node a: geo.lon: missing" },
		{ "{'kind':'node','name':'a','geo':{'lat':91,'lon':0}}", "node a: geo.lat: 91: not from -90 to 90" },
		{ "{'kind':'node','name':'a','seen':'yesterday'}", "node a: seen: not a time as 2026-01-01T00:00:00Z" },
		{ "{'kind':'node','name':'a','taints':[1]}", "node a: taints: an item that is not a word" },
		{ "{'kind':'node','name':'a','gpu':2}", "node a: gpu: not an array" },
		{ "{'kind':'node','name':'a','gpu':[{'mem_bytes':-1}]}", "node a: gpu[].mem_bytes: -1: not from 0 to 1e+18" },
		{ "{'kind':'service','name':'s','type':'sometimes'}", "service s: type: not stateful or stateless" },
		{ "{'kind':'service','name':'s','usage':{'cpu':150}}", "service s: usage.cpu: 150: not from 0 to 1.1" },
		{ "{'kind':'service','name':'s','needs':[]}", "service s: needs.arch: not in an object" },
		{ "{'kind':'service','name':'s','needs':{'area':[{'lat':1,'lon':1}]}}", "service s: needs.area: not from 3 to 1024 corners" },
		{ "{'kind':'service','name':'s','needs':{'area':[{'lat':1}]}}", "service s: needs.area[].lon: missing" },
		{ "{'kind':'latency','from':'a'}", "latency: to: missing" },
		{ "{'kind':'latency','from':'a','to':'b','rtt_ms':{'p50':-1}}", "latency b: rtt_ms.p50: -1: not from 0 to 1000000000" },
		{ "{'kind':'user','addr':'1.2.3.4'}", "user 1.2.3.4: service: missing" },
		{ "{'kind':'group','service':'s','geo':{'lon':1}}", "group s: geo.lat: missing" },
		{ "{'kind':'score','service':'s'}", "score s: node: missing" },
		{ "{'kind':'score','service':'s','node':'a','eligible':1}", "score s: eligible: not true or false" },
		{ "[]", "not a JSON object" },
		{ "{'kind':'node','name':NaN}", "not JSON: invalid literal, at column 23" },
	};
	AUTO_WORLD struct world *w = world_new();

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		is_str(take(w, "%s", bad[i][0]), bad[i][1], bad[i][0]);
	ok(!w->n_nodes && !w->n_services && !w->n_latencies && !w->n_users && !w->n_groups && !w->n_scored && !w->n_corners,
	   "none of them was taken");
}

static void test_words(void)
{
	AUTO_WORLD struct world *w = world_new();
	bool same = true;
	char name[40];

	for (int i = 0; i < 50000; i++) {
		snprintf(name, sizeof(name), "name-%d-%.*s", i, i % 20, "aaaaaaaaaaaaaaaaaaaa");
		same &= world_word(w, name) == i;
	}
	for (int i = 0; i < 50000; i++) {
		snprintf(name, sizeof(name), "name-%d-%.*s", i, i % 20, "aaaaaaaaaaaaaaaaaaaa");
		same &= world_find(w, name) == i && !strcmp(world_text(w, i), name);
	}
	ok(same, "50,000 words are found again");
	is_int(world_find(w, "name"), -1, "another is not");
	is_int(world_word(w, ""), -1, "the empty word is none");
	is_str(world_text(w, -1), "", "... and the other way round");
}

static void test_lists(void)
{
	AUTO_WORLD struct world *w = world_of("{'kind':'node','name':'a','taints':['x','y']}\n"
					      "{'kind':'node','name':'b','taints':['z','y','x']}\n"
					      "{'kind':'node','name':'c','taints':['y','x','y']}\n{'kind':'node','name':'d','taints':[]}");
	int a = w->node[0].taints, b = w->node[1].taints, c = w->node[2].taints, d = w->node[3].taints;

	ok(a == c && a != b, "equal lists are one");
	ok(world_list_within(w, a, b) && !world_list_within(w, b, a), "one list within another");
	ok(world_list_within(w, d, a) && world_list_within(w, -1, d) && !world_list_within(w, a, -1), "the empty one is in all");
}

static void test_time(void)
{
	static const char *const bad[] = { "", "2026-01-01", "2026-01-01T00:00:00", "2026-01-01T00:00:00+01:00", "2026-13-01T00:00:00Z",
		"2026-01-01T25:00:00Z", "2026-01-01T00:00:00xZ", "2026-01-01T00:00:00.xZ", "2026-01-01 00:00:00Z" };
	double t;
	bool refused = true;

	ok(!world_time("2024-02-29T12:34:56Z", 20, &t) && t == 1709210096, "a time");
	ok(!world_time("2024-02-29T12:34:56.25Z", 23, &t) && near(t, 1709210096.25), "with a fraction");
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		refused &= world_time(bad[i], strlen(bad[i]), &t) < 0;
	ok(refused, "what is no time is refused");
}

static void test_distance(void)
{
	AUTO_WORLD struct world *w = world_of(
		"{'kind':'node','name':'munich','geo':{'lat':48.137,'lon':11.575}}\n{'kind':'node','name':'vienna','geo':{'lat':48.208,'lon':16.372}}\n"
		"{'kind':'node','name':'nowhere'}\n{'kind':'latency','from':'vienna','to':'nowhere','rtt_ms':{'mean':7}}\n"
		"{'kind':'user','addr':'a','service':'s','node':'munich','rtt_ms':{'p50':30},'geo':{'lat':48.137,'lon':11.575}}\n"
		"{'kind':'user','addr':'b','service':'s','node':'vienna','rtt_ms':{'p50':30}}\n"
		"{'kind':'latency','from':'munich','to':'b','rtt_ms':{'p50':12}}");
	int munich = world_find(w, "munich"), vienna = world_find(w, "vienna"), nowhere = world_find(w, "nowhere");
	double km = distance_km(w->node[0].geo, w->node[1].geo);

	ok(fabs(km - 355) < 2, "from Munich to Vienna it is 355 km");
	ok(near(distance_km((struct geo){ 0, 179 }, (struct geo){ 0, -179 }), 2 * M_PI * EARTH_KM / 180), "... the short way round");
	ok(near(distance_nodes_ms(w, munich, vienna), km * RTT_MS_PER_KM), "between nodes, from their positions");
	ok(distance_nodes_ms(w, nowhere, vienna) == 7, "... measured, in either direction");
	ok(distance_nodes_ms(w, nowhere, nowhere) == 0 && isnan(distance_nodes_ms(w, nowhere, munich)), "... none, unknown");
	ok(distance_user_ms(w, w->user, munich) == 30, "a user has where it is served now what was measured");
	ok(near(distance_user_ms(w, w->user, vienna), 30 + km * RTT_MS_PER_KM), "... elsewhere its access and the distance");
	ok(distance_user_ms(w, w->user + 1, munich) == 12, "... what was measured to its address");
	ok(distance_user_ms(w, w->user + 1, nowhere) == 37, "... by way of where it is served now");
	ok(isnan(distance_user_ms(w, w->user, nowhere)), "... or nobody knows");
}

static void test_predicted(void)
{
	AUTO_WORLD struct world *w = world_of(
		"{'kind':'latency','from':'a','to':'b','method':'icmp','rtt_ms':{'p50':9}}\n"
		"{'kind':'latency','from':'a','to':'b','method':'predicted','rtt_ms':{'p50':3}}\n"
		"{'kind':'latency','from':'c','to':'a','method':'predicted','rtt_ms':{'p50':4}}\n"
		"{'kind':'latency','from':'d','to':'a','method':'predicted','rtt_ms':{'p50':5}}\n"
		"{'kind':'latency','from':'a','to':'d','method':'tcp:22','rtt_ms':{'p50':6}}");
	int a = world_find(w, "a"), b = world_find(w, "b"), c = world_find(w, "c"), d = world_find(w, "d");
	bool predicted = false;

	ok(distance_nodes_estimate(w, a, b, &predicted) == 9 && !predicted, "an estimate does not take the place of a measurement");
	ok(distance_nodes_estimate(w, d, a, &predicted) == 6 && distance_nodes_ms(w, a, d) == 6 && !predicted,
	   "... nor does the one of the other direction");
	ok(distance_nodes_estimate(w, a, c, &predicted) == 4 && predicted, "where nobody has measured it holds, and is known to be one");
	take(w, "{'kind':'latency','from':'c','to':'a','method':'icmp','rtt_ms':{'p50':7}}");
	predicted = false;
	ok(distance_nodes_estimate(w, a, c, &predicted) == 7 && !predicted, "... until somebody measures");
}

int main(void)
{
	test_node();
	test_service();
	test_rest();
	test_old();
	test_bad();
	test_words();
	test_lists();
	test_time();
	test_distance();
	test_predicted();
	return done();
}
