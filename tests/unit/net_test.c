/* SPDX-License-Identifier: MIT */
#include "lib/engine/net.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "lib/base/clock.h"
#include "lib/base/file.h"
#include "lib/engine/bridge.h"
#include "lib/engine/rtnl.h"
#include "tests/unit/tap.h"

static char top[] = "/tmp/net_test.XXXXXX";

static void test_addresses(void)
{
	struct net_addr a, b;

	ok(!net_addr_parse(&a, "10.77.0.201/24", NULL) && a.prefix == 24 && a.len == 4, "an IPv4 address with its prefix");
	ok(!net_addr_parse(&a, "10.77.0.201", NULL) && a.prefix == -1, "an address without one");
	ok(!net_addr_parse(&b, "fd77::1/64", NULL) && b.prefix == 64 && b.len == 16, "an IPv6 address");
	ok(net_addr_parse(&b, "10.77.0.1/33", NULL) && net_addr_parse(&b, "10.77.0.1/", NULL) &&
		   net_addr_parse(&b, "10.77.0/24", NULL) && net_addr_parse(&b, "10.77.0.1/8x", NULL) &&
		   net_addr_parse(&b, "", NULL),
	   "what is no address is refused");
	net_addr_parse(&b, "10.77.0.1/23", NULL);
	ok(net_addr_same_network(&a, &b), "an address inside a network");
	net_addr_parse(&a, "10.77.2.1", NULL);
	ok(!net_addr_same_network(&a, &b), "an address outside of it");
}

/* A bridge br0 with an IPv4 and an IPv6 address, in the namespace of this test. */
static int bridge_make(void)
{
	struct ifinfomsg i = { .ifi_flags = IFF_UP, .ifi_change = IFF_UP };
	struct rtnl_msg m;
	AUTO_FD int fd = rtnl_open(-1);

	rtnl_begin(&m, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &i, sizeof(i));
	rtnl_add_str(&m, IFLA_IFNAME, "br0");
	void *info = rtnl_nest(&m, IFLA_LINKINFO, NULL, 0);
	rtnl_add(&m, IFLA_INFO_KIND, "bridge", 6);
	rtnl_end(&m, info);
	if (rtnl_talk(fd, &m))
		return -1;
	for (int v6 = 0; v6 < 2; v6++) {
		struct ifaddrmsg a = { .ifa_family = v6 ? AF_INET6 : AF_INET,
				       .ifa_prefixlen = v6 ? 64 : 24,
				       .ifa_index = if_nametoindex("br0"),
				       .ifa_flags = v6 ? IFA_F_NODAD : 0 };
		unsigned char ip[16];

		inet_pton(v6 ? AF_INET6 : AF_INET, v6 ? "fd99::1" : "10.99.0.1", ip);
		rtnl_begin(&m, RTM_NEWADDR, NLM_F_CREATE, &a, sizeof(a));
		rtnl_add(&m, IFA_LOCAL, ip, v6 ? 16 : 4);
		rtnl_add(&m, IFA_ADDRESS, ip, v6 ? 16 : 4);
		if (rtnl_talk(fd, &m))
			return -1;
	}
	return 0;
}

static int listener(int protocol)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons((uint16_t)protocol),
				  .sll_ifindex = (int)if_nametoindex("br0") };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons((uint16_t)protocol));

	return bind(fd, (struct sockaddr *)&at, sizeof(at)) ? -1 : fd;
}

/* How many frames from this address have come. */
static int frames_from(int fd, const char *mac)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	unsigned char frame[2048];
	char from[18];
	int n = 0;

	while (poll(&p, 1, 50) > 0 && recv(fd, frame, sizeof(frame), 0) > 12) {
		snprintf(from, sizeof(from), "%02x:%02x:%02x:%02x:%02x:%02x", frame[6], frame[7], frame[8], frame[9],
			 frame[10], frame[11]);
		n += !strcmp(from, mac);
	}
	return n;
}

