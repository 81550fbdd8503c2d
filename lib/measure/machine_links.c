/* SPDX-License-Identifier: MIT */
/* Network interfaces, and the address under which others most probably reach this machine. */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <limits.h>
#include <math.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/measure/machine.h"

/* The text of an address that means something elsewhere, too. */
static bool address_text(const struct sockaddr *sa, char *out, size_t size)
{
	if (sa && sa->sa_family == AF_INET)
		return inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)sa)->sin_addr, out, (socklen_t)size);
	if (!sa || sa->sa_family != AF_INET6)
		return false;
	const struct in6_addr *six = &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr;
	return !IN6_IS_ADDR_LINKLOCAL(six) && inet_ntop(AF_INET6, six, out, (socklen_t)size);
}

static double link_number(const char *name, const char *file)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "/sys/class/net/%s/%s", name, file);
	return machine_number(path);
}

static struct json *describe_link(const char *name, unsigned flags, const struct ifaddrs *all)
{
	struct json *link = json_object(), *addrs = json_array();
	char path[PATH_MAX], text[INET6_ADDRSTRLEN];

	json_set_str(link, "name", name);
	snprintf(path, sizeof(path), "/sys/class/net/%s/address", name);
	AUTO_FREE char *mac = machine_line(path);
	json_set_str(link, "mac", mac);
	for (const struct ifaddrs *i = all; i; i = i->ifa_next)
		if (!strcmp(i->ifa_name, name) && address_text(i->ifa_addr, text, sizeof(text)))
			json_add(addrs, json_string(text));
	json_set(link, "addrs", addrs);
	json_set_bool(link, "up", flags & IFF_UP && flags & IFF_RUNNING);
	json_set_num(link, "mtu_bytes", link_number(name, "mtu"));
	double mbit = link_number(name, "speed"); /* -1: not known */
	if (mbit > 0)
		json_set_num(link, "speed_bps", mbit * 125000);
	return link;
}

/* Of hardware, or with an address: not the ends of containers' wires. */
static bool of_interest(const char *name, const struct ifaddrs *all)
{
	char path[PATH_MAX], text[INET6_ADDRSTRLEN];

	snprintf(path, sizeof(path), "/sys/class/net/%s/device", name);
	if (!access(path, F_OK))
		return true;
	for (const struct ifaddrs *i = all; i; i = i->ifa_next)
		if (!strcmp(i->ifa_name, name) && address_text(i->ifa_addr, text, sizeof(text)))
			return true;
	return false;
}

/* The source address of a packet to far away (of the documentation's network); none is sent. */
static bool outward(char *text, size_t size)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(0xcb007101) };
	socklen_t n = sizeof(to);
	AUTO_FD int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	return fd >= 0 && !connect(fd, (struct sockaddr *)&to, sizeof(to)) && !getsockname(fd, (struct sockaddr *)&to, &n) &&
	       address_text((struct sockaddr *)&to, text, size);
}

/* Without a way outward: the first address of any interface that another machine may be behind. */
static void set_addr(struct json *node, const struct ifaddrs *all, const struct absence *a)
{
	char text[INET6_ADDRSTRLEN] = "";

	if (json_has(node, "addr"))
		return;
	for (const struct ifaddrs *i = outward(text, sizeof(text)) ? NULL : all; i && !*text; i = i->ifa_next)
		if (i->ifa_flags & IFF_UP && !(i->ifa_flags & IFF_LOOPBACK))
			address_text(i->ifa_addr, text, sizeof(text));
	json_set_str(node, "addr", *text ? text : NULL);
	if (!*text)
		absent(a, "addr", "no interface has one");
}

void machine_links(struct json *node, const struct absence *a)
{
	struct json *links = json_array();
	struct ifaddrs *all = NULL;

	if (getifaddrs(&all))
		absent(a, "interfaces", "the kernel does not list them");
	for (const struct ifaddrs *i = all; i; i = i->ifa_next) /* one entry of this family for each */
		if (i->ifa_addr && i->ifa_addr->sa_family == AF_PACKET && !(i->ifa_flags & IFF_LOOPBACK) &&
		    of_interest(i->ifa_name, all))
			json_add(links, describe_link(i->ifa_name, i->ifa_flags, all));
	set_addr(node, all, a);
	json_set(node, "interfaces", links);
	if (all)
		freeifaddrs(all);
}
