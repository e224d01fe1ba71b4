#ifndef SOURCE_HTTP_LOGS_H
#define SOURCE_HTTP_LOGS_H

/*
 * http_logs: Fly's HTTP logs API as a live source, from where the log stream
 * cannot be reached; implements source/source.h. source/logs_api.h does the
 * asking.
 *
 * Every application is polled: those on the organisation's list, which is read
 * again every HTTP_LOGS_LIST_SECONDS, or every SOURCE_BEATS_PER_WORD heartbeats
 * where that is sooner, and those that were polled before. After a
 * full page at once; else after HTTP_LOGS_IDLE_MS_MIN, and while nothing comes
 * twice as long each time, up to HTTP_LOGS_IDLE_MS_MAX or what keeps all
 * applications together below HTTP_LOGS_IDLE_PER_SECOND. One that Fly does not
 * know rests until the list has it again.
 *
 * A line may become visible later than younger ones. So what was read while it
 * was younger than late_ns is read once more when it no longer is, and what was
 * seen the first time is left out (source/recent.h, source/reading.h).
 *
 * Position. An application's is the time up to which all lines were read, late
 * ones too. Positions are written every HTTP_LOGS_WRITE_SECONDS, and only when
 * what they say is on disk: the positions of a moment are kept aside until the
 * last batch that was filled before is back (so all its lines are in the spool),
 * then until the spool has accepted what it had then, then for
 * HTTP_LOGS_SETTLE_MS, in which a program that fails stops asking for more.
 * A start goes on from there. What is read twice has the same ids.
 *
 * Listening. With each list there is a word of what was listened to: from where
 * the last word ended, also the last one of the run before, up to where all
 * applications were read. So an absence is listened to as soon as it is read,
 * and nothing is while the list or one application cannot be read, or while
 * there are too many of them. Nobody waits for what Fly does not know (a 404). What an
 * application printed in its last seconds before it was deleted, or between two
 * lists if it came and went between them, is not to be had, and nothing tells it.
 *
 * A gap is only what lies further back than Fly keeps, from where the last word
 * ended, or, at a start without a file of positions, from the last line that
 * came live. The first start of all begins at its own time and opens none. An
 * application that newly appears is read from when flytrail began to listen.
 *
 * Ownership: http_logs_open() copies the options but for ctx.
 * Threads:   as source.h says.
 * Limits:    LOGS_API_APPS_MAX applications. A read takes as long as one request:
 *            HTTP_LOGS_SECONDS at most, and about a second when `ending` is set.
 * Errors:    http_logs_open(): ERR_CONFIG names the variable to mend.
 */

#include "source/source.h"

enum {
	HTTP_LOGS_SECONDS = 10,
	HTTP_LOGS_LIST_SECONDS = 300,
	HTTP_LOGS_IDLE_MS_MIN = 128,
	HTTP_LOGS_IDLE_MS_MAX = 4096,
	HTTP_LOGS_IDLE_PER_SECOND = 4,
	HTTP_LOGS_WRITE_SECONDS = 5,
	HTTP_LOGS_SETTLE_MS = 2000,
	HTTP_LOGS_FAILURES_TOLD = 3, /* so many in a row are a connection that is lost */
};

struct http_logs_options {
	const char *url, *machines_url;
	const char *token; /* ACCESS_TOKEN, without its scheme */
	const char *org;
	const char *folder;         /* of the spool: for http-positions */
	int64_t last_live_ns;       /* what the spool has up to; 0: nothing ever came */
	int64_t heartbeat_ns;       /* none is printed; for the time between words. 0: no matter */
	int64_t late_ns;            /* a line is to be seen so long after it was printed */
	const _Atomic bool *ending; /* set: a request under way ends; NULL: none is cut short */
	/* What the spool was given and what it has accepted, as numbers that grow. False: not
	 * known now. May be NULL: positions are then never written. */
	bool (*spool_seqs)(void *ctx, uint64_t *ret_appended, uint64_t *ret_accepted);
	void *ctx;
};

NODISCARD enum err_kind http_logs_open(struct source *ret, const struct http_logs_options *options,
				       struct err *err);

#endif
