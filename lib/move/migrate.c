/* SPDX-License-Identifier: MIT */
#include "lib/move/migrate.h"

#include <string.h>

#include "lib/discover/node.h"
#include "lib/engine/service.h"
#include "lib/move/refusal.h"
#include "lib/move/stateless.h"

static int live(struct outgoing *o, const char *to, const struct ssh_target *t, const struct move_options *opt,
		struct json **record, struct err *e)
{
	AUTO_JSON struct json *refusals = NULL;
	int rc;

	if (outgoing_connect(o, t, e))
		return -1;
	rc = outgoing_prepare(o, &refusals, e);
	if (rc < 0)
		return -1;
	if (rc) {
		if (refusals && json_len(refusals, NULL))
			refusal_error(to, refusals, e);
		rc = refusals && json_len(refusals, NULL) ? -1 : 0;
		*record = refusal_record(outgoing_checkpoint(o)->service, node_self(), to, TAKE_PTR(refusals));
		return opt->dry_run ? 0 : rc;
	}
	if (outgoing_precopy(o, e) || outgoing_freeze(o, e) || outgoing_hand_over(o, record, e))
		return -1;
	return 0;
}

int migrate(const char *name, const char *to, const struct move_options *opt, struct json **record, struct err *e)
{
	AUTO_REGISTRY struct registry *r = NULL;
	AUTO_SERVICE struct service *s = NULL;
	AUTO_OUTGOING struct outgoing *o = NULL;
	struct ssh_target t;

	*record = NULL;
	if (service_load(&s, name, e) || registry_open(&r, NULL, e) || node_target(r, to, &t, e))
		return -1;
	if (!strcmp(to, node_self()))
		return err_set(e, EX_USAGE, "service %s: is on node %s already", name, to);
	if (s->stateless)
		return migrate_stateless(s, to, &t, opt, record, e);
	if (outgoing_open(&o, name, opt, e))
		return -1;
	return live(o, to, &t, opt, record, e);
}
