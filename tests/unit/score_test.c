/* SPDX-License-Identifier: MIT */
#include "lib/place/score.h"

#include "lib/place/distance.h"
#include "tests/unit/world_lab.h"

#define NODES_MAX 64

static const struct score_options plain = { .quantile = 0.95, .bound_ms = 100, .rules = { NAN, NAN } };

static bool near(double a, double b)
{
	return fabs(a - b) <= 1e-9 * fmax(1, fabs(b));
}

static bool misses(const struct score *s, const char *what)
{
	return isnan(s->value) && s->n_missing == 1 && s->missing[0] && !strcmp(s->missing[0], what);
}

/* Scores at all nodes; how many there are. */
static int score_all(const struct world *w, const char *service, const struct score_options *o, struct score *row)
{
	int node[NODES_MAX];

	for (int i = 0; i < w->n_nodes; i++)
		node[i] = i;
	return score_nodes(w, service_of(w, service), node, w->n_nodes, o, row);
}

/* "server device laptop -tiny", best first, what may not be with a dash. Static storage. */
static const char *ranking(const struct world *w, const char *service, const struct score_options *o)
{
	static char text[1000];
	struct score row[NODES_MAX];
	int n = score_all(w, service, o, row);

	text[0] = '\0';
	for (int i = 0; i < n; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s%s", i ? " " : "", row[i].refusals ? "-" : "",
			 world_text(w, w->node[row[i].node].name));
	return text;
}

static struct score at(const struct world *w, const char *service, const char *node, const struct score_options *o)
{
	struct score row[NODES_MAX];
	int n = score_all(w, service, o, row);

	for (int i = 0; i < n; i++)
		if (row[i].node == node_of(w, node))
			return row[i];
	return (struct score){ .node = -1, .value = NAN };
}

/* The machines of Georgiou 2018, table 5.2: an i5-4200U with one core active, a Xeon E5-2620 v2 with four, a Xeon E5-2630
 * with eight; RTT 3 to 10 ms. The document prints no marks; these are PassMark's single-thread marks of those models,
 * rounded. */
#define MACHINES                                                                                                             \
	"{'kind':'node','name':'laptop','role':'client','cpu':{'cores':1,'score':1280},'mem':{'available_bytes':2e9}}\n"     \
	"{'kind':'node','name':'device','cpu':{'cores':4,'score':1330},'mem':{'available_bytes':6e9}}\n"                     \
	"{'kind':'node','name':'server','cpu':{'cores':8,'score':1250},'mem':{'available_bytes':6e9}}\n"                     \
	"{'kind':'latency','from':'laptop','to':'device','rtt_ms':{'mean':3,'p50':2}}\n"                                     \
	"{'kind':'latency','from':'laptop','to':'server','rtt_ms':{'mean':10,'p50':9}}\n"

