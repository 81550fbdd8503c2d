/* SPDX-License-Identifier: MIT */
#include "lib/engine/bridge.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/auto.h"
#include "lib/discover/node.h"
#include "lib/engine/rtnl.h"

#define BRIDGES_MAX 32

int net_addr_parse(struct net_addr *a, const char *text, struct err *e)
{
	char ip[64], *slash, *end = NULL;

	memset(a, 0, sizeof(*a));
	a->prefix = -1;
	snprintf(ip, sizeof(ip), "%s", text);
	if ((slash = strchr(ip, '/'))) {
		*slash = '\0';
		a->prefix = (int)strtol(slash + 1, &end, 10);
	}
	if (inet_pton(AF_INET, ip, a->ip) == 1) {
		a->family = AF_INET;
		a->len = 4;
	} else if (inet_pton(AF_INET6, ip, a->ip) == 1) {
		a->family = AF_INET6;
		a->len = 16;
	}
	if (!a->family || (slash && (!slash[1] || *end || a->prefix < 1 || a->prefix > 8 * a->len)))
		return err_set(e, EX_USAGE, "address %s: not an IP address", text);
	return 0;
}

bool net_addr_same_network(const struct net_addr *a, const struct net_addr *b)
{
	int bits = b->prefix;

	if (a->family != b->family || bits < 0)
		return false;
	for (int i = 0; i < b->len && bits > 0; i++, bits -= 8) {
		unsigned char mask = bits >= 8 ? 0xff : (unsigned char)(0xff << (8 - bits));

		if ((a->ip[i] ^ b->ip[i]) & mask)
			return false;
	}
	return true;
}

struct bridges {
	struct bridge b[BRIDGES_MAX];
	int n;
};

static void each_link(void *arg, const void *body, struct rtattr **attrs)
{
	const struct ifinfomsg *i = body;
	struct rtattr *info[IFLA_INFO_MAX + 1];
	struct bridges *all = arg;

	if (!attrs[IFLA_LINKINFO] || !attrs[IFLA_IFNAME] || all->n == BRIDGES_MAX)
		return;
	rtnl_attrs(RTA_DATA(attrs[IFLA_LINKINFO]), (int)RTA_PAYLOAD(attrs[IFLA_LINKINFO]), info, IFLA_INFO_MAX);
	if (!info[IFLA_INFO_KIND] || strcmp(RTA_DATA(info[IFLA_INFO_KIND]), "bridge"))
		return;
	struct bridge *b = &all->b[all->n++];
	b->index = i->ifi_index;
	snprintf(b->name, sizeof(b->name), "%s", (char *)RTA_DATA(attrs[IFLA_IFNAME]));
	if (attrs[IFLA_MTU])
		memcpy(&b->mtu, RTA_DATA(attrs[IFLA_MTU]), sizeof(b->mtu));
	if (attrs[IFLA_ADDRESS] && RTA_PAYLOAD(attrs[IFLA_ADDRESS]) == 6)
		memcpy(b->mac, RTA_DATA(attrs[IFLA_ADDRESS]), 6);
}

static void each_addr(void *arg, const void *body, struct rtattr **attrs)
{
	const struct ifaddrmsg *m = body;
	struct rtattr *ip = attrs[IFA_LOCAL] ? attrs[IFA_LOCAL] : attrs[IFA_ADDRESS];
	struct bridges *all = arg;

	for (int i = 0; i < all->n; i++) {
		struct net_addr *a = m->ifa_family == AF_INET ? &all->b[i].v4 : &all->b[i].v6;

		if ((int)m->ifa_index != all->b[i].index || m->ifa_scope != RT_SCOPE_UNIVERSE || a->family || !ip ||
		    RTA_PAYLOAD(ip) > sizeof(a->ip))
			continue;
		a->family = m->ifa_family;
		a->prefix = m->ifa_prefixlen;
		a->len = (int)RTA_PAYLOAD(ip);
		memcpy(a->ip, RTA_DATA(ip), (size_t)a->len);
	}
}

static bool chosen(const struct bridge *b, const char *name, const struct net_addr *own)
{
	const struct net_addr *a = own->family == AF_INET6 ? &b->v6 : &b->v4;

	if (name)
		return !strcmp(b->name, name);
	if (own->family)
		return a->family && !memcmp(a->ip, own->ip, (size_t)a->len);
	return b->v4.family || b->v6.family;
}

int bridge_find(struct bridge *b, struct err *e)
{
	const char *name = node_setting("bridge"), *addr = node_setting("addr");
	struct bridges all = { .n = 0 };
	struct net_addr own = { .family = 0 };
	AUTO_FD int fd = rtnl_open(-1);

	if (fd < 0 || rtnl_dump(fd, RTM_GETLINK, sizeof(struct ifinfomsg), IFLA_LINKINFO, each_link, &all) ||
	    rtnl_dump(fd, RTM_GETADDR, sizeof(struct ifaddrmsg), IFA_LOCAL, each_addr, &all))
		return err_sys(e, "node %s: cannot list its interfaces", node_self());
	if (addr)
		net_addr_parse(&own, addr, NULL);
	for (int i = 0; i < all.n; i++)
		if (chosen(&all.b[i], name, &own)) {
			*b = all.b[i];
			return 0;
		}
	return err_set(e, EX_UNAVAILABLE, "node %s: no bridge %s%sfor services", node_self(), name ? name : "",
		       name ? " " : "");
}
