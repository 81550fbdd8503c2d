/* SPDX-License-Identifier: MIT */
#include "lib/engine/service.h"

struct json *service_definition(const struct service *s)
{
	static const char *const ours[] = { "mac", "moved", "pid", "start_time", "log_ino", "at", "at_addr" }; /* nobody else's */
	AUTO_JSON struct json *rec = service_record(s, service_state(s));
	struct json *j = service_to_json(s);

	for (size_t i = 0; i < sizeof(ours) / sizeof(*ours); i++)
		json_remove(j, ours[i]);
	json_set(j, "node", json_get(rec, "node"));
	json_set(j, "state", json_get(rec, "state"));
	json_set(j, "log", json_get(rec, "log"));
	return j;
}
