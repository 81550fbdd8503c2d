/* SPDX-License-Identifier: MIT */
#include "lib/engine/net.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/veth.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/random.h>

#include "lib/base/file.h"
#include "lib/discover/node.h"
#include "lib/engine/bridge.h"
#include "lib/engine/rtnl.h"

static const char *ns_path(const struct service *s)
{
	return file_path("/run/edge/netns/%s", s->name);
}

/* The node's end of the pair. */
const char *net_port_name(const struct service *s)
{
	static _Thread_local char name[IFNAMSIZ];

	snprintf(name, sizeof(name), "ev%.10s", s->id);
	return name;
}

int net_mac_parse(const char *text, unsigned char mac[6])
{
	return sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", mac, mac + 1, mac + 2, mac + 3, mac + 4, mac + 5) == 6 ? 0 : -1;
}

int net_complete(struct service *s, struct err *e)
{
	struct bridge b;
	struct net_addr a;
	unsigned char r[5];

	if (!s->addr[0])
		return 0;
	if (net_addr_parse(&a, s->addr, e))
		return -1;
	if (a.prefix < 0) {
		size_t n = strlen(s->addr);

		if (bridge_find(&b, e))
			return -1;
		const struct net_addr *own = a.family == AF_INET ? &b.v4 : &b.v6;
		snprintf(s->addr + n, sizeof(s->addr) - n, "/%d", own->family ? own->prefix : 8 * a.len);
	}
	if (!s->mac[0]) {
		if (getrandom(r, sizeof(r), 0) != sizeof(r))
			return err_sys(e, "service %s: no random numbers", s->name);
		snprintf(s->mac, sizeof(s->mac), "02:%02x:%02x:%02x:%02x:%02x", r[0], r[1], r[2], r[3], r[4]);
	}
	return 0;
}

int net_open(const struct service *s, struct err *e)
{
	int fd = open(ns_path(s), O_RDONLY | O_CLOEXEC);

	return fd >= 0 ? fd : err_sys(e, "service %s: network namespace", s->name);
}

/* A new namespace, bound to the path; the thread comes back. */
static int ns_create(const struct service *s, const char *from, struct err *e)
{
	const char *path = ns_path(s);
	int rc = -1;

	if (file_mkdirs(file_path("/run/edge/netns"), 0755, e))
		return -1;
	AUTO_FD int file = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	if (file < 0)
		return err_sys(e, "service %s: network namespace", s->name);
	AUTO_FD int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (home < 0 || (!from && unshare(CLONE_NEWNET)))
		err_sys(e, "service %s: network namespace", s->name);
	else if (mount(from ? from : "/proc/thread-self/ns/net", path, NULL, MS_BIND, NULL))
		err_sys(e, "service %s: network namespace", s->name);
	else
		rc = 0;
	if (home >= 0 && setns(home, CLONE_NEWNET))
		abort(); /* in a foreign namespace every later step would do harm */
	if (rc)
		unlink(path);
	return rc;
}

/* Of the calling thread's namespace; `family` "ipv4" or "ipv6". */
static int sysctl_set(const char *family, const char *name, const char *key, const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), "/proc/sys/net/%s/conf/%s/%s", family, name, key);
	AUTO_FD int fd = open(path, O_WRONLY | O_CLOEXEC);
	return fd >= 0 && write(fd, value, 1) == 1 ? 0 : -1;
}

/* A kernel without IPv6 has none of these: no harm. */
static void sysctl6(const char *name, const char *key, const char *value)
{
	if (sysctl_set("ipv6", name, key, value))
		return;
}

static int link_set(int fd, int index, const char *name, unsigned flags, int master)
{
	struct ifinfomsg i = { .ifi_index = index, .ifi_flags = flags, .ifi_change = flags };
	struct rtnl_msg m;

	rtnl_begin(&m, RTM_NEWLINK, 0, &i, sizeof(i));
	if (name)
		rtnl_add_str(&m, IFLA_IFNAME, name);
	if (master >= 0)
		rtnl_add_u32(&m, IFLA_MASTER, (uint32_t)master);
	return rtnl_talk(fd, &m);
}

/* While held, the node itself must neither take what comes out of this end nor answer it: it would answer ARP requests
 * for any address of its own, and where the bridge has borrowed this end's hardware address, the farewell of a
 * connection that has moved away would reach the node's own client. */
static int port_deafen(const char *name, int fd)
{
	sysctl6(name, "disable_ipv6", "1");
	return sysctl_set("ipv4", name, "rp_filter", "1") || link_set(fd, 0, name, IFF_UP | IFF_NOARP, -1) ? -1 : 0;
}

