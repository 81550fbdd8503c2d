/* SPDX-License-Identifier: MIT */
/* HTTP and HTTPS by libcurl: a new connection for each probe, up to the first byte of the answer, whatever its status. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/libcurl.h"
#include "lib/measure/probe_int.h"

#define FLIGHTS_MAX 1000

static const struct libcurl *lib; /* once open */

struct http {
	CURLM *multi;
	size_t flying;
	int running;
};

struct flight {
	size_t number;
	struct curl_slist *to;
};

static int http_open(struct probe *p, struct err *e)
{
	struct http *c = calloc(1, sizeof(*c));

	p->self = c;
	if (strncmp(p->arg, "http://", 7) && strncmp(p->arg, "https://", 8))
		return err_set(e, EX_USAGE, "method %s: not http:URL, as http:http://{}:8080/", p->plan.method);
	lib = libcurl_load(e);
	if (!lib)
		return -1;
	if (!c || !(c->multi = lib->multi_init()))
		return err_set(e, EX_OSERR, "libcurl: cannot start");
	return 0;
}

static void flight_end(struct http *c, CURL *h)
{
	struct flight *f = NULL;

	lib->easy_getinfo(h, CURLINFO_PRIVATE, (char **)&f);
	lib->multi_remove_handle(c->multi, h);
	lib->easy_cleanup(h);
	lib->slist_free_all(f->to);
	free(f);
	c->flying--;
}

/* The first byte is all that is asked for; refusing it ends the transfer. */
static size_t refuse(char *data, size_t size, size_t n, void *ctx)
{
	(void)data;
	(void)size;
	(void)n;
	(void)ctx;
	return 0;
}

/* The URL with the target's host in the place of {}. */
static void make_url(const struct probe *p, const struct target *t, char *url, size_t size)
{
	const char *at = strstr(p->arg, "{}");
	bool six = strchr(t->host, ':');

	if (at)
		snprintf(url, size, "%.*s%s%s%s%s", (int)(at - p->arg), p->arg, six ? "[" : "", t->host, six ? "]" : "", at + 2);
	else
		snprintf(url, size, "%s", p->arg);
}

static CURL *make_request(struct probe *p, struct flight *f)
{
	const struct target *t = probe_target(p, f->number);
	bool six = strchr(t->host, ':');
	char url[2048], to[512];
	CURL *h = lib->easy_init();

	if (!h)
		return NULL;
	make_url(p, t, url, sizeof(url));
	lib->easy_setopt(h, CURLOPT_URL, url);
	lib->easy_setopt(h, CURLOPT_PRIVATE, f);
	lib->easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
	lib->easy_setopt(h, CURLOPT_PROXY, "");
	lib->easy_setopt(h, CURLOPT_FRESH_CONNECT, 1L);
	lib->easy_setopt(h, CURLOPT_FORBID_REUSE, 1L);
	lib->easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
	lib->easy_setopt(h, CURLOPT_WRITEFUNCTION, refuse);
	lib->easy_setopt(h, CURLOPT_TIMEOUT_MS, (long)p->plan.timeout_ms + 1);
	lib->easy_setopt(h, CURLOPT_USERAGENT, "edge-latency/" EDGE_VERSION);
	if (!strstr(p->arg, "{}")) { /* the URL's host and certificate, at the target's address */
		snprintf(to, sizeof(to), six ? "::[%s]:" : "::%s:", t->host);
		lib->easy_setopt(h, CURLOPT_CONNECT_TO, f->to = lib->slist_append(NULL, to));
	}
	return h;
}

static size_t http_launch(struct probe *p, size_t n)
{
	struct http *c = p->self;
	size_t k;

	for (k = 0; k < n && c->flying < FLIGHTS_MAX; k++) {
		struct flight *f = calloc(1, sizeof(*f));

		if (!f)
			abort();
		f->number = p->next + k;
		if (probe_target(p, f->number)->addr.sa.sa_family == AF_UNSPEC) {
			probe_lost(p, f->number, probe_target(p, f->number)->why);
			free(f);
			continue;
		}
		CURL *h = make_request(p, f);
		if (!h)
			abort();
		lib->multi_add_handle(c->multi, h);
		c->flying++;
	}
	lib->multi_perform(c->multi, &c->running);
	return k;
}

static void settle(struct probe *p, CURL *h, CURLcode code)
{
	static const CURLINFO infos[] = { CURLINFO_NAMELOOKUP_TIME_T, CURLINFO_CONNECT_TIME_T, CURLINFO_APPCONNECT_TIME_T,
					  CURLINFO_STARTTRANSFER_TIME_T };
	curl_off_t at[4] = { 0 }, before = 0;
	struct flight *f = NULL;

	lib->easy_getinfo(h, CURLINFO_PRIVATE, (char **)&f);
	for (size_t i = 0; i < 4; i++)
		lib->easy_getinfo(h, infos[i], &at[i]);
	if (!at[3] || (code != CURLE_OK && code != CURLE_WRITE_ERROR)) {
		probe_lost(p, f->number, lib->easy_strerror(code));
		return;
	}
	for (size_t i = 0; i < 4; i++) { /* a phase that there is not took no time */
		probe_target(p, f->number)->phases[i] += at[i] > before ? (double)(at[i] - before) / 1e3 : 0;
		before = at[i] > before ? at[i] : before;
	}
	probe_answer(p, f->number, (double)at[3] / 1e3);
}

static void http_collect(struct probe *p, double wait_ms, bool rest)
{
	struct http *c = p->self;
	CURLMsg *m;
	int left;

	(void)rest;
	lib->multi_poll(c->multi, NULL, 0, wait_ms > 0 ? (int)(wait_ms + 0.5) : 0, NULL);
	lib->multi_perform(c->multi, &c->running);
	while ((m = lib->multi_info_read(c->multi, &left)))
		if (m->msg == CURLMSG_DONE) {
			CURL *h = m->easy_handle;

			settle(p, h, m->data.result);
			flight_end(c, h);
		}
}

static void http_close(struct probe *p)
{
	struct http *c = p->self;

	while (c && c->flying) /* each has its own time limit */
		http_collect(p, 10, true);
	if (c && c->multi)
		lib->multi_cleanup(c->multi);
	free(c);
	p->self = NULL;
}

const struct probe_method probe_http = {
	.name = "http", .open = http_open, .launch = http_launch, .collect = http_collect, .close = http_close,
};
