/* `flytrail replay`: what an archive keeps, back into Postgres. */

#include "run/restore.h"

#include "base/config_check.h"
#include "base/log.h"
#include "base/time.h"
#include "cmd/cmd.h"
#include "run/sinks.h"

#include <inttypes.h>
#include <signal.h>
#include <unistd.h>

enum {
	FROM_BYTES = 1024,
	BUCKET_BYTES_MAX = 255,
	PROGRESS_MS = 500,
	PROGRESS_BYTES = 128,
};

static const char TAKES[] =
	"it takes --from-archive s3://BUCKET/PREFIX, --class "
	"security|operations|lines, --app APP, --since TIME and --until TIME, where a date "
	"is the whole day";

/* The next one ends the process at once: an object may take minutes. */
static volatile sig_atomic_t is_over;

static void end(int signal)
{
	(void)signal;
	is_over = 1;
}

static void catch_signals(void)
{
	struct sigaction action = {.sa_handler = end, .sa_flags = (int)(SA_RESTART | SA_RESETHAND)};

	(void)sigemptyset(&action.sa_mask);
	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
}

static bool tell_over(void *arg)
{
	(void)arg;
	return is_over != 0;
}

struct told {
	bool progress; /* somebody looks at stderr */
	int64_t told_ns;
};

static void tell_refused(void *arg, const char *word, const char *why)
{
	(void)arg;
	log_progress("");
	(void)fprintf(stderr, "%-8s %s\n", word, why);
}

static void tell_progress(void *arg, const struct restore_counts *c)
{
	struct told *t = arg;
	int64_t now_ns = time_monotonic_ns();
	char text[PROGRESS_BYTES];

	if (!t->progress || now_ns - t->told_ns < PROGRESS_MS * NS_PER_MS)
		return;
	t->told_ns = now_ns;
	(void)snprintf(text, sizeof(text), "%" PRIu64 " objects, %" PRIu64 " rows replayed",
		       c->indexed + c->unindexed, c->rows);
	log_progress(text);
}

static int usage(const char *what, const char *word)
{
	(void)fprintf(stderr, "flytrail: replay: %s %s; %s\n", word, what, TAKES);
	return CMD_USAGE;
}

/* --- arguments --- */

struct arguments {
	const char *from, *class, *app, *since, *until;
};

static int read_arguments(struct arguments *a, int argc, char **argv)
{
	const struct {
		const char *name;
		const char **value;
	} options[] = {
		{"--from-archive", &a->from}, {"--class", &a->class}, {"--app", &a->app},
		{"--since", &a->since},       {"--until", &a->until},
	};

	for (int i = 1; i < argc; i++) {
		size_t at = 0;

		while (at < ARRAY_LEN(options) && strcmp(options[at].name, argv[i]) != 0)
			at++;
		if (at == ARRAY_LEN(options))
			return usage("is no option", argv[i]);
		if (!cmd_has_value(argc, argv, i))
			return usage("has no value", argv[i]);
		*options[at].value = argv[++i];
	}
	return CMD_OK;
}

static int read_filters(const struct arguments *a, struct restore_options *ret)
{
	ret->class = a->class;
	ret->app = a->app;
	if (a->class[0] != '\0' && !restore_is_class(a->class))
		return usage("is no class", a->class);
	if (strlen(a->app) > RECORD_APP_BYTES_MAX || (a->app[0] != '\0' && must_be_plain(a->app)))
		return usage("is no application's name", a->app);
	if (a->since[0] != '\0' && !cmd_parse_time(a->since, &ret->since_ns))
		return usage("is no time", a->since);
	if (a->until[0] != '\0' && !cmd_parse_until(a->until, &ret->until_ns))
		return usage("is no time", a->until);
	if (ret->since_ns >= ret->until_ns)
		return usage("must be before --until", a->since);
	return CMD_OK;
}

