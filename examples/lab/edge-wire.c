/* SPDX-License-Identifier: MIT */
/* Carries frames between two network interfaces as a long wire would: late, at a rate, with losses.
 *
 *	edge-wire IFACE IFACE FILE
 *
 * FILE holds "DELAY_MS JITTER_MS RATE_MBIT LOSS_PCT", each for one way and applied to both (0: none); SIGHUP reads it
 * again. Frames of segmentation offload (64 KB) pass whole, which is what makes 1 Gbit/s cheap, but are counted, queued
 * and lost by the segments that they stand for. Nothing overtakes: jitter delays what follows, too. The queue in front
 * of a rate holds QUEUE_MS; what does not fit is dropped. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

#include "lib/base/auto.h"
#include "lib/base/err.h"

#define TH_CWR 0x80 /* flag byte of the TCP header */
#define QUEUE_MS 10
#define QUEUE_MIN_BYTES (192 << 10) /* a slow wire still holds three of the largest frames */
#define HELD_MAX (256 << 20)        /* bytes under way in one direction, against a wire of minutes */
#define SOCKET_BYTES (16 << 20)
#define WIRE_BYTES 24               /* preamble, checksum and gap of Ethernet */
#define WIRE_MIN 60
#define BATCH 64
#define LEAD_MAX_NS 200000
#define NAP_MIN_NS 100000  /* shorter ones are not worth their end */
#define NAP_MAX_NS 1000000 /* what comes meanwhile must fit into the socket */

#define FRAME_MAX (65536 + 256)
#define FRAME_COPY (FRAME_MAX / 4) /* a shorter one moves to memory of its own size */
#define SPARES_MAX 64

/* As packet sockets hand it over with PACKET_VNET_HDR. One frame may stand for many TCP segments that the network card
 * would cut (segmentation offload), and can be cut between any two of them. */
struct frame {
	struct frame *next;
	int64_t due; /* ns of CLOCK_MONOTONIC */
	uint32_t len, room;
	struct virtio_net_hdr hdr;
	unsigned char data[];
};
_Static_assert((offsetof(struct frame, data) + ETH_HLEN) % 4 == 0, "IP and TCP headers must be aligned");

struct settings {
	int64_t delay_ns, jitter_ns, queue_ns;
	double ns_per_byte, loss;
};

struct way { /* one direction */
	int in, out;
	struct frame *head, **tail;
	size_t held;
	int64_t busy_until; /* when the last admitted segment has left the queue */
	int64_t last_due;
};

static unsigned gso_kind(const struct frame *f)
{
	return f->hdr.gso_type & ~VIRTIO_NET_HDR_GSO_ECN;
}

/* Is it a well-formed TCP frame that frame_cut can cut? */
static bool frame_divisible(const struct frame *f)
{
	size_t l4 = f->hdr.csum_start, ip = sizeof(struct iphdr);
	unsigned kind = gso_kind(f), type = (unsigned)f->data[12] << 8 | f->data[13];
	const struct tcphdr *tcp = (const void *)(f->data + l4);

	if (kind == VIRTIO_NET_HDR_GSO_TCPV6)
		ip = sizeof(struct ip6_hdr);
	else if (kind != VIRTIO_NET_HDR_GSO_TCPV4)
		return false;
	if (type != (kind == VIRTIO_NET_HDR_GSO_TCPV6 ? ETHERTYPE_IPV6 : ETHERTYPE_IP))
		return false;
	return f->hdr.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM && f->hdr.gso_size && l4 >= ETH_HLEN + ip &&
	       l4 + sizeof(*tcp) <= f->len && l4 + (size_t)tcp->doff * 4 < f->len;
}

static size_t header_len(const struct frame *f)
{
	size_t l4 = f->hdr.csum_start;
	const struct tcphdr *tcp = (const void *)(f->data + l4);

	if (!frame_divisible(f))
		return f->hdr.hdr_len < f->len ? f->hdr.hdr_len : ETH_HLEN;
	return l4 + (size_t)tcp->doff * 4;
}

/* Large ones are used again: fresh memory for each would cost more than the copying. */
static struct frame *spares;
static unsigned n_spares;

static struct frame *frame_large(void)
{
	struct frame *f = spares;

	if (f) {
		spares = f->next;
		n_spares--;
	} else {
		f = malloc(sizeof(*f) + FRAME_MAX);
	}
	if (f)
		f->room = FRAME_MAX;
	return f;
}

static void frame_free(struct frame *f)
{
	if (f->room < FRAME_MAX || n_spares >= SPARES_MAX)
		return free(f);
	f->next = spares;
	spares = f;
	n_spares++;
}

