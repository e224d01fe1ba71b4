/*
 * retention_driver: one apply by run/retention, for tests/integration/test_retention.py, with an
 * archive of which the test says what it does when it is asked about a partition.
 *
 *	retention_driver URL agree|lack|fail|away|one|cut|die|end
 *
 * agree: it has all rows. lack: one is missing. fail: it cannot be read. away: nothing
 * answers; one: that once. cut: the connection to
 * Postgres is lost meanwhile. die: this process. end: it gets a signal to end. Prints a line for
 * each call, and the error; 1: there is one, or something could not go.
 */

#include "run/retention.h"

#include "store/session.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { WAIT_US = 20000 };

struct driver {
	const char *does;
	bool is_over;
	int asked;
};

static enum err_kind check_archive(void *arg, struct retention *db,
				   const struct retention_part *part, struct retention_archive *ret,
				   struct err *err)
{
	struct driver *d = arg;
	struct err aside;

	(void)printf("asked %s %s\n", part->kind, part->partition);
	(void)fflush(stdout);
	if (strcmp(d->does, "die") == 0)
		_exit(3);
	if (strcmp(d->does, "fail") == 0)
		return err_set(err, ERR_CORRUPT, "an object of it is damaged");
	if (strcmp(d->does, "away") == 0 || (strcmp(d->does, "one") == 0 && d->asked++ == 0))
		return err_set(err, ERR_RETRY, "S3 does not answer");
	if (strcmp(d->does, "cut") == 0 &&
	    !session_run(retention_session(db), "SELECT pg_terminate_backend(pg_backend_pid())",
			 &aside))
		return err_set(err, ERR_FATAL, "the connection is still there");
	d->is_over = strcmp(d->does, "end") == 0;
	ret->rows = part->digest->rows;
	(void)snprintf(ret->digest, sizeof(ret->digest), "%s", part->digest->digest);
	if (strcmp(d->does, "lack") == 0)
		ret->rows--;
	ret->objects = 2;
	retention_add_key(ret, SPAN("flytrail/index/x.ndjson.gz"));
	return ERR_NONE;
}

static void print_dropped(void *arg, const struct retention_row *row)
{
	(void)arg;
	(void)printf("dropped %s\n", row->partition);
}

static void print_stays(void *arg, const struct retention_row *row, const char *state,
			const char *why)
{
	(void)arg;
	(void)printf("stays %s %s: %s\n", row->partition, state, why);
}

static void print_attached(void *arg, const char *table)
{
	(void)arg;
	(void)printf("attached %s\n", table);
}

static void print_stray(void *arg, const char *table)
{
	(void)arg;
	(void)printf("stray %s\n", table);
}

static bool is_over(void *arg)
{
	const struct driver *d = arg;

	return d->is_over;
}

static void wait_less(void *arg, int64_t ns)
{
	(void)arg;
	(void)ns;
	(void)usleep(WAIT_US);
}

int main(int argc, char **argv)
{
	struct driver d = {.does = argc == 3 ? argv[2] : ""};
	const struct retention_options options = {
		.url = argc == 3 ? argv[1] : "",
		.calls = {.check_archive = check_archive,
			  .archive_arg = &d,
			  .dropped = print_dropped,
			  .stays = print_stays,
			  .attached = print_attached,
			  .stray = print_stray,
			  .is_over = is_over,
			  .wait = wait_less,
			  .arg = &d},
	};
	struct retention_result result;
	struct err err;

	if (retention_apply(&options, &result, &err)) {
		(void)printf("error %s\n", err.text);
		return 1;
	}
	return result.failed > 0 ? 1 : 0;
}
