#ifndef BASE_LOG_H
#define BASE_LOG_H

/*
 * log: this program's own lines, one JSON object each, on stderr.
 *
 *	{"ts":"2026-05-03T21:48:31.000000000Z","level":"warn","event":"store_retry","error":"..."}
 *
 * Levels: error = somebody must act; warn = works on, and says how; info = a
 * change of state, never per record. Only cmd, run and serve log; everything
 * else returns an err. The event is a constant from base/log_events.def.
 * Never logged: a record's bytes, a connection string, a token, a header.
 *
 * Repeats: the same event with the same "error", about the same "sink", is printed at
 * most once in LOG_REPEAT_SECONDS, with the count of those held back in "repeated"; of one
 * event LOG_CAUSES_MAX errors at most: lines about further ones are counted in
 * "others" of the event's next line. An info is printed once more when a warn
 * or an error was printed since: that trouble is over has to be told.
 * Threads: any; one lock, one write(2) a line.
 * Limits:  LOG_FIELDS_MAX fields, LOG_LINE_BYTES_MAX bytes.
 */

#include "base/err.h"

enum {
	LOG_REPEAT_SECONDS = 60,
	LOG_CAUSES_MAX = 32,
	LOG_FIELDS_MAX = 12,
	LOG_LINE_BYTES_MAX = 2048
};

enum log_level { LOG_INFO, LOG_WARN, LOG_ERROR };

enum log_event {
#define LOG_EVENT(name, doc) LOG_EVENT_##name,
#include "base/log_events.def"
#undef LOG_EVENT
	LOG_EVENT_COUNT
};

/* A field: LOG_TEXT("error", err.text), LOG_NUMBER("rows", n). */
struct log_field {
	const char *key;
	const char *text; /* NULL: the number counts */
	int64_t number;
};

#define LOG_TEXT(k, t) ((struct log_field){.key = (k), .text = (t)})
#define LOG_NUMBER(k, n) ((struct log_field){.key = (k), .number = (int64_t)(n)})

void log_write(enum log_level level, enum log_event event, const struct log_field *fields,
	       size_t count);

#define log_at(level, event, ...)                                                      \
	log_write((level), LOG_EVENT_##event, (const struct log_field[]){__VA_ARGS__}, \
		  ARRAY_LEN(((const struct log_field[]){__VA_ARGS__})))
#define log_info(event, ...) log_at(LOG_INFO, event, __VA_ARGS__)
#define log_warn(event, ...) log_at(LOG_WARN, event, __VA_ARGS__)
#define log_error(event, ...) log_at(LOG_ERROR, event, __VA_ARGS__)

/*
 * For a terminal alone: text that stays below the log, in place of the one
 * before; "" takes it away.
 */
void log_progress(const char *text);

const char *log_event_name(enum log_event event);

#endif
