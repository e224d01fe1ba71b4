#ifndef SERVE_PING_H
#define SERVE_PING_H

/*
 * ping: requests FLYTRAIL_PING_URL each minute while /health is green, and only then.
 *
 * Who is at that address raises the alarm when the requests end: because something is wrong that
 * /health knows of, or because nothing runs any more that could say so. An alarm that flytrail
 * raises itself cannot tell of that.
 *
 * The first request is made when /health becomes green. What fails is in the log, once until one
 * goes through again: the one who waits for it tells.
 *
 * Ownership: ping_stop() frees; status and what the options name must live until then.
 * Threads:   one of its own.
 * Limits:    PING_ANSWER_SECONDS for an answer, of which nothing is kept.
 * Errors:    of ping_start() ERR_FATAL: no memory, no thread.
 */

#include "run/status.h"

enum { PING_SECONDS = 60, PING_LOOK_MS = 1000, PING_ANSWER_SECONDS = 15 };

struct ping;

struct ping_options {
	const char *url; /* a secret */
	struct status *status;
	uint64_t heartbeat_seconds;
	bool by_http;        /* see serve/look.h */
	const char *ca_file; /* for tests: see base/http_client.h */
};

NODISCARD enum err_kind ping_start(struct ping **ret, const struct ping_options *options,
				   struct err *err);
void ping_stop(struct ping *p); /* NULL is fine */

#endif
