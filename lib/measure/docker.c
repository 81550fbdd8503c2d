/* SPDX-License-Identifier: MIT */
#include "lib/measure/docker.h"

#include <string.h>
#include <unistd.h>

#include "lib/base/http.h"

#define ASK_MS 5000

static const char *socket_path(void)
{
	const char *host = getenv("DOCKER_HOST");

	return host && !strncmp(host, "unix://", 7) ? host + 7 : "/run/docker.sock";
}

bool docker_here(void)
{
	return !access(socket_path(), F_OK);
}

int docker_get(const char *path, struct json **answer, struct err *e)
{
	const struct http_peer peer = { .name = "docker", .socket = socket_path() };
	AUTO_HTTP struct http *h = NULL;
	char url[512];

	if (access(peer.socket, R_OK | W_OK))
		return err_sys(e, "docker: %s", peer.socket);
	snprintf(url, sizeof(url), "http://docker%s", path);
	return http_open(&h, &peer, e) || http_json(h, url, NULL, ASK_MS, answer, e) ? -1 : 0;
}
