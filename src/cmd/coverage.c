/* `flytrail coverage`: how far the trail can be believed to be whole, and where it cannot. */

#include "store/coverage.h"

#include "cmd/cmd.h"

#include <inttypes.h>
#include <string.h>

/* Also for bad arguments the other commands' 2 is CMD_FAILED: 2 has to mean one thing. */
enum { COVERAGE_HOLES = 2 };

#define MINUTE_NS (60 * NS_PER_S)
#define SHARE_SHOWN 0.005 /* percent: what is not 0.00 */

static const char TAKES[] =
	"it takes --app APP, --since TIME and --until TIME, where a date is the whole day";

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

static void print_gone(void *arg, const struct coverage_gone *gone)
{
	(void)arg;
	(void)printf("GONE %" PRIu64 " partition%s of %s between %s and %s, by retention: action "
		     "trail.partition_dropped\n",
		     gone->partitions, gone->partitions == 1 ? "" : "s", gone->kind, gone->start,
		     gone->end);
}

/* Of what is none in most trails: only where there is some. */
static void print_some(const char *name, double percent)
{
	if (percent > SHARE_SHOWN)
		(void)printf("     %-13s%6.2f %%\n", name, percent);
}

/* What is gone can have said that it had begun before. */
static void print_before(const struct coverage_total *t)
{
	const char *before = t->own_gone ? "what the trail still says of its listening, which "
					   "begins"
					 : "the trail began to listen,";

	if (t->all_before)
		(void)printf("HOLE all of it is before %s at %s\n", before, t->beginning);
	else if (t->before_s > 0)
		(void)printf("HOLE %s is before %s at %s\n", t->since, before, t->beginning);
}

static void print_total(const struct coverage_total *t)
{
	double told_s = t->listening_s + t->gap_s + t->silent_s + t->pending_s;

	(void)printf("\nfrom %s to %s\n", t->since, t->until);
	print_some(t->own_gone ? "not known" : "not begun", share(t->asked_s - told_s, t->asked_s));
	(void)printf("     listening    %6.2f %%\n", share(t->listening_s, t->asked_s));
	(void)printf("     in gaps      %6.2f %%\n", share(t->gap_s, t->asked_s));
	(void)printf("     silent       %6.2f %%\n", share(t->silent_s, t->asked_s));
	print_some("not told yet", share(t->pending_s, t->asked_s));
	print_before(t);
}

static void print_unknown_app(const struct coverage_total *t, const char *app)
{
	(void)printf("DOUBT no event, no line and no comparison of %s is in the trail: is that its "
		     "name? ",
		     app);
	if (t->lines_hidden)
		(void)printf("(lines were not looked at: this role may not read lines)\n");
	else
		(void)printf("(of lines, the newest %d of that time were looked at)\n",
			     COVERAGE_LINES_MAX);
}

/* False: all that is watched was looked at. */
static bool print_unwatched(const struct coverage_total *t)
{
	if (t->unobserved > 0)
		(void)printf("DOUBT %" PRIu64 " resource%s of Fly's control plane cannot be looked "
			     "at: the rows `watched unobserved` say why\n",
			     t->unobserved, t->unobserved == 1 ? "" : "s");
	if (t->late > 0)
		(void)printf("DOUBT %" PRIu64 " resource%s of Fly's control plane %s not looked at "
			     "for long: in the view flytrail.watched as `late`\n",
			     t->late, t->late == 1 ? "" : "s", t->late == 1 ? "was" : "were");
	if (t->was_unobserved > 0)
		(void)printf("DOUBT %" PRIu64 " time%s a resource of Fly's control plane could not "
			     "be looked at, and what came and went then is not known: the rows "
			     "`watched unobserved` say when and why\n",
			     t->was_unobserved, t->was_unobserved == 1 ? "" : "s");
	if (t->overrun > 0)
		(void)printf("DOUBT %" PRIu64 " time%s more happened between two looks at Fly's "
			     "control plane than it shows: the rows `watched overrun`\n",
			     t->overrun, t->overrun == 1 ? "" : "s");
	return t->unobserved > 0 || t->late > 0 || t->was_unobserved > 0 || t->overrun > 0;
}

