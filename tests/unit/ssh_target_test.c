/* SPDX-License-Identifier: MIT */
#include "lib/base/ssh.h"

#include "tests/unit/tap.h"

static void accept_url(const char *url, const char *want)
{
	struct ssh_target t = { .port = -1 };
	struct err e = { 0 };
	char got[512];

	if (ssh_target_parse(&t, url, &e))
		snprintf(got, sizeof(got), "%.500s", e.text);
	else
		snprintf(got, sizeof(got), "%s %s %d %s", t.user, t.host, t.port, t.name);
	is_str(got, want, url);
}

static void refuse_url(const char *url)
{
	struct ssh_target t = { .port = -1 };
	struct err e = { 0 };
	char name[600];

	snprintf(name, sizeof(name), "refused: %.300s", url);
	ok(ssh_target_parse(&t, url, &e) == -1 && e.code == EX_USAGE && t.port == -1, name);
}

int main(void)
{
	char url[400];

	accept_url("ssh://edge2", "root edge2 22 edge2");
	accept_url("ssh://edge2/", "root edge2 22 edge2");
	accept_url("ssh://me@edge-2.example:2222", "me edge-2.example 2222 edge-2.example");
	accept_url("ssh://10.77.0.2:22/", "root 10.77.0.2 22 10.77.0.2");
	accept_url("ssh://[fd00::2]", "root fd00::2 22 fd00::2");
	accept_url("ssh://me@[fe80::2%eth0]:65535", "me fe80::2%eth0 65535 fe80::2%eth0");
	refuse_url("");
	refuse_url("edge2");
	refuse_url("ssh:/edge2");
	refuse_url("http://edge2");
	refuse_url("ssh://");
	refuse_url("ssh://@edge2");
	refuse_url("ssh://me@");
	refuse_url("ssh://a@b@edge2");
	refuse_url("ssh://-oProxyCommand=x");
	refuse_url("ssh://edge2/path");
	refuse_url("ssh://edge2:");
	refuse_url("ssh://edge2:0");
	refuse_url("ssh://edge2:65536");
	refuse_url("ssh://edge2:22x");
	refuse_url("ssh://edge2:+22");
	refuse_url("ssh://fd00::2");
	refuse_url("ssh://[fd00::2");
	refuse_url("ssh://[]");
	refuse_url("ssh://[fd00::2]22");
	refuse_url("ssh://a b");
	refuse_url("ssh://a\nb");
	refuse_url("ssh://a;b");
	snprintf(url, sizeof(url), "ssh://%0300d", 1);
	refuse_url(url);
	snprintf(url, sizeof(url), "ssh://%0100d@edge2", 1);
	refuse_url(url);
	return done();
}
