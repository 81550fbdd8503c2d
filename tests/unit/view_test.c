/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdlib.h>

#include "lib/view/dialog.h"
#include "lib/view/lines.h"
#include "tests/unit/tap.h"

static struct board b;
static struct view_lines v;

static void take(const char *text, double at_s)
{
	AUTO_JSON struct json *rec = json_parse(text, strlen(text), NULL);

	board_take(&b, rec, at_s);
}

/* The first line that begins so; "" when there is none. */
static const char *line(const char *start)
{
	for (int i = 0; i < v.n; i++)
		if (!strncmp(v.line[i].text, start, strlen(start)))
			return v.line[i].text;
	return "";
}

static void look(double now_s)
{
	board_settle(&b, now_s, 20);
	view_lines_make(&v, &b, now_s, 20, 10, false);
}

static void test_nodes(void)
{
	board_init(&b, 0.5);
	take("{\"kind\":\"node\",\"name\":\"b\",\"cpu\":{\"use\":0.2},\"mem\":{\"total_bytes\":1000,\"available_bytes\":900}}", 0);
	take("{\"kind\":\"node\",\"name\":\"a\",\"role\":\"edge\",\"network\":\"n\",\"cpu\":{\"use\":0.51},\"gpu\":[{},{\"use\":0.1}]}", 0);
	take("{\"kind\":\"node\"}", 0);
	look(1);
	is_str(line("a "), "a                red    edge    n            #####.....  51 %  -                   10 %         0",
	       "a node over the bound is red");
	is_str(line("b "), "b                green  -       -            ##........  20 %  #.........  10 %       -         0",
	       "one below it is green, and what nobody told is a dash");
	ok(!strcmp(b.node[0].name, "a"), "they are in order of their names");
	look(30);
	is_str(line("a "), "a                silent for 30 s", "one that says nothing is silent");
	is_str(line("2 nodes"), "2 nodes: 0 green, 0 red, 2 silent; 0 services run, 0 users", "... and counted so");
	take("{\"kind\":\"node\",\"name\":\"x\\u001b[31m\\u009b\"}", 30);
	look(30);
	is_str(line("x?[31m?"), "x?[31m??         green  -       -            -                 -                      -         0",
	       "a name moves no cursor");
	board_release(&b);
}

static void test_moves(void)
{
	board_init(&b, 0.5);
	take("{\"kind\":\"service\",\"id\":\"1\",\"name\":\"web\",\"node\":\"a\",\"state\":\"running\",\"epoch\":0}", 0);
	take("{\"kind\":\"service\",\"id\":\"1\",\"name\":\"web\",\"node\":\"b\",\"state\":\"running\",\"epoch\":1}", 1);
	is_int(b.n_moves, 1, "a service seen elsewhere has moved");
	is_str(b.move[0].text, "web: a -> b", "... from there to here");
	take("{\"kind\":\"service\",\"id\":\"1\",\"name\":\"web\",\"node\":\"b\",\"state\":\"running\",\"epoch\":1,"
	     "\"moved\":{\"from\":\"a\",\"frozen_ms\":61.2,\"total_ms\":1203}}", 2);
	is_int(b.n_moves, 1, "... which is told once");
	take("{\"kind\":\"service\",\"id\":\"7\",\"name\":\"left\",\"node\":\"a\",\"state\":\"moved\",\"epoch\":1}", 3);
	is_int(b.n_services, 1, "what one has left that nobody knows any more is no service");
	take("{\"kind\":\"service\",\"id\":\"1\",\"name\":\"web\",\"node\":\"a\",\"state\":\"moved\",\"epoch\":1}", 3);
	is_str(b.service[0].node, "b", "what the old node says of it is old news");
	take("{\"kind\":\"service\",\"id\":\"1\",\"name\":\"web\",\"node\":\"a\",\"state\":\"running\",\"epoch\":2,"
	     "\"moved\":{\"from\":\"b\",\"frozen_ms\":61.2,\"total_ms\":1203},\"moved_at\":\"2026-01-01T10:11:12Z\"}", 4);
	is_str(b.move[0].text, "web: b -> a, frozen 61 ms, 1.2 s in all", "a mover's record says more");
	is_str(b.move[0].when, "10:11:12", "... and when");
	take("{\"kind\":\"move\",\"action\":\"migrate\",\"service\":\"web\",\"from\":\"a\",\"to\":\"b\",\"why\":\"nearer\"}", 5);
	take("{\"kind\":\"move\",\"action\":\"stay\",\"service\":\"web\"}", 5);
	is_str(b.move[0].text, "plan: migrate web from a to b: nearer", "a decision is a plan; to stay is none");
	for (int i = 0; i < 200; i++)
		take("{\"kind\":\"move\",\"action\":\"stop\",\"service\":\"web\"}", 5);
	is_int(b.n_moves, BOARD_MOVES, "only the last ones are kept");
	look(40);
	is_int(b.n_services, 0, "a service of which nothing is heard is forgotten");
	board_release(&b);
}

