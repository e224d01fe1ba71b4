#ifndef SINK_DATADOG_LOG_H
#define SINK_DATADOG_LOG_H

/*
 * datadog_log: a record of the spool as a log of Datadog's: one JSON object.
 *
 *	{"ddsource":"fly","service":APP,"hostname":MACHINE,
 *	 "ddtags":"app:..,region:..,class:..,trust:..,provider:..",
 *	 "status":"warning","timestamp":MILLISECONDS,"event_id":UUID,
 *	 "fly":{"app":{"name","instance"},"region","host"},"log":{"level"},"event":{"provider"},
 *	 "class","action","actor","actor_type","target_type","target","outcome",
 *	 "correlation_id","summary","message"}
 *
 * fly, log and event are what fly-log-shipper sends, so that what was saved for its
 * logs finds these; but its `host` is fly.host here, since Datadog would take that for
 * the hostname. event_id is the column `id` or `event_id` of Postgres: Datadog
 * knows no log twice, and who counts there counts these. What is empty is left out.
 *
 * A line that is an event is one log, with the event's fields. Its status is that of its
 * own JSON, or of the event's severity, or of its level, whichever comes first; Fly's own
 * level says info of nearly everything. An event without a message has its summary.
 *
 * Datadog cuts a longer log than DATADOG_LOG_BYTES_MAX anywhere, and says nothing. So the
 * message is cut here, after a whole character, and says so at its end and by
 * "flytrail":{"cut":true}. What counts is the JSON's length, with its escapes.
 *
 * Sources: Datadog's API reference, "Send logs"; "Getting Started with Tags".
 *
 * Threads: pure functions.
 * Limits:  out, which is given empty, is to take DATADOG_LOG_ROOM_BYTES, and what it holds
 *          at the end is no longer than DATADOG_LOG_BYTES_MAX.
 * Errors:  ERR_CORRUPT: the payload is none. ERR_FATAL: no memory.
 */

#include "model/event.h"

enum {
	DATADOG_LOG_BYTES_MAX = 1000 * 1000,
	DATADOG_LOG_ROOM_BYTES = 8 * 1000 * 1000, /* before it is cut: escapes are six bytes */
	DATADOG_TAG_BYTES_MAX = 200,
};

/* scratch is for a line. */
NODISCARD enum err_kind datadog_log_write(struct span payload, struct record *scratch,
					  struct buf *out, int64_t *ret_occurred_ns,
					  struct err *err);

#endif
