/*
 * archive_driver: what retention asks of an archive and does to it, for
 * tests/integration/test_archive_ids.py and test_legal_hold.py.
 *
 *	archive_driver agrees KIND TABLE FROM UNTIL	-> "agrees ROWS OBJECTS DIGEST", "key KEY"
 *... archive_driver hold COMMAND ID			-> "held VERSIONS CHANGED FAILED"
 *	archive_driver daily				-> the same, of each line of stdin, until it
 *ends
 *
 * Database and bucket are those of the environment, as `flytrail run` takes them. What fails is
 * told as "failed TEXT".
 */

#include "base/time.h"
#include "run/archive_agrees.h"
#include "run/legal_hold.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { LINE_BYTES = 64, AGREES_ARGUMENTS = 6, HOLD_ARGUMENTS = 4 };

static struct config config;
static struct sinks_s3 s3;
static struct legal_hold held;

static bool is_over(void *arg)
{
	(void)arg;
	return getenv("ARCHIVE_DRIVER_IS_OVER") != NULL;
}

static int64_t read_time(const char *text)
{
	unsigned digits;
	int64_t ns;

	if (!time_parse(span_text(text), false, &ns, &digits))
		exit(2);
	return ns;
}

static void agree(char **argv)
{
	struct archive_agrees_options agrees = {.s3 = &s3, .is_over = is_over};
	const struct retention_part part = {.kind = argv[2],
					    .partition = argv[3],
					    .leaving = argv[3],
					    .from_ns = read_time(argv[4]),
					    .to_ns = read_time(argv[5])};
	struct retention_archive answer = {.rows = 0};
	struct retention *db = NULL;
	struct err err;
	enum err_kind rc = retention_open(&db, config.database_url, &err);

	buf_init(&answer.keys, RETENTION_KEYS_BYTES_MAX);
	if (!rc)
		rc = archive_agrees(&agrees, db, &part, &answer, &err);
	/* Whoever lent the session goes on with it. */
	if (db && session_run(retention_session(db), "SELECT 1", &(struct err){.kind = ERR_NONE}))
		(void)printf("the session is of no use\n");
	retention_close(db);
	(void)printf("[%.*s]\n", (int)answer.keys.len,
		     answer.keys.len > 0 ? (const char *)answer.keys.data : "");
	buf_release(&answer.keys);
	if (rc)
		(void)printf("failed %s\n", err.text);
	else
		(void)printf("agrees %" PRIu64 " %" PRIu64 " %s\n", answer.rows, answer.objects,
			     answer.digest);
}

static void print_held(enum err_kind rc, const struct legal_hold_result *r, const struct err *err)
{
	(void)printf("held %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", r->versions, r->changed,
		     r->failed);
	(void)printf("%s %s\n", rc ? "failed" : "fine", rc ? err->text : "");
	(void)fflush(stdout);
}

static void hold(char **argv)
{
	const struct legal_hold_options options = {
		.config = &config, .command = argv[2], .is_over = is_over};
	struct legal_hold_result result;
	struct err err;
	enum err_kind rc = legal_hold_one(&options, argv[3], &result, &err);

	print_held(rc, &result, &err);
}

static void go_through_days(void)
{
	const struct legal_hold_options options = {
		.config = &config, .command = "run", .is_over = is_over};
	char line[LINE_BYTES];

	while (fgets(line, sizeof(line), stdin)) {
		struct legal_hold_result result;
		struct err err;
		enum err_kind rc = legal_hold_daily(&held, &options, &result, &err);

		print_held(rc, &result, &err);
	}
}

int main(int argc, char **argv)
{
	struct config_report report;

	config_read(&config, &report, environ);
	sinks_check(&config, &report);
	if (report.bad_count > 0 || !sinks_has_s3(&config)) {
		(void)fprintf(stderr, "archive_driver: the environment does not name a bucket\n");
		return 2;
	}
	sinks_s3(&config, &s3);
	if (argc == AGREES_ARGUMENTS && strcmp(argv[1], "agrees") == 0)
		agree(argv);
	else if (argc == HOLD_ARGUMENTS && strcmp(argv[1], "hold") == 0)
		hold(argv);
	else if (argc == 2 && strcmp(argv[1], "daily") == 0)
		go_through_days();
	else
		return 2;
	return 0;
}
