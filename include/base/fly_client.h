#ifndef BASE_FLY_CLIENT_H
#define BASE_FLY_CLIENT_H

/*
 * fly_client: requests to Fly's APIs, as Fly wants them: the token under the
 * scheme of its form, and no more often than is answered.
 *
 * Requests are paced: none should be made while fly_client_wait_ns() is not 0. A
 * 429 doubles the pace (or obeys Retry-After), each good answer quickens it a
 * little; a failure waits as base/backoff.h says. A lone 401 or 403 is passing,
 * and tried again; FLY_CLIENT_REFUSALS_MAX in a row are an answer.
 *
 *	rc = fly_client_get(c, url, body_max, &body, &err);
 *	if (!rc) {
 *		rc = ...read body...;
 *		rc = fly_client_done(c, rc);        a body that is no answer is a failure, too
 *	}
 *
 * Ownership: fly_client_new() copies the options. A body is lent until the next request.
 * Threads:   a struct fly_client belongs to one thread; *cut may be set by any.
 * Limits:    the options' seconds and body_max for an answer.
 * Errors:    ERR_RETRY: try again after fly_client_wait_ns(), for ever: the network, a
 *            5xx, a 429, a redirect (none is followed). ERR_REJECT: 404. ERR_CONFIG:
 *            the token is refused, and not by a passing whim; it may be tried again,
 *            later. ERR_FATAL: no memory. Texts hold neither the token nor a byte of
 *            the answer.
 */

#include "base/buf.h"

#include <stdatomic.h>

enum {
	FLY_CLIENT_SECONDS = 30,
	FLY_CLIENT_REFUSALS_MAX = 5,
	/* after a 429 without Retry-After, and doubled by each further */
	FLY_CLIENT_PACE_MS_MIN = 125,
	FLY_CLIENT_PACE_MS_MAX = 16 * 1000,
	FLY_CLIENT_NAME_BYTES_MAX = 64,
};

struct fly_client;

struct fly_client_options {
	const char *token;       /* without its scheme, which its form decides */
	const _Atomic bool *cut; /* set: a request under way ends, as ERR_RETRY; or NULL */
	unsigned seconds;        /* for a request; 0: FLY_CLIENT_SECONDS */
	const char *ca_file;     /* for tests: see base/http_client.h */
};

NODISCARD enum err_kind fly_client_new(struct fly_client **ret,
				       const struct fly_client_options *options, struct err *err);
void fly_client_free(struct fly_client *c); /* NULL is fine */

/* Whether it can be an application's name or an organisation's slug, and may stand in a URL. */
bool fly_client_is_name(struct span name);

/* How long to wait before the next request; 0: none. */
int64_t fly_client_wait_ns(const struct fly_client *c);

/* The body of an answer 200. Whether it is one is for the caller to say, by fly_client_done(). */
NODISCARD enum err_kind fly_client_get(struct fly_client *c, const char *url, size_t body_max,
				       struct span *ret_body, struct err *err);

/* The same of a POST of JSON. */
NODISCARD enum err_kind fly_client_post(struct fly_client *c, const char *url, struct span json,
					size_t body_max, struct span *ret_body, struct err *err);

/* Whether the newest answer was a 4xx that is not passing: the same would be refused again. */
bool fly_client_refused(const struct fly_client *c);

/* What the body was: ERR_NONE: good. Anything else counts as a failure, and is returned. */
enum err_kind fly_client_done(struct fly_client *c, enum err_kind rc);

#endif
