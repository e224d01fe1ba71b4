#ifndef SINK_DATADOG_STATUS_H
#define SINK_DATADOG_STATUS_H

/*
 * datadog_status: how grave a log is, in Datadog's words: emerg, alert, critical, error,
 * warning, notice, info, debug, ok.
 *
 * Names are taken whole and in any case, not by their first letter, as Datadog itself
 * would: {"status":"finished"} is no emergency. Numbers are those of syslog (0 to 7)
 * and of pino and bunyan (10 to 60), which do not meet.
 *
 * Source: Datadog's documentation, "Log Status Remapper".
 *
 * Threads: pure functions.
 * Limits:  a message is looked through once, whatever its depth, and without memory.
 * Errors:  none: "" where nothing is said, or nothing that is known.
 */

#include "base/span.h"
#include "model/class.h"

const char *datadog_status_of_level(struct span level);

/* Of a message that is a JSON object: by its own level, severity or status. */
const char *datadog_status_of_message(struct span message);

const char *datadog_status_of_severity(enum severity s);

#endif
