/* SPDX-License-Identifier: MIT */
/* Compose files. Not built by default:
 *
 *     clang -g -O1 -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -I. tests/fuzz/compose_fuzz.c lib/app/compose*.c \
 *         lib/app/ytree.c lib/app/interpolate.c lib/app/env_file.c lib/engine/service.c lib/engine/profile.c \
 *         lib/base/json.c lib/base/file.c lib/base/err.c -ljq -lyaml -o compose_fuzz
 *
 * Run it with -detect_leaks=0: libjq 1.6 itself leaks a string of some malformed objects. */
#include <stdlib.h>
#include <string.h>

#include "lib/app/compose.h"
#include "lib/discover/node.h"
#include "lib/engine/health.h"

const char *node_self(void)
{
	return "here";
}

const char *health_of(const struct service *s)
{
	(void)s;
	return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was read can be started: each service has a definition that the other end of the wire takes, and stands behind those that
 * it waits for. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_COMPOSE struct compose *c = NULL;
	struct err e;

	if (compose_parse(&c, (const char *)data, size, "/srv/compose.yaml", NULL, false, &e))
		return 0;
	for (size_t i = 0; i < c->n; i++) {
		AUTO_SERVICE struct service *s = NULL;

		if (service_from_json(&s, c->services[i].spec, &e))
			abort();
		for (size_t k = 0; k < json_len(c->services[i].depends, NULL); k++) {
			AUTO_JSON struct json *d = json_at(c->services[i].depends, k);

			if (compose_find(c, json_str(d, "service")) >= &c->services[i])
				abort();
		}
	}
	return 0;
}