/* The same frame in as much memory as it needs, where that is much less; itself without memory. */
static struct frame *frame_fit(struct frame *f)
{
	struct frame *n = f->len < FRAME_COPY ? malloc(sizeof(*f) + f->len) : NULL;

	if (!n)
		return f;
	memcpy(n, f, sizeof(*f) + f->len);
	n->room = f->len;
	frame_free(f);
	return n;
}

static unsigned frame_segments(const struct frame *f)
{
	size_t head;

	if (gso_kind(f) == VIRTIO_NET_HDR_GSO_NONE || !f->hdr.gso_size)
		return 1;
	head = header_len(f);
	if (f->len <= head)
		return 1;
	return (unsigned)((f->len - head + f->hdr.gso_size - 1) / f->hdr.gso_size);
}

/* Of the i-th as a frame of its own, headers included. */
static size_t frame_segment_len(const struct frame *f, unsigned i)
{
	size_t head, from, n;

	if (frame_segments(f) == 1)
		return f->len;
	head = header_len(f);
	from = (size_t)i * f->hdr.gso_size;
	n = f->len - head - from;
	return head + (n < f->hdr.gso_size ? n : f->hdr.gso_size);
}

static uint32_t sum16(const void *data, size_t len, uint32_t sum)
{
	const unsigned char *p = data;

	for (size_t i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	return sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)sum);
}

/* Lengths, identification and checksums of a frame whose payload is `first` segments later than its headers say. The
 * TCP checksum is left to the receiver's side as before: the field holds the pseudo header's sum only. */
static void fix_headers(struct frame *f, unsigned first)
{
	size_t l4 = f->hdr.csum_start, tcp_len = f->len - l4;
	struct tcphdr *tcp = (void *)(f->data + l4);
	unsigned char *addrs;
	uint32_t sum = IPPROTO_TCP + (uint32_t)tcp_len;

	if (gso_kind(f) == VIRTIO_NET_HDR_GSO_TCPV6) {
		struct ip6_hdr *ip = (void *)(f->data + ETH_HLEN);

		ip->ip6_plen = htons((uint16_t)(f->len - ETH_HLEN - sizeof(*ip)));
		addrs = (void *)&ip->ip6_src;
		sum = sum16(addrs, 32, sum);
	} else {
		struct iphdr *ip = (void *)(f->data + ETH_HLEN);

		ip->tot_len = htons((uint16_t)(f->len - ETH_HLEN));
		ip->id = htons((uint16_t)(ntohs(ip->id) + first));
		ip->check = 0;
		ip->check = (uint16_t)~fold(sum16(ip, l4 - ETH_HLEN, 0));
		addrs = (void *)&ip->saddr;
		sum = sum16(addrs, 8, sum);
	}
	tcp->check = fold(sum);
	tcp->seq = htonl(ntohl(tcp->seq) + first * f->hdr.gso_size);
}

/* A new frame of the segments [first, end) of a divisible one; NULL without memory. */
static struct frame *frame_cut(const struct frame *f, unsigned first, unsigned end)
{
	size_t head = header_len(f), size = f->hdr.gso_size, payload = f->len - head;
	size_t from = first * size, to = end * size < payload ? end * size : payload;
	struct frame *n = malloc(sizeof(*n) + head + to - from);
	struct tcphdr *tcp;

	if (!n)
		return NULL;
	*n = (struct frame){ .len = (uint32_t)(head + to - from), .hdr = f->hdr };
	memcpy(n->data, f->data, head);
	memcpy(n->data + head, f->data + head + from, to - from);
	fix_headers(n, first);
	tcp = (void *)(n->data + f->hdr.csum_start);
	if (to < payload)
		tcp->fin = tcp->psh = 0;
	if (first)
		n->data[f->hdr.csum_start + 13] &= (unsigned char)~TH_CWR; /* belongs to the first only */
	n->hdr.hdr_len = (uint16_t)head;
	if (to - from <= size) {
		n->hdr.gso_type = VIRTIO_NET_HDR_GSO_NONE;
		n->hdr.gso_size = 0;
	}
	return n;
}

static int64_t now_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int fail(int code, const char *what, const char *why)
{
	fprintf(stderr, "edge-wire: %s: %s\n", what, why);
	return code;
}

