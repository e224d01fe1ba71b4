/* `flytrail coverage`: how far the trail can be believed to be whole, and where it cannot. */

#include "store/coverage.h"

#include "cmd/cmd.h"

#include <inttypes.h>
#include <string.h>

enum { COVERAGE_HOLES = 2, DATE_BYTES = 10 };

#define MINUTE_NS (60 * NS_PER_S)

static void print_row(void *arg, const struct coverage_row *row)
{
	(void)arg;
	(void)printf("%s %-27s %-27s %-8s %-11s %s%s%s", row->is_hole ? "HOLE" : "    ", row->start,
		     row->end[0] != '\0' ? row->end : "now", row->kind, row->state,
		     row->app[0] != '\0' ? row->app : "all", row->why[0] != '\0' ? ": " : "",
		     row->why);
	if (row->lines_recovered > 0)
		(void)printf(" (%" PRIu64 " lines recovered)", row->lines_recovered);
	(void)printf("\n");
}

/* Of the whole, in percent, and never 100 where something is missing. */
static double share(double part_s, double whole_s)
{
	static const double nearly = 99.99;
	double percent = whole_s > 0 ? part_s / whole_s * 100 : 0;

	return percent > nearly && part_s < whole_s ? nearly : percent;
}

struct compared {
	double asked_s;
	size_t count;
};

static void print_app(void *arg, const struct coverage_app *app)
{
	struct compared *c = arg;

	if (c->count++ == 0)
		(void)printf("\ncompared with Fly's second copy:\n");
	(void)printf("     %-32s %6" PRIu64 " windows, %10.0f s, %9" PRIu64 " lines: %" PRIu64
		     " recovered, %" PRIu64 " under another id\n",
		     app->app, app->windows, app->compared_s, app->lines_seen, app->lines_recovered,
		     app->id_mismatches);
}

static void print_total(const struct coverage_total *t)
{
	(void)printf("\nfrom %s to %s\n", t->since, t->until);
	(void)printf("     listening    %6.2f %%\n", share(t->listening_s, t->asked_s));
	(void)printf("     in gaps      %6.2f %%\n", share(t->gap_s, t->asked_s));
	(void)printf("     silent       %6.2f %%\n", share(t->silent_s, t->asked_s));
	if (t->unconfirmed > 0)
		(void)printf("DOUBT %" PRIu64 " lines came by the log stream and are not in Fly's "
			     "second copy: action trail.unconfirmed_line\n",
			     t->unconfirmed);
	if (t->before_s > 0)
		(void)printf("HOLE %s is before the trail began to listen, at %s\n", t->since,
			     t->beginning);
}

/* The value of an option that is at argv[*idx]; NULL: it is another, or has none. */
static const char *value_of(const char *option, int argc, char **argv, int *idx)
{
	if (strcmp(argv[*idx], option) != 0 || *idx + 1 >= argc)
		return NULL;
	return argv[++*idx];
}

/* RFC 3339, or a date. */
static bool read_time(const char *text, int64_t *ret_ns)
{
	char with_time[TIME_TEXT_BYTES];
	unsigned digits;

	if (strlen(text) == DATE_BYTES) {
		(void)snprintf(with_time, sizeof(with_time), "%.*sT00:00:00Z", DATE_BYTES, text);
		text = with_time;
	}
	return time_parse(span_text(text), true, ret_ns, &digits);
}

/* Of a time that is not over, or runs backwards, nothing can be said. */
static bool is_past(int64_t since_ns, int64_t until_ns)
{
	int64_t now_ns = time_now_ns();

	if (since_ns < until_ns && since_ns <= now_ns && until_ns <= now_ns + MINUTE_NS)
		return true;
	(void)fprintf(stderr, "flytrail: coverage: --since must be before --until, and neither in "
			      "the future\n");
	return false;
}

static bool read_arguments(struct coverage_options *o, int argc, char **argv)
{
	int64_t since_ns = INT64_MIN, until_ns = time_now_ns();

	for (int i = 1; i < argc; i++) {
		const char *value;
		bool good = false;

		if ((value = value_of("--app", argc, argv, &i)) != NULL) {
			o->app = value;
			continue;
		}
		if ((value = value_of("--since", argc, argv, &i)) != NULL) {
			o->since = value;
			good = read_time(value, &since_ns);
		} else if ((value = value_of("--until", argc, argv, &i)) != NULL) {
			o->until = value;
			good = read_time(value, &until_ns);
		}
		if (!good) {
			(void)fprintf(stderr,
				      "flytrail: coverage: takes --app APP, and --since and "
				      "--until with a time like 2026-11-25 or "
				      "2026-11-25T10:00:00Z\n");
			return false;
		}
	}
	return is_past(since_ns, until_ns);
}

int cmd_coverage(int argc, char **argv)
{
	struct coverage_options options = {.app = "", .since = "", .until = ""};
	struct compared compared = {.count = 0};
	const struct coverage_calls calls = {.row = print_row, .app = print_app, .arg = &compared};
	struct config_report report;
	struct coverage_total total;
	struct config c;
	struct err err = {0};
	bool cut;

	if (!read_arguments(&options, argc, argv))
		return CMD_USAGE;
	cmd_read_config(&c, CONFIG_FOR_STORE, &report);
	cmd_print_report(stderr, &report);
	if (report.bad_count > 0)
		return CMD_USAGE;
	options.url = c.database_url;
	if (coverage_read(&options, &calls, &total, &cut, &err)) {
		(void)fprintf(stderr, "flytrail coverage: %s\n", err.text);
		return CMD_FAILED;
	}
	if (!total.has_begun) {
		(void)printf("HOLE nothing is covered: no flytrail has said yet that it was "
			     "listening to all of the organisation (SUBJECT logs.>)\n");
		return COVERAGE_HOLES;
	}
	if (cut)
		(void)printf("...  more than %d rows: ask for less time\n", COVERAGE_ROWS_MAX);
	print_total(&total);
	if (!total.app_known)
		(void)printf("DOUBT nothing in the trail is of %s: is that its name?\n",
			     options.app);
	if (total.holes == 0 && total.before_s <= 0 && total.unconfirmed == 0 && total.app_known) {
		(void)printf("no holes\n");
		return CMD_OK;
	}
	(void)printf("%" PRIu64 " holes\n", total.holes + (total.before_s > 0));
	return COVERAGE_HOLES;
}