static void test_offload(void)
{
	AUTO_WORLD struct world *w = world_of(
		MACHINES "{'kind':'service','name':'speech','node':'laptop','usage':{'cpu':0.85,'mem_bytes':325e6,'net_bps':40000}}\n"
			 "{'kind':'service','name':'chatter','node':'laptop','usage':{'cpu':0.001,'mem_bytes':30e6,'net_bps':80000}}\n"
			 "{'kind':'service','name':'translation','node':'laptop','usage':{'cpu':0.1,'mem_bytes':215e6,'net_bps':1000}}\n"
			 "{'kind':'service','name':'sender','node':'laptop','usage':{'cpu':0.03,'mem_bytes':30e6,'net_bps':80000}}\n"
			 "{'kind':'service','name':'large','node':'laptop','usage':{'cpu':0.85,'mem_bytes':6e9,'net_bps':1}}\n"
			 "{'kind':'service','name':'mute','node':'laptop','usage':{'cpu':0.5,'mem_bytes':1}}\n"
			 "{'kind':'service','name':'unseen','node':'laptop'}\n{'kind':'node','name':'far','cpu':{'cores':9,'score':9999},"
			 "'mem':{'available_bytes':6e9}}");
	struct score s = at(w, "speech", "server", &plain);

	ok(near(s.part[0].value, (1250.0 * 8 - 1280) / 1280 * 100 * 0.85), "equation 4.2: what the processors win");
	ok(near(s.part[1].value, -40000 / (65535 / 0.010) * 100), "equation 4.3: what the network costs, by the mean RTT in seconds");
	ok(near(s.value, s.part[0].value + s.part[1].value), "equation 4.1: their difference");
	ok(fabs(s.value - 578.452139) < 1e-6, "... which is 578.452139, by hand");
	ok(at(w, "speech", "laptop", &plain).value == 0, "the local device scores 0");
	is_str(ranking(w, "speech", &plain), "server device laptop far", "the document's choice: speech goes to the edge server");
	is_str(ranking(w, "translation", &plain), "server device laptop far", "... so does translation");
	is_str(ranking(w, "sender", &plain), "server device laptop far", "... and the sender");
	is_str(ranking(w, "chatter", &plain), "laptop device server far", "one that it does not have, which talks more and computes less, stays");
	is_str(ranking(w, "large", &plain), "laptop -device -server -far", "memory use must be less than what is available, not equal");
	is_str(ranking(w, "mute", &plain), "far server device laptop", "without traffic, nobody need know the RTT");
	s = at(w, "speech", "far", &plain);
	ok(misses(&s, "latency.rtt_ms"), "an unknown RTT is no score, and named");
	s = at(w, "unseen", "server", &plain);
	ok(misses(&s, "usage.cpu"), "so is an unknown use");
}

static void test_prune(void)
{
	AUTO_WORLD struct world *w = world_of(
		MACHINES "{'kind':'node','name':'weak','cpu':{'cores':1,'score':600},'mem':{'available_bytes':6e9}}\n"
			 "{'kind':'node','name':'equal','cpu':{'cores':1,'score':1280},'mem':{'available_bytes':6e9}}\n"
			 "{'kind':'node','name':'unknown'}\n{'kind':'service','name':'s','node':'laptop','usage':{'cpu':0.5}}");
	struct score_options o = plain;

	o.prune = true;
	is_str(ranking(w, "s", &o), "server device laptop equal unknown", "weaker devices are pruned, others not");
}

static void test_latency(void)
{
	AUTO_WORLD struct world *w = world_of(
		"{'kind':'node','name':'munich','geo':{'lat':48.1,'lon':11.6}}\n{'kind':'node','name':'garching','geo':{'lat':48.2,'lon':11.7}}\n"
		"{'kind':'node','name':'view','geo':{'lat':37.4,'lon':-122.1}}\n{'kind':'node','name':'lost'}\n"
		"{'kind':'service','name':'web','node':'view','needs':{'rtt_ms':50}}\n{'kind':'service','name':'soft','node':'view',"
		"'wants':{'rtt_ms':50}}\n{'kind':'service','name':'any','node':'view'}\n"
		"{'kind':'user','addr':'1','service':'web','node':'view','rtt_ms':{'p50':200},'geo':{'lat':48.1,'lon':11.6}}\n"
		"{'kind':'user','addr':'1','service':'soft','node':'view','rtt_ms':{'p50':200},'geo':{'lat':48.1,'lon':11.6}}\n");
	struct score_options o = plain;
	struct score s;

	o.model = SCORE_LATENCY;
	is_str(ranking(w, "web", &o), "munich garching lost -view", "near users, within the bound; where nothing is known it is not refused");
	is_str(ranking(w, "soft", &o), "munich garching view lost", "a bound that is only wanted refuses nothing");
	s = at(w, "soft", "view", &o);
	ok(near(s.value, 100 * (1 - 200.0 / 50)), "the score is what is left of the bound");
	s = at(w, "soft", "lost", &o);
	ok(misses(&s, "users"), "where nothing is known there is no score");
	ok(isnan(at(w, "any", "munich", &o).value), "nor where there are no users");
	take(w, "{'kind':'latency','from':'lost','to':'1','method':'predicted','rtt_ms':{'p50':60}}");
	s = at(w, "web", "lost", &o);
	ok(s.predicted && !s.refusals && near(s.value, 100 * (1 - 60.0 / 50)), "an estimate ranks, and refuses nothing");
	ok(!at(w, "web", "view", &o).predicted, "... and is told from what is measured");
	take(w, "{'kind':'latency','from':'lost','to':'1','method':'icmp','rtt_ms':{'p50':60}}");
	s = at(w, "web", "lost", &o);
	ok(!s.predicted && s.refusals == 1 << ELIGIBLE_LATENCY, "when it is measured it refuses");
	is_int(at(w, "web", "view", &plain).refusals, 1 << ELIGIBLE_LATENCY, "the bound holds for other models, too");
}

