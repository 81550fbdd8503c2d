/* SPDX-License-Identifier: MIT */
#include "lib/move/layer_send.h"

#include <fcntl.h>
#include <string.h>

#include "lib/move/files.h"
#include "lib/move/layer.h"
#include "lib/move/remote.h"
#include "lib/move/wire.h"

int folder_send(struct stream *s, const char *path, struct err *e)
{
	struct files f = { .number = FOLDER_LAYER, .root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), .what = "root" };
	struct files_stats stats = { 0 };
	int rc = f.root < 0 ? err_sys(e, "%s", path) : files_send(&f, s, NULL, 0, true, &stats, e);

	files_clear(&f);
	return rc;
}

int layer_send_over(struct stream *s, const char *root, struct err *e)
{
	AUTO_JSON struct json *call = wire_request("layer"), *answer = NULL;
	char hex[65];

	if (layer_digest(root, hex, e))
		return -1;
	json_set_str(call, "layer", hex);
	if (!(answer = wire_call(s, TAKE_PTR(call), e)))
		return -1;
	return json_bool(answer, "need", false) ? folder_send(s, root, e) : 0;
}

int layer_send(const char *node, const char *root, struct err *e)
{
	AUTO_STREAM struct stream *s = remote_open(node, e);

	return s ? layer_send_over(s, root, e) : -1;
}

int folder_receive(struct stream *s, const char *path, struct tree **tree, struct err *e)
{
	AUTO_FRAME struct frame f = { 0 };
	struct files to = { .root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), .what = "root" };
	AUTO_JSON struct json *call = NULL;
	int rc = to.root < 0 ? err_sys(e, "%s", path) : wire_expect(s, FRAME_CALL, &f, e);

	if (!rc && (!(call = wire_json(&f, e)) || json_int(call, "tree", -1) != FOLDER_LAYER))
		rc = err_set(e, EX_DATAERR, "files: something else came");
	if (!rc)
		rc = files_receive(&to, s, call, e);
	if (!rc && tree)
		*tree = TAKE_PTR(to.tree);
	files_clear(&to);
	return rc;
}

static int receive(struct stream *s, const char *hex, const char *path, struct err *e)
{
	AUTO_JSON struct json *answer = json_object();
	AUTO_TREE struct tree *t = NULL;

	if (folder_receive(s, path, &t, e) || layer_arrived(hex, t, e))
		return -1;
	return wire_send_json(s, FRAME_REPLY, answer, e);
}

int layer_serve(struct stream *s, const struct json *call, struct err *e)
{
	AUTO_JSON struct json *answer = json_object();
	const char *hex = json_str(call, "layer");
	char path[PATH_MAX];
	bool need;

	if (layer_place(hex ? hex : "", path, &need, e))
		return -1;
	json_set_bool(answer, "need", need);
	if (wire_send_json(s, FRAME_REPLY, answer, e))
		return -1;
	return need ? receive(s, hex, path, e) : 0;
}
