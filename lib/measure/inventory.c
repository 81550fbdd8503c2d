/* SPDX-License-Identifier: MIT */
#include "lib/measure/inventory.h"

#include <math.h>
#include <unistd.h>

#include "lib/discover/node.h"
#include "lib/measure/containers.h"
#include "lib/measure/samples.h"
#include "lib/measure/usage.h"

#define FIRST_US 500000

static struct json *sample(const struct json *services, const struct absence *a)
{
	struct json *s = json_object();

	json_set_num(s, "at", round(samples_clock() * 1e4) / 1e4);
	machine_sample(s);
	if (services)
		usage_sample(s, services, a);
	return s;
}

struct json *inventory(const struct inventory *plan, const struct absence *a)
{
	static const struct absence nobody;
	const char *name = plan->services ? "services" : "node";
	struct json *all = json_array(), *node = node_describe();
	struct err e;

	machine_describe(node, a);
	AUTO_JSON struct json *services = plan->services ? containers_list(a) : NULL, *now = sample(services, a);
	AUTO_JSON struct json *then = samples_since(name, now, plan->window_s);
	if (!then) {
		then = TAKE_PTR(now);
		usleep(FIRST_US);
		now = sample(services, &nobody);
		samples_keep(name, then, plan->window_s, NULL);
	}
	if (samples_keep(name, now, plan->window_s, &e))
		absent(a, "what is used over the window", "%s", e.text);
	machine_use(node, then, now, a);
	json_add(all, node);
	AUTO_JSON struct json *used = services ? usage_records(services, then, now) : NULL;
	for (size_t i = 0; used && i < json_len(used, NULL); i++)
		json_add(all, json_at(used, i));
	return all;
}