static int settings_read(struct settings *s, const char *path)
{
	AUTO_FILE FILE *f = fopen(path, "re");
	double delay, jitter, rate, loss;

	if (!f)
		return fail(EX_NOINPUT, path, strerror(errno));
	if (fscanf(f, "%lf %lf %lf %lf", &delay, &jitter, &rate, &loss) != 4 || delay < 0 || jitter < 0 || rate < 0 ||
	    loss < 0)
		return fail(EX_DATAERR, path, "not four numbers");
	s->delay_ns = (int64_t)(delay * 1e6);
	s->jitter_ns = (int64_t)(jitter * 1e6);
	s->ns_per_byte = rate > 0 ? 8e3 / rate : 0;
	s->queue_ns = QUEUE_MS * 1000000;
	if (s->ns_per_byte * QUEUE_MIN_BYTES > (double)s->queue_ns)
		s->queue_ns = (int64_t)(s->ns_per_byte * QUEUE_MIN_BYTES);
	s->loss = loss / 100;
	return 0;
}

static int port_open(const char *name)
{
	struct sockaddr_ll a = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	AUTO_FD int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int on = 1, bytes = SOCKET_BYTES;

	a.sll_ifindex = (int)if_nametoindex(name);
	if (fd < 0 || !a.sll_ifindex || setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)) ||
	    setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) ||
	    bind(fd, (struct sockaddr *)&a, sizeof(a))) {
		fail(0, name, strerror(errno));
		return -1;
	}
	setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on));
	/* Best effort: smaller buffers only lose more of a burst. */
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes));
	return TAKE_FD(fd);
}

/* May a segment of so many bytes on the wire enter the queue, and does it survive? Moves busy_until on. */
static bool admit(struct way *w, const struct settings *s, int64_t now, size_t bytes)
{
	if (w->busy_until < now)
		w->busy_until = now;
	if (s->ns_per_byte > 0 && w->busy_until - now > s->queue_ns)
		return false;
	w->busy_until += (int64_t)((double)bytes * s->ns_per_byte);
	return s->loss <= 0 || drand48() >= s->loss;
}

static void hold(struct way *w, const struct settings *s, struct frame *f)
{
	if (!f)
		return;
	if (w->held + f->len > HELD_MAX)
		return frame_free(f);
	f->due = w->busy_until + s->delay_ns;
	if (s->jitter_ns)
		f->due += (int64_t)((2 * drand48() - 1) * (double)s->jitter_ns);
	if (f->due < w->last_due)
		f->due = w->last_due;
	w->last_due = f->due;
	w->held += f->len;
	f->next = NULL;
	*w->tail = f;
	w->tail = &f->next;
}

static size_t wire_size(size_t len)
{
	return (len < WIRE_MIN ? WIRE_MIN : len) + WIRE_BYTES;
}

/* Takes in a frame that came at `now`: each run of segments that comes through goes on as one frame. */
static void take(struct way *w, const struct settings *s, struct frame *f, int64_t now)
{
	unsigned n = frame_segments(f), first = 0;
	bool whole = true;

	if (n > 1 && !frame_divisible(f)) { /* no TCP: all or nothing */
		size_t bytes = 0;

		for (unsigned i = 0; i < n; i++)
			bytes += wire_size(frame_segment_len(f, i));
		if (admit(w, s, now, bytes))
			return hold(w, s, f);
		return frame_free(f);
	}
	for (unsigned i = 0; i < n; i++) {
		if (admit(w, s, now, wire_size(frame_segment_len(f, i))))
			continue;
		if (first < i)
			hold(w, s, frame_cut(f, first, i));
		first = i + 1;
		whole = false;
	}
	if (whole)
		return hold(w, s, f);
	if (first < n)
		hold(w, s, frame_cut(f, first, n));
	frame_free(f);
}

/* How long ago the kernel had the frame: the time until this process ran is no part of the delay. */
static int64_t waited_ns(struct msghdr *m, int64_t now)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(m);
	struct timespec t;
	int64_t waited;

	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SO_TIMESTAMPNS)
		return 0;
	memcpy(&t, CMSG_DATA(c), sizeof(t));
	waited = now - ((int64_t)t.tv_sec * 1000000000 + t.tv_nsec);
	return waited < 0 || waited > 1000000000 ? 0 : waited; /* a clock that was set */
}

