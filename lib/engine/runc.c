/* SPDX-License-Identifier: MIT */
#include "lib/base/proc.h"
#include "lib/engine/engine.h"

static const char *runc_missing(void)
{
	return geteuid() ? "it needs root" : proc_find("runc") ? NULL : "there is no runc";
}

static int runc_start(struct service *s, struct keeper *k, struct err *e)
{
	(void)k;
	return err_set(e, EX_UNAVAILABLE, "service %s: engine runc: no bundle", s->name);
}

static int runc_forget(struct service *s, struct err *e)
{
	(void)s;
	(void)e;
	return 0;
}

const struct engine engine_runc = {
	.name = "runc",
	.missing = runc_missing,
	.start = runc_start,
	.forget = runc_forget,
};
