/* SPDX-License-Identifier: MIT */
/* Where an image comes from. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "lib/app/oci.h"
#include "lib/app/unpack.h"
#include "lib/base/file.h"
#include "lib/base/proc.h"

#define ASK_MS  10000
#define COPY_MS 3600000
#define BUILD_ARGS_MAX 128

/* ---- what is here already ---- */

static const char *note_path(const char *ref)
{
	return file_path("/var/lib/edge/store/images/%016llx.json", (unsigned long long)XXH64(ref, strlen(ref), 0));
}

static bool recall(struct oci *o, const char *ref)
{
	AUTO_JSON struct json *j = access(note_path(ref), F_OK) ? NULL : json_read_file(note_path(ref), NULL);
	const char *layer = j ? json_str(j, "layer") : NULL, *id = j ? json_str(j, "id") : NULL;

	if (!layer || !id || strcmp(json_str(j, "ref") ? json_str(j, "ref") : "", ref) || strlen(layer) != 64 ||
	    access(file_path("/var/lib/edge/store/layers/%s", layer), F_OK))
		return false;
	snprintf(o->layer, sizeof(o->layer), "%s", layer);
	snprintf(o->id, sizeof(o->id), "%s", id);
	o->config = json_get(j, "config");
	return o->config != NULL;
}

static int remember(const struct oci *o, struct err *e)
{
	AUTO_JSON struct json *j = json_object();

	json_set_str(j, "ref", o->ref);
	json_set_str(j, "id", o->id);
	json_set_str(j, "layer", o->layer);
	json_set(j, "config", json_copy(o->config));
	return file_mkdir_private(file_path("/var/lib/edge/store/images"), e) || json_write_file(j, note_path(o->ref), e) ? -1 : 0;
}

/* ---- archives and folders ---- */

