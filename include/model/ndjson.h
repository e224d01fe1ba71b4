#ifndef MODEL_NDJSON_H
#define MODEL_NDJSON_H

/*
 * ndjson: a log line, or an event, as one JSON object in one line of text, as
 * `flytrail classify` prints it and as archives keep it.
 *
 * The keys are the columns of flytrail.log_lines, or of flytrail.events, in their
 * order, but for those that only a row has (stored_at, stream, seq); times are
 * RFC 3339 with nine digits (so occurred_ns is not needed); what is empty, or no
 * time, is null. raw, where there is one, is in base64.
 *
 * Whoever did not write it can hold it against its id, which is made from its app,
 * machine_id, message and time: occurred_at, or claimed_time of the attributes where their
 * time is `out_of_range`. What no id is made from (level, region, class, actor ...) it does not
 * vouch for; nor does an id that is made from more than the row has (model/id.h) for anything.
 *
 * Threads: pure functions, but for the hasher.
 */

#include "model/event.h"

enum ndjson_finding {
	NDJSON_LINE,         /* the columns alone                                  */
	NDJSON_WITH_FINDING, /* and `trust` and `rule`, null where no rule matched */
};

/* Appends the object and a newline to out, whose buf_check() tells. */
void ndjson_write(const struct record *r, enum ndjson_finding finding, struct buf *out);
void ndjson_write_event(const struct event *e, struct buf *out);

/* The object of a line or an event has the id that it makes, or one that is beyond its row.
 * ERR_REJECT: it has another, or is no such object. */
NODISCARD enum err_kind ndjson_check_id(struct hasher *h, struct span object, struct err *err);

#endif
