/* SPDX-License-Identifier: MIT */
/*
 * The hand-over of one move, from a source S to a destination D, whatever dies. Steps and words are those of the
 * journal and the wire in lib/move.
 *
 *   at S  begun -> frozen -> go -> handed-over | thawed   at D  begun -> restoring -> running | void   none: no entry
 *
 *   M  the mover, edge-migrate              E  the session with M, edge-serve
 *   G  the guard: thaws what is             K  the keeper: the parent of what is restored, notices the death of E
 *      frozen for too long                  RD recovery at D
 *   R  recovery at S (G too, after the      any session: answers "outcome", takes "done"
 *      death of M; and M in trouble)
 *
 * A step is on disk before anything is done for it; but "restoring" and "go" are only seen by all, and may be lost when D or S
 * crashes. A
 * turn, (from, to), is one atomic action: the step is written only if the last one is among `from`. All else may be
 * interrupted between any two statements.
 *
 * Locks: the service's lock is held by M or R at S, by E or RD at D, and ends with its process. G shares M's (it has
 * inherited it), and K shares E's until E releases it: nobody else gets the lock while one of them is at work. R and
 * RD keep nothing in mind but what they have heard; what they do next depends on the journal and on what they find.
 * So their death needs no step of its own here: whoever comes next begins where they ended.
 *
 * Connections: what M or E has sent arrives at any later time, or never; each of them may give up waiting at any
 * time, which is a cut that it notices early or late, a deadline, a failure of its own (criu's, too), a signal, or a
 * request that comes twice or out of turn, and ends the session. An "outcome" or "done" that was sent once, on
 * whatever connection, may arrive at any time, any number of times, or never (Late). The answer to an "outcome"
 * reaches only who has asked for it on that connection.
 *
 * Faults: the death of each process and each host, at any time, any number of times, until they stop. A host that is
 * down is one that takes its time: it crashes and boots in one action.
 *
 * Safety, checked where something changes:
 *   - never do the tasks of both sides run; never is the network of both attached
 *   - the source is not thawed once the destination is running; the last good copy is not killed while its host lives
 *   - "go" is sent once; "done" only after the source has retired
 *   - nobody touches the service without an entry of its move (the next move may have begun)
 * Liveness: when faults have stopped and recovery runs at both ends, nothing goes on for ever (no cycle), and in the
 * end (Settled) exactly one runs and both journals are empty; or, only when D's host died after "running", one is
 * frozen and reported; or all is lost with a host, or with criu, the tracer, between "running" and the run.
 * What "outcome" answers depends on the journal alone, so a service that ends by itself at D needs no step here.
 *
 * FORCE: 0 nobody forces; 1 a person forces (edge-migrate --recover --force) after "died"; 2 forces blindly at "go":
 * then two may run for a while, but not for ever; 3 as 2, with a shared registry: D before "running", and --force,
 * first take the decision in the registry, by compare-and-swap (lib/move/decide.h), and again never two. A person who forces
 * although the registry has it at D, or who has no registry that both reach, is 2.
 *
 * Words in capitals that nothing here defines are mistakes: 0, or 1 to see that it is found (the table in `check`).
 */
#ifndef FORCE
#define FORCE 0
#endif

mtype = { none, begun, frozen, go, handed_over, thawed, restoring, running, void }; /* the journal's steps */
mtype = { alive, held, retired, lost };     /* tasks; D's are `none` before the restore, and when killed */
mtype = { prepare, restore, not, died, ready, prepared, nothing }; /* on the wire, beside go and running */

mtype s_last = none, d_last = none;         /* the last step of each journal */
mtype s_tasks = alive, d_tasks = none;
bool s_net = true, d_net;                   /* attached: the address answers there */
bool m = true, g, e, k;                     /* at work, with the lock where they have one */
bool d_old;                                 /* D has booted since it wrote "running" */
bool forced;                                /* S's epoch is above D's */
bool outcome_sent, done_sent;
mtype request = nothing, answer = nothing;  /* the last one on it */
mtype said = nothing;                       /* what R has heard as the outcome */
mtype registry = none;                      /* who has taken the decision: none, running (D), thawed (S, by force) */
bool taken;                                 /* S knows that it has */

#define OPEN (d_last == begun || d_last == restoring)
#define FREE_AT_S (!g || RECOVER_BESIDE_GUARD)
#define FREE_AT_D (!NO_RECOVERY_D && (!e || RD_BESIDE_SESSION) && (!k || RD_BESIDE_KEEPER))
#define BLIND (FORCE == 2 && forced)        /* the person took the risk */

inline ask(what) { assert(request != what); request = what }
inline reply(what) { answer = (m -> what : nothing) }

/* ---- what is done to the service at each side ---- */

