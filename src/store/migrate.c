#include "store/migrate.h"

#include "store/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	CONNECT_SECONDS = 10,
	ANSWER_SECONDS = 600, /* another `flytrail migrate` may be at work */
	NUMBER_BYTES = 16,
};

struct migration {
	int number;
	const char *name;
	int oldest; /* the newest migration that a binary must know to live with this one */
	const char *sha256;
	const char *sql;
};

#include "migrations.inc"

int migrate_newest(void)
{
	return migrations[ARRAY_LEN(migrations) - 1].number;
}

enum err_kind migrate_check(int version, int oldest, struct err *err)
{
	if (oldest > migrate_newest())
		return err_set(
			err, ERR_CONFIG,
			"this database is at schema %d, which needs flytrail with schema %d or "
			"newer; this one has %d: install a newer flytrail",
			version, oldest, migrate_newest());
	if (version < migrate_newest())
		return err_set(err, ERR_CONFIG,
			       "this database is at schema %d and this flytrail needs %d: run "
			       "`flytrail migrate`",
			       version, migrate_newest());
	return ERR_NONE;
}

enum err_kind migrate_check_database(struct session *s, struct err *err)
{
	PGresult *row;
	int version, oldest;
	enum err_kind rc;

	rc = session_ask(s,
			 "SELECT coalesce(max(version), 0), coalesce(max(oldest_binary), 0) "
			 "FROM flytrail.schema_version",
			 NULL, 0, &row, err);
	if (rc == ERR_CONFIG &&
	    (strcmp(session_state(s), "42P01") == 0 || strcmp(session_state(s), "3F000") == 0))
		return err_set(
			err, rc,
			"this database has no schema flytrail: run `flytrail migrate` on it");
	if (rc)
		return err_wrap(err, "read the schema's version");
	version = (int)strtol(PQgetvalue(row, 0, 0), NULL, 10);
	oldest = (int)strtol(PQgetvalue(row, 0, 1), NULL, 10);
	PQclear(row);
	return migrate_check(version, oldest, err);
}

/* The newest migration in the database, and what it asks for; zeros where there is none. */
static enum err_kind read_version(struct session *s, int *ret_version, int *ret_oldest,
				  struct err *err)
{
	PGresult *row;
	bool there;
	enum err_kind rc;

	/* Not by to_regclass(): after a wait for the lock that still knows of no such table. */
	rc = session_ask(s,
			 "SELECT EXISTS (SELECT FROM pg_catalog.pg_class c "
			 "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
			 "WHERE n.nspname = 'flytrail' AND c.relname = 'schema_version')",
			 NULL, 0, &row, err);
	if (rc)
		return rc;
	there = PQgetvalue(row, 0, 0)[0] == 't';
	PQclear(row);
	*ret_version = 0;
	*ret_oldest = 0;
	if (!there)
		return ERR_NONE;
	rc = session_ask(s,
			 "SELECT coalesce(max(version), 0), coalesce(max(oldest_binary), 0) "
			 "FROM flytrail.schema_version",
			 NULL, 0, &row, err);
	if (rc)
		return rc;
	*ret_version = (int)strtol(PQgetvalue(row, 0, 0), NULL, 10);
	*ret_oldest = (int)strtol(PQgetvalue(row, 0, 1), NULL, 10);
	PQclear(row);
	return ERR_NONE;
}

/* What the SQL of sql/ reads the roles' names from, until the transaction ends. */
static enum err_kind set_roles(struct session *s, const struct migrate_options *options,
			       struct err *err)
{
	const char *const roles[] = {options->owner_role, options->writer_role,
				     options->reader_role, options->line_reader_role};

	return session_ask(s,
			   "SELECT set_config('flytrail.owner_role', $1, true), "
			   "set_config('flytrail.writer_role', $2, true), "
			   "set_config('flytrail.reader_role', $3, true), "
			   "set_config('flytrail.line_reader_role', $4, true)",
			   roles, ARRAY_LEN(roles), NULL, err);
}

