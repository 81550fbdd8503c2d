/* SPDX-License-Identifier: MIT */
#include "lib/engine/docker.h"

#include <ctype.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/http.h"

#define ASK_MS 10000
#define DO_MS  60000

static const char *socket_path(void)
{
	const char *host = getenv("DOCKER_HOST");

	return host && !strncmp(host, "unix://", 7) ? host + 7 : "/run/docker.sock";
}

bool docker_here(void)
{
	return !access(socket_path(), F_OK);
}

static int call(const char *method, const char *path, const char *body, int timeout_ms, struct json **answer, struct err *e)
{
	const struct http_peer peer = { .name = "docker", .socket = socket_path() };
	AUTO_HTTP struct http *h = NULL;
	char url[512];

	if (access(peer.socket, R_OK | W_OK))
		return err_sys(e, "docker: %s", peer.socket);
	if (snprintf(url, sizeof(url), "http://docker%s", path) >= (int)sizeof(url))
		return err_set(e, EX_DATAERR, "docker: %.100s...: too long", path);
	if (http_open(&h, &peer, e))
		return -1;
	http_method(h, method);
	return http_json(h, url, body, timeout_ms, answer, e);
}

void docker_path(char path[512], const char *before, const char *name, const char *after)
{
	size_t n = (size_t)snprintf(path, 512, "%s", before), room = 512 - strlen(after);

	for (; *name && n + 3 < room; name++)
		n += (size_t)snprintf(path + n, room - n, isalnum((unsigned char)*name) || strchr("-._~", *name) ? "%c" : "%%%02X",
				      (unsigned char)*name);
	snprintf(path + n, 512 - n, "%s", after);
}

int docker_get(const char *path, struct json **answer, struct err *e)
{
	return call(NULL, path, NULL, ASK_MS, answer, e);
}

int docker_post(const char *path, struct json *body, struct json **answer, struct err *e)
{
	AUTO_FREE char *text = body ? json_text(body) : strdup("{}");

	json_free(body);
	return text ? call(NULL, path, text, DO_MS, answer, e) : err_set(e, EX_OSERR, "out of memory");
}

bool docker_raced(const struct err *e)
{
	return strstr(e->text, "out of sequence");
}

bool docker_silent(const struct err *e)
{
	return e->code != EX_DATAERR && !strncmp(e->text, "docker: ", 8);
}

int docker_delete(const char *path, struct err *e)
{
	return call("DELETE", path, NULL, DO_MS, NULL, e);
}
