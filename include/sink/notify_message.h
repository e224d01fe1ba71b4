#ifndef SINK_NOTIFY_MESSAGE_H
#define SINK_NOTIFY_MESSAGE_H

/*
 * notify_message: facts, as the body of one request to who is told: see sink/notify.h.
 *
 *	notify_message_begin(&m, org);
 *	while (... && !notify_message_is_full(&m))
 *		notify_message_add(&m, &event);
 *	rc = notify_message_end(&m, &body, err);
 *
 * A webhook gets each fact whole, but for a message or summary that is longer than
 * NOTIFY_MESSAGE_TEXT_BYTES_MAX or another text longer than RECORD_FIELD_BYTES_MAX, which are cut,
 * and attributes longer than the first, which are left out; `shortened` of the body says of how
 * many that was, and Postgres has them.
 *
 * Ownership: the caller owns the struct; the body is lent until the next begin.
 * Threads:   none shared.
 * Limits:    to Slack as many facts as are added; to a webhook NOTIFY_MESSAGE_BYTES_MAX.
 * Errors:    ERR_FATAL: no memory.
 */

#include "sink/notify.h"
#include "sink/notify_text.h"

enum {
	NOTIFY_MESSAGE_BYTES_MAX = 1024 * 1024,
	NOTIFY_MESSAGE_TEXT_BYTES_MAX = 16 * 1024,
};

struct notify_message {
	enum notify_kind kind;
	struct span org;
	uint64_t count, shortened;
	struct notify_text text; /* of Slack's */
	struct buf scratch, body;
};

void notify_message_init(struct notify_message *m, enum notify_kind kind);
void notify_message_release(struct notify_message *m);
void notify_message_begin(struct notify_message *m, struct span org); /* org is lent */

void notify_message_add(struct notify_message *m, const struct event *e);

/* One more might have no room. */
bool notify_message_is_full(const struct notify_message *m);

NODISCARD enum err_kind notify_message_end(struct notify_message *m, struct span *ret_body,
					   struct err *err);

#endif
