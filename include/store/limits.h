#ifndef STORE_LIMITS_H
#define STORE_LIMITS_H

/*
 * limits: up to which age rows may be stored: the policy's keep_at_most, a kind each.
 *
 *	limits_read()        at each connection, at least each LIMITS_SECONDS, and before anything
 *	                     is left out by what was read earlier
 *	limits_take_out()    the rows of a plan that are past it are counted instead of stored
 *
 * What is left out is gone for good, and what is stored wrongly goes with its partition some
 * time later. So a row is past its limit only where two clocks say so: this machine's, and
 * Postgres's (flytrail.retention_now(), carried on by a clock that never steps). One that
 * jumped ahead leaves nothing out. A limit that fell while rows wait is met by the next reading,
 * or by flytrail.ensure_partition(), which makes no partition that would be past it as a whole;
 * one that rose or went is met before it could leave anything out.
 *
 * It is the row's own time that counts, not when it was taken or stored. A line that is an event
 * is a row of two kinds, and each has its own limit.
 *
 * Ownership: values; the session is lent for the call.
 * Threads:   none shared.
 * Limits:    a limit of more than LIMITS_DAYS_MAX counts as none.
 * Errors:    the session's.
 */

#include "store/copy.h"
#include "store/session.h"

enum {
	LIMITS_SECONDS = 600,
	LIMITS_DAYS_MAX = 36500,
	/* Postgres's clock may be so far ahead of this machine's that it is waited for. */
	LIMITS_SKEW_SECONDS = 60,
};

enum limits_kind { LIMITS_LINES, LIMITS_SECURITY, LIMITS_OPERATIONS, LIMITS_KINDS };

struct limits {
	int64_t days[LIMITS_KINDS]; /* 0: there is no upper limit */
	int64_t server_ns;          /* Postgres's clock when they were read */
	int64_t read_ns;            /* when that was, by the clock that never steps; 0: never */
};

/* Rows of one kind that were past its limit. */
struct limits_expired {
	uint64_t rows; /* 0: none, and the rest means nothing */
	int64_t first_us, last_us;
	uint64_t first_seq, last_seq;
};

const char *limits_kind_name(enum limits_kind kind); /* as flytrail.retention has it */

NODISCARD enum err_kind limits_read(struct limits *ret, struct session *s, struct err *err);

/* They were read LIMITS_SECONDS ago, or never. */
bool limits_are_old(const struct limits *l);

/* Rows of before this are past the limit, microseconds since 1970; INT64_MIN: there is none. */
int64_t limits_cut_us(const struct limits *l, enum limits_kind kind);

/* Whether rows of the plan are past their limits; the plan stays as it is. */
bool limits_are_met(const struct limits *l, const struct copy_plan *plan);

/* Takes these rows out of a plan of batch, and adds them to what ret has of their kinds. Returns
 * how many. */
uint64_t limits_take_out(const struct limits *l, const struct spool_batch *batch,
			 struct copy_plan *plan, struct limits_expired ret[LIMITS_KINDS]);

/* Whether Postgres's clock is ahead by no more than LIMITS_SKEW_SECONDS: then this machine's comes
 * there soon. */
bool limits_clock_is_near(const struct limits *l);

void limits_add(struct limits_expired *sum, const struct limits_expired *more);

#endif
