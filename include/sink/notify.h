#ifndef SINK_NOTIFY_H
#define SINK_NOTIFY_H

/*
 * notify: who is told of facts, by a POST to an address that is itself a secret.
 *
 *	Slack		{"text":…}, by sink/notify_text.h; what Slack says is a word
 *	a webhook	{"version":1,"org":…,"count":N,"events":[…]}, the events' columns as in
 *			model/ndjson.h; signed, so that the receiver knows who sends, and when:
 *
 *	X-Flytrail-Signature: t=1795695600,v1=HEX
 *
 * HEX is HMAC-SHA-256 with FLYTRAIL_WEBHOOK_KEY over the digits of t, a dot, and the body's bytes.
 * A receiver makes it again, compares in constant time, and refuses a t that is minutes off: then
 * what somebody recorded is of no use later. What it has seen is known by event_id: a message whose
 * answer was lost is sent again.
 *
 * What an answer means:
 *	2xx                   they were told
 *	400, 413, 422         ERR_REJECT: not this message, ever
 *	408, 425, 429, 5xx    ERR_RETRY, not before Retry-After; none at all: ERR_RETRY
 *	any other             ERR_CONFIG: an operator must act
 *
 * Sources: Slack's "Sending messages using incoming webhooks" (its words, one message a second),
 * "Formatting text for app surfaces".
 *
 * Ownership: notify_open() copies the options' texts; cut is lent until close.
 * Threads:   one; *cut may be set by any.
 * Limits:    NOTIFY_SECONDS for an answer; Retry-After as base/http_client.h bounds it.
 * Errors:    as above; ERR_FATAL: no memory. Texts hold neither the address, nor the key, nor a
 *            byte of an answer.
 */

#include "base/buf.h"

#include <stdatomic.h>

enum { NOTIFY_SECONDS = 10, NOTIFY_SAID_BYTES_MAX = 64 };

enum notify_kind { NOTIFY_SLACK, NOTIFY_WEBHOOK, NOTIFY_COUNT };

const char *notify_name(enum notify_kind kind); /* "slack", "webhook" */

struct notify_options {
	enum notify_kind kind;
	const char *url;
	const char *key;         /* of a webhook */
	const char *ca_file;     /* for tests: see base/http_client.h */
	const _Atomic bool *cut; /* set: a request under way ends, as ERR_RETRY; or NULL */
};

struct notify;

NODISCARD enum err_kind notify_open(struct notify **ret, const struct notify_options *options,
				    struct err *err);
void notify_close(struct notify *n); /* NULL is fine */

/* *ret_wait_seconds: what an ERR_RETRY's Retry-After says; else 0. */
NODISCARD enum err_kind notify_send(struct notify *n, struct span body, unsigned *ret_wait_seconds,
				    struct err *err);

/* The header of a body that is sent at that time; ret takes NOTIFY_SIGNATURE_BYTES. */
enum { NOTIFY_SIGNATURE_BYTES = 160 };
NODISCARD enum err_kind notify_sign(struct span key, struct span body, int64_t now_ns,
				    char ret[NOTIFY_SIGNATURE_BYTES], struct err *err);

#endif
