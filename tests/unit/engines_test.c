/* SPDX-License-Identifier: MIT */
/* What is told of the engines, and what they can do, is told and done of the same ones. */
#include "lib/engine/engine.h"

#include "tests/unit/tap.h"

int main(void)
{
	char title[80];
	size_t n = 0;

	for (const struct engine_look *look; (look = engine_look(n)); n++) {
		const struct engine *engine = engine_find(look->name);
		bool assigns = engine && engine->whole && engine->whole->assign && engine->whole->carries;

		snprintf(title, sizeof(title), "%s is found, as itself", look->name);
		ok(engine && engine->look == look, title);
		snprintf(title, sizeof(title), "... and %s", look->span ? "spans nodes, and assigns them" : "runs here alone");
		ok(assigns == (look->span != NULL) && engine_span(look->name) == look->span, title);
	}
	is_int((long)n, 5, "five of them");
	ok(!engine_find("none") && !engine_span("none"), "and no other");
	return done();
}
