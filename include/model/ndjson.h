#ifndef MODEL_NDJSON_H
#define MODEL_NDJSON_H

/*
 * ndjson: a log line as one JSON object in one line of text, as `flytrail
 * classify` prints it and as archives keep it.
 *
 * The keys are the columns of flytrail.log_lines, in their order; times are
 * RFC 3339 with nine digits (so occurred_ns is not needed); what is empty, or
 * RECORD_NO_TIME, is null. raw, where there is one, is in base64.
 *
 * Threads: pure functions.
 */

#include "model/record.h"

enum ndjson_finding {
	NDJSON_LINE,         /* the columns alone                                  */
	NDJSON_WITH_FINDING, /* and `trust` and `rule`, null where no rule matched */
};

/* Appends the object and a newline to out, whose buf_check() tells. */
void ndjson_write(const struct record *r, enum ndjson_finding finding, struct buf *out);

#endif