static void test_quantile(void)
{
	AUTO_WORLD struct world *w = world_new();
	int node = 0, wrong = 0;
	double ms;

	take(w, "{'kind':'node','name':'n'}");
	take(w, "{'kind':'service','name':'s','node':'n'}");
	for (int i = 1; i <= 100; i++)
		take(w, "{'kind':'user','addr':'%d','service':'s','node':'n','rtt_ms':{'p50':%d}}", i, i * 37 % 101);
	world_index(w);
	for (int q = 1; q <= 100; q++) {
		score_users_rtt(w, 0, &node, 1, q / 100.0 - 0.001, &ms, NULL);
		wrong += ms != q;
	}
	is_int(wrong, 0, "quantiles of the users' medians");
	score_users_rtt(w, 0, &node, 1, 0, &ms, NULL);
	ok(ms == 1, "... the least");
	score_users_rtt(w, 0, &node, 1, 1, &ms, NULL);
	ok(ms == 100, "... the greatest");
	AUTO_WORLD struct world *g = world_of(
		"{'kind':'node','name':'n','geo':{'lat':0,'lon':0}}\n{'kind':'service','name':'s','node':'n'}\n"
		"{'kind':'group','service':'s','geo':{'lat':0,'lon':1},'users':90}\n{'kind':'group','service':'s','geo':{'lat':0,'lon':10},'users':10}");
	score_users_rtt(g, 0, &node, 1, 0.9, &ms, NULL);
	ok(near(ms, M_PI / 180 * EARTH_KM * RTT_MS_PER_KM), "groups stand for as many users as they have");
	score_users_rtt(g, 0, &node, 1, 0.91, &ms, NULL);
	ok(near(ms, 10 * M_PI / 180 * EARTH_KM * RTT_MS_PER_KM), "... all of them");
}

static void test_replicas(void)
{
	AUTO_WORLD struct world *w = world_of(
		"{'kind':'node','name':'a','geo':{'lat':0,'lon':0}}\n{'kind':'node','name':'b','geo':{'lat':0,'lon':50}}\n"
		"{'kind':'service','id':'1','name':'s','node':'a'}\n{'kind':'service','id':'2','name':'s','node':'b'}\n"
		"{'kind':'user','addr':'1','service':'s','node':'a','rtt_ms':{'p50':5},'geo':{'lat':0,'lon':0}}\n"
		"{'kind':'user','addr':'2','service':'s','node':'b','rtt_ms':{'p50':7},'geo':{'lat':0,'lon':50}}");
	int node[] = { 0, 1 };
	double ms[2];

	score_users_rtt(w, 0, node, 2, 1, ms, NULL);
	ok(ms[0] == 5 && ms[1] > 100, "of several instances each has the users that its node serves");
	score_users_rtt(w, 1, node, 2, 1, ms, NULL);
	ok(ms[1] == 7 && ms[0] > 100, "... the other one the others");
}

