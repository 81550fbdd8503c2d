/* SPDX-License-Identifier: MIT */
/* From what an image is shipped as to a layer of the store. */
#include "lib/app/oci.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "lib/app/unpack.h"
#include "lib/base/digest.h"
#include "lib/base/file.h"
#include "lib/move/check.h"
#include "lib/move/layer.h"

#define LAYERS_MAX 512
#define JSON_MAX   (4u << 20)

void oci_clear(struct oci *o)
{
	json_free(TAKE_PTR(o->config));
}

/* A file of the image's folder, whose links lead nowhere else. */
static struct json *read_json(int dir, const char *path, struct err *e)
{
	AUTO_FD int fd = open_inside(dir, path, O_RDONLY);
	AUTO_FREE char *text = NULL;
	struct stat st;

	if (fd < 0 || fstat(fd, &st)) {
		err_sys(e, "%.100s", path);
		return NULL;
	}
	if (!S_ISREG(st.st_mode) || st.st_size > JSON_MAX) {
		err_set(e, EX_DATAERR, "%.100s: not a file of at most %u bytes", path, JSON_MAX);
		return NULL;
	}
	text = malloc((size_t)st.st_size + 1);
	if (!text || fd_read_all(fd, text, (size_t)st.st_size)) {
		err_sys(e, "%.100s", path);
		return NULL;
	}
	struct json *j = json_parse(text, (size_t)st.st_size, e);
	if (!j)
		err_wrap(e, "%.100s", path);
	return j;
}

/* "sha256:HEX" is blobs/sha256/HEX, and is what it says. */
static int blob_path(const char *folder, const char *digest, char path[PATH_MAX], struct err *e)
{
	char whole[2 * PATH_MAX], hex[65];

	if (!digest || strncmp(digest, "sha256:", 7) || strlen(digest) != 71 || strspn(digest + 7, "0123456789abcdef") != 64)
		return err_set(e, EX_DATAERR, "%.80s: not a SHA-256 digest", digest ? digest : "nothing");
	snprintf(path, PATH_MAX, "blobs/sha256/%s", digest + 7);
	snprintf(whole, sizeof(whole), "%s/%s", folder, path);
	check_file_digest(whole, hex);
	return strcmp(hex, digest + 7) ? err_set(e, EX_DATAERR, "%s: %s", digest, *hex ? "is another one" : "is not there") : 0;
}

static bool fits_here(const struct json *m)
{
	static const char *const names[][2] = { { "amd64", "x86_64" }, { "arm64", "aarch64" }, { "386", "i686" },
						{ "arm", "armv7l" } };
	const char *arch = json_str(m, "platform.architecture"), *os = json_str(m, "platform.os");
	struct utsname u;

	for (size_t i = 0; arch && i < sizeof(names) / sizeof(*names); i++)
		if (!strcmp(arch, names[i][0]))
			arch = names[i][1];
	return !uname(&u) && (!arch || !strcmp(arch, u.machine)) && (!os || !strcmp(os, "linux"));
}

/* The manifest that an index names for this machine, and for the tag if there is one. */
static struct json *find_manifest(const char *folder, int dir, const struct json *index, const char *tag, int depth, struct err *e)
{
	AUTO_JSON struct json *all = json_get(index, "manifests");
	char path[PATH_MAX];

	for (size_t i = 0; all && i < json_len(all, NULL); i++) {
		AUTO_JSON struct json *m = json_at(all, i), *notes = json_get(m, "annotations"), *found = NULL;
		AUTO_FREE char *text = notes ? json_text(notes) : NULL; /* its keys have dots */
		char want[300];

		snprintf(want, sizeof(want), "\"org.opencontainers.image.ref.name\":\"%.200s\"", tag ? tag : "");
		if ((tag && (!text || !strstr(text, want))) || !fits_here(m))
			continue;
		if (blob_path(folder, json_str(m, "digest"), path, e) || !(found = read_json(dir, path, e)))
			return NULL;
		if (!json_has(found, "manifests"))
			return TAKE_PTR(found);
		if (depth < 3)
			return find_manifest(folder, dir, found, NULL, depth + 1, e);
	}
	err_set(e, EX_DATAERR, tag ? "no image %s for this machine" : "no image for this machine", tag);
	return NULL;
}

