/* `flytrail archive verify`: what is in the bucket, held against its indexes and Postgres. */

#include "cmd/cmd.h"

#include "base/time.h"
#include "run/verify.h"

#include <inttypes.h>
#include <string.h>

/* As `coverage`: 2 has to mean one thing, so that bad arguments are CMD_FAILED, too. */
enum { ARCHIVE_DIFFERS = 2 };

static const char USAGE[] =
	"flytrail: archive: the one thing it does is `flytrail archive verify [--since DATE] "
	"[--until DATE]`; a date is written like 2026-11-26, that of --until is in it, and not "
	"before that of --since\n";

static bool read_arguments(struct verify_options *o, int argc, char **argv)
{
	bool ok = argc >= 2 && strcmp(argv[1], "verify") == 0;

	o->since_ns = INT64_MIN;
	o->until_ns = INT64_MAX;
	for (int i = 2; i < argc && ok; i += 2) {
		ok = cmd_has_value(argc, argv, i) && strlen(argv[i + 1]) == CMD_DATE_BYTES;
		if (ok && strcmp(argv[i], "--since") == 0)
			ok = cmd_parse_time(argv[i + 1], &o->since_ns);
		else
			ok = ok && strcmp(argv[i], "--until") == 0 &&
			     cmd_parse_until(argv[i + 1], &o->until_ns);
	}
	ok = ok && o->since_ns < o->until_ns;
	if (!ok)
		(void)fprintf(stderr, "%s", USAGE);
	return ok;
}

static void print_finding(void *arg, const char *word, const char *text)
{
	(void)arg;
	(void)printf("%-8s %s\n", word, text);
}

static void print_stream(void *arg, const struct archive_stream *s)
{
	char uuid[ID_TEXT_BYTES], at[TIME_TEXT_BYTES];

	(void)arg;
	(void)printf("         stream %s.%" PRIu64 ": ", id_format(&s->uuid, uuid), s->epoch);
	if (s->indexes == 0)
		(void)printf("no index, from %" PRIu64 " on\n", s->first_seq);
	else
		(void)printf("%" PRIu64 " indexes, to %" PRIu64 " of %.10s\n", s->indexes,
			     s->last_seq, time_format(s->date_ns, at));
}

static void print_read(const struct verify_total *t, bool asked_postgres)
{
	const struct archive_verify_total *a = &t->archive;

	(void)printf("\n%" PRIu64 " objects of %" PRIu64 " records and %" PRIu64
		     " bytes are as the indexes say; %" PRIu64 " indexes were read\n",
		     a->objects, a->records, a->bytes, a->indexes);
	if (a->unindexed > 0)
		(void)printf("%" PRIu64 " objects are in no index yet, and nothing vouches for "
			     "them: their days are not over, or nothing was delivered since\n",
			     a->unindexed);
	if (a->overdue > 0)
		(void)printf("%" PRIu64 " of them were stored more than a day ago: where their "
			     "stream goes on, an index is missing\n",
			     a->overdue);
	if (!asked_postgres)
		(void)printf("Postgres was not asked: FLYTRAIL_DATABASE_URL is not set\n");
	else
		(void)printf("%" PRIu64 " objects were compared with Postgres; of %" PRIu64
			     " it has nothing of that day any more, and of %" PRIu64
			     " not all yet\n",
			     t->compared, t->gone, t->pending);
}

static void print_findings(uint64_t findings, const char *none)
{
	if (findings == 0)
		(void)printf("%s\n", none);
	else
		(void)printf("%" PRIu64 " difference%s\n", findings, findings == 1 ? "" : "s");
}

/* What failed at once has read nothing, and says no more than why. */
static bool has_read(const struct archive_verify_total *a)
{
	return a->indexes > 0 || a->objects > 0 || a->unindexed > 0 || a->findings > 0;
}

static int verify(const struct verify_options *asked, const struct config *c)
{
	struct verify_options options = *asked;
	const struct verify_calls calls = {.finding = print_finding, .stream = print_stream};
	struct verify_total total;
	struct sinks_s3 s3;
	struct err err = {0};

	sinks_s3(c, &s3);
	options.s3 = &s3;
	options.database_url = c->database_url;
	if (verify_archive(&options, &calls, &total, &err)) {
		if (has_read(&total.archive)) {
			print_read(&total, c->database_url[0] != '\0');
			print_findings(total.archive.findings, "no difference so far");
			(void)printf("it did not come to its end\n");
		}
		(void)fprintf(stderr, "flytrail: archive verify: %s\n", err.text);
		return CMD_FAILED;
	}
	print_read(&total, c->database_url[0] != '\0');
	print_findings(total.archive.findings, "all agree");
	return total.archive.findings > 0 ? ARCHIVE_DIFFERS : CMD_OK;
}

int cmd_archive(int argc, char **argv)
{
	struct verify_options options;
	struct config_report report;
	struct config c;

	if (!read_arguments(&options, argc, argv))
		return CMD_FAILED;
	cmd_read_config(&c, 0, &report);
	if (report.bad_count > 0) {
		cmd_print_report(stderr, &report);
		return CMD_FAILED;
	}
	if (!sinks_has_s3(&c)) {
		(void)fprintf(stderr, "flytrail: archive: there is none: AWS_ACCESS_KEY_ID, "
				      "AWS_SECRET_ACCESS_KEY and AWS_BUCKET say where it is\n");
		return CMD_FAILED;
	}
	return verify(&options, &c);
}