static void test_load_energy_cost(void)
{
	AUTO_WORLD struct world *w = world_of(
		"{'kind':'node','name':'home','cpu':{'cores':4,'score':1000,'use':0.5},'mem':{'total_bytes':4e9,'available_bytes':1e9},"
		"'power':{'idle_w':10,'max_w':50},'price':{'cpu_hour':1}}\n"
		"{'kind':'node','name':'big','cpu':{'cores':8,'score':2000,'use':0.1},'mem':{'total_bytes':8e9,'available_bytes':6e9},"
		"'power':{'idle_w':20,'max_w':100},'price':{'cpu_hour':2,'gb_hour':0.5,'egress_gb':0.1}}\n"
		"{'kind':'node','name':'asleep','cpu':{'cores':4,'score':1000,'use':0.001},'mem':{'total_bytes':4e9,'available_bytes':4e9},"
		"'power':{'idle_w':10,'max_w':50}}\n"
		"{'kind':'service','id':'1','name':'s','node':'home','usage':{'cpu':0.4,'mem_bytes':2e9,'net_bps':1e6}}");
	struct score_options o = plain;
	struct score s;

	o.model = SCORE_LOAD;
	s = at(w, "s", "big", &o);
	ok(near(s.part[0].value, 0.1 + 0.4 * 4 / 2 / 8) && near(s.part[1].value, 0.5) && near(s.value, 50),
	   "load: what would be used, of processors by their speed and of memory; the larger counts");
	s = at(w, "s", "home", &o);
	ok(near(s.part[0].value, 0.5) && near(s.part[1].value, 0.75) && near(s.value, 25), "... where it is, it is counted already");
	o.model = SCORE_ENERGY;
	ok(near(at(w, "s", "big", &o).value, -(80 * 0.8 / 8)), "energy: the work, where a node is awake");
	ok(near(at(w, "s", "asleep", &o).value, -(40 * 1.6 / 4 + 10)), "... and all that an idle node uses, where it is not");
	ok(near(at(w, "s", "home", &o).value, -(40 * 1.6 / 4)), "... the node where it is, too, unless there is other work");
	o.model = SCORE_COST;
	s = at(w, "s", "big", &o);
	ok(near(s.value, -(2 * 0.8 + 0.5 * 2 + 0.1 * 1.8)), "cost: processors, memory, and half of the traffic, for an hour");
	ok(near(at(w, "s", "home", &o).value, -1.6), "... a price that is absent beside others is 0");
	ok(isnan(at(w, "s", "asleep", &o).value), "... no prices at all are unknown");
}

static void test_blend(void)
{
	AUTO_WORLD struct world *w = world_of(
		MACHINES "{'kind':'service','name':'s','node':'laptop','usage':{'cpu':0.85,'mem_bytes':325e6,'net_bps':40000}}");
	struct score_options o = plain;
	struct score s;
	struct err e;

	ok(!score_weights("offload=3,cost=1", o.weight, &e) && o.weight[SCORE_OFFLOAD] == 3 && o.weight[SCORE_COST] == 1, "weights");
	s = at(w, "s", "server", &o);
	ok(near(s.value, 75) && near(s.part[0].value, 75) && s.part[1].value == 0 && s.n_missing == 1,
	   "a blend: the best is stretched to 100, what is unknown counts 0 and is named");
	ok(near(at(w, "s", "laptop", &o).value, 0), "... the worst to 0");
	s = at(w, "s", "device", &o);
	ok(s.value > 0 && s.value < 75, "... others between them");
	score_weights("latency=0,load=0", o.weight, &e);
	is_str(e.text, "weights: none is over 0", "weights of nothing are refused");
	score_weights("speed=1", o.weight, &e);
	is_str(e.text, "weight speed: no such model", "... models that there are not");
	score_weights("load", o.weight, &e);
	is_str(e.text, "weight load: write load=NUMBER", "... models without one");
	score_weights("load=-1", o.weight, &e);
	is_str(e.text, "weight load: not a number from 0 on", "... negative ones");
	ok(score_weights("load=nan", o.weight, &e) && score_weights("load=1x", o.weight, &e), "... and what is no number");
}

static void model_of_ones_own(void *ctx, const struct world *w, int service, struct score *out)
{
	(void)service;
	++*(int *)ctx;
	if (w->node[out->node].cores < 4) {
		out->refusals |= 1u << ELIGIBLE_MODEL;
		out->why = strdup("too small");
	} else {
		out->value = w->node[out->node].cores;
	}
}

static void test_own(void)
{
	AUTO_WORLD struct world *w = world_of(MACHINES "{'kind':'service','name':'s','node':'laptop','usage':{'mem_bytes':3e9}}");
	int calls = 0, node[] = { 0, 1, 2 };
	struct score_options o = plain;
	struct score row[3];

	o.own = model_of_ones_own;
	o.ctx = &calls;
	ok(score_nodes(w, 0, node, 3, &o, row) == 3 && calls == 3 && row[0].value == 8 && row[1].value == 4, "a model of one's own");
	ok(row[2].refusals == 1u << ELIGIBLE_MODEL && !strcmp(row[2].why, "too small"), "... may refuse nodes");
	for (int i = 0; i < 3; i++)
		score_clear(&row[i]);
}

