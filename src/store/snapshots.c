#include "store/snapshots.h"

#include "base/time.h"
#include "store/lease.h"
#include "store/session.h"

#include <stdlib.h>

enum { CONNECT_SECONDS = 10, ANSWER_SECONDS = 60 };

static const char LEASE[] = "watch";

struct snapshots {
	struct session *session;
	char holder[LEASE_TEXT_BYTES];
	bool mine;
};

enum err_kind snapshots_open(struct snapshots **ret, const struct snapshots_options *options,
			     struct err *err)
{
	const struct session_options session = {
		.url = options->url,
		.url_name = "FLYTRAIL_DATABASE_URL",
		.connect_seconds = CONNECT_SECONDS,
		.answer_seconds = ANSWER_SECONDS,
	};
	struct snapshots *s = calloc(1, sizeof(*s));
	enum err_kind rc;

	if (!s)
		return err_set(err, ERR_FATAL, "out of memory for snapshots");
	(void)lease_holder(options->replica, &options->stream, s->holder);
	rc = session_open(&s->session, &session, err);
	if (rc)
		snapshots_close(s);
	else
		*ret = s;
	return rc;
}

void snapshots_drop(struct snapshots *s)
{
	if (!s)
		return;
	session_close(s->session);
	free(s);
}

void snapshots_close(struct snapshots *s)
{
	struct err aside;

	if (!s)
		return;
	if (s->mine) {
		enum err_kind rc = lease_give_back(s->session, LEASE, s->holder, &aside);

		(void)rc; /* then it expires */
	}
	snapshots_drop(s);
}

enum err_kind snapshots_take_lease(struct snapshots *s, int seconds, bool *ret_mine,
				   struct err *err)
{
	struct lease lease;
	enum err_kind rc = lease_take(s->session, LEASE, s->holder, seconds, &lease, err);

	s->mine = rc == ERR_NONE && lease.mine;
	*ret_mine = s->mine;
	return rc;
}

enum err_kind snapshots_load(struct snapshots *s, const char *resource, const char *scope,
			     struct buf *content, struct snapshot *ret, struct err *err)
{
	const char *const values[] = {resource, scope};
	PGresult *rows;
	enum err_kind rc = session_ask(s->session,
				       "SELECT content, (extract(epoch FROM nullif(taken_at, "
				       "'-infinity')) * 1000000)::bigint, "
				       "unobserved_why IS NOT NULL "
				       "FROM flytrail.snapshots WHERE resource = $1 AND scope = $2",
				       values, ARRAY_LEN(values), &rows, err);

	if (rc)
		return rc;
	*ret = (struct snapshot){.found = false};
	if (PQntuples(rows) == 1) {
		ret->found = !PQgetisnull(rows, 0, 1);
		ret->unobserved = *PQgetvalue(rows, 0, 2) == 't';
	}
	if (ret->found) {
		buf_add(content, PQgetvalue(rows, 0, 0), (size_t)PQgetlength(rows, 0, 0));
		ret->taken_ns = strtoll(PQgetvalue(rows, 0, 1), NULL, 10) * NS_PER_US;
	}
	PQclear(rows);
	return buf_check(content, err);
}

enum err_kind snapshots_save(struct snapshots *s, const char *resource, const char *scope,
			     struct span content, int64_t taken_ns, struct err *err)
{
	char taken[TIME_TEXT_BYTES];
	char *text = span_copy(content);
	const char *const values[] = {resource, scope, time_format(taken_ns, taken), text};
	enum err_kind rc;

	if (!text)
		return err_set(err, ERR_FATAL, "out of memory for a snapshot");
	/* A part of an answer changes it, and is not newer than the whole one before. */
	rc = session_ask(
		s->session,
		"INSERT INTO flytrail.snapshots AS s "
		"(resource, scope, taken_at, content, first_at) "
		"VALUES ($1, $2, $3::timestamptz, $4::jsonb, $3::timestamptz) "
		"ON CONFLICT (resource, scope) DO UPDATE "
		"SET taken_at = excluded.taken_at, unobserved_why = NULL, unobserved_since = NULL, "
		"first_at = coalesce(s.first_at, excluded.first_at), "
		"interval_seconds = CASE WHEN s.taken_at = '-infinity' THEN NULL "
		"WHEN s.taken_at = excluded.taken_at THEN s.interval_seconds "
		"ELSE extract(epoch FROM excluded.taken_at - s.taken_at) END, "
		/* One that is the same is not written again. */
		"content = CASE WHEN s.content = excluded.content THEN s.content "
		"ELSE excluded.content END "
		"WHERE s.taken_at <= excluded.taken_at",
		values, ARRAY_LEN(values), NULL, err);
	free(text);
	return rc;
}

enum err_kind snapshots_unobserve(struct snapshots *s, const char *resource, const char *scope,
				  const char *why, struct err *err)
{
	const char *const values[] = {resource, scope, why};

	return session_ask(s->session,
			   "INSERT INTO flytrail.snapshots AS s "
			   "(resource, scope, taken_at, content, unobserved_why, unobserved_since) "
			   "VALUES ($1, $2, '-infinity', '{}', $3, now()) "
			   "ON CONFLICT (resource, scope) DO UPDATE SET unobserved_why = $3, "
			   "unobserved_since = coalesce(s.unobserved_since, now())",
			   values, ARRAY_LEN(values), NULL, err);
}