/* Begins a transaction that no other migration runs beside. */
static enum err_kind begin_alone(struct session *s, int *ret_version, int *ret_oldest,
				 struct err *err)
{
	enum err_kind rc = session_run(
		s, "BEGIN; SELECT pg_advisory_xact_lock(hashtextextended('flytrail.migrate', 0))",
		err);

	return rc ? rc : read_version(s, ret_version, ret_oldest, err);
}

/* One transaction. *ret_done: false when another session was quicker. */
static enum err_kind apply(struct session *s, const struct migrate_options *options,
			   const struct migration *m, bool *ret_done, struct err *err)
{
	char number[NUMBER_BYTES], oldest_text[NUMBER_BYTES];
	const char *const row[] = {number, m->name, oldest_text, m->sha256};
	int version, oldest;
	enum err_kind rc;

	(void)snprintf(number, sizeof(number), "%d", m->number);
	(void)snprintf(oldest_text, sizeof(oldest_text), "%d", m->oldest);
	rc = begin_alone(s, &version, &oldest, err);
	if (rc)
		return rc;
	*ret_done = version < m->number;
	if (!*ret_done)
		return session_run(s, "ROLLBACK", err);
	if (options->progress)
		options->progress(m->number, m->name);
	rc = set_roles(s, options, err);
	if (!rc)
		rc = session_run(s, m->sql, err);
	if (!rc)
		rc = session_ask(s,
				 "INSERT INTO flytrail.schema_version "
				 "(version, name, oldest_binary, sha256) VALUES ($1, $2, $3, $4)",
				 row, ARRAY_LEN(row), NULL, err);
	return rc ? rc : session_run(s, "COMMIT", err);
}

/*
 * One transaction with what is run every time, unless the database is newer: this binary does not
 * know what there is in it.
 */
static enum err_kind apply_always(struct session *s, const struct migrate_options *options,
				  const char *sql, int *ret_version, struct err *err)
{
	int version, oldest;
	enum err_kind rc = begin_alone(s, &version, &oldest, err);

	if (!rc && oldest > migrate_newest())
		rc = migrate_check(version, oldest, err);
	if (!rc && version <= migrate_newest())
		rc = set_roles(s, options, err);
	if (!rc && version <= migrate_newest())
		rc = session_run(s, sql, err);
	if (!rc)
		rc = session_run(s, "COMMIT", err);
	if (!rc)
		*ret_version = version;
	return rc;
}

static enum err_kind apply_missing(struct session *s, const struct migrate_options *options,
				   struct migrate_result *result, struct err *err)
{
	enum err_kind rc = ERR_NONE;

	for (size_t i = 0; i < ARRAY_LEN(migrations) && !rc; i++) {
		const struct migration *m = &migrations[i];
		bool done = false;

		if (m->number <= result->version)
			continue;
		rc = apply(s, options, m, &done, err);
		if (rc)
			err_wrap(err, "migration %d (%s)", m->number, m->name);
		result->applied += done;
	}
	return rc;
}

enum err_kind migrate(const struct migrate_options *options, struct migrate_result *ret,
		      struct err *err)
{
	const struct session_options connection = {
		.url = options->url,
		.url_name = "FLYTRAIL_ADMIN_DATABASE_URL",
		.connect_seconds = CONNECT_SECONDS,
		.answer_seconds = ANSWER_SECONDS,
	};
	struct migrate_result result = {0};
	struct session *s = NULL;
	enum err_kind rc;

	rc = session_open(&s, &connection, err);
	if (rc && !strstr(err->text, connection.url_name))
		(void)err_wrap(err, "%s", connection.url_name);
	if (!rc)
		rc = apply_always(s, options, roles_sql, &result.version, err);
	if (!rc)
		rc = apply_missing(s, options, &result, err);
	if (!rc)
		rc = apply_always(s, options, rights_sql, &result.version, err);
	if (!rc)
		rc = apply_always(s, options, watch_sql, &result.version, err);
	session_close(s);
	if (!rc)
		*ret = result;
	return rc;
}
