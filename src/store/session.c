#include "store/session.h"

#include "base/time.h"
#include "base/utf8.h"
#include "store/sqlstate.h"
#include "store/url.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	STATE_BYTES = 6,
	NUMBER_BYTES = 16,
	TEXT_BYTES = ERR_TEXT_BYTES,
	MS_PER_S = 1000,
};

#define NO_RIGHT "42501"
#define UNMIGRATED                                                                 \
	"; if this database has no schema flytrail, or one older than this binary" \
	", run `flytrail migrate`"

struct session {
	PGconn *pg;
	const char *url_name;
	int answer_seconds;
	bool has_no_rows;
	int64_t deadline_ns; /* of the call that is under way, on the monotonic clock */
	/* of the newest failure */
	char state[STATE_BYTES];
	bool lacks_partition;
};

static void begin_wait(struct session *s, int seconds)
{
	s->deadline_ns = time_monotonic_ns() + seconds * NS_PER_S;
	s->state[0] = '\0';
	s->lacks_partition = false;
}

static enum err_kind wait_socket(struct session *s, short events, struct err *err)
{
	struct pollfd p = {.fd = PQsocket(s->pg), .events = events};
	int64_t left_ns;
	int got;

	do {
		left_ns = s->deadline_ns - time_monotonic_ns();
		got = left_ns > 0 ? poll(&p, 1, (int)(left_ns / NS_PER_MS) + 1) : 0;
	} while (got < 0 && errno == EINTR);
	if (got > 0)
		return ERR_NONE;
	if (got < 0)
		return err_errno(err, ERR_RETRY, "cannot wait for Postgres");
	return err_set(err, ERR_RETRY,
		       "Postgres did not answer in time; is it overloaded or hung?");
}

/* What follows a line break: a part of the words, or one that nobody needs. */
static const char *skip_line_break(const char *words, bool *ret_end)
{
	static const char question[] = "\n\tIs the server running";
	/* Statements, and places in them and in the server's source. */
	static const char *const ends[] = {"\nLOCATION:", "\nCONTEXT:", "\nQUERY:", "\nLINE "};

	*ret_end = false;
	for (size_t i = 0; i < ARRAY_LEN(ends); i++)
		*ret_end |= strncmp(words, ends[i], strlen(ends[i])) == 0;
	/* "Connection refused" has answered it. */
	if (strncmp(words, question, sizeof(question) - 1) == 0)
		words += 1 + strcspn(words + 1, "\n");
	return words;
}

/* libpq's words on one line, without the statement and places. */
static const char *one_line(const char *words, char text[TEXT_BYTES])
{
	size_t len = 0;
	bool end = false;

	for (;; words++) {
		bool line_break = *words == '\n';

		if (line_break)
			words = skip_line_break(words, &end);
		if (end || *words == '\0' || len + sizeof("; ") >= TEXT_BYTES)
			break;
		if (line_break && len > 0 && isalnum((unsigned char)text[len - 1]))
			text[len++] = ';';
		if (*words != '\n' && *words != '\t' && *words != ' ')
			text[len++] = *words;
		else if (len > 0 && text[len - 1] != ' ')
			text[len++] = ' ';
	}
	while (len > 0 && (text[len - 1] == ' ' || text[len - 1] == ';'))
		len--;
	text[len] = '\0';
	utf8_end(text);
	return text;
}

static enum err_kind connection_lost(struct session *s, struct err *err)
{
	char text[TEXT_BYTES];

	return err_set(err, ERR_RETRY, "the connection to Postgres is lost: %s",
		       one_line(PQerrorMessage(s->pg), text));
}

/* What a failed statement says. */
static enum err_kind statement_failed(struct session *s, const PGresult *result, struct err *err)
{
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *words = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	char text[TEXT_BYTES];

