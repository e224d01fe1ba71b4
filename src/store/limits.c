#include "store/limits.h"

#include "base/time.h"

#include <stdlib.h>

#define US_PER_DAY (INT64_C(86400) * 1000 * 1000)

/* An aggregate, so that it is one row also where there is no policy. */
static const char LIMITS_SQL[] =
	"SELECT floor(extract(epoch FROM flytrail.retention_now()) * 1000000)::bigint, "
	"max(keep_at_most_days) FILTER (WHERE kind = 'log_lines'), "
	"max(keep_at_most_days) FILTER (WHERE kind = 'security'), "
	"max(keep_at_most_days) FILTER (WHERE kind = 'operations') FROM flytrail.retention";

const char *limits_kind_name(enum limits_kind kind)
{
	static const char *const names[] = {
		[LIMITS_LINES] = "log_lines",
		[LIMITS_SECURITY] = "security",
		[LIMITS_OPERATIONS] = "operations",
	};

	REQUIRE(kind < LIMITS_KINDS);
	return names[kind];
}

enum err_kind limits_read(struct limits *ret, struct session *s, struct err *err)
{
	struct limits l = {.read_ns = time_monotonic_ns()};
	PGresult *row;
	enum err_kind rc = session_ask(s, LIMITS_SQL, NULL, 0, &row, err);

	if (rc)
		return err_wrap(err, "read how long rows are kept");
	l.server_ns = strtoll(PQgetvalue(row, 0, 0), NULL, 10) * NS_PER_US;
	for (int i = 0; i < LIMITS_KINDS; i++) {
		int64_t days = strtoll(PQgetvalue(row, 0, 1 + i), NULL, 10); /* null: "" */

		l.days[i] = days > 0 && days <= LIMITS_DAYS_MAX ? days : 0;
	}
	PQclear(row);
	*ret = l;
	return ERR_NONE;
}

bool limits_are_old(const struct limits *l)
{
	return l->read_ns == 0 || time_monotonic_ns() - l->read_ns >= LIMITS_SECONDS * NS_PER_S;
}

/* Postgres's clock, as it is by now: behind by as long as its answer was on its way. */
static int64_t server_now(const struct limits *l)
{
	return l->server_ns + time_monotonic_ns() - l->read_ns;
}

int64_t limits_cut_us(const struct limits *l, enum limits_kind kind)
{
	if (l->days[kind] == 0)
		return INT64_MIN;
	return time_earlier(time_now_ns(), server_now(l)) / NS_PER_US - l->days[kind] * US_PER_DAY;
}

bool limits_clock_is_near(const struct limits *l)
{
	return server_now(l) - time_now_ns() <= LIMITS_SKEW_SECONDS * NS_PER_S;
}

void limits_add(struct limits_expired *sum, const struct limits_expired *more)
{
	if (more->rows == 0)
		return;
	if (sum->rows == 0) {
		*sum = *more;
		return;
	}
	sum->rows += more->rows;
	if (more->first_us < sum->first_us)
		sum->first_us = more->first_us;
	if (more->last_us > sum->last_us)
		sum->last_us = more->last_us;
	if (more->first_seq < sum->first_seq)
		sum->first_seq = more->first_seq;
	if (more->last_seq > sum->last_seq)
		sum->last_seq = more->last_seq;
}

/* One moment for all rows of a plan. */
struct cuts {
	int64_t us[LIMITS_KINDS];
};

static struct cuts find_cuts(const struct limits *l)
{
	struct cuts cuts;

	for (size_t i = 0; i < LIMITS_KINDS; i++)
		cuts.us[i] = limits_cut_us(l, (enum limits_kind)i);
	return cuts;
}

static enum limits_kind event_kind(const struct copy_key *key)
{
	return key->is_security ? LIMITS_SECURITY : LIMITS_OPERATIONS;
}

static bool has_limits(const struct limits *l)
{
	for (size_t i = 0; i < LIMITS_KINDS; i++)
		if (l->days[i] > 0)
			return true;
	return false;
}

bool limits_are_met(const struct limits *l, const struct copy_plan *plan)
{
	const struct cuts cuts = find_cuts(l);

	if (!has_limits(l))
		return false;
	/* Lines stand in the order of their times; events by their class before. */
	if (plan->line_count > 0 && plan->lines[0].occurred_us < cuts.us[LIMITS_LINES])
		return true;
	for (size_t i = 0; i < plan->event_count; i++)
		if (plan->events[i].occurred_us < cuts.us[event_kind(&plan->events[i])])
			return true;
	return false;
}

static void count(struct limits_expired ret[LIMITS_KINDS], enum limits_kind kind,
		  const struct copy_key *key, const struct spool_batch *batch)
{
	uint64_t seq = batch->frames[key->frame_idx].seq;
	const struct limits_expired one = {
		.rows = 1,
		.first_us = key->occurred_us,
		.last_us = key->occurred_us,
		.first_seq = seq,
		.last_seq = seq,
	};

	limits_add(&ret[kind], &one);
}

uint64_t limits_take_out(const struct limits *l, const struct spool_batch *batch,
			 struct copy_plan *plan, struct limits_expired ret[LIMITS_KINDS])
{
	const struct cuts cuts = find_cuts(l);
	uint64_t rows = plan->line_count + plan->event_count;
	size_t lines = 0, events = 0;

	for (size_t i = 0; i < plan->line_count; i++) {
		const struct copy_key *key = &plan->lines[i];

		if (key->occurred_us < cuts.us[LIMITS_LINES])
			count(ret, LIMITS_LINES, key, batch);
		else
			plan->lines[lines++] = *key;
	}
	for (size_t i = 0; i < plan->event_count; i++) {
		const struct copy_key *key = &plan->events[i];

		if (key->occurred_us < cuts.us[event_kind(key)])
			count(ret, event_kind(key), key, batch);
		else
			plan->events[events++] = *key;
	}
	plan->line_count = lines;
	plan->event_count = events;
	return rows - lines - events;
}
