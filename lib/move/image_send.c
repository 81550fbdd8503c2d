/* SPDX-License-Identifier: MIT */
#include "lib/move/image_send.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/file.h"
#include "lib/engine/engine.h"
#include "lib/move/files.h"
#include "lib/move/layer.h"
#include "lib/move/layer_send.h"
#include "lib/move/remote.h"

/* A folder of this node for one archive. */
static int folder_make(char path[PATH_MAX], struct err *e)
{
	if (file_mkdir_private(file_path("/var/lib/edge/store"), e))
		return -1;
	snprintf(path, PATH_MAX, "%s", file_path("/var/lib/edge/store/image-XXXXXX"));
	return mkdtemp(path) ? 0 : err_sys(e, "%s", path);
}

int image_send_over(struct stream *s, const struct service *svc, struct err *e)
{
	const struct engine *engine = engine_find(svc->engine);
	const char *ref = svc->about ? json_str(svc->about, "image") : NULL;
	AUTO_JSON struct json *call = wire_request("image"), *answer = NULL;
	char id[80], path[PATH_MAX], file[PATH_MAX + 8];

	if (!engine || !engine->whole || !ref)
		return 0;
	if (engine->whole->image_id(ref, id, e))
		return err_wrap(e, "service %s", svc->name);
	json_set_str(call, "engine", svc->engine);
	json_set_str(call, "ref", ref);
	json_set_str(call, "id", id);
	if (!(answer = wire_call(s, TAKE_PTR(call), e)))
		return -1;
	if (!json_bool(answer, "need", false))
		return 0;
	if (folder_make(path, e))
		return -1;
	snprintf(file, sizeof(file), "%s/image", path);
	int rc = engine->whole->image_save(ref, file, e) || folder_send(s, path, e) ? -1 : 0;
	file_remove_tree(path, NULL);
	return rc;
}

int image_send(const char *node, const struct service *svc, struct err *e)
{
	AUTO_STREAM struct stream *s = remote_open(node, e);

	return s ? image_send_over(s, svc, e) : -1;
}

static int receive(struct stream *s, const struct engine *engine, struct err *e)
{
	AUTO_JSON struct json *answer = json_object();
	char path[PATH_MAX], file[PATH_MAX + 8];

	if (folder_make(path, e))
		return -1;
	snprintf(file, sizeof(file), "%s/image", path);
	int rc = folder_receive(s, path, NULL, e) || engine->whole->image_load(file, e) ? -1 : 0;
	file_remove_tree(path, NULL);
	return rc ? -1 : wire_send_json(s, FRAME_REPLY, answer, e);
}

int image_serve(struct stream *s, const struct json *call, struct err *e)
{
	const char *name = json_str(call, "engine"), *ref = json_str(call, "ref"), *id = json_str(call, "id");
	const struct engine *engine = engine_find(name ? name : "");
	AUTO_JSON struct json *answer = json_object();
	char mine[80] = "";

	if (!engine || !engine->whole || !ref || *ref == '-' || !id)
		return err_set(e, EX_DATAERR, "image: not one of an engine");
	if (engine->look->missing())
		return err_set(e, EX_UNAVAILABLE, "engine %s: %s", name, engine->look->missing());
	bool need = engine->whole->image_id(ref, mine, NULL) || strcmp(mine, id);
	json_set_bool(answer, "need", need);
	if (wire_send_json(s, FRAME_REPLY, answer, e))
		return -1;
	return need ? receive(s, engine, e) : 0;
}