static int pair_create(const struct service *s, int fd, int ns, int mtu)
{
	unsigned char inside[6], port[6];
	struct ifinfomsg i = { 0 };
	struct rtnl_msg m;

	if (net_mac_parse(s->mac, inside)) {
		errno = EINVAL;
		return -1;
	}
	/* A bridge takes the lowest address of its ports as its own, and neighbours would have to learn it anew: they would
	 * wait for a second. Random ones begin with 0xfe, too, now and then. */
	memcpy(port, inside, 6);
	port[0] = 0xfe;
	port[1] = 0xff;
	rtnl_begin(&m, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &i, sizeof(i));
	rtnl_add_str(&m, IFLA_IFNAME, net_port_name(s));
	rtnl_add_u32(&m, IFLA_MTU, (uint32_t)mtu);
	rtnl_add(&m, IFLA_ADDRESS, port, 6);
	void *info = rtnl_nest(&m, IFLA_LINKINFO, NULL, 0);
	rtnl_add(&m, IFLA_INFO_KIND, "veth", 4);
	void *data = rtnl_nest(&m, IFLA_INFO_DATA, NULL, 0);
	void *peer = rtnl_nest(&m, VETH_INFO_PEER, &i, sizeof(i));
	rtnl_add_str(&m, IFLA_IFNAME, NET_INSIDE);
	rtnl_add_u32(&m, IFLA_MTU, (uint32_t)mtu);
	rtnl_add(&m, IFLA_ADDRESS, inside, 6);
	rtnl_add_u32(&m, IFLA_NET_NS_FD, (uint32_t)ns);
	rtnl_end(&m, peer);
	rtnl_end(&m, data);
	rtnl_end(&m, info);
	return rtnl_talk(fd, &m);
}

static int addr_add(int fd, int index, const struct net_addr *a)
{
	struct ifaddrmsg i = { .ifa_family = (unsigned char)a->family,
			       .ifa_prefixlen = (unsigned char)a->prefix,
			       .ifa_index = (unsigned)index,
			       .ifa_flags = a->family == AF_INET6 ? IFA_F_NODAD : 0 };
	struct rtnl_msg m;

	rtnl_begin(&m, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &i, sizeof(i));
	rtnl_add(&m, IFA_LOCAL, a->ip, (size_t)a->len);
	rtnl_add(&m, IFA_ADDRESS, a->ip, (size_t)a->len);
	if (a->family == AF_INET && a->prefix < 31) {
		unsigned char all[4];

		for (int n = 0; n < 4; n++) {
			int bits = a->prefix - 8 * n;

			all[n] = a->ip[n] | (bits >= 8 ? 0 : bits <= 0 ? 0xff : 0xff >> bits);
		}
		rtnl_add(&m, IFA_BROADCAST, all, 4);
	}
	return rtnl_talk(fd, &m);
}

static int route_default(int fd, int index, const struct net_addr *via)
{
	struct rtmsg r = { .rtm_family = (unsigned char)via->family,
			   .rtm_table = RT_TABLE_MAIN,
			   .rtm_protocol = RTPROT_STATIC,
			   .rtm_type = RTN_UNICAST };
	struct rtnl_msg m;

	rtnl_begin(&m, RTM_NEWROUTE, NLM_F_CREATE, &r, sizeof(r));
	rtnl_add(&m, RTA_GATEWAY, via->ip, (size_t)via->len);
	rtnl_add_u32(&m, RTA_OIF, (uint32_t)index);
	return rtnl_talk(fd, &m);
}

static void each_name(void *arg, const void *body, struct rtattr **attrs)
{
	const struct ifinfomsg *i = body;

	if (attrs[IFLA_IFNAME] && !strcmp(RTA_DATA(attrs[IFLA_IFNAME]), NET_INSIDE))
		*(int *)arg = i->ifi_index;
}

/* Addresses, routes and state of the inner end. */
static int inside_configure(const struct service *s, int fd, const struct net_addr *a, struct err *e)
{
	const char *gateway = node_setting(a->family == AF_INET ? "gateway" : "gateway6");
	struct net_addr via;
	int index = 0;

	if (rtnl_dump(fd, RTM_GETLINK, sizeof(struct ifinfomsg), IFLA_IFNAME, each_name, &index) || !index)
		return err_sys(e, "service %s: %s", s->name, NET_INSIDE);
	if (link_set(fd, index, NULL, IFF_UP, -1) || addr_add(fd, index, a))
		return err_sys(e, "service %s: cannot set address %s", s->name, s->addr);
	if (!gateway)
		return 0;
	if (net_addr_parse(&via, gateway, e))
		return err_wrap(e, "node %s: gateway", node_self());
	if (via.family == a->family && route_default(fd, index, &via))
		return err_sys(e, "service %s: default route by %s", s->name, gateway);
	return 0;
}

static int inside_sysctls(int ns)
{
	AUTO_FD int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

	if (home < 0 || setns(ns, CLONE_NEWNET))
		return -1;
	sysctl6(NET_INSIDE, "accept_dad", "0");
	sysctl6(NET_INSIDE, "accept_ra", "0");
	if (setns(home, CLONE_NEWNET))
		abort();
	return 0;
}