inline s_freeze() {
	atomic { assert(s_last != none); if :: s_tasks == alive -> s_tasks = held :: else fi };
	s_net = false
}
inline s_attach() {
	atomic {
		assert(s_last != none);
		assert(d_last != running || forced);
		if
		:: s_tasks == held || s_tasks == alive -> assert(!d_net || BLIND); s_net = true
		:: else
		fi
	}
}
inline s_run() {
	atomic {
		assert(s_last != none);
		if
		:: s_tasks == held -> assert(d_tasks != alive || BLIND); s_tasks = alive
		:: else
		fi
	}
}
inline s_kill() {
	atomic {
		assert(s_last != none);
		if
		:: s_tasks == held || s_tasks == alive -> assert(d_tasks != none); s_tasks = retired; s_net = false
		:: else
		fi
	}
}
inline d_attach() {
	atomic { assert(d_last != none); if :: d_tasks != lost -> assert(!s_net || BLIND); d_net = true :: else fi }
}
inline d_run() {
	atomic {
		assert(d_last != none);
		if
		:: d_tasks == held -> assert(s_tasks != alive || BLIND); d_tasks = alive
		:: else
		fi
	}
}
inline d_kill() {
	atomic {
		assert(d_last != none);
		if
		:: d_tasks == held || d_tasks == alive -> assert(s_tasks != retired); d_tasks = none
		:: else
		fi;
		d_net = false
	}
}

/* Nothing that comes late matters any more. */
inline d_remove() { registry = none; d_last = none; outcome_sent = false; done_sent = false; d_old = false }

/* ---- the source ---- */

inline send_done() { atomic { assert(s_tasks == retired || s_tasks == lost); done_sent = (d_last == running) } }

/* "running" was answered. */
inline retire() {
	s_kill();
	s_last = handed_over;
	atomic { s_last = none; send_done() }
}

inline move() {
#if FREEZE_BEFORE_ENTRY
	s_tasks = held;
#endif
	atomic { s_last = begun; ask(prepare) };
	if :: answer == prepared :: goto trouble fi;
	atomic { if :: s_last == begun -> s_last = frozen :: else -> goto trouble fi };
	s_freeze();
	ask(restore);
	if :: answer == ready :: goto trouble fi;
	atomic { if :: s_last == frozen || GO_WITHOUT_TURN -> s_last = go :: else -> goto trouble fi };
	atomic {
		ask(go);
		if :: RETIRE_BEFORE_ANSWER -> s_kill() :: DONE_BEFORE_RETIRED -> send_done() :: else fi
	};
	if
	:: answer == running -> retire()
	:: answer == not -> s_last = thawed
	:: THAW_AT_GO -> s_last = thawed
	:: skip
	fi;
trouble:
	atomic { answer = nothing; m = false } /* last: what follows it is not done any more */
}

/* D's answer, in one action with its turn. */
inline outcome(said) {
	if
	:: OPEN && !OUTCOME_DOES_NOT_VOID -> d_last = void; outcome_sent = false; said = not
	:: d_last == running -> said = (d_old -> (DIED_AS_NOT -> not : died) : running)
	:: else -> said = not
	fi
}

/* The turn carries the new epoch. With a registry, the decision is taken there first: if D has not done so before. */
#define MAY_FORCE (FORCE == 1 && said == died || FORCE == 2 || FORCE == 3 && (taken || FORCE_WITHOUT_DECISION))
inline force() {
	s_last = thawed;
	taken = false;
	forced = !FORCE_WITHOUT_EPOCH;
	said = nothing
}

#define S_HOLDS (s_tasks == held || s_tasks == alive)
#define S_RUNS (!S_HOLDS || (s_tasks == alive && s_net))

active proctype Source()
{
	{ move() } unless { !m };
	do
	:: atomic { FREE_AT_S && (s_last == begun || s_last == frozen) -> s_last = thawed }
	:: atomic { FREE_AT_S && s_last == thawed && S_HOLDS && !s_net -> s_attach() }
	:: atomic { FREE_AT_S && s_last == thawed && s_net && s_tasks == held -> s_run() }
	:: atomic { FREE_AT_S && s_last == thawed && S_RUNS -> s_last = none }
	:: atomic { s_last == go && said == nothing && !outcome_sent -> outcome_sent = true }
	:: atomic { s_last == go && said == nothing && outcome_sent -> outcome(said) }
	:: atomic { s_last == go && said == not -> s_last = thawed; said = nothing }
	:: atomic { s_last == go && said == running && S_HOLDS -> s_kill() }
	:: atomic { s_last == go && said == running && !S_HOLDS -> s_last = handed_over; said = nothing }
	:: atomic { s_last == handed_over -> s_kill(); s_last = none; send_done() }
	:: atomic { s_last == go && said == died && !S_HOLDS -> s_last = none; said = nothing }
	:: atomic { FORCE == 3 && s_last == go && S_HOLDS && !taken && registry != running -> registry = thawed; taken = true }
	:: atomic { s_last == go && S_HOLDS && MAY_FORCE -> force() }
	:: atomic { s_last == go && S_HOLDS && MAY_FORCE && EPOCH_BEFORE_TURN && !forced -> forced = true }
	od
}

