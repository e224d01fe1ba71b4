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
 * Threads: pure functions.
 */

#include "model/event.h"

enum ndjson_finding {
	NDJSON_LINE,         /* the columns alone                                  */
	NDJSON_WITH_FINDING, /* and `trust` and `rule`, null where no rule matched */
};

/* Appends the object and a newline to out, whose buf_check() tells. */
void ndjson_write(const struct record *r, enum ndjson_finding finding, struct buf *out);
void ndjson_write_event(const struct event *e, struct buf *out);

#endif
