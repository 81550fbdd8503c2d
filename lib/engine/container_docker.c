/* SPDX-License-Identifier: MIT */
/* Docker's checkpoints. Its daemon calls criu by runc, and nobody can give it more options: connections are not kept. A network
 * of ours it gets when it runs again, as at its start. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/proc.h"
#include "lib/engine/container.h"
#include "lib/engine/criu_timers.h"
#include "lib/engine/net.h"

#define CHECKPOINT "edge"

static const char *unable(void)
{
	const char *const argv[] = { "docker", "info", "-f", "{{.ExperimentalBuild}}", NULL };
	AUTO_FREE char *text = NULL;

	if (proc_run(argv, &text, CONTAINER_ASK_MS, NULL))
		return "its daemon does not answer";
	return strncmp(text, "true", 4) ? "its daemon makes no checkpoints unless it is told to be experimental" : NULL;
}

/* Docker makes a checkpoint of a container that was paused by itself only. */
static int freeze(const struct service *s, struct err *e)
{
	return container_do((const char *const[]){ "docker", "pause", s->name, NULL }, NULL, CONTAINER_RUN_MS, s, e);
}

static int thaw(const struct service *s, struct err *e)
{
	AUTO_FREE char *paused = container_ask(s, "docker", "{{.State.Paused}}", e);

	if (!paused)
		return -1;
	return strcmp(paused, "true") ? 0 : container_do((const char *const[]){ "docker", "unpause", s->name, NULL }, NULL,
							 CONTAINER_RUN_MS, s, e);
}

static int dump(const struct service *s, const char *dir, struct err *e)
{
	const char *const argv[] = { "docker", "checkpoint", "create", "--leave-running", "--checkpoint-dir", dir, s->name,
				     CHECKPOINT, NULL };
	char images[PATH_MAX];

	if (snprintf(images, sizeof(images), "%s/" CHECKPOINT, dir) >= (int)sizeof(images))
		return err_set(e, EX_UNAVAILABLE, "%.100s...: too long", dir);
	return container_do_apart(argv, s, e) || criu_mend_timers(images, e) ? -1 : 0;
}

static int arm(struct service *s, struct err *e)
{
	return container_create(s, "docker", e);
}

static int upper(const struct service *s, char path[PATH_MAX], struct err *e)
{
	AUTO_FREE char *text = container_ask(s, "docker", "{{.GraphDriver.Data.UpperDir}}", e);

	if (!text)
		return -1;
	if (*text != '/' || strlen(text) >= PATH_MAX)
		return err_set(e, EX_UNAVAILABLE, "service %s: docker: its storage driver is not overlay2", s->name);
	snprintf(path, PATH_MAX, "%s", text);
	return 0;
}

/* Docker starts from checkpoints only that lie in its own folder, and follows no links there. */
static int place_of(const struct service *s, char place[PATH_MAX], struct err *e)
{
	const char *const info[] = { "docker", "info", "-f", "{{.DockerRootDir}}", NULL };
	AUTO_FREE char *id = container_ask(s, "docker", "{{.Id}}", e), *root = NULL;

	if (!id || container_do(info, &root, CONTAINER_ASK_MS, s, e))
		return -1;
	root[strcspn(root, "\n")] = '\0';
	if (snprintf(place, PATH_MAX, "%s/containers/%s/checkpoints", root, id) >= PATH_MAX - (int)sizeof("/" CHECKPOINT))
		return err_set(e, EX_UNAVAILABLE, "%.100s...: too long", root);
	if (file_mkdirs(place, 0700, e))
		return -1;
	strcat(place, "/" CHECKPOINT);
	return 0;
}

static int restore(struct service *s, const char *dir, struct err *e)
{
	const char *const argv[] = { "docker", "start", "--checkpoint", CHECKPOINT, s->name, NULL };
	char images[PATH_MAX], place[PATH_MAX];
	const char *const copy[] = { "cp", "-a", images, place, NULL };

	if (snprintf(images, sizeof(images), "%s/" CHECKPOINT, dir) >= (int)sizeof(images) || place_of(s, place, e))
		return -1;
	bool lent = !rename(images, place);
	if (!lent && container_do(copy, NULL, CONTAINER_RUN_MS, s, e))
		return -1;
	int rc = container_do_apart(argv, s, e);
	/* What came is kept for the next time. */
	if (!lent || rename(place, images))
		file_remove_tree(place, NULL);
	return rc || container_pid(s, "docker", e) || freeze(s, e) || (s->addr[0] && net_adopt(s, e)) ? -1 : 0;
}

const struct engine_memory docker_memory = {
	.unable = unable,
	.copies = 4, /* as it came, containerd's two, and one below /tmp */
	.freeze = freeze,
	.thaw = thaw,
	.dump = dump,
	.arm = arm,
	.upper = upper,
	.restore = restore,
};