struct parts {
	char config[PATH_MAX];
	char layers[LAYERS_MAX][160];
	size_t n;
};

static int parts_of_layout(struct parts *p, const char *folder, int dir, const char *tag, struct err *e)
{
	AUTO_JSON struct json *index = read_json(dir, "index.json", e), *m = NULL, *layers = NULL;
	char path[PATH_MAX];

	if (!index || !(m = find_manifest(folder, dir, index, tag, 0, e)))
		return -1;
	if (blob_path(folder, json_str(m, "config.digest"), p->config, e))
		return -1;
	layers = json_get(m, "layers");
	for (size_t i = 0; layers && i < json_len(layers, NULL); i++) {
		AUTO_JSON struct json *l = json_at(layers, i);

		if (p->n == LAYERS_MAX)
			return err_set(e, EX_DATAERR, "too many layers");
		if (blob_path(folder, json_str(l, "digest"), path, e))
			return -1;
		snprintf(p->layers[p->n++], sizeof(p->layers[0]), "%.159s", path);
	}
	return 0;
}

static int parts_of_save(struct parts *p, int dir, struct err *e)
{
	AUTO_JSON struct json *all = read_json(dir, "manifest.json", e), *m = all ? json_at(all, 0) : NULL;
	AUTO_JSON struct json *layers = m ? json_get(m, "Layers") : NULL;

	if (!all)
		return -1;
	if (!layers || !json_str(m, "Config") || strlen(json_str(m, "Config")) >= sizeof(p->config))
		return err_set(e, EX_DATAERR, "manifest.json: not of an image");
	snprintf(p->config, sizeof(p->config), "%s", json_str(m, "Config"));
	for (size_t i = 0; i < json_len(layers, NULL); i++) {
		AUTO_JSON struct json *l = json_at(layers, i);

		if (p->n == LAYERS_MAX || !json_value(l) || strlen(json_value(l)) >= sizeof(p->layers[0]))
			return err_set(e, EX_DATAERR, "manifest.json: layers: too many, or not paths");
		snprintf(p->layers[p->n++], sizeof(p->layers[0]), "%s", json_value(l));
	}
	return 0;
}

/* All layers, one over the other, in a new folder of the store; then by what is in it. */
static int unpack_layers(struct oci *o, const struct parts *p, int dir, struct err *e)
{
	char made[PATH_MAX];
	int rc = 0;

	if (layer_new(made, e))
		return -1;
	AUTO_FD int root = open(made, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* the same image has the same digest everywhere: nothing in it tells when it was unpacked */
	if (root < 0 || futimens(root, (const struct timespec[]){ { 0 }, { 0 } }))
		return err_sys(e, "%s", made);
	for (size_t i = 0; !rc && i < p->n; i++) {
		AUTO_FD int fd = open_inside(dir, p->layers[i], O_RDONLY);

		rc = fd < 0 ? err_sys(e, "layer %zu", i + 1) : unpack(fd, root, true, e);
		if (rc && fd >= 0)
			err_wrap(e, "layer %zu", i + 1);
	}
	if (!rc)
		rc = layer_adopt(made, o->layer, e);
	if (rc)
		file_remove_tree(made, NULL);
	return rc;
}

int oci_take(struct oci *o, const char *folder, const char *tag, struct err *e)
{
	AUTO_FD int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO_FREE struct parts *p = calloc(1, sizeof(*p));
	AUTO_JSON struct json *config = NULL;
	char whole[2 * PATH_MAX], hex[65];

	if (dir < 0 || !p)
		return err_sys(e, "%s", folder);
	if (digest_load(e))
		return -1;
	bool layout = !faccessat(dir, "index.json", F_OK, 0);
	if (layout ? parts_of_layout(p, folder, dir, tag, e) : parts_of_save(p, dir, e))
		return -1;
	if (!(config = read_json(dir, p->config, e)) || unpack_layers(o, p, dir, e))
		return -1;
	/* by its own digest: a `docker save` calls it so */
	snprintf(whole, sizeof(whole), "%s/%s", folder, p->config);
	check_file_digest(whole, hex);
	snprintf(o->id, sizeof(o->id), "sha256:%s", hex);
	o->config = json_get(config, "config");
	if (!o->config)
		o->config = json_object();
	return 0;
}
