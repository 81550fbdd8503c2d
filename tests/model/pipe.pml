/* SPDX-License-Identifier: MIT */
/*
 * The hand-over in a pipe of three programs, from a source S to one of two places D[0] and D[1]; hand-over.pml has
 * the words, the rules of turns, locks and late messages, and what a destination does; here the network is left out.
 *
 *   at S  begun -> frozen -> shipped -> go -> handed-over | failed | thawed
 *         frozen | shipped -> failed | refused | thawed
 *
 *   holder    (hold.c)     freezes, waits, looks at the journal; asks for the outcome when nobody tells it
 *   shipper   (ship.c)     brings the checkpoint to one place or to both: "shipped", or "failed"
 *   restorer  (restore.c)  one for each place, run at a third node: opens and restores; tells the source "go", or else
 *                          "refused"; then tells the place "go", and the source "handed-over" or "failed"
 *   session   (serve.c)    one at each place; when it dies, the keeper or recovery lets run or kills what it restored
 *   notes     what a restorer tells the source: each may arrive late, twice, or never, and is a turn
 *
 * After its freeze the holder is what recovery is: both act on the journal, on what they find, and on what they have
 * heard. The source's "go" carries the place: there the outcome is asked for, and not where it was shipped to last.
 * A place never begins over an entry, and its entry is removed when the source has "handed-over", or none.
 *
 * FAULTS: 1 each process and each host may die at any time, any number of times, and the service end by itself after
 * "running"; 0 none of that, but words are still lost or late. RESTORERS: with 1 nothing is restored at D[1], and the
 * one at D[0] is run as often as anyone likes; with 2 each is run once.
 * Safety and liveness are those of hand-over.pml; "done" is sent after the source has "handed-over" in its journal.
 */
mtype = { none, begun, frozen, shipped, go, handed_over, failed, refused, thawed, restoring, running, void };
mtype = { alive, held, retired, lost };
mtype = { open, restore, not, died, ready, nothing };

mtype s_last = none, s_tasks = alive;
byte s_to, shipped_to;              /* whose "go" it was; where the checkpoint was shipped last */
bool there[2];                      /* the checkpoint */
mtype d_last[2] = none, d_tasks[2] = none;
bool d_old[2], e[2], h = true, t[2]; /* booted since "running"; at work: session, holder, restorer */
bool link[2];                       /* the restorer's connection: ends with either of them */
mtype request[2] = nothing, answer[2] = nothing;
bool asked[2], done_sent[2];
bool n_go[2], n_refused[2], n_handed_over[2], n_failed[2]; /* notes that were sent to S */
mtype said = nothing;               /* what the holder has heard */
bool tried[2];                      /* to be restored */
bool stopped;                       /* nothing fails, and nobody tries again */
bool ended;                         /* by itself or with its host, after "running" */
bool committed;                     /* it has run elsewhere */

#define D_HOLDS(i) (d_tasks[i] == held || d_tasks[i] == alive)
#define S_HOLDS (s_tasks == held || s_tasks == alive)
#define AGAIN (RESTORERS == 1)      /* as often as anyone likes */
#define OPEN(i) (d_last[i] == begun || d_last[i] == restoring)

#define HELD (s_last == frozen || s_last == shipped)
#define REFUSABLE (HELD || (s_last == go && REFUSED_AFTER_GO))

inline s_run() { assert(!committed && d_tasks[0] != alive && d_tasks[1] != alive); s_tasks = alive }
inline s_kill() {
	assert(s_last != none);
	if :: S_HOLDS -> assert(committed); s_tasks = retired :: else fi
}
inline d_run(i) {
	if :: d_tasks[i] == held -> assert(s_tasks != alive && d_tasks[1 - i] != alive); d_tasks[i] = alive :: else fi
}
inline d_kill(i) {
	if :: D_HOLDS(i) -> assert(s_tasks != retired || d_last[i] != running); d_tasks[i] = none :: else fi
}
inline d_remove(i) { d_last[i] = none; asked[i] = false; done_sent[i] = false; d_old[i] = false }
inline outcome(i, what) {
	if
	:: OPEN(i) && !OUTCOME_DOES_NOT_VOID -> d_last[i] = void; asked[i] = false; what = not
	:: d_last[i] == running -> what = (d_old[i] -> died : running)
	:: else -> what = not
	fi
}
#define SEND(note, counts) note = (counts)
/* Each note counts at one step only: what is under way when that is left is forgotten. */
inline turn(to) {
	s_last = to; s_to = 0; said = nothing;
	n_go[0] = false; n_refused[0] = false; n_handed_over[0] = false; n_failed[0] = false;
	n_go[1] = false; n_refused[1] = false; n_handed_over[1] = false; n_failed[1] = false
}