	if (!state || PQstatus(s->pg) == CONNECTION_BAD)
		return connection_lost(s, err);
	(void)snprintf(s->state, sizeof(s->state), "%s", state);
	s->lacks_partition = sqlstate_is_no_partition(
		state, PQresultErrorField(result, PG_DIAG_CONSTRAINT_NAME));
	if (strcmp(state, NO_RIGHT) == 0)
		return err_set(err, sqlstate_kind(state),
			       "Postgres says: %s (SQLSTATE %s); does %s name the right role?",
			       one_line(words ? words : "nothing", text), state, s->url_name);
	if (sqlstate_is_own(state))
		return err_set(err, sqlstate_kind(state), "%s", one_line(words ? words : "", text));
	if (!s->has_no_rows && sqlstate_quotes_data(state))
		return err_set(err, sqlstate_kind(state), "Postgres refuses a row: SQLSTATE %s",
			       state);
	return err_set(err, sqlstate_kind(state), "Postgres says: %s (SQLSTATE %s)%s",
		       one_line(words ? words : "nothing", text), state,
		       sqlstate_lacks_schema(state) ? UNMIGRATED : "");
}

/*
 * The SQLSTATE that stands in a failed connection's words ("FATAL:  28P01: ..."),
 * which libpq tells in no other way. Of several hosts the one that may come back counts.
 */
static enum err_kind connect_kind(const char *words, char state[STATE_BYTES])
{
	enum err_kind kind = ERR_NONE;

