#ifndef SERVE_HEALTH_H
#define SERVE_HEALTH_H

/*
 * health: whether flytrail can work (/ready) and does work (/health), as JSON.
 *
 *	{"status":"failing","checks":[
 *	 {"name":"store","ok":false,"value":"retrying: ...","limit":"...","do":"..."}]}
 *
 * Every check has its value, its limit, and in `do` what to do when it is not ok.
 * The spool's also has torn_bytes, cut off at the start because a crash had not
 * finished them, and damaged_segments, seen since the start: what they held is a
 * gap on record, and nothing is to be done but to look at the disk.
 *
 * /ready is green when the spool is open and a source is connected or retrying:
 * a Postgres or a sink that is away is no reason to restart anything. /health is green
 * only while lines come in, are kept where a restart does not lose them, and reach Postgres: by
 * the constants below.
 * In the first HEALTH_START_SECONDS its status is "starting" instead of "failing"
 * as long as it has not been green once; what it is asked by, 503, is the same.
 *
 * What a check says is made of constant texts, numbers and err texts, so it
 * holds no secret and no record's byte.
 *
 * Ownership: the caller owns out.
 * Threads:   any; reads what look.h took, and notes in struct status that it was green.
 */

#include "base/buf.h"
#include "serve/look.h"
#include "source/heartbeat.h"

enum {
	HEALTH_START_SECONDS = 90,
	/* A batch is stored within two seconds, and a COPY that hangs is given up after
	 * STORE_ANSWER_SECONDS, by which time this has been red for a while. */
	HEALTH_LAG_SECONDS_MAX = 30,
	/* The rest is the time to bring Postgres back in before lines are lost. */
	HEALTH_SPOOL_PERCENT_MAX = 80,
	/* The newest may be so many intervals old, and the time that one travels: it is red also
	 * when nobody counts the missing ones any more. */
	HEALTH_HEARTBEAT_TRAVEL_SECONDS = 10,
	/* A jump of the clock is red for so long: its gap is on record, and who looks after the
	 * machine should know. */
	HEALTH_CLOCK_SECONDS = 300,
	/* Postgres's clock and this machine's may be so far apart: from there on rows may be
	 * refused (store/limits.h). */
	HEALTH_SKEW_SECONDS_MAX = LIMITS_SKEW_SECONDS,
	/* So many full intervals may pass in which nothing of Fly's control plane can be looked at,
	 * and a while, however short they are. */
	HEALTH_WATCH_INTERVALS = 3,
	HEALTH_WATCH_SECONDS_MIN = 180,

	/* A sink, or who is to be told, that takes nothing for so long, beyond what it gathers; and
	 * how much time is left to mend it before the spool has to let go of what it has not taken.
	 */
	HEALTH_SINK_SECONDS_MAX = 900,
	HEALTH_SINK_LEFT_SECONDS_MIN = 2 * 86400,

	HEALTH_CHECKS_MAX = 9 + SINK_COUNT + NOTIFY_COUNT,
	HEALTH_VALUE_BYTES = ERR_TEXT_BYTES + 128,
	HEALTH_LIMIT_BYTES = 96,
	HEALTH_BODY_BYTES_MAX = 16 * 1024,
};

struct health_check {
	const char *name;
	bool ok;
	char value[HEALTH_VALUE_BYTES];
	char limit[HEALTH_LIMIT_BYTES];
	const char *advice; /* what to do when it is not ok */
};

enum health_state { HEALTH_OK, HEALTH_STARTING, HEALTH_FAILING };

struct health {
	enum health_state state;
	struct health_check checks[HEALTH_CHECKS_MAX];
	size_t count;
};

void health_ready(const struct look *l, struct health *ret);
void health_health(const struct look *l, struct health *ret);

const char *health_state_name(enum health_state state); /* "ok", "starting", "failing" */

/* Appends the JSON. out's buf_check() tells whether there was memory. */
void health_write(const struct health *h, const struct look *l, struct buf *out);

#endif
