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

void snapshots_close(struct snapshots *s)
{
	struct err aside;

	if (!s)
		return;
	if (s->mine) {
		enum err_kind rc = lease_give_back(s->session, LEASE, s->holder, &aside);

		(void)rc; /* then it expires */
	}
	session_close(s->session);
	free(s);
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
			     struct buf *ret, int64_t *ret_taken_ns, struct err *err)
{
	const char *const values[] = {resource, scope};
	PGresult *rows;
	enum err_kind rc =
		session_ask(s->session,
			    "SELECT content, (extract(epoch FROM taken_at) * 1000000)::bigint "
			    "FROM flytrail.snapshots WHERE resource = $1 AND scope = $2",
			    values, ARRAY_LEN(values), &rows, err);

	if (rc)
		return rc;
	*ret_taken_ns = INT64_MIN;
	if (PQntuples(rows) == 1) {
		buf_add(ret, PQgetvalue(rows, 0, 0), (size_t)PQgetlength(rows, 0, 0));
		*ret_taken_ns = strtoll(PQgetvalue(rows, 0, 1), NULL, 10) * NS_PER_US;
	}
	PQclear(rows);
	return buf_check(ret, err);
}

enum err_kind snapshots_save(struct snapshots *s, const char *resource, const char *scope,
			     struct span content, int64_t taken_ns, struct err *err)
{
	char taken[TIME_TEXT_BYTES];
	char *text = span_copy(content);
	const char *const values[] = {resource, scope, time_format(taken_ns, taken), text};
	PGresult *result;
	enum err_kind rc;

	if (!text)
		return err_set(err, ERR_FATAL, "out of memory for a snapshot");
	rc = session_ask(s->session,
			 "INSERT INTO flytrail.snapshots AS s (resource, scope, taken_at, content) "
			 "VALUES ($1, $2, $3::timestamptz, $4::jsonb) "
			 "ON CONFLICT (resource, scope) DO UPDATE "
			 "SET taken_at = excluded.taken_at, content = excluded.content "
			 "WHERE s.taken_at < excluded.taken_at",
			 values, ARRAY_LEN(values), &result, err);
	free(text);
	if (!rc)
		PQclear(result);
	return rc;
}
