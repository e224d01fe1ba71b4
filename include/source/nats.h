#ifndef SOURCE_NATS_H
#define SOURCE_NATS_H

/*
 * nats: Fly's log stream as a source. nats.c, the library, is met here alone.
 *
 * The connection is made by the first read, and again for ever: by the library
 * while it can, by this module where the library gives up (it closes for good
 * at the second authorisation error). Between attempts it waits as
 * base/backoff.h says. What may be missing is told as gaps: see
 * source/gap_track.h.
 *
 * The connection has a second subscription, to what this very machine prints:
 * plain, so that a queue group or a narrow subject does not hide the heartbeat
 * from it (source/heartbeat.h). When heartbeats are missed, everything is
 * subscribed to anew on a fresh connection, for as long as they are. The lines
 * themselves come as any others, by the first subscription.
 *
 * Ownership: nats_open() copies the options.
 * Threads:   as source.h says; the library's own threads only set flags.
 * Limits:    NATS_PENDING_BYTES wait in the library, for a burst that comes faster than it can be
 *            taken; beyond, it drops and counts.
 * Errors:    nats_open(): ERR_CONFIG names the variable to mend, never its value.
 */

#include "source/source.h"

enum {
	NATS_PING_MS = 10 * 1000, /* a server that says nothing is given up after */
	NATS_PINGS_OUT = 2,       /* so many of these */
	NATS_PENDING_BYTES = 20 * 1024 * 1024,
	NATS_PENDING_LINES = 128 * 1024, /* of 192 bytes: a short line of Fly's shape */
	NATS_CONNECT_BYTES_USUAL = 4096, /* nats-server's max_control_line, unless raised */
};

struct nats_options {
	const char *url;
	const char *user;     /* ORG */
	const char *password; /* ACCESS_TOKEN, with or without its scheme */
	const char *subject;
	const char *queue;    /* NULL or empty: no queue group */
	int64_t last_live_ns; /* what the spool has up to; 0: nothing ever came */
	int64_t heartbeat_ns; /* 0, or app or machine empty: none is printed */
	const char *app;      /* flytrail's own, whose lines Fly puts on the stream */
	const char *machine;  /* this one */
	int heartbeat_fd;     /* where heartbeats are printed; never closed */
};

NODISCARD enum err_kind nats_open(struct source *ret, const struct nats_options *options,
				  struct err *err);

const char *nats_library_version(void); /* of nats.c */

#endif
