/* SPDX-License-Identifier: MIT */
#include "lib/app/launch.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/utsname.h>

#include "lib/app/oci.h"
#include "lib/base/file.h"
#include "lib/discover/registry.h"
#include "lib/engine/bridge.h"
#include "lib/engine/engine.h"
#include "lib/engine/net.h"
#include "lib/move/image_send.h"
#include "lib/move/layer_send.h"
#include "lib/move/remote.h"
#include "lib/move/store.h"
#include "lib/move/worker.h"

#define LOCK_MS 2000

int launch_definition(struct service **out, const struct json *spec, struct err *e)
{
	AUTO_SERVICE struct service *s = NULL;

	if (service_from_json(&s, spec, e))
		return -1;
	s->id[0] = s->mac[0] = s->moved_at[0] = s->moved_from[0] = '\0'; /* a new instance, whatever it was copied from */
	s->pid = 0;
	s->epoch = 0;
	s->moved = false;
	s->at[0] = s->at_addr[0] = '\0';
	*out = TAKE_PTR(s);
	return 0;
}

/* Of several, the one for this machine. */
static void choose_image(struct service *s)
{
	AUTO_JSON struct json *all = s->about ? json_get(s->about, "images") : NULL;
	struct utsname u;

	for (size_t i = 0; all && !uname(&u) && i < json_len(all, NULL); i++) {
		AUTO_JSON struct json *one = json_at(all, i);
		const char *arch = json_str(one, "arch"), *image = json_str(one, "image");

		if (arch && image && !strcmp(arch, u.machine))
			service_about_set(s, "image", json_string(image));
	}
}

/* The files that it is to run on, and what its image says about that. A layer that was sent before is as good as its image. */
static int find_root(struct service *s, struct err *e)
{
	const char *layer, *image;
	struct oci o = { .ref = "" };

	choose_image(s);
	layer = s->about ? json_str(s->about, "layer") : NULL;
	image = s->about ? json_str(s->about, "image") : NULL;
	if (layer) {
		snprintf(s->root, sizeof(s->root), "%s", file_path("/var/lib/edge/store/layers/%.64s", layer));
		return 0;
	}
	if (!image && !s->argv && s->about)
		oci_apply_nothing(s);
	if (!image || !engine_find(s->engine) || engine_find(s->engine)->whole)
		return 0;
	if (oci_get(&o, image, e))
		return err_wrap(e, "service %s", s->name);
	int rc = oci_apply(&o, s, e);
	oci_clear(&o);
	return rc;
}

/* One that its neighbours do not look for on this link would never be reached, and could never be moved. */
static int check_address(const struct service *s, struct err *e)
{
	int same = net_same_link(s, e);
	char ip[INET6_ADDRSTRLEN];
	struct bridge b;

	if (same < 0 || (!same && bridge_find(&b, e)))
		return err_wrap(e, "service %s", s->name);
	if (same)
		return 0;
	const struct net_addr *own = strchr(s->addr, ':') ? &b.v6 : &b.v4;
	if (!own->family)
		return err_set(e, EX_UNAVAILABLE, "service %s: address %s: bridge %s has no address of that kind", s->name,
			       service_ip(s), b.name);
	return err_set(e, EX_UNAVAILABLE, "service %s: address %s: not in the network of bridge %s, which has %s/%d", s->name,
		       service_ip(s), b.name, inet_ntop(own->family, own->ip, ip, sizeof(ip)), own->prefix);
}

int launch_here(struct service *s, struct json **record, struct err *e)
{
	AUTO_REGISTRY struct registry *r = NULL;
	AUTO_SERVICE struct service *old = NULL;
	AUTO_JSON struct json *rec = NULL;
	int rc;

	if (registry_open(&r, NULL, e))
		return -1;
	AUTO_FD int lock = service_lock(s->name, LOCK_MS, e);
	service_load(&old, s->name, NULL);
	if (lock < 0 || find_root(s, e) || check_address(s, e) || service_start(s, e))
		return -1;
	rec = service_record(s, "running");
	rc = registry_put_service(r, rec, e);
	if (rc > 0)
		rc = err_set(e, EX_UNAVAILABLE, "service %s: the registry has an instance %s already", s->name, s->id);
	if (rc) { /* one that nobody can find is not left running */
		service_stop(s, 0, NULL);
		service_remove(s, NULL);
		return -1;
	}
	if (old && strcmp(old->id, s->id) != 0) /* one that had moved away: nobody could name its memory any more */
		store_forget(old->id, NULL);
	*record = TAKE_PTR(rec);
	return 0;
}

/* What can be had here is sent; else the node may have its own way to it. */
static int bring_root(const char *node, struct service *s, struct err *e)
{
	struct err why = { 0 };

	if (!s->about || !json_has(s->about, "image") || json_has(s->about, "images") || find_root(s, &why) ||
	    !json_has(s->about, "layer"))
		return 0;
	return layer_send(node, s->root, e);
}

/* By this node, which governs it, and told to be at that one. */
static int launch_assigned(const char *node, struct service *s, FILE *out, struct err *e)
{
	AUTO_JSON struct json *rec = NULL;

	snprintf(s->at, sizeof(s->at), "%.63s", node);
	if (worker_prepare(node, s, e))
		return err_wrap(e, "service %s", s->name);
	return launch_here(s, &rec, e) || record_print(out, rec, e) ? -1 : 0;
}

int launch_there(const char *node, struct service *s, FILE *out, void (*say)(const char *line), struct err *e)
{
	AUTO_JSON struct json *args = json_array(), *spec = NULL;

	choose_image(s);
	const struct engine *engine = engine_find(s->engine);
	if (engine_span(s->engine))
		return launch_assigned(node, s, out, e);
	struct err why;
	char id[80];
	const char *image = s->about ? json_str(s->about, "image") : NULL;
	if (engine && engine->whole && image && !engine->look->missing() && !engine->whole->image_id(image, id, &why) &&
	    image_send(node, s, e))
		return -1;
	if (bring_root(node, s, e))
		return -1;
	spec = service_to_json(s);
	json_add(args, json_string("--spec=-"));
	AUTO_FREE char *text = json_text(spec);
	return text ? remote_run_input(node, "edge-run", args, text, out, say, e) : err_sys(e, "service %s", s->name);
}