active proctype Guard()
{
	do
	:: atomic { m && (s_last == begun || s_last == frozen || (GUARD_THAWS_AT_GO && s_last == go)) ->
			s_last = thawed; g = true };
		{ s_attach(); s_run(); atomic { s_last = (GUARD_REMOVES -> none : s_last); g = false } } unless { !g }
	od
}

/* ---- the destination ---- */

inline serve() {
	atomic { d_last = begun; k = true; reply(prepared) };
	if :: request == restore :: goto undo fi;
	atomic { if :: d_last == begun -> d_last = restoring :: else -> goto undo fi };
	atomic { d_tasks = held; reply(ready) };
	if :: request == go :: goto undo fi;
#if FORCE == 3
	atomic { if :: registry == none -> registry = running :: COMMIT_WITHOUT_DECISION :: else -> goto undo fi };
#endif
	atomic {
		if
		:: d_last == restoring || COMMIT_WITHOUT_TURN -> d_last = running; outcome_sent = false
		:: else -> goto undo
		fi
	};
	d_attach();
	atomic { d_run(); reply(running); if :: REMOVE_AT_ANSWER -> d_remove() :: else fi };
	goto over;
undo:
	d_kill();
	atomic { d_remove(); reply(not) };
over:
	atomic { k = false; e = false }
}

active proctype Session()
{
	atomic { request == prepare -> e = true };
	{ serve() } unless { !e };
	request = nothing
}

active proctype Keeper()
{
	mtype read = none;

	k;
	{
		atomic { !e -> read = d_last };
		if
		:: read == running -> d_attach(); d_run()
		:: read == none
		:: else -> d_kill(); d_remove()
		fi;
		k = false
	} unless { !k };
	read = none
}

#define SETTLED_AT_S (s_last == none || RD_DOES_NOT_ASK)
#define D_HOLDS (d_tasks == held || d_tasks == alive)

active proctype Recovery_D()
{
	do
	:: atomic { FREE_AT_D && d_last == running && !d_old && D_HOLDS && !d_net -> d_attach() }
	:: atomic { FREE_AT_D && d_last == running && d_net && d_tasks == held -> d_run() }
	:: atomic { FREE_AT_D && d_last == running && d_tasks != held && !forced && SETTLED_AT_S -> d_remove() }
	:: atomic { FREE_AT_D && d_last == running && forced && (D_HOLDS || d_net) -> d_kill() }
	:: atomic { FREE_AT_D && d_last == running && forced && !D_HOLDS && !d_net -> d_remove() }
	:: atomic { FREE_AT_D && d_last != none && d_last != running && (D_HOLDS || d_net) -> d_kill() }
	:: atomic { FREE_AT_D && d_last != none && d_last != running && !D_HOLDS && !d_net -> d_remove() }
	od
}

/* Any session that gets one of these, early or late, once more or from long ago. "done" takes the lock; where what was
 * restored does not run yet, it leaves the entry to recovery, which lets it run first. */
active proctype Late()
{
	mtype unheard;

	do
	:: atomic { outcome_sent && OPEN -> outcome(unheard); unheard = 0 }
	:: atomic { done_sent && d_last == running &&
			((!e && !k && d_tasks != held) || DONE_BEFORE_IT_RUNS) -> d_remove() }
	od
}

/* ---- faults ---- */

inline crash_s() {
	m = false; g = false; taken = false; said = nothing; answer = nothing; s_net = false;
	if :: s_last == go -> s_last = frozen :: true fi;
	if :: s_tasks != retired -> s_tasks = lost :: else fi
}
inline crash_d() {
	e = false; k = false; d_net = false;
	d_old = (d_last == running);
	if :: d_last == restoring -> d_last = begun :: true fi;
	if :: d_tasks != none -> d_tasks = lost :: else fi
}

active proctype Faults()
{
progress: /* a cycle counts only after they have stopped */
	do
	:: break
	:: atomic { m -> m = false; answer = nothing }
	:: atomic { g -> g = false }
	:: atomic { said != nothing -> said = nothing }
	:: atomic { e -> e = false }
	:: atomic { k -> k = false }
	:: atomic { d_last == running && d_tasks == held -> d_tasks = lost }
	:: atomic { crash_s() }
	:: atomic { crash_d() }
	od
}

/* ---- the end ---- */

#define EMPTY (s_last == none && d_last == none)
#define RUNS_AT_S (s_tasks == alive && s_net && (d_tasks == none || d_tasks == lost) && !d_net && EMPTY)
#define RUNS_AT_D (d_tasks == alive && d_net && (s_tasks == retired || s_tasks == lost) && !s_net && EMPTY)
#define REPORTED (s_tasks == held && !s_net && s_last == go && d_last == running && d_old && said == died && !forced)
#define LOST (((s_tasks == retired && d_tasks == lost) || (s_tasks == lost && !D_HOLDS)) && EMPTY)

active proctype Settled()
{
	timeout;
	assert(RUNS_AT_S || RUNS_AT_D || REPORTED || LOST);
	assert(!(NEVER_AT_S && RUNS_AT_S || NEVER_AT_D && RUNS_AT_D || NEVER_REPORTED && REPORTED || NEVER_LOST && LOST))
}