static int take_archive(struct oci *o, const char *path, const char *tag, const char *work, struct err *e)
{
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	char into[PATH_MAX + 8];

	snprintf(into, sizeof(into), "%s/image", work);
	if (fd < 0)
		return err_set(e, EX_UNAVAILABLE, "%s: %s", path, strerror(errno));
	if (file_mkdirs(into, 0700, e))
		return -1;
	AUTO_FD int dir = open(into, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return err_sys(e, "%s", into);
	return unpack(fd, dir, false, e) || oci_take(o, into, tag, e) ? -1 : 0;
}

/* "./DIR", "/FILE.tar", "oci:DIR[:TAG]" */
static int take_path(struct oci *o, const char *text, const char *work, struct err *e)
{
	bool prefix = !strncmp(text, "oci:", 4);
	const char *path = prefix ? text + 4 : text, *colon = prefix ? strrchr(path, ':') : NULL;
	char whole[PATH_MAX];
	struct stat st;

	snprintf(whole, sizeof(whole), "%.*s", colon ? (int)(colon - path) : (int)strlen(path), path);
	if (stat(whole, &st))
		return err_set(e, EX_UNAVAILABLE, "%s: %s", whole, strerror(errno));
	if (S_ISDIR(st.st_mode))
		return oci_take(o, whole, colon ? colon + 1 : NULL, e);
	return take_archive(o, whole, colon ? colon + 1 : NULL, work, e);
}

/* ---- engines and registries ---- */

/* A registry on this machine needs no certificate, as for docker. */
static bool is_local(const char *ref)
{
	return !strncmp(ref, "127.", 4) || !strncmp(ref, "localhost:", 10) || !strncmp(ref, "localhost/", 10);
}

struct source {
	const char *program;
	/* Says whether the engine has it: its id on stdout; NULL: there is no asking. %s: REF, %f: the file to write. */
	const char *ask[8], *copy[8];
};

static const struct source sources[] = {
	{ "docker", { "docker", "image", "inspect", "-f", "{{.Id}}", "%s", NULL }, { "docker", "save", "-o", "%f", "%s", NULL } },
	{ "podman", { "podman", "image", "inspect", "-f", "sha256:{{.Id}}", "%s", NULL },
	  { "podman", "save", "-q", "-o", "%f", "%s", NULL } },
	{ "skopeo", { NULL }, { "skopeo", "copy", "-q", "%d", "%t", NULL } },
	{ "skopeo", { NULL }, { "skopeo", "copy", "-q", "--src-tls-verify=false", "%d", "%t", NULL } },
};

static int source_run(const char *const words[8], const char *ref, const char *file, char **out, int ms, struct err *e)
{
	char from[300], to[PATH_MAX + 32];
	const char *argv[9] = { NULL };

	snprintf(from, sizeof(from), "docker://%s", ref);
	snprintf(to, sizeof(to), "oci-archive:%s", file);
	for (int i = 0; i < 8 && words[i]; i++)
		argv[i] = !strcmp(words[i], "%s") ? ref : !strcmp(words[i], "%f") ? file : !strcmp(words[i], "%d") ? from :
			  !strcmp(words[i], "%t") ? to : words[i];
	return proc_run(argv, out, ms, e);
}

/* "; podman: ..." behind what was tried before */
static void tried(char *why, size_t size, const char *program, const char *text)
{
	size_t n = strlen(why);

	snprintf(why + n, size - n, "%s%s: %.200s", n ? "; " : "", program, text);
}

/* 0: it was copied to the file; 1: an engine says that it is the one that `id` names, and nothing was copied. */
static int copy_image(const char *ref, const char *id, const char *file, struct err *e)
{
	char why[800] = "";
	struct err failed = { 0 };

	for (size_t i = 0; i < sizeof(sources) / sizeof(*sources); i++) {
		const struct source *s = &sources[i];
		AUTO_FREE char *answer = NULL;

		if (!s->ask[0] && ((i == 3) != is_local(ref) || *id)) /* what was fetched is not looked for again */
			continue;
		if (!proc_find(s->program)) {
			tried(why, sizeof(why), s->program, "not installed");
			continue;
		}
		if (s->ask[0] && source_run(s->ask, ref, file, &answer, ASK_MS, &failed)) {
			tried(why, sizeof(why), s->program, failed.text);
			continue;
		}
		if (answer && *id && !strncmp(answer, id, strlen(id)))
			return 1;
		if (!source_run(s->copy, ref, file, NULL, COPY_MS, &failed))
			return 0;
		tried(why, sizeof(why), s->program, failed.text);
	}
	return *id ? 1 : err_set(e, EX_UNAVAILABLE, "%s", why);
}

static bool ref_valid(const char *ref)
{
	return *ref && *ref != '-' && strlen(ref) < 256 &&
	       strspn(ref, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/:@+") == strlen(ref);
}

static int get(struct oci *o, const char *ref, const char *work, struct err *e)
{
	char file[PATH_MAX + 16];
	int rc;

	if (*ref == '/' || *ref == '.' || !strncmp(ref, "oci:", 4))
		return take_path(o, ref, work, e) || remember(o, e) ? -1 : 0;
	recall(o, ref);
	snprintf(file, sizeof(file), "%s/image.tar", work);
	rc = copy_image(ref, o->id, file, e);
	if (rc)
		return rc < 0 ? -1 : 0;
	oci_clear(o);
	return take_archive(o, file, NULL, work, e) || remember(o, e) ? -1 : 0;
}

int oci_get(struct oci *o, const char *ref, struct err *e)
{
	struct oci got = { .ref = "" };
	char work[PATH_MAX];

	if (!ref_valid(ref))
		return err_set(e, EX_USAGE, "image %.100s: not a name of an image", ref);
	snprintf(got.ref, sizeof(got.ref), "%s", ref);
	snprintf(work, sizeof(work), "%s", file_path("/var/lib/edge/store/images/.new-%d", (int)getpid()));
	if (file_mkdir_private(file_path("/var/lib/edge/store"), e) ||
	    file_mkdir_private(file_path("/var/lib/edge/store/images"), e) || file_mkdirs(work, 0700, e))
		return -1;
	int rc = get(&got, ref, work, e);
	file_remove_tree(work, NULL);
	if (rc) {
		oci_clear(&got);
		return err_wrap(e, "image %s", ref);
	}
	*o = got;
	return 0;
}

static void build_argv(const char *argv[BUILD_ARGS_MAX], const char *ref, const char *recipe, const char *context,
		      const char *target, char **args)
{
	int n = 1;

	for (const char *const *w = (const char *const[]){ "build", "-q", "-t", ref, "-f", recipe, NULL }; *w; w++)
		argv[n++] = *w;
	if (target) {
		argv[n++] = "--target";
		argv[n++] = target;
	}
	for (; args && *args && n < BUILD_ARGS_MAX - 3; args++) {
		argv[n++] = "--build-arg";
		argv[n++] = *args;
	}
	argv[n] = context;
	argv[n + 1] = NULL;
}

int oci_build(const char *ref, const struct json *build, const char *dir, struct err *e)
{
	static const char *const builders[] = { "docker", "podman", "buildah" };
	const char *argv[BUILD_ARGS_MAX], *context = json_str(build, "context"), *file = json_str(build, "dockerfile");
	char at[2 * PATH_MAX], recipe[3 * PATH_MAX], why[700] = "";
	AUTO_SERVICE struct service *holder = calloc(1, sizeof(*holder)); /* of the arguments' strings */
	struct err failed = { 0 };

	if (!ref_valid(ref))
		return err_set(e, EX_USAGE, "image %.100s: not a name of an image", ref);
	if (!holder)
		return err_sys(e, "image %s", ref);
	snprintf(at, sizeof(at), "%s%s%s", *context == '/' ? "" : dir, *context == '/' ? "" : "/", context);
	snprintf(recipe, sizeof(recipe), "%s%s%s", file && *file == '/' ? "" : at, file && *file == '/' ? "" : "/",
		 file ? file : "Dockerfile");
	AUTO_JSON struct json *args = json_get(build, "args");
	holder->env = args ? service_strings_of(args) : NULL;
	build_argv(argv, ref, recipe, at, json_str(build, "target"), holder->env);
	for (size_t i = 0; i < sizeof(builders) / sizeof(*builders); i++) {
		argv[0] = builders[i];
		if (!proc_find(builders[i]))
			tried(why, sizeof(why), builders[i], "not installed");
		else if (!proc_run(argv, NULL, COPY_MS, &failed))
			return 0;
		else
			tried(why, sizeof(why), builders[i], failed.text);
	}
	return err_set(e, EX_UNAVAILABLE, "image %s: cannot be built: %s", ref, why);
}
