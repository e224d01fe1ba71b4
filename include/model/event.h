#ifndef MODEL_EVENT_H
#define MODEL_EVENT_H

/*
 * event: one fact, written once and never updated: a row of flytrail.events.
 *
 * A classified line is one (event_from_record), and so is what no line shows:
 * flytrail's own facts (`trail`) and differences in Fly's API.
 *
 * Ownership: every span is lent.
 * Threads:   pure functions.
 * Limits:    as in record.h.
 */

#include "model/record.h"

enum time_basis {
	TIME_SOURCE,   /* Fly gave the time                          */
	TIME_OBSERVED, /* Fly gave none: when flytrail saw it, or the
			* file that it stands in was last written    */
	TIME_INTERVAL, /* between occurred_ns and not_after_ns       */
	TIME_BASIS_COUNT
};

#define EVENT_NO_TIME INT64_MIN

struct event {
	struct id id;
	enum line_class class;
	enum action action;
	int64_t occurred_ns;
	int64_t not_after_ns; /* EVENT_NO_TIME: none */
	enum time_basis time_basis;
	int64_t observed_ns;
	struct span org, app, region, machine_id, correlation_id;
	struct span actor; /* empty: unknown, and actor_reason says why */
	enum actor_type actor_type;
	struct span actor_reason; /* of a known one: from what it is inferred */
	struct span target_type, target, origin, outcome;
	enum severity severity;
	enum trust trust;
	enum record_source source;
	struct span rule, summary, message;
	struct span attributes; /* a JSON object, or empty */
};

const char *time_basis_name(enum time_basis b);

/* The event that a classified line is; r->class may not be app_log. */
void event_from_record(const struct record *r, struct event *ret);

/* Why the actor is not known, or from what it is inferred; of an unknown one it is always said. */
struct span event_actor_reason(const struct event *e);

/* Appends the payload to out, whose buf_check() tells. */
void event_encode(const struct event *e, struct buf *out);
NODISCARD enum err_kind event_decode(struct span payload, struct event *ret, struct err *err);

/* The event that a payload of the spool is, also where it is a line's, which scratch is for. */
NODISCARD enum err_kind event_of_payload(struct span payload, struct record *scratch,
					 struct event *ret, struct err *err);

#endif
