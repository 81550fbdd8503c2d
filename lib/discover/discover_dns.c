/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/libresolv.h"
#include "lib/discover/discover.h"

#define ANSWER_MAX 65536
#define SERVICES_MAX 4096

struct srv {
	int priority, weight, port;
	char target[256];
};

/* "//SERVER[:PORT]/NAME" or "NAME"; the server is an IPv4 address. */
static int take_server(struct __res_state *state, const char *rest, const char **name, struct err *e)
{
	const char *slash = strncmp(rest, "//", 2) ? NULL : strchr(rest + 2, '/');
	char host[64], *colon;

	*name = rest;
	if (strncmp(rest, "//", 2))
		return 0;
	snprintf(host, sizeof(host), "%.*s", slash ? (int)(slash - rest - 2) : 0, rest + 2);
	colon = strchr(host, ':');
	if (colon)
		*colon = '\0';
	state->nscount = 1;
	state->nsaddr_list[0] = (struct sockaddr_in){ .sin_family = AF_INET,
						      .sin_port = htons(colon ? (uint16_t)atoi(colon + 1) : 53) };
	if (!slash || inet_pton(AF_INET, host, &state->nsaddr_list[0].sin_addr) != 1)
		return err_set(e, EX_USAGE, "dns:%s: not of the form dns://ADDRESS[:PORT]/NAME", rest);
	*name = slash + 1;
	return 0;
}

static int preferred(const void *a, const void *b)
{
	const struct srv *x = a, *y = b;

	return x->priority != y->priority ? x->priority - y->priority :
	       x->weight != y->weight	  ? y->weight - x->weight :
					    strcmp(x->target, y->target);
}

/* Those of an answer; how many, -1 when it is malformed. */
static int read_answer(const struct libresolv *lib, const unsigned char *answer, int len, struct srv *all)
{
	ns_msg msg;
	ns_rr rr;
	int n = 0;

	if (lib->ns_initparse(answer, len, &msg))
		return -1;
	for (int i = 0; i < ns_msg_count(msg, ns_s_an) && n < SERVICES_MAX; i++) {
		if (lib->ns_parserr(&msg, ns_s_an, i, &rr))
			return -1;
		if (ns_rr_type(rr) != ns_t_srv)
			continue;
		const unsigned char *data = ns_rr_rdata(rr);
		struct srv *s = &all[n++];
		if (ns_rr_rdlen(rr) < 7 ||
		    ns_name_uncompress(ns_msg_base(msg), ns_msg_end(msg), data + 6, s->target, sizeof(s->target)) < 0)
			return -1;
		s->priority = (int)lib->ns_get16(data);
		s->weight = (int)lib->ns_get16(data + 2);
		s->port = (int)lib->ns_get16(data + 4);
	}
	return n;
}

int discover_dns(const char *rest, struct json *nodes, struct err *e)
{
	AUTO_FREE unsigned char *answer = malloc(ANSWER_MAX);
	AUTO_FREE struct srv *all = calloc(SERVICES_MAX, sizeof(*all));
	const struct libresolv *lib = libresolv_load(e);
	struct __res_state state = { 0 };
	const char *name;
	int n, len;

	if (!lib)
		return -1;
	if (!answer || !all || res_ninit(&state))
		return err_set(e, EX_OSERR, "out of memory");
	if (take_server(&state, rest, &name, e)) {
		res_nclose(&state);
		return -1;
	}
	state.retrans = 2;
	state.retry = 2;
	len = res_nquery(&state, name, ns_c_in, ns_t_srv, answer, ANSWER_MAX);
	int why = state.res_h_errno;
	res_nclose(&state);
	if (len < 0)
		return err_set(e, EX_UNAVAILABLE, "dns:%s: %s", rest,
			       why == HOST_NOT_FOUND ? "no such name" :
			       why == NO_DATA	     ? "no SRV records" :
						       "no answer");
	if ((n = read_answer(lib, answer, len, all)) < 0)
		return err_set(e, EX_DATAERR, "dns:%s: malformed answer", rest);
	qsort(all, (size_t)n, sizeof(*all), preferred);
	for (int i = 0; i < n; i++) {
		struct json *rec = json_object();

		json_set_str(rec, "kind", "node");
		json_set_str(rec, "name", all[i].target);
		json_set_str(rec, "addr", all[i].target);
		json_set_num(rec, "port", all[i].port);
		json_add(nodes, rec);
	}
	return 0;
}