/* ---- the source: the holder, or recovery ---- */

#define GIVEN_BACK (s_last == thawed || s_last == failed || s_last == refused)
#define ASKED (ASK_WHERE_SHIPPED_LAST -> shipped_to : s_to)

active proctype Holder()
{
	byte to;

	{
		s_last = begun;
		atomic { if :: s_last == begun -> s_last = frozen :: else -> goto over fi };
		atomic { assert(s_last != none); if :: s_tasks == alive -> s_tasks = held :: else fi };
over:		h = false
	} unless { !h };
	do
	:: atomic { s_last == begun || HELD || (THAW_IN_TIME && s_last == go) -> turn(thawed) }
	:: atomic { GIVEN_BACK && s_tasks == held -> s_run() }
	:: atomic { GIVEN_BACK && s_tasks != held -> turn(none) }
	:: atomic { s_last == go && said == nothing && OPEN(ASKED) && !asked[ASKED] -> asked[ASKED] = true }
	:: atomic { s_last == go && said == nothing -> to = ASKED; outcome(to, said); to = 0 }
	:: atomic { s_last == go && said == not -> turn(thawed) }
	:: atomic { s_last == go && said == running -> turn(handed_over) }
	:: atomic { s_last == go && said == died && !S_HOLDS -> turn(none) }
	:: atomic { s_last == handed_over && S_HOLDS -> s_kill() }
	:: atomic { s_last == handed_over && !S_HOLDS -> turn(none) }
	od
}

/* Brings it to either place, once more when it was not restored there; or fails. */
#define CAN_SHIP (!stopped && HELD && !h && s_tasks != alive) /* the record is out */
#define SHIP(i) \
	:: atomic { CAN_SHIP && !there[i] && (!tried[i] || AGAIN) -> there[i] = true; s_last = shipped; \
			shipped_to = (ASK_WHERE_SHIPPED_LAST -> i : 0) }

active proctype Shipper()
{
	do
	SHIP(0)
	SHIP(1)
	:: atomic { CAN_SHIP -> turn(failed) }
	od
}

/* ---- the restorers: each note is sent, and then answered, or not ---- */

inline restore_one(i) {
	if :: link[i] -> request[i] = restore :: else -> goto refuse fi;
	if :: answer[i] == ready :: goto refuse fi;
#if !GO_UNTOLD
	SEND(n_go[i], HELD);
	if
	:: atomic { n_go[i] && HELD -> turn(go); s_to = i }
	:: goto refuse
	fi;
#endif
	if :: link[i] -> request[i] = go :: else fi;
	if
	:: answer[i] == running -> goto over_there
	:: answer[i] == not -> goto not_there
	:: asked[i] = OPEN(i);
		if
		:: atomic { outcome(i, heard) };
			if :: heard == running -> goto over_there :: heard == not -> goto not_there :: else -> goto over fi
		:: FAILED_WHEN_UNKNOWN -> goto not_there
		:: goto over
		fi
	fi;
over_there:
	SEND(n_handed_over[i], s_last == go);
	if
	:: atomic { n_handed_over[i] && s_last == go -> turn(handed_over); say_done(i) }
	:: DONE_UNTOLD -> say_done(i)
	:: goto over
	fi;
	goto over;
not_there:
	SEND(n_failed[i], s_last == go);
	goto over;
refuse:
	SEND(n_refused[i], REFUSABLE);
over:
	t[i] = false
}
/* S has it in its journal, and will not thaw it any more. */
inline say_done(i) { done_sent[i] = (d_last[i] == running) }

proctype Restorer(byte i)
{
	mtype heard = nothing;

	do
	:: atomic { there[i] && !stopped && request[i] == nothing -> t[i] = true; link[i] = true; request[i] = open };
		{ restore_one(i) } unless { !t[i] };
		atomic { link[i] = false; answer[i] = nothing; heard = nothing }
	od
}

/* ---- the places ---- */

inline reply(what) { answer[i] = (link[i] -> what : nothing) }

inline serve(i) {
	d_last[i] = begun;
	if :: request[i] == restore :: goto undo fi;
	atomic { if :: d_last[i] == begun -> d_last[i] = restoring :: else -> goto undo fi };
	atomic { d_tasks[i] = held; reply(ready) };
	if :: request[i] == go :: goto undo fi;
	atomic {
		if
		:: d_last[i] == restoring -> d_last[i] = running; asked[i] = false; committed = true
		:: else -> goto undo
		fi
	};
	atomic { d_run(i); reply(running) };
	goto over;
undo:
	d_kill(i);
	atomic { d_remove(i); reply(not) };
over:
	e[i] = false
}

