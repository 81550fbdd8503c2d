/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/discover/registry_kind.h"

static int path_if_there(char **out, const char *name, struct err *e)
{
	const char *path = file_path("/etc/edge/registry.%s", name);

	*out = access(path, F_OK) ? NULL : strdup(path);
	return *out && access(path, R_OK) ? err_sys(e, "%s", path) : 0;
}

int registry_secrets_load(struct registry_secrets *s, struct err *e)
{
	AUTO_FREE char *password = NULL;

	*s = (struct registry_secrets){ 0 };
	if (path_if_there(&s->ca, "ca", e) || path_if_there(&s->cert, "cert", e) || path_if_there(&s->key, "key", e) ||
	    path_if_there(&password, "password", e) || (password && !(s->password = file_slurp(password, NULL, e)))) {
		registry_secrets_free(s);
		return -1;
	}
	if (s->password)
		s->password[strcspn(s->password, "\r\n")] = '\0';
	return 0;
}

void registry_secrets_free(struct registry_secrets *s)
{
	free(s->ca);
	free(s->cert);
	free(s->key);
	free(s->password);
	*s = (struct registry_secrets){ 0 };
}