/* from: the namespace to be used; NULL: a new one. */
static int create(const struct service *s, const char *from, struct err *e)
{
	struct net_addr a = { .family = 0 };
	struct bridge b = { 0 };

	if (s->addr[0] && (net_addr_parse(&a, s->addr, e) || bridge_find(&b, e)))
		return -1;
	if (s->addr[0] && (a.prefix < 0 || !s->mac[0]))
		return err_set(e, EX_SOFTWARE, "service %s: its network is not complete", s->name);
	if (ns_create(s, from, e))
		return -1;
	AUTO_FD int ns = net_open(s, e);
	AUTO_FD int in = ns < 0 ? -1 : rtnl_open(ns);
	AUTO_FD int out = rtnl_open(-1);
	if (in < 0 || out < 0 || link_set(in, 1, NULL, IFF_UP, -1)) {
		err_sys(e, "service %s: network", s->name);
		goto undo;
	}
	if (!s->addr[0])
		return 0;
	if (pair_create(s, out, ns, b.mtu) || inside_sysctls(ns)) {
		err_sys(e, "service %s: cannot make interface %s", s->name, net_port_name(s));
		goto undo;
	}
	if (port_deafen(net_port_name(s), out)) {
		err_sys(e, "service %s: interface %s", s->name, net_port_name(s));
		goto undo;
	}
	if (!inside_configure(s, in, &a, e))
		return 0;
undo:
	net_remove(s, NULL);
	return -1;
}

int net_create(const struct service *s, struct err *e)
{
	return create(s, NULL, e);
}

int net_adopt(const struct service *s, struct err *e)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)s->pid);
	return create(s, path, e);
}

int net_remove(const struct service *s, struct err *e)
{
	struct ifinfomsg i = { 0 };
	const char *path = ns_path(s);
	struct rtnl_msg m;
	AUTO_FD int fd = rtnl_open(-1);

	if (fd < 0)
		return err_sys(e, "service %s: network", s->name);
	rtnl_begin(&m, RTM_DELLINK, 0, &i, sizeof(i));
	rtnl_add_str(&m, IFLA_IFNAME, net_port_name(s));
	if (s->id[0] && rtnl_talk(fd, &m) && errno != ENODEV)
		return err_sys(e, "service %s: cannot remove interface %s", s->name, net_port_name(s));
	while (!umount2(path, MNT_DETACH))
		;
	/* unlink also takes the mount away from where keepers of other services still see it */
	if (unlink(path) && errno != ENOENT)
		return err_sys(e, "service %s: cannot remove its network namespace", s->name);
	return 0;
}

int net_announce(const struct service *s, int netns, struct err *e)
{
	unsigned char mac[6];
	struct net_addr a;

	if (net_addr_parse(&a, s->addr, e))
		return -1;
	if (net_mac_parse(s->mac, mac))
		return err_set(e, EX_DATAERR, "service %s: not a MAC address: %s", s->name, s->mac);
	return neigh_announce(netns, NET_INSIDE, mac, &a, e);
}

int net_attach(const struct service *s, struct err *e)
{
	struct bridge b;

	if (!s->addr[0])
		return 0;
	if (bridge_find(&b, e))
		return -1;
	AUTO_FD int ns = net_open(s, e);
	AUTO_FD int fd = rtnl_open(-1);
	if (ns < 0)
		return -1;
	if (fd < 0 || link_set(fd, 0, net_port_name(s), IFF_UP, b.index))
		return err_sys(e, "service %s: cannot join bridge %s", s->name, b.name);
	return net_announce(s, ns, e);
}

int net_hold(const struct service *s, struct err *e)
{
	AUTO_FD int fd = s->addr[0] ? rtnl_open(-1) : -1;

	if (!s->addr[0])
		return 0;
	if (fd < 0 || link_set(fd, 0, net_port_name(s), 0, 0))
		return err_sys(e, "service %s: cannot leave the bridge", s->name);
	return 0;
}

int net_address_taken(const struct service *s, int timeout_ms, struct err *e)
{
	unsigned char mac[6] = { 0 };
	struct net_addr a;
	struct bridge b;

	if (!s->addr[0])
		return 0;
	net_mac_parse(s->mac, mac);
	if (net_addr_parse(&a, s->addr, e) || bridge_find(&b, e))
		return -1;
	const struct net_addr *own = a.family == AF_INET ? &b.v4 : &b.v6;
	if (own->family && !memcmp(own->ip, a.ip, (size_t)a.len))
		return 1; /* the node's own kernel does not answer its own probe */
	return neigh_probe(&b, &a, mac, timeout_ms, e);
}

int net_same_link(const struct service *s, struct err *e)
{
	struct net_addr a;
	struct bridge b;

	if (!s->addr[0])
		return 1;
	if (net_addr_parse(&a, s->addr, e) || bridge_find(&b, e))
		return -1;
	return net_addr_same_network(&a, a.family == AF_INET ? &b.v4 : &b.v6);
}
