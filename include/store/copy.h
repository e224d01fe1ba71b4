#ifndef STORE_COPY_H
#define STORE_COPY_H

/*
 * copy: spool payloads as rows of Postgres' binary COPY.
 *
 * A plan says which frames of a batch become rows of log_lines and of events,
 * in the order of the primary keys and each key once: a line that is no
 * app_log is a row of both. Rows are written in the plan's order:
 *
 *	copy_plan_fill(&plan, batch, first, count, err)
 *	copy_put_header(out)
 *	copy_put_line(&context, &plan.lines[0], out, err) ... each
 *	copy_put_trailer(out)
 *
 * The bytes: the header, then for each row a count of fields and for each
 * field its length (-1: null) and its bytes, then -1; integers are big-endian.
 * timestamptz is microseconds since 2000; the nanoseconds that it drops, 0 to
 * 999, are the column occurred_ns. jsonb is a version byte, 1, and its text.
 *
 * Ownership: a plan owns its keys; it points at frames by their number.
 * Threads:   none shared.
 * Limits:    a plan of rows_max frames; a row of COPY_ROW_BYTES_MAX.
 * Errors:    ERR_REJECT for a payload that is none: the batch is to be halved. The plan
 *            reads what it sorts by, so a payload may be refused when its row is put.
 */

#include "spool/spool.h"

enum {
	COPY_CHUNK_BYTES = 128 * 1024, /* rows are handed to libpq in pieces of about this size */
	COPY_TRAILER_BYTES = 2,
	/* Texts and attributes are in the payload once, and the rest of a row is small. */
	COPY_ROW_BYTES_MAX = RECORD_PAYLOAD_BYTES_MAX + 4096,
};

/* The columns, in the order in which rows have them. */
#define COPY_LINE_COLUMNS                                                                         \
	"id, occurred_at, occurred_ns, observed_at, source, org, app, region, machine_id, host, " \
	"provider, level, class, action, message, raw, attributes, stream, seq"
#define COPY_EVENT_COLUMNS                                                                    \
	"event_id, retention_class, class, action, occurred_at, not_after, time_basis, "      \
	"observed_at, org, app, region, machine_id, correlation_id, actor, actor_type, "      \
	"actor_reason, target_type, target, origin, outcome, severity, trust, source, rule, " \
	"summary, message, attributes, stream, seq"

/* One row: its place by primary key, and the frame that it is made of. */
struct copy_key {
	int64_t occurred_us; /* since 1970, rounded down */
	struct id id;
	uint32_t frame_idx;
	bool is_security; /* an event's retention class, which is first in its key */
};

struct copy_plan {
	struct copy_key *lines;
	size_t line_count;
	struct copy_key *events;
	size_t event_count;
	size_t frame_count;       /* that the plan was made of */
	uint64_t duplicates;      /* rows whose key was in the batch already */
	uint64_t line_duplicates; /* of these, lines */
	size_t rows_max;
	struct record scratch; /* what a payload is decoded into: too large to be cleared often */
};

NODISCARD enum err_kind copy_plan_init(struct copy_plan *p, size_t rows_max, struct err *err);
void copy_plan_release(struct copy_plan *p); /* a plan of zeros is fine */

/* Of the frames [first, first + count); at most rows_max. */
NODISCARD enum err_kind copy_plan_fill(struct copy_plan *p, const struct spool_batch *batch,
				       size_t first, size_t count, struct err *err);

/* What all rows of a batch have in common. */
struct copy_context {
	const struct spool_batch *batch;
	struct copy_plan *plan; /* lends its scratch */
	struct id stream;
};

void copy_put_header(struct buf *out);
NODISCARD enum err_kind copy_put_line(const struct copy_context *c, const struct copy_key *key,
				      struct buf *out, struct err *err);
NODISCARD enum err_kind copy_put_event(const struct copy_context *c, const struct copy_key *key,
				       struct buf *out, struct err *err);
void copy_put_trailer(struct buf *out);

#endif
