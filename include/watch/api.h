#ifndef WATCH_API_H
#define WATCH_API_H

/*
 * api: what a resource asks of Fly's control plane, and what it may keep of the
 * answer.
 *
 * Ownership: watch_api_new() copies the options. Answers are the caller's to json_free().
 * Threads:   one, the watcher's.
 * Limits:    WATCH_ANSWER_BYTES_MAX of an answer, and what base/json.h bounds.
 * Errors:    as base/fly_client.h; ERR_RETRY also for an answer that is no JSON object.
 */

#include "base/hash.h"
#include "base/json.h"

#include <stdatomic.h>

enum {
	WATCH_ANSWER_BYTES_MAX = 10 * 1024 * 1024,
	WATCH_KEY_ID_BYTES = 8,
	WATCH_MAC_BYTES = WATCH_KEY_ID_BYTES + 1 + HASH_HEX_BYTES,
};

struct watch_api;

struct watch_api_options {
	const char *machines_url; /* of base/config.h's type api */
	const char *org;          /* slug */
	const char *own_app;      /* flytrail's own application; "": not on Fly */
	const char *token;        /* without its scheme */
	const char *hmac_key;     /* "": none */
	const _Atomic bool *cut;  /* set: a request under way ends, as ERR_RETRY; or NULL */
};

NODISCARD enum err_kind watch_api_new(struct watch_api **ret,
				      const struct watch_api_options *options, struct err *err);
void watch_api_free(struct watch_api *a); /* NULL is fine */

const char *watch_api_org(const struct watch_api *a);
const char *watch_api_own_app(const struct watch_api *a);

/* How long to wait before the next request; 0: none. */
int64_t watch_api_wait_ns(const struct watch_api *a);

/*
 * GET {machines_url}/v1/{path}, where %s of the path is the name, which Fly's rules for names must
 * allow: ERR_REJECT else, as for 404. *ret is an object.
 */
NODISCARD enum err_kind watch_api_get(struct watch_api *a, const char *path, const char *name,
				      struct json **ret, struct err *err);

/*
 * In place of a digest or a value, which are never kept: "KEYID:HMAC", in hexadecimal, and a NUL;
 * empty without a key.
 */
NODISCARD enum err_kind watch_api_mac(const struct watch_api *a, struct span secret,
				      char ret[WATCH_MAC_BYTES], struct err *err);

/* Whether two of them are of two texts, for sure: by one key, and different. */
bool watch_macs_differ(struct span a, struct span b);

#endif