static void test_family(const char *addr, const char *complete, int protocol)
{
	struct service s = { .name = "net-test", .id = "00c0ffee01234567" };
	struct service other = { .name = "other", .mac = "02:00:00:00:00:99" };
	struct err e = { 0 };

	printf("# %s\n", addr);
	snprintf(s.addr, sizeof(s.addr), "%s", addr);
	snprintf(other.addr, sizeof(other.addr), "%s", addr);
	is_int(net_complete(&s, &e), 0, "an address is completed");
	is_str(s.addr, complete, "... by the prefix of the bridge");
	is_int((long long)strlen(s.mac), 17, "... and a hardware address is made");
	is_int(net_same_link(&s, &e), 1, "it belongs to the bridge's network");
	is_int(net_address_taken(&s, 60, &e), 0, "nobody has it");
	if (!ok(!net_create(&s, &e), "the network is made"))
		printf("# %s\n", e.text);
	is_int(net_address_taken(&other, 60, &e), 0, "while held, nobody answers for it");
	AUTO_FD int fd = listener(protocol);
	double start = clock_ms();
	ok(!net_attach(&s, &e), "it is attached");
	double attached = clock_ms();
	ok(frames_from(fd, s.mac) >= 2, "the neighbours are told");
	is_int(net_address_taken(&other, 1000, &e), 1, "now the address is taken");
	is_int(net_address_taken(&s, 60, &e), 0, "... though not for the service itself");
	double before = clock_ms();
	ok(!net_hold(&s, &e), "it is held again");
	double held = clock_ms();
	printf("# attach %.3f ms, hold %.3f ms\n", attached - start, held - before);
	is_int(net_address_taken(&other, 60, &e), 0, "and nobody answers any more");
	ok(!net_attach(&s, &e) && net_address_taken(&other, 1000, &e) == 1, "it can be attached once more");
	ok(net_create(&s, &e) == -1, "it cannot be made twice");
	ok(!net_remove(&s, &e) && access(file_path("/run/edge/netns/net-test"), F_OK), "it is removed");
	ok(!net_remove(&s, &e), "removing what is not there is no error");
}

static void test_refusals(void)
{
	struct service s = { .name = "net-test", .id = "00c0ffee01234567", .addr = "10.99.0.1" };
	struct err e = { 0 };

	is_int(net_address_taken(&s, 60, &e), 1, "the node's own address is taken");
	snprintf(s.addr, sizeof(s.addr), "10.98.0.7/24");
	is_int(net_same_link(&s, &e), 0, "an address of another network is told apart");
	s.addr[0] = '\0';
	ok(!net_create(&s, &e) && !net_attach(&s, &e) && !net_hold(&s, &e), "a service without an address has a namespace");
	AUTO_FD int fd = net_open(&s, &e);
	ok(fd >= 0 && !setns(fd, CLONE_NEWNET) && if_nametoindex("lo") == 1 && !if_nametoindex("eth0"), "... with lo only");
	is_int(net_remove(&s, &e), 0, "... which is removed");
	snprintf(s.addr, sizeof(s.addr), "10.99.0.9"); /* we are in that namespace now, which has no bridge */
	ok(net_complete(&s, &e) && e.code == EX_UNAVAILABLE, "without a bridge there is no address");
}

int main(void)
{
	test_addresses();
	if (geteuid()) {
		skip("networks", "needs root");
		return done();
	}
	if (!mkdtemp(top) || setenv("EDGE_ROOT", top, 1) || unshare(CLONE_NEWNET | CLONE_NEWNS) ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) || bridge_make())
		return 1;
	/* the bridge is up when it has a port */
	test_family("10.99.0.7", "10.99.0.7/24", ETHERTYPE_ARP);
	test_family("fd99::7", "fd99::7/64", ETHERTYPE_IPV6);
	test_refusals();
	file_remove_tree(top, NULL);
	return done();
}
