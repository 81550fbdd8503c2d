/* SPDX-License-Identifier: MIT */
/* One SSH session, for ssh.c and ssh_login.c alone; the only door to libssh2, which is loaded for the first session. */
#ifndef EDGE_BASE_SSH_SESSION_H
#define EDGE_BASE_SSH_SESSION_H

#include <libssh2.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "lib/base/ssh.h"

/* What we use of it, by their usual names without "libssh2_". */
#define LIBSSH2_FUNCTIONS(F)                                                                                                   \
	F(init) F(free) F(session_init_ex) F(session_free) F(session_handshake) F(session_hostkey) F(session_disconnect_ex)      \
	F(session_last_errno) F(session_last_error) F(session_method_pref) F(session_set_blocking) F(session_supported_algs)     \
	F(hostkey_hash) F(knownhost_init) F(knownhost_free) F(knownhost_readline) F(knownhost_get) F(knownhost_check)            \
	F(userauth_publickey_fromfile_ex) F(agent_init) F(agent_free) F(agent_connect) F(agent_disconnect) F(agent_userauth)     \
	F(agent_list_identities) F(agent_get_identity) F(channel_open_ex) F(channel_process_startup) F(channel_read_ex)          \
	F(channel_write_ex) F(channel_eof) F(channel_send_eof) F(channel_close) F(channel_get_exit_status)
#define LIBSSH2_POINTER(NAME) __typeof__(&libssh2_##NAME)(NAME);
/* 1.11 warns of this one, whose successor 1.10 does not have. */
#define LIBSSH2_NAMES LIBSSH2_FUNCTIONS(LIBRARY_NAME) "session_callback_set\0"

extern struct libssh2 {
	LIBSSH2_FUNCTIONS(LIBSSH2_POINTER)
	void *(*session_callback_set)(LIBSSH2_SESSION *s, int type, void *callback);
} ssh2;

/* A session is libssh2's, which is neither for two threads nor able to do two things at once: each call is
 * under `lock`, and none of them blocks. Packets that it makes are always taken whole (put into `out` where
 * the socket does not), because a packet begun by one thread could otherwise not be finished by the other.
 * Whoever reads the socket may take in what the other one waits for, and then wakes it. */
struct ssh {
	LIBSSH2_SESSION *session;
	LIBSSH2_CHANNEL *channel;
	int fd;
	pthread_mutex_t lock;
	char *out; /* not yet sent: out_len bytes from out_at */
	size_t out_at, out_len, out_room;
	uint64_t taken;  /* bytes that libssh2 took from the socket */
	uint64_t told;   /* of these, known to who asked whether anything came */
	int untaken;     /* bytes that were in the socket then */
	int wake[2];     /* eventfds of the reader and the writer */
	bool waiting[2]; /* that thread is in poll, or on its way into it */
	bool mute;       /* nothing is sent or received any more */
	bool heard;      /* something was read */
	atomic_bool stopped;
	double deadline; /* of ssh_open */
	char said[1024]; /* the end of edge-serve's stderr */
	size_t said_len;
};

/* For the time of ssh_open: waits until there is something to go on with; false when the time is over. */
bool ssh_go_on(struct ssh *s);

/* Repeats a call of libssh2 until it is done; its result, LIBSSH2_ERROR_EAGAIN when the time is over. */
#define FINISH(s, call)                                              \
	({                                                           \
		int rc_;                                             \
		do                                                   \
			rc_ = (call);                                \
		while (rc_ == LIBSSH2_ERROR_EAGAIN && ssh_go_on(s)); \
		rc_;                                                 \
	})

/* "WHAT: what libssh2 says went wrong", EX_UNAVAILABLE. */
int ssh_lost(struct ssh *s, const char *what, struct err *e);

/* Handshake with the host key checked. EX_UNAVAILABLE, or EX_NOPERM "host key has changed: ...". */
int ssh_handshake(struct ssh *s, const struct ssh_target *t, struct err *e);
/* Logs in with the first key that the server takes. EX_NOPERM "key refused: ...". */
int ssh_login(struct ssh *s, const struct ssh_target *t, struct err *e);

#endif
