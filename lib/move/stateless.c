/* SPDX-License-Identifier: MIT */
#include "lib/move/stateless.h"
int migrate_stateless(struct service *s, const char *to, const struct ssh_target *t, const struct move_options *opt,
		      struct json **record, struct err *e)
{
	(void)s;(void)to;(void)t;(void)opt;(void)record;
	return err_set(e, EX_UNAVAILABLE, "stateless moves are being written");
}