/* How many there were, BATCH at most. */
static int receive(struct way *w, const struct settings *s)
{
	char control[CMSG_SPACE(sizeof(struct timespec))];
	int64_t now = now_ns(CLOCK_MONOTONIC), real = now_ns(CLOCK_REALTIME);

	for (int i = 0; i < BATCH; i++) {
		struct frame *f = frame_large();

		if (!f)
			return i;
		struct iovec v[2] = { { &f->hdr, sizeof(f->hdr) }, { f->data, FRAME_MAX } };
		struct msghdr m = { .msg_iov = v, .msg_iovlen = 2, .msg_control = control, .msg_controllen = sizeof(control) };
		ssize_t n = recvmsg(w->in, &m, 0);

		if (n < (ssize_t)(sizeof(f->hdr) + ETH_HLEN) || m.msg_flags & MSG_TRUNC) {
			frame_free(f);
			if (n < 0 && errno == EINVAL) /* a frame of an offload that the header cannot express */
				continue;
			return i;
		}
		f->len = (uint32_t)n - (uint32_t)sizeof(f->hdr);
		take(w, s, frame_fit(f), now - waited_ns(&m, real));
	}
	return BATCH;
}

/* Sends what is due within `lead`. Returns when to come again, INT64_MAX when there is nothing. */
static int64_t deliver(struct way *w, int64_t lead)
{
	while (w->head) {
		struct frame *f = w->head;
		struct iovec v[2] = { { &f->hdr, sizeof(f->hdr) }, { f->data, f->len } };
		struct msghdr m = { .msg_iov = v, .msg_iovlen = 2 };

		if (f->due > now_ns(CLOCK_MONOTONIC) + lead)
			return f->due - lead;
		/* A frame that the other side does not take is lost, as on any wire. */
		if (sendmsg(w->out, &m, 0) < 0)
			errno = 0;
		w->held -= f->len;
		w->head = f->next;
		if (!w->head)
			w->tail = &w->head;
		frame_free(f);
	}
	return INT64_MAX;
}

/* A wire does not wait for a busy processor. */
static void be_prompt(void)
{
	struct sched_param p = { .sched_priority = 1 };

	prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
	if (sched_setscheduler(0, SCHED_RR, &p))
		setpriority(PRIO_PROCESS, 0, -20);
}

static volatile sig_atomic_t changed;

static void on_hup(int sig)
{
	(void)sig;
	changed = 1;
}

/* Waits for frames, or for the time of the next delivery. While there are some it only naps: the kernel notes when a frame
 * came, and before delay_ns have passed nobody misses it. To be woken by each would take most of the processor. */
static void turn(struct way ways[2], const struct settings *s)
{
	static int64_t lead; /* how late a sleep usually ends */
	static bool busy, more; /* there were frames, and more than were taken */
	struct pollfd p[2] = { { ways[0].in, POLLIN, 0 }, { ways[1].in, POLLIN, 0 } };
	int64_t next = deliver(&ways[0], lead), other = deliver(&ways[1], lead), now = now_ns(CLOCK_MONOTONIC), wait;
	int64_t nap = s->delay_ns - s->jitter_ns - lead;
	struct timespec t;

	if (other < next)
		next = other;
	busy = (busy || next != INT64_MAX) && nap >= NAP_MIN_NS;
	if (nap > NAP_MAX_NS)
		nap = NAP_MAX_NS;
	if (busy && next - now > nap)
		next = now + nap;
	wait = next > now && !more ? next - now : 0;
	t = (struct timespec){ wait / 1000000000, wait % 1000000000 };
	if (ppoll(p, busy ? 0 : 2, next == INT64_MAX && !more ? NULL : &t, NULL) == 0) {
		int64_t late = now_ns(CLOCK_MONOTONIC) - next;

		if (wait && late >= 0 && late < LEAD_MAX_NS)
			lead += (late - lead) / 8;
	}
	if (changed) /* before what came since is taken */
		return;
	bool all = busy;
	busy = more = false;
	for (int i = 0; i < 2; i++) {
		int n = all || p[i].revents ? receive(&ways[i], s) : 0;

		busy |= n > 0;
		more |= n == BATCH;
	}
}

int main(int argc, char **argv)
{
	struct settings s;
	struct way ways[2] = { 0 };
	int code;

	if (argc != 4)
		return fail(EX_USAGE, "usage", "edge-wire IFACE IFACE FILE");
	sigaction(SIGHUP, &(struct sigaction){ .sa_handler = on_hup }, NULL);
	code = settings_read(&s, argv[3]);
	if (code)
		return code;
	int a = port_open(argv[1]), b = port_open(argv[2]);
	if (a < 0 || b < 0)
		return EX_UNAVAILABLE;
	for (int i = 0; i < 2; i++) {
		ways[i].in = i ? b : a;
		ways[i].out = i ? a : b;
		ways[i].tail = &ways[i].head;
	}
	srand48(now_ns(CLOCK_MONOTONIC));
	be_prompt();
	for (;; turn(ways, &s)) {
		if (changed) {
			changed = 0;
			settings_read(&s, argv[3]); /* has said what is wrong; the old ones stay */
		}
	}
}