/* Another archive than the configuration's own. text: what the names are kept in. */
static int read_from(const char *from, char text[FROM_BYTES], struct config *c)
{
	static const char scheme[] = "s3://";
	size_t len = strlen(from);
	char *prefix;

	if (strncmp(from, scheme, strlen(scheme)) != 0 || len >= FROM_BYTES)
		return usage("is no archive: one is written s3://BUCKET/PREFIX", from);
	(void)snprintf(text, FROM_BYTES, "%s", from + strlen(scheme));
	len = strlen(text);
	while (len > 0 && text[len - 1] == '/')
		text[--len] = '\0';
	prefix = text + strcspn(text, "/");
	if (*prefix == '/')
		*prefix++ = '\0';
	if (text[0] == '\0' || strlen(text) > BUCKET_BYTES_MAX || must_be_plain(text))
		return usage("names no bucket", from);
	if (strlen(prefix) > ARCHIVE_PREFIX_BYTES_MAX ||
	    (*prefix != '\0' && must_be_prefix(prefix)))
		return usage("has no prefix of keys", from);
	c->aws_bucket = text;
	c->s3_prefix = prefix;
	return CMD_OK;
}

/* --- the command --- */

static int print_result(const struct restore_counts *c)
{
	(void)printf("%" PRIu64 " objects replayed: %" PRIu64 " as %" PRIu64
		     " indexes have them, %" PRIu64
		     " that no index has yet, as their own metadata says\n"
		     "%" PRIu64 " rows added, %" PRIu64 " there already\n",
		     c->indexed + c->unindexed, c->indexed, c->indexes, c->unindexed, c->added,
		     c->rows - c->added - c->expired);
	if (c->expired > 0)
		(void)printf("%" PRIu64
			     " rows are past keep_at_most of their kind, and not stored\n",
			     c->expired);
	if (c->refused > 0)
		(void)printf("%" PRIu64 " refused: nothing of these is in the trail\n", c->refused);
	return c->refused > 0 ? CMD_FAILED : CMD_OK;
}

static int replay(const struct config *c, const struct restore_options *filters)
{
	struct told told = {.progress = isatty(STDERR_FILENO), .told_ns = time_monotonic_ns()};
	struct restore_options o = *filters;
	struct restore_counts counts;
	struct sinks_s3 s3;
	char from[FROM_BYTES];
	struct err err = {0};
	enum err_kind rc;

	sinks_s3(c, &s3);
	(void)snprintf(from, sizeof(from), "s3://%s/%s", s3.options.client.bucket, c->s3_prefix);
	o.config = c;
	o.s3 = &s3.options.client;
	o.prefix = c->s3_prefix;
	o.from = from;
	o.refused = tell_refused;
	o.is_over = tell_over;
	o.progress = tell_progress;
	o.arg = &told;
	catch_signals();
	rc = restore_run(&o, &counts, &err);
	log_progress("");
	if (!rc)
		return print_result(&counts);
	(void)print_result(&counts);
	(void)fprintf(stderr,
		      "flytrail: replay: %s; what is replayed stays, and all of it may be "
		      "replayed again\n",
		      err.text);
	return CMD_FAILED;
}

int cmd_replay(int argc, char **argv)
{
	struct arguments a = {.from = "", .class = "", .app = "", .since = "", .until = ""};
	struct restore_options options = {.since_ns = INT64_MIN, .until_ns = INT64_MAX};
	struct config_report report;
	char text[FROM_BYTES];
	struct config c;
	int result = read_arguments(&a, argc, argv);

	if (result == CMD_OK)
		result = read_filters(&a, &options);
	if (result != CMD_OK)
		return result;
	cmd_read_config(&c, CONFIG_FOR_STORE, &report);
	if (a.from[0] != '\0')
		result = read_from(a.from, text, &c);
	if (result != CMD_OK)
		return result;
	if (report.bad_count > 0) {
		cmd_print_report(stderr, &report);
		return CMD_USAGE;
	}
	if (!sinks_has_s3(&c)) {
		(void)fprintf(stderr, "flytrail: replay: the archive is read by AWS_ACCESS_KEY_ID "
				      "and AWS_SECRET_ACCESS_KEY, from AWS_BUCKET, at S3_ENDPOINT "
				      "or in AWS_REGION: one of these is not set\n");
		return CMD_USAGE;
	}
	return replay(&c, &options);
}