	for (const char *at = strstr(words, ":  "); at; at = strstr(at + 1, ":  ")) {
		const char *code = at + strlen(":  ");

		if (strspn(code, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") != STATE_BYTES - 1)
			continue;
		if (kind != ERR_NONE && kind != ERR_CONFIG)
			break;
		(void)snprintf(state, STATE_BYTES, "%s", code);
		kind = sqlstate_kind(state);
	}
	/* libpq's own, about the connection string, before it tries a server. */
	if (kind == ERR_NONE && strncmp(words, "invalid ", strlen("invalid ")) == 0)
		kind = ERR_CONFIG;
	return kind == ERR_CONFIG ? ERR_CONFIG : ERR_RETRY;
}

static enum err_kind connect_failed(struct session *s, struct err *err)
{
	const char *words = PQerrorMessage(s->pg);
	enum err_kind kind = connect_kind(words, s->state);
	char text[TEXT_BYTES];

	return err_set(err, kind, "cannot connect to Postgres by %s: %s", s->url_name,
		       one_line(words, text));
}

static PGconn *start_connecting(const struct session_options *o)
{
	char timeout_ms[NUMBER_BYTES];
	/* What stands after dbname wins over the URL, what stands before it yields. */
	const char *const names[] = {
		"application_name",     "keepalives_idle",  "keepalives_interval",
		"keepalives_count",     "tcp_user_timeout", "dbname",
		"target_session_attrs", "client_encoding",  NULL};
	const char *const values[] = {"flytrail", "30",         "5",    "3", timeout_ms,
				      o->url,     "read-write", "UTF8", NULL};

	_Static_assert(ARRAY_LEN(names) == ARRAY_LEN(values), "a value for each name");
	(void)snprintf(timeout_ms, sizeof(timeout_ms), "%d", o->connect_seconds * MS_PER_S);
	return PQconnectStartParams(names, values, 1);
}

static enum err_kind finish_connecting(struct session *s, struct err *err)
{
	PostgresPollingStatusType state = PGRES_POLLING_WRITING;
	enum err_kind rc;

	while (PQstatus(s->pg) != CONNECTION_BAD && state != PGRES_POLLING_OK) {
		rc = wait_socket(s, state == PGRES_POLLING_READING ? POLLIN : POLLOUT, err);
		if (rc)
			return err_wrap(err, "connect by %s", s->url_name);
		state = PQconnectPoll(s->pg);
		if (state == PGRES_POLLING_FAILED)
			return connect_failed(s, err);
	}
	if (PQstatus(s->pg) != CONNECTION_OK || PQsetnonblocking(s->pg, 1) != 0)
		return connect_failed(s, err);
	return ERR_NONE;
}

/* Another replica's rows must not wait for a transaction whose client is gone. Partitions are not
 * made in another isolation, whatever a role's default. */
static enum err_kind prepare(struct session *s, struct err *err)
{
	char sql[TEXT_BYTES];

	(void)snprintf(sql, sizeof(sql),
		       "SET timezone = 'UTC'; SET client_min_messages = warning; "
		       "SET default_transaction_isolation = 'read committed'; "
		       "SET statement_timeout = '%ds'; "
		       "SET idle_in_transaction_session_timeout = '%ds'; "
		       "SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 5; "
		       "SET tcp_keepalives_count = 3",
		       s->answer_seconds, s->answer_seconds);
	return session_run(s, sql, err);
}

/* The server's warnings have nobody to read them, and stderr is for our own lines. */
static void drop_notice(void *arg, const PGresult *notice)
{
	(void)arg;
	(void)notice;
}

enum err_kind session_open(struct session **ret, const struct session_options *options,
			   struct err *err)
{
	struct session *s = NULL;
	enum err_kind rc;
	int hosts = 1;

	rc = url_check(options->url, &hosts, err);
	if (rc) {
		(void)err_wrap(err, "%s", options->url_name);
		return rc;
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return err_set(err, ERR_FATAL, "out of memory for a connection to Postgres");
	s->url_name = options->url_name;
	s->answer_seconds = options->answer_seconds;
	s->has_no_rows = options->has_no_rows;
	s->pg = start_connecting(options);
	if (!s->pg) {
		rc = err_set(err, ERR_FATAL, "out of memory for a connection to Postgres");
		goto out;
	}
	(void)PQsetErrorVerbosity(s->pg, PQERRORS_VERBOSE);
	(void)PQsetNoticeReceiver(s->pg, drop_notice, NULL);
	begin_wait(s, options->connect_seconds * hosts);
	rc = finish_connecting(s, err);
	if (rc)
		goto out;
	rc = prepare(s, err);
	if (rc)
		goto out;
	*ret = s;
	s = NULL;
out:
	session_close(s);
	return rc;
}

void session_close(struct session *s)
{
	if (!s)
		return;
	PQfinish(s->pg);
	free(s);
}

/* Until all is sent that libpq holds. */
static enum err_kind flush(struct session *s, struct err *err)
{
	enum err_kind rc;

	for (;;) {
		int unsent = PQflush(s->pg);

		if (unsent == 0)
			return ERR_NONE;
		if (unsent < 0)
			return connection_lost(s, err);
		rc = wait_socket(s, POLLIN | POLLOUT, err);
		if (rc)
			return rc;
		/* The server may wait for us to read before it takes more. */
		if (PQconsumeInput(s->pg) != 1)
			return connection_lost(s, err);
	}
}

/* The next result of what was sent; NULL after the last one. */
static enum err_kind next_result(struct session *s, PGresult **ret, struct err *err)
{
	enum err_kind rc = flush(s, err);

	while (!rc && PQisBusy(s->pg)) {
		rc = wait_socket(s, POLLIN, err);
		if (!rc && PQconsumeInput(s->pg) != 1)
			rc = connection_lost(s, err);
	}
	if (!rc)
		*ret = PQgetResult(s->pg);
	return rc;
}

/* Takes all results. *ret, if wanted, is the last; the first bad one decides. */
static enum err_kind take_results(struct session *s, PGresult **ret, struct err *err)
{
	PGresult *last = NULL, *next;
	enum err_kind rc, kind = ERR_NONE;

	for (;;) {
		rc = next_result(s, &next, err);
		if (rc || !next)
			break;
		PQclear(last);
		last = next;
		if (PQresultStatus(last) != PGRES_COMMAND_OK &&
		    PQresultStatus(last) != PGRES_TUPLES_OK && !kind)
			kind = statement_failed(s, last, err);
		if (PQstatus(s->pg) == CONNECTION_BAD)
			break;
	}
	rc = rc ? rc : kind;
	if (!rc && !last)
		rc = err_set(err, ERR_RETRY, "Postgres answered nothing");
	if (!rc && ret) {
		*ret = last;
		last = NULL;
	}
	PQclear(last);
	return rc;
}

enum err_kind session_run(struct session *s, const char *sql, struct err *err)
{
	begin_wait(s, s->answer_seconds);
	if (PQsendQuery(s->pg, sql) != 1)
		return connection_lost(s, err);
	return take_results(s, NULL, err);
}

enum err_kind session_ask(struct session *s, const char *sql, const char *const *values, int count,
			  PGresult **ret, struct err *err)
{
	begin_wait(s, s->answer_seconds);
	if (PQsendQueryParams(s->pg, sql, count, NULL, values, NULL, NULL, 0) != 1)
		return connection_lost(s, err);
	return take_results(s, ret, err);
}

enum err_kind session_copy_begin(struct session *s, const char *sql, struct err *err)
{
	PGresult *result;
	ExecStatusType status;
	enum err_kind rc;

	begin_wait(s, s->answer_seconds);
	if (PQsendQuery(s->pg, sql) != 1)
		return connection_lost(s, err);
	do {
		rc = next_result(s, &result, err);
		if (rc)
			return rc;
		if (!result)
			return err_set(err, ERR_RETRY, "Postgres did not begin a COPY");
		status = PQresultStatus(result);
		if (status != PGRES_COMMAND_OK && status != PGRES_COPY_IN)
			rc = statement_failed(s, result, err);
		PQclear(result);
	} while (status == PGRES_COMMAND_OK);
	if (!rc)
		return ERR_NONE;
	/* The rest of what the server says belongs to the statement that failed. */
	do {
		enum err_kind lost = next_result(s, &result, err);

		if (lost)
			return lost;
		PQclear(result);
	} while (result && PQstatus(s->pg) != CONNECTION_BAD);
	return rc;
}

enum err_kind session_copy_put(struct session *s, const void *bytes, size_t len, struct err *err)
{
	enum err_kind rc;

	REQUIRE(len <= INT32_MAX);
	begin_wait(s, s->answer_seconds);
	/* The bytes before these must be on their way, so that libpq's buffer stays small. */
	rc = flush(s, err);
	if (rc)
		return rc;
	if (PQputCopyData(s->pg, bytes, (int)len) != 1 || PQflush(s->pg) < 0)
		return connection_lost(s, err);
	return ERR_NONE;
}

enum err_kind session_copy_abort(struct session *s, struct err *err)
{
	enum err_kind rc;

	begin_wait(s, s->answer_seconds);
	rc = flush(s, err);
	if (rc)
		return rc;
	if (PQputCopyEnd(s->pg, "the client cannot read a record") != 1)
		return connection_lost(s, err);
	/* The server says that the COPY failed, as it should. */
	rc = take_results(s, NULL, err);
	return PQstatus(s->pg) == CONNECTION_OK && strcmp(s->state, "57014") == 0 ? ERR_NONE : rc;
}

enum err_kind session_copy_done(struct session *s, struct err *err)
{
	enum err_kind rc;

	begin_wait(s, s->answer_seconds);
	rc = flush(s, err);
	if (rc)
		return rc;
	if (PQputCopyEnd(s->pg, NULL) != 1)
		return connection_lost(s, err);
	return flush(s, err);
}

enum err_kind session_copy_end(struct session *s, uint64_t *ret_rows, struct err *err)
{
	PGresult *result = NULL;
	enum err_kind rc;

	begin_wait(s, s->answer_seconds);
	rc = take_results(s, &result, err);
	if (rc)
		return rc;
	*ret_rows = strtoull(PQcmdTuples(result), NULL, 10);
	PQclear(result);
	return ERR_NONE;
}

const char *session_state(const struct session *s)
{
	return s->state;
}

bool session_lacks_partition(const struct session *s)
{
	return s->lacks_partition;
}
