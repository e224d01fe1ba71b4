#ifndef WATCH_API_H
#define WATCH_API_H

/*
 * api: what a resource asks of Fly's control plane, and what it may keep of the
 * answer.
 *
 * A request of one kind about one application, or one machine or other thing in it, goes out once a
 * second at most, after WATCH_BURST at once, as Fly wants it; the call waits for that.
 *
 * Ownership: watch_api_new() copies the options. Answers are the caller's to json_free().
 * Threads:   one, the watcher's.
 * Limits:    WATCH_ANSWER_BYTES_MAX of an answer, and what base/json.h bounds.
 * Errors:    as base/fly_client.h; ERR_RETRY also for an answer that is neither a JSON
 *            object nor a list nor null, as Go writes an empty one, and for what GraphQL
 *            calls an error.
 */

#include "base/hash.h"
#include "base/json.h"

#include <stdatomic.h>

enum {
	WATCH_ANSWER_BYTES_MAX = 10 * 1024 * 1024,
	WATCH_KEY_ID_BYTES = 8,
	WATCH_MAC_BYTES = WATCH_KEY_ID_BYTES + 1 + HASH_HEX_BYTES,
	WATCH_BURST = 3,
};

struct watch_api;

struct watch_api_options {
	const char *machines_url; /* of base/config.h's type api */
	const char *api_url;
	const char *org;         /* slug */
	const char *own_app;     /* flytrail's own application; "": not on Fly */
	const char *token;       /* without its scheme */
	const char *hmac_key;    /* "": none */
	const _Atomic bool *cut; /* set: a request under way ends, as ERR_RETRY; or NULL */
	unsigned seconds;        /* for a request; 0: as base/fly_client.h */
};

NODISCARD enum err_kind watch_api_new(struct watch_api **ret,
				      const struct watch_api_options *options, struct err *err);
void watch_api_free(struct watch_api *a); /* NULL is fine */

const char *watch_api_own_app(const struct watch_api *a);

/* How long to wait before the next request; 0: none. */
int64_t watch_api_wait_ns(const struct watch_api *a);

/* How many requests there were. */
uint64_t watch_api_sent(const struct watch_api *a);

/* What stands for the words in braces: {app}, {item}, {cursor}, {since}; {org} is known. */
struct watch_names {
	const char *app, *item, *cursor, *since; /* NULL: the path has no such word */
};

/*
 * GET. A path that begins with "api/" is the API's, another the Machines API's. ERR_REJECT, as for
 * 404, where a name may not stand in a path.
 */
NODISCARD enum err_kind watch_api_get(struct watch_api *a, const char *path,
				      const struct watch_names *names, struct json **ret,
				      struct err *err);

/*
 * A GraphQL query with the variables $org, $app and $after, where it has them. *ret is the answer,
 * whose member "data" is an object. Where Fly answers a part of it with errors, that is no answer.
 */
NODISCARD enum err_kind watch_api_query(struct watch_api *a, const char *query,
					const struct watch_names *names, struct json **ret,
					struct err *err);

/* Whether the newest question was answered, be it with a refusal or something of no use, so that
 * the same would be answered again. */
bool watch_api_answered(const struct watch_api *a);

/* Whether the newest answer was a refusal: a 4xx that is not passing, or a GraphQL error. */
bool watch_api_refused(const struct watch_api *a);

/*
 * In place of a digest or a value, which are never kept: "KEYID:HMAC", in hexadecimal, and a NUL;
 * empty without a key.
 */
NODISCARD enum err_kind watch_api_mac(const struct watch_api *a, struct span secret,
				      char ret[WATCH_MAC_BYTES], struct err *err);

/* Whether two of them are of two texts, for sure: by one key, and different. */
bool watch_macs_differ(struct span a, struct span b);

#endif
