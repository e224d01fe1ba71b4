#ifndef SERVE_HEALTH_H
#define SERVE_HEALTH_H

/*
 * health: whether flytrail can work (/ready) and does work (/health), as JSON.
 *
 *	{"status":"failing","checks":[
 *	 {"name":"store","ok":false,"value":"retrying: ...","do":"..."}]}
 *
 * The spool's check also has torn_bytes, cut off at the start because a crash had
 * not finished them, and damaged_segments, seen since the start: what they held is
 * a gap on record, and nothing is to be done but to look at the disk.
 *
 * /ready is green when the spool is open and a source is connected or retrying:
 * a Postgres that is away is no reason to restart anything. /health is green
 * only while lines come in, are kept and reach Postgres.
 *
 * What a check says is made of constant texts, numbers and err texts, so it
 * holds no secret and no record's byte.
 *
 * Ownership: the caller owns out.
 * Threads:   any; reads struct status only.
 */

#include "base/buf.h"
#include "run/status.h"

enum { HEALTH_BODY_BYTES_MAX = 8 * 1024 };

/*
 * Appends the body to out; true: green. out's buf_check() tells whether there
 * was memory. spool is NULL while there is none.
 */
NODISCARD bool health_ready(struct status *status, const struct spool_stats *spool,
			    struct buf *out);
NODISCARD bool health_health(struct status *status, const struct spool_stats *spool,
			     struct buf *out);

#endif