proctype Session(byte i)
{
	do
	:: atomic { request[i] == open && !D_HOLDS(i) && (d_last[i] == none || BEGIN_OVER_AN_ENTRY) ->
			e[i] = true; there[i] = false; tried[i] = !AGAIN }; /* there is one try */
		{ serve(i) } unless { !e[i] };
		atomic { request[i] = nothing; link[i] = false; answer[i] = (answer[i] == ready -> nothing : answer[i]) }
	:: atomic { request[i] == open && (D_HOLDS(i) || d_last[i] != none) -> /* refused */
			request[i] = nothing; link[i] = false }
	od
}

/* The keeper, or recovery. */
proctype Recovery_D(byte i)
{
	do
	:: atomic { !e[i] && d_last[i] == running && !d_old[i] && d_tasks[i] == held -> d_run(i) }
	:: atomic { !e[i] && d_last[i] == running && d_tasks[i] != held && (s_last == none || s_last == handed_over) ->
			d_remove(i) }
	:: atomic { !e[i] && d_last[i] != none && d_last[i] != running -> d_kill(i); d_remove(i) }
	od
}

/* ---- what comes late, and faults ---- */

#define LATE(i) \
	:: atomic { n_go[i] && HELD -> turn(go); s_to = i } \
	:: atomic { n_refused[i] && REFUSABLE -> turn(refused) } \
	:: atomic { n_handed_over[i] && s_last == go -> turn(handed_over) } \
	:: atomic { n_failed[i] && s_last == go -> turn(failed) } \
	:: atomic { asked[i] && OPEN(i) -> d_last[i] = void; asked[i] = false } \
	:: atomic { done_sent[i] && d_last[i] == running && !e[i] && d_tasks[i] != held -> d_remove(i) }

active proctype Late() { do LATE(0) LATE(1) od }

inline crash_d(i) {
	e[i] = false; link[i] = false; answer[i] = nothing;
	d_old[i] = (d_last[i] == running);
	if :: d_last[i] == running || d_tasks[i] == alive -> ended = true :: else fi;
	if :: d_tasks[i] != none -> d_tasks[i] = lost :: else fi
}

#define FAULTS_AT(i) \
	:: atomic { FAULTS && t[i] -> t[i] = false; link[i] = false; answer[i] = nothing } \
	:: atomic { FAULTS && link[i] -> link[i] = false; answer[i] = nothing } \
	:: atomic { FAULTS && e[i] -> e[i] = false; link[i] = false; answer[i] = nothing } \
	:: atomic { FAULTS && d_tasks[i] == alive -> d_tasks[i] = lost; ended = true } /* ends by itself */ \
	:: atomic { FAULTS && (d_last[i] != none || d_tasks[i] != none) -> crash_d(i) }

active proctype Faults()
{
progress:
	do
	:: stopped = true -> break
	:: atomic { FAULTS && h -> h = false }
	:: atomic { FAULTS && (h || S_HOLDS) -> h = false; said = nothing; if :: S_HOLDS -> s_tasks = lost :: else fi }
	FAULTS_AT(0)
	FAULTS_AT(1)
	od
}

/* ---- the end ---- */

#define EMPTY (s_last == none && d_last[0] == none && d_last[1] == none)
#define RUN ((s_tasks == alive -> 1 : 0) + (d_tasks[0] == alive -> 1 : 0) + (d_tasks[1] == alive -> 1 : 0))
#define HOLD (s_tasks == held || d_tasks[0] == held || d_tasks[1] == held)
#define REPORTED (s_tasks == held && RUN == 0 && s_last == go && said == died)
#define LOST (RUN == 0 && (s_tasks == lost || (s_tasks == retired && ended)) && !HOLD && EMPTY)

active proctype Settled()
{
	timeout;
	assert((RUN == 1 && !HOLD && EMPTY) || REPORTED || LOST);
	assert(!(NEVER_AT_S && s_tasks == alive || NEVER_AT_A_PLACE && d_tasks[RESTORERS - 1] == alive))
}

init { atomic { run Restorer(0); run Session(0); run Recovery_D(0);
	if :: RESTORERS == 2 -> run Restorer(1); run Session(1); run Recovery_D(1) :: else fi } }
