/* SPDX-License-Identifier: MIT */
/* A container image as this node has it: its files are a layer of the store (lib/move/layer.h), known by its digest and so
 * brought to another node once; what it says about running it is kept beside, by the image's name. */
#ifndef EDGE_APP_OCI_H
#define EDGE_APP_OCI_H

#include "lib/base/json.h"
#include "lib/engine/service.h"

struct oci {
	char ref[256];       /* the name by which it was asked for */
	char id[80];         /* "sha256:..." of its configuration */
	char layer[65];
	struct json *config; /* owned: Entrypoint, Cmd, Env, WorkingDir, User, ExposedPorts, Healthcheck, StopSignal */
};

void oci_clear(struct oci *o);

/* The image of that name, brought here when it is not: from an OCI layout or archive of `docker save` where the name is a
 * path ("/srv/web.tar", "./web", "oci:DIR[:TAG]"), else from the Docker daemon or podman of this node, else from its registry
 * by skopeo. EX_UNAVAILABLE names what was tried: "image web:1: docker: ...; podman: ...; skopeo: ...". */
int oci_get(struct oci *o, const char *ref, struct err *e);
/* Builds an image of that name by docker, podman or buildah: {context, dockerfile, target, args: ["KEY=VALUE"]}. */
int oci_build(const char *ref, const struct json *build, const char *dir, struct err *e);
/* What the image says goes where the definition says nothing: command, environment, user, working directory, ports and
 * healthcheck. Its files become the service's root. */
int oci_apply(const struct oci *o, struct service *s, struct err *e);
/* Of one that runs in a folder of the node's instead: its entrypoint and command, if there are any, become what it runs. */
void oci_apply_nothing(struct service *s);

/* An image in the folder `dir`, as an OCI layout or an unpacked `docker save`, into the store. tag: which one of several, or
 * NULL. */
int oci_take(struct oci *o, const char *dir, const char *tag, struct err *e);

#endif
