/* SPDX-License-Identifier: MIT */
#include "lib/move/outcome.h"

#include <poll.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/move/journal.h"
#include "lib/move/wire.h"

#define CONNECT_MS 3000
#define PAUSE_MS   2000 /* between two tries, at most */

static const char *const words[] = { [OUTCOME_NOT] = "not", [OUTCOME_RUNNING] = "running", [OUTCOME_DIED] = "died" };

enum outcome outcome_ask(struct stream *s, const char *move)
{
	AUTO_JSON struct json *call = wire_request("outcome"), *answer = NULL;

	json_set_str(call, "move", move);
	if (wire_ask(s, TAKE_PTR(call), &answer, NULL) || !json_str(answer, "outcome"))
		return OUTCOME_UNKNOWN;
	for (int i = OUTCOME_NOT; i <= OUTCOME_DIED; i++)
		if (!strcmp(json_str(answer, "outcome"), words[i]))
			return (enum outcome)i;
	return OUTCOME_UNKNOWN;
}

enum outcome outcome_learn(const struct ssh_target *to, const char *move, int limit_ms, struct stream **open)
{
	double end = clock_ms() + limit_ms;

	for (int pause_ms = 50;; pause_ms = pause_ms * 2 > PAUSE_MS ? PAUSE_MS : pause_ms * 2) {
		AUTO_STREAM struct stream *s = ssh_open(to, CONNECT_MS, NULL);
		enum outcome known = s && !wire_greet(s, NULL) ? outcome_ask(s, move) : OUTCOME_UNKNOWN;

		if (known != OUTCOME_UNKNOWN && open)
			*open = TAKE_PTR(s);
		if (known != OUTCOME_UNKNOWN || clock_ms() + pause_ms > end)
			return known;
		poll(NULL, 0, pause_ms);
	}
}

int outcome_unknown(const char *service, const char *to, const char *move, struct err *e)
{
	return err_set(e, EX_TEMPFAIL, "service %s: stays frozen here until %s says whether it runs there; it is asked on "
		       "(move %s; edge-migrate --status)", service, to, move);
}

void outcome_known(struct stream *s, const char *move)
{
	AUTO_JSON struct json *call = wire_request("forget"), *answer = NULL;

	json_set_str(call, "move", move);
	wire_ask(s, TAKE_PTR(call), &answer, NULL);
}

/* ---- the destination ---- */

int outcome_tell(struct stream *s, const struct json *call, struct err *e)
{
	const char *move = json_str(call, "move");
	AUTO_JSON struct json *answer = json_object();
	enum outcome outcome = OUTCOME_NOT;
	struct journal_entry j = { .step = "" };

	if (!move)
		return err_set(e, EX_DATAERR, "no move in the call");
	/* From here on no session that is still at it can commit. */
	int rc = journal_turn(move, "begun restoring", "void", NULL, e);
	if (rc < 0 && e->code != EX_UNAVAILABLE)
		return -1;
	/* Without an answer it asks again; with a wrong one the service would run twice. */
	bool there = rc > 0 && journal_has(move);
	if (there && journal_entry(move, &j, e))
		return e->code = EX_TEMPFAIL, -1;
	if (there && !strcmp(j.step, "running"))
		outcome = j.same_boot ? OUTCOME_RUNNING : OUTCOME_DIED;
	json_set_str(answer, "outcome", words[outcome]);
	return wire_send_json(s, FRAME_REPLY, answer, e);
}
