/* SPDX-License-Identifier: MIT */
#include "lib/app/addresses.h"

#include <arpa/inet.h>
#include <string.h>

#include "lib/app/where.h"
#include "lib/engine/bridge.h"

#define PROBE_MS 100

struct range {
	uint32_t next, last; /* in the machine's own order */
	bool probed;         /* it is on the bridge's link: `bridge` says which */
	struct bridge bridge;
};

static int range_open(struct range *p, const char *addresses, struct err *e)
{
	struct net_addr a;
	uint32_t ip;
	bool bridge = !bridge_find(&p->bridge, *addresses ? NULL : e) && p->bridge.v4.family;

	if (!*addresses && !bridge)
		return err_set(e, EX_UNAVAILABLE, "addresses: no bridge with an IPv4 address here, and no range in x-edge.addresses");
	if (*addresses && (net_addr_parse(&a, addresses, e) || a.family != AF_INET || a.prefix < 8 || a.prefix > 32))
		return err_set(e, EX_DATAERR, "addresses: %s: not an IPv4 network", addresses);
	if (!*addresses)
		a = p->bridge.v4;
	p->probed = bridge && net_addr_same_network(&a, &p->bridge.v4);
	memcpy(&ip, a.ip, sizeof(ip));
	uint32_t size = a.prefix == 32 ? 1 : 1u << (32 - a.prefix), first = ntohl(ip) & ~(size - 1);
	/* not the network's own address and that for all; of the bridge's, the half that people rarely use by hand */
	p->next = first + (*addresses ? 1 : size / 2);
	p->last = first + size - 2;
	if (size <= 2) {
		p->next = first;
		p->last = first + size - 1;
	}
	return 0;
}

static bool in_list(const struct json *list, const char *ip)
{
	for (size_t i = 0; i < json_len(list, NULL); i++) {
		AUTO_JSON struct json *item = json_at(list, i);
		const char *addr = json_is_object(item) ? json_str(item, "addr") : json_value(item);

		if (addr && !strcmp(addr, ip))
			return true;
	}
	return false;
}

static int range_next(struct range *p, const struct json *known, const struct json *given, char ip[INET_ADDRSTRLEN], struct err *e)
{
	static const unsigned char nobody[6];

	for (; p->next <= p->last; p->next++) {
		uint32_t net = htonl(p->next);
		struct net_addr a;
		int taken = 0;

		inet_ntop(AF_INET, &net, ip, INET_ADDRSTRLEN);
		if (in_list(known, ip) || in_list(given, ip))
			continue;
		if (p->probed && !net_addr_parse(&a, ip, NULL) && !memcmp(a.ip, p->bridge.v4.ip, 4))
			continue;
		if (p->probed && (net_addr_parse(&a, ip, e) || (taken = neigh_probe(&p->bridge, &a, nobody, PROBE_MS, e)) < 0))
			return -1;
		if (taken)
			continue;
		p->next++;
		return 0;
	}
	return err_set(e, EX_UNAVAILABLE, "addresses: none is free");
}

/* Those of this node's services that no registry knows of, too. */
static struct json *all_known(struct registry *r, struct err *e)
{
	AUTO_JSON struct json *all = NULL, *own = NULL;

	if (registry_list(r, "service", &all, e) || !(own = service_list(e)))
		return NULL;
	for (size_t i = 0; i < json_len(own, NULL); i++)
		json_add(all, json_at(own, i));
	return TAKE_PTR(all);
}

static int give(struct compose *c, struct registry *r, struct json *given, const struct json *known, struct err *e)
{
	struct range p = { 0 };
	char ip[INET_ADDRSTRLEN];

	for (size_t i = 0; i < c->n; i++)
		if (json_has(c->services[i].spec, "addr"))
			json_add(given, json_string(json_str(c->services[i].spec, "addr")));
	for (size_t i = 0; i < c->n; i++) {
		struct compose_service *s = &c->services[i];
		AUTO_JSON struct json *there = NULL;

		if (s->lone || json_has(s->spec, "addr"))
			continue;
		if (where_is(r, json_str(s->spec, "name"), c->name, &there, e))
			return -1;
		if (there && json_str(there, "addr"))
			snprintf(ip, sizeof(ip), "%s", json_str(there, "addr"));
		else if ((!p.last && range_open(&p, c->addresses, e)) || range_next(&p, known, given, ip, e))
			return -1;
		json_set_str(s->spec, "addr", ip);
		json_add(given, json_string(ip));
	}
	return 0;
}

static void add_host(struct json *hosts, const char *name, const char *ip)
{
	char text[2 * SERVICE_NAME_MAX + 64];

	snprintf(text, sizeof(text), "%s=%s", name, ip);
	json_add(hosts, json_string(text));
}

/* The same for all of them, behind what each says itself. */
static void name_all(struct compose *c)
{
	AUTO_JSON struct json *all = json_array();

	for (size_t i = 0; i < c->n; i++) {
		const struct compose_service *s = &c->services[i];
		const char *ip = json_str(s->spec, "addr");

		if (!ip)
			continue;
		add_host(all, s->key, ip);
		add_host(all, json_str(s->spec, "name"), ip);
		for (size_t k = 0; k < json_len(s->aliases, NULL); k++) {
			AUTO_JSON struct json *alias = json_at(s->aliases, k);

			add_host(all, json_value(alias), ip);
		}
	}
	for (size_t i = 0; i < c->n && json_len(all, NULL); i++) {
		AUTO_JSON struct json *hosts = json_get(c->services[i].spec, "hosts");

		if (!hosts)
			hosts = json_array();
		for (size_t k = 0; k < json_len(all, NULL); k++)
			json_add(hosts, json_at(all, k));
		json_set(c->services[i].spec, "hosts", TAKE_PTR(hosts));
	}
}

int addresses_give(struct compose *c, struct registry *r, struct err *e)
{
	AUTO_JSON struct json *known = all_known(r, e), *given = json_array();

	if (!known || give(c, r, given, known, e))
		return -1;
	name_all(c);
	return 0;
}
