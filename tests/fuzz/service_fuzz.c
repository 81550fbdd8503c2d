/* SPDX-License-Identifier: MIT */
/* Definitions of services that come over the wire. Not built by default:
 *
 *     clang -g -O1 -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -I. tests/fuzz/service_fuzz.c lib/engine/service.c \
 *         lib/base/json.c lib/base/file.c lib/base/err.c -ljq -o service_fuzz
 *
 * Run it with -detect_leaks=0: libjq 1.6 itself leaks a string of some malformed objects ({"a" "b"}). */
#include <stdlib.h>
#include <string.h>

#include "lib/discover/node.h"
#include "lib/engine/service.h"

const char *node_self(void)
{
	return "here";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What has been read must be the same when written and read again, and its paths stay where they belong. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_JSON struct json *j = json_parse((const char *)data, size, NULL);
	AUTO_SERVICE struct service *s = NULL, *again = NULL;

	if (!j || service_from_json(&s, j, NULL))
		return 0;
	if (!service_name_valid(s->name) || strstr(s->root, "/../") || (*s->id && strlen(s->id) != 16))
		abort();
	AUTO_JSON struct json *one = service_to_json(s);
	if (service_from_json(&again, one, NULL))
		abort();
	AUTO_JSON struct json *two = service_to_json(again);
	AUTO_FREE char *a = json_text(one), *b = json_text(two);
	if (strcmp(a, b))
		abort();
	json_free(service_record(s, "running"));
	return 0;
}