/* False: there is none. */
static bool print_doubts(const struct coverage_total *t, const char *app)
{
	bool is_no_time = t->asked_s <= 0 && !t->all_before;
	bool is_unwatched = print_unwatched(t);

	if (t->unconfirmed > 0)
		(void)printf("DOUBT %" PRIu64 " line%s came by the log stream and %s not in Fly's "
			     "second copy: action trail.unconfirmed_line\n",
			     t->unconfirmed, t->unconfirmed == 1 ? "" : "s",
			     t->unconfirmed == 1 ? "is" : "are");
	if (t->not_checked > 0)
		(void)printf("DOUBT %" PRIu64 " time%s not compared, and nothing is proved of "
			     "%s: the rows `compared not_checked` say why\n",
			     t->not_checked,
			     t->not_checked == 1 ? " of an application was"
						 : "s of applications were",
			     t->not_checked == 1 ? "it" : "them");
	if (is_no_time)
		(void)printf("DOUBT that is no time at all, of which nothing can be said\n");
	if (!t->app_known)
		print_unknown_app(t, app);
	return is_unwatched || t->unconfirmed > 0 || t->not_checked > 0 || is_no_time ||
	       !t->app_known;
}

static int print_verdict(const struct coverage_total *t, const char *app)
{
	uint64_t holes = t->holes + (t->all_before || t->before_s > 0 ? 1 : 0);
	bool doubt = print_doubts(t, app);

	if (holes > 0)
		(void)printf("%" PRIu64 " hole%s\n", holes, holes == 1 ? "" : "s");
	else
		(void)printf("no holes%s\n", doubt ? ", but doubt" : "");
	return holes > 0 || doubt ? COVERAGE_HOLES : CMD_OK;
}

struct argument {
	const char *name;
	const char **value;
	int64_t *ns; /* NULL: it is no time */
	int64_t ahead_ns;
};

/* What is ahead is not over, so that nothing can be said of it. */
static bool read_time(const struct argument *a)
{
	if (!cmd_parse_time(*a->value, a->ns))
		(void)fprintf(stderr,
			      "flytrail: coverage: %s %s is no time; one is written like "
			      "2026-11-25 or 2026-11-25T10:00:00Z\n",
			      a->name, *a->value);
	else if (*a->ns > time_now_ns() + a->ahead_ns)
		(void)fprintf(stderr,
			      "flytrail: coverage: %s %s is in the future, of which nothing can be "
			      "said yet\n",
			      a->name, *a->value);
	else
		return true;
	return false;
}

/* A date has its day in it, and of a day that is not over all that there was. */
static void take_whole_day(struct coverage_options *o, int64_t *until_ns, char *text)
{
	int64_t end_ns;

	if (o->until[0] == '\0' || !cmd_parse_until(o->until, &end_ns) || end_ns == *until_ns)
		return;
	*until_ns = end_ns;
	o->until = end_ns > time_now_ns() ? "" : time_format(end_ns, text);
}

/* until: where o->until may be kept. */
static bool read_arguments(struct coverage_options *o, char *until, int argc, char **argv)
{
	int64_t since_ns = INT64_MIN, until_ns = INT64_MAX;
	const struct argument arguments[] = {
		{.name = "--app", .value = &o->app},
		{.name = "--since", .value = &o->since, .ns = &since_ns},
		{.name = "--until", .value = &o->until, .ns = &until_ns, .ahead_ns = MINUTE_NS},
	};

	for (int i = 1; i < argc; i++) {
		size_t at = 0;

		while (at < ARRAY_LEN(arguments) && strcmp(arguments[at].name, argv[i]) != 0)
			at++;
		if (at == ARRAY_LEN(arguments)) {
			(void)fprintf(stderr, "flytrail: coverage: %s is no option; %s\n", argv[i],
				      TAKES);
			return false;
		}
		if (!cmd_has_value(argc, argv, i)) {
			(void)fprintf(stderr, "flytrail: coverage: %s has no value; %s\n", argv[i],
				      TAKES);
			return false;
		}
		*arguments[at].value = argv[++i];
		if (arguments[at].ns && !read_time(&arguments[at]))
			return false;
	}
	take_whole_day(o, &until_ns, until);
	if (since_ns < until_ns)
		return true;
	(void)fprintf(stderr, "flytrail: coverage: --since %s must be before --until %s\n",
		      o->since, o->until);
	return false;
}

int cmd_coverage(int argc, char **argv)
{
	struct coverage_options options = {.app = "", .since = "", .until = ""};
	struct compared compared = {.count = 0};
	const struct coverage_calls calls = {
		.row = print_row, .app = print_app, .gone = print_gone, .arg = &compared};
	struct config_report report;
	struct coverage_total total;
	struct config c;
	struct err err = {0};
	bool cut;
	char until[TIME_TEXT_BYTES];

	if (!read_arguments(&options, until, argc, argv))
		return CMD_FAILED;
	cmd_read_config(&c, CONFIG_FOR_STORE, &report);
	if (config_is_bad(&report, "FLYTRAIL_DATABASE_URL")) {
		cmd_print_report(stderr, &report);
		return CMD_FAILED;
	}
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
	return print_verdict(&total, options.app);
}