/* --- whatever the numbers */

static double uniform(double low, double high)
{
	return low + (high - low) * (rand() / (RAND_MAX + 1.0));
}

static struct world *random_world(int nodes)
{
	struct world *w = world_new();

	for (int i = 0; i < nodes; i++) {
		take(w, "{'kind':'node','name':'n%d','cpu':{'cores':%d,'score':%.0f,'use':%.3f},'mem':{'total_bytes':16e9,"
			"'available_bytes':%.0f},'geo':{'lat':%.3f,'lon':%.3f},'power':{'idle_w':5,'max_w':%.1f},'price':{'cpu_hour':%.3f}}",
		     i, 1 + rand() % 16, uniform(300, 3000), uniform(0, 1), uniform(0, 8e9), uniform(-60, 60), uniform(-180, 180),
		     uniform(5, 90), uniform(0, 2));
		if (rand() % 10)
			take(w, "{'kind':'latency','from':'n0','to':'n%d','rtt_ms':{'mean':%.2f}}", i, uniform(0.1, 200));
	}
	take(w, "{'kind':'service','name':'s','node':'n0','usage':{'cpu':%.3f,'mem_bytes':%.0f,'net_bps':%.0f},'needs':{'rtt_ms':%.0f}}",
	     uniform(0, 1), uniform(0, 8e9), uniform(0, 1e6), uniform(50, 400));
	for (int i = 0; i < rand() % 30; i++)
		take(w, "{'kind':'user','addr':'%d','service':'s','node':'n%d','rtt_ms':{'p50':%.1f},'geo':{'lat':%.3f,'lon':%.3f}}", i,
		     rand() % nodes, uniform(1, 90), uniform(-60, 60), uniform(-180, 180));
	world_index(w);
	return w;
}

/* Of one row of scores, all that must hold. */
static bool sane(const struct world *w, const struct score *row, int n, const struct score_options *o)
{
	for (int i = 0; i < n; i++) {
		const struct score *r = &row[i], *last = &row[i - 1];

		if (r->refusals != eligible_refusals(w, 0, r->node, r->rtt_ms, &o->rules, false) ||
		    !r->refusals != !eligible_refusals(w, 0, r->node, r->rtt_ms, &o->rules, true))
			return false;
		if ((r->refusals && !isnan(r->value)) || isinf(r->value) || (isnan(r->value) && !r->refusals && !r->n_missing))
			return false;
		if (i && (!!last->refusals > !!r->refusals || (!r->refusals && isnan(last->value) && !isnan(r->value)) ||
			  last->value < r->value))
			return false;
		if (o->model == SCORE_OFFLOAD && !o->weight[SCORE_LATENCY] && !r->refusals && r->node == 0 && r->value != 0)
			return false;
	}
	return true;
}

static void test_random(void)
{
	int wrong = 0, all = 0;

	for (int round = 0; round < 1000; round++) {
		AUTO_WORLD struct world *w = random_world(2 + rand() % 30);
		struct score_options o = plain;
		struct score row[NODES_MAX];

		for (int m = 0; m <= SCORE_MODELS; m++) {
			o.model = m < SCORE_MODELS ? (enum score_model)m : SCORE_OFFLOAD;
			o.weight[SCORE_LATENCY] = m == SCORE_MODELS;
			o.weight[SCORE_LOAD] = m == SCORE_MODELS ? 0.5 : 0;
			int n = score_all(w, "s", &o, row);
			wrong += n != w->n_nodes || !sane(w, row, n, &o);
			all++;
		}
	}
	is_int(wrong, 0, "in 1,000 random worlds: eligible ones first, best first, no score without reason, none for the ineligible");
	is_int(all, 6000, "... with all models");
}

int main(void)
{
	srand(1);
	test_offload();
	test_prune();
	test_latency();
	test_quantile();
	test_replicas();
	test_load_energy_cost();
	test_blend();
	test_own();
	test_random();
	return done();
}