static void test_users(void)
{
	char text[160];

	board_init(&b, 0.5);
	take("{\"kind\":\"service\",\"id\":\"1\",\"name\":\"web\",\"node\":\"a\",\"state\":\"running\"}", 0);
	for (int i = 0; i < 10000; i++) {
		snprintf(text, sizeof(text), "{\"kind\":\"user\",\"service\":\"web\",\"addr\":\"10.0.%d.%d\",\"rtt_ms\":{\"p50\":%d}}",
			 i / 200, i % 200, i % 100 + 1);
		take(text, 1);
		if (i % 2)
			take(text, 2);
	}
	look(10);
	is_int((long long)b.service[0].users, 10000, "each user counts once");
	ok(b.service[0].rtt_p50_ms == 50 && b.service[0].rtt_p95_ms == 95, "... in the median and the 95th percentile");
	take("{\"kind\":\"service\",\"id\":\"1\",\"name\":\"web\",\"node\":\"a\",\"state\":\"running\"}", 70);
	take("{\"kind\":\"user\",\"service\":\"web\",\"addr\":\"10.9.9.9\"}", 70);
	look(70);
	look(70);
	is_int((long long)b.service[0].users, 1, "who says nothing for a minute is forgotten");
	ok(isnan(b.service[0].rtt_p50_ms), "... and nobody's round trip is known then");
	board_release(&b);
}

static void press(struct dialog *d, const char *keys)
{
	for (; *keys; keys++)
		dialog_key(d, (unsigned char)*keys);
}

static void test_dialog(void)
{
	struct board_service s = { .name = "web", .node = "a" };
	struct dialog d = { 0 };

	ok(!dialog_begin(&d, 'm', NULL), "nothing is migrated when nothing is selected");
	ok(dialog_begin(&d, 'm', &s), "a service is to be migrated");
	press(&d, "bx\b\n");
	is_str(d.prompt, "migrate web from a to b? (y/n)", "... which is asked once more");
	press(&d, "y");
	ok(d.state == DIALOG_READY && !strcmp(d.argv[0], "edge-migrate") && !strcmp(d.argv[2], "a") && !strcmp(d.argv[4], "b") &&
		   !strcmp(d.argv[6], "web") && !d.argv[7], "... and then a command");
	dialog_begin(&d, 's', &s);
	is_str(d.prompt, "stop web on a? (y/n)", "to stop one is asked");
	press(&d, "n");
	ok(d.state == DIALOG_NONE && !d.argv, "... and nothing is done without a yes");
	dialog_begin(&d, 'd', NULL);
	press(&d, "--name 'a b' -- sleep 5\ny");
	ok(d.state == DIALOG_READY && !strcmp(d.argv[2], "a b") && !strcmp(d.argv[5], "5"), "what is typed is words, in quotes too");
	dialog_begin(&d, 'd', NULL);
	press(&d, "--name $(reboot)\ny");
	ok(d.state == DIALOG_NONE && !d.argv, "... and never a command of a shell");
	dialog_begin(&d, 'd', NULL);
	press(&d, "x\033");
	ok(d.state == DIALOG_NONE, "escape gives it up");
	dialog_clear(&d);
}

int main(void)
{
	test_nodes();
	test_moves();
	test_users();
	test_dialog();
	view_lines_release(&v);
	return done();
}
