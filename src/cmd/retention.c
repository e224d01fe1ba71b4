/* `flytrail retention`: for how long the trail is kept, what that would do, and doing it. */

#include "cmd/cmd.h"

#include "base/time.h"
#include "run/archive_agrees.h"

#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <time.h>

enum {
	TERM_BYTES = 64,
	SIZE_BYTES = 32,
	WEEKLY_FROM_DAYS = 91, /* such terms of lines make partitions of a week */
	MARGIN_DAYS = 2,
};

static const char USAGE[] =
	"it is `flytrail retention plan`, `retention apply [--without-archive]`, `retention "
	"profile default|pci|hipaa|eu [--plan]` or `retention set log_lines|security|operations "
	"--keep-for DAYS [--keep-at-most DAYS] [--plan]`";

struct order {
	const char *verb;
	const char *word; /* a profile, or a kind; NULL: none */
	const char *keep_for, *keep_at_most;
	bool without_archive;
	bool plan; /* terms are not set: it is said what they would do */
	struct config config;
};

static int bad(const char *what, const char *word)
{
	return cmd_bad_word("retention", word, what, USAGE);
}

static int failed(const struct order *o, const struct err *err)
{
	(void)fprintf(stderr, "flytrail: retention %s: %s\n", o->verb, err->text);
	return CMD_FAILED;
}

/* --- what is printed --- */

static const char *size_text(uint64_t bytes, char text[SIZE_BYTES])
{
	static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
	const double step = 1024;
	double size = (double)bytes / step;
	size_t i = 0;

	while (size >= step && i + 1 < ARRAY_LEN(units)) {
		size /= step;
		i++;
	}
	(void)snprintf(text, SIZE_BYTES, "%.1f %s", size, units[i]);
	return text;
}

static const char *term_text(const struct retention_term *t, char text[TERM_BYTES])
{
	if (t->keep_for == 0)
		(void)snprintf(text, TERM_BYTES, "kept for ever");
	else if (t->keep_at_most == 0)
		(void)snprintf(text, TERM_BYTES, "kept for %d days", t->keep_for);
	else
		(void)snprintf(text, TERM_BYTES, "kept for %d days, at most %d", t->keep_for,
			       t->keep_at_most);
	return text;
}

static void print_stray(void *arg, const char *table)
{
	(void)arg;
	cmd_print_text(table);
	(void)printf(" is left alone: somebody detached it, so that its rows are in no view, or "
		     "attached it without two times as its bounds; attach it with its bounds, or "
		     "detach it and give it a name of another form\n");
}

/* --- plan --- */

/* What stays for its term alone, of one kind: a line for all of it. */
struct kept {
	const char *kind, *from, *to;
	const char *why, *newest_why; /* of the oldest and the newest one */
	uint64_t rows, bytes;
	size_t count;
};

static void print_line(const struct retention_row *row, const char *verdict)
{
	char size[SIZE_BYTES];

	(void)printf("%-10s  %-10s  %-10s  %12" PRIu64 "  %10s  %-5s  ", row->kind, row->from,
		     row->to, row->rows_about, size_text(row->bytes, size), verdict);
	cmd_print_text(row->why);
}

static void print_kept(struct kept *k)
{
	const struct retention_row row = {.kind = k->kind,
					  .from = k->from,
					  .to = k->to,
					  .rows_about = k->rows,
					  .bytes = k->bytes,
					  .why = k->why};

	if (k->count > 0) {
		print_line(&row, "stays");
		(void)printf("%s\n",
			     strcmp(k->why, k->newest_why) != 0 ? ", what is newer longer" : "");
	}
	*k = (struct kept){.count = 0};
}

static void add_kept(struct kept *k, const struct retention_row *row)
{
	if (k->count++ == 0) {
		k->kind = row->kind;
		k->from = row->from;
		k->why = row->why;
	}
	k->to = row->to;
	k->newest_why = row->why;
	k->rows += row->rows_about;
	k->bytes += row->bytes;
}

static void print_plan(const struct retention_plan *plan)
{
	struct kept kept = {.count = 0};
	uint64_t rows = 0, bytes = 0;
	char size[SIZE_BYTES];
	size_t goes = 0;

	(void)printf("%-10s  %-10s  %-10s  %12s  %10s\n", "kind", "from", "to", "rows, about",
		     "size");
	for (size_t i = 0; i < retention_plan_count(plan); i++) {
		const struct retention_row row = retention_plan_row(plan, i);

		if (kept.count > 0 &&
		    (!retention_row_is_kept(&row) || strcmp(kept.kind, row.kind) != 0))
			print_kept(&kept);
		if (retention_row_is_kept(&row)) {
			add_kept(&kept, &row);
			continue;
		}
		print_line(&row, row.goes ? "goes" : "stays");
		(void)printf("\n");
		if (row.goes) {
			goes++;
			rows += row.rows_about;
			bytes += row.bytes;
		}
	}
	print_kept(&kept);
	(void)printf("%zu partition%s would go: about %" PRIu64 " rows, %s\n", goes,
		     goes == 1 ? "" : "s", rows, size_text(bytes, size));
}

static bool archive_has_lines(const struct order *o)
{
	struct sinks_s3 s3;

	sinks_s3(&o->config, &s3);
	return s3.options.archive.send != ARCHIVE_EVENTS;
}

/* Who is asked before something goes, or was. */
static void print_asked(const struct order *o, const char *asked)
{
	if (!sinks_has_s3(&o->config))
		(void)printf("no archive is configured here, so none %s asked\n", asked);
	else if (!archive_has_lines(o))
		(void)printf("FLYTRAIL_S3_SEND is `events`, so of log_lines no archive %s asked\n",
			     asked);
}

/* What stands beside a plan: tables that are in none, and what is against all of it. */
struct aside {
	struct retention_names leftovers, strays;
	char clock[ERR_TEXT_BYTES]; /* "": it is right */
};

static enum err_kind read_aside(struct retention *db, struct aside *ret, struct err *err)
{
	enum err_kind rc = retention_leftovers(db, &ret->leftovers, err);

	if (!rc)
		rc = retention_strays(db, &ret->strays, err);
	if (rc)
		return rc;
	rc = retention_check_clock(db, err);
	(void)snprintf(ret->clock, sizeof(ret->clock), "%s", rc ? err->text : "");
	return rc == ERR_CONFIG ? ERR_NONE : rc;
}

static void print_aside(const struct order *o, const struct aside *a)
{
	for (size_t i = 0; i < a->leftovers.count; i++) {
		cmd_print_text(a->leftovers.names[i]);
		(void)printf(
			" is detached: `retention apply` is at it, or was interrupted, and the "
			"next one attaches it again\n");
	}
	for (size_t i = 0; i < a->strays.count; i++)
		print_stray(NULL, a->strays.names[i]);
	if (sinks_has_s3(&o->config))
		(void)printf("`retention apply` asks the archive of each before it goes\n");
	print_asked(o, "would be");
	if (a->clock[0] != '\0')
		(void)printf("`retention apply` would do nothing now: %s\n", a->clock);
}

static int plan(const struct order *o)
{
	static struct aside aside;
	struct retention_term terms[RETENTION_KINDS];
	struct retention_plan *plan = NULL;
	struct retention *db = NULL;
	char text[TERM_BYTES];
	struct err err;
	enum err_kind rc = retention_open(&db, o->config.database_url, &err);

	if (!rc)
		rc = retention_read_terms(db, terms, &err);
	if (!rc)
		rc = retention_plan_read(db, &plan, &err);
	if (!rc)
		rc = read_aside(db, &aside, &err);
	retention_close(db);
	if (rc) {
		retention_plan_free(plan);
		return failed(o, &err);
	}
	for (size_t i = 0; i < RETENTION_KINDS; i++)
		(void)printf("%-10s  %s\n", terms[i].kind, term_text(&terms[i], text));
	(void)printf("\n");
	print_plan(plan);
	retention_plan_free(plan);
	print_aside(o, &aside);
	return CMD_OK;
}

/* --- apply --- */

/* The next one ends the process at once; what is detached then, the next apply attaches. */
static volatile sig_atomic_t is_ended;

static void end(int signal)
{
	(void)signal;
	is_ended = 1;
}

static void catch_signals(void)
{
	struct sigaction action = {.sa_handler = end, .sa_flags = (int)SA_RESETHAND};

	(void)sigemptyset(&action.sa_mask);
	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
}

static bool is_over(void *arg)
{
	(void)arg;
	return is_ended != 0;
}

static void wait_for(void *arg, int64_t ns)
{
	const struct timespec pause = {.tv_sec = ns / NS_PER_S, .tv_nsec = ns % NS_PER_S};

	(void)arg;
	(void)nanosleep(&pause, NULL); /* a signal cuts it short */
}

static void print_dropped(void *arg, const struct retention_row *row)
{
	char size[SIZE_BYTES];

	(void)arg;
	(void)printf("dropped %s: %s to %s, about %" PRIu64 " rows, %s; %s\n", row->partition,
		     row->from, row->to, row->rows_about, size_text(row->bytes, size), row->why);
	(void)fflush(stdout);
}

static void print_stays(void *arg, const struct retention_row *row, const char *state,
			const char *why)
{
	(void)arg;
	(void)state;
	(void)printf("%s stays, though past its term: ", row->partition);
	cmd_print_text(why);
	(void)printf("\n");
	(void)fflush(stdout);
}

static void print_attached(void *arg, const char *table)
{
	(void)arg;
	(void)printf("attached again what an interrupted one had left: ");
	cmd_print_text(table);
	(void)printf("\n");
}

static int apply(const struct order *o)
{
	struct sinks_s3 s3;
	struct archive_agrees_options archive = {.s3 = &s3, .is_over = is_over};
	const bool has_archive = sinks_has_s3(&o->config);
	const struct retention_options options = {
		.url = o->config.database_url,
		.without_archive = o->without_archive,
		.calls = {.check_archive = has_archive ? archive_agrees : NULL,
			  .archive_arg = &archive,
			  .dropped = print_dropped,
			  .stays = print_stays,
			  .attached = print_attached,
			  .stray = print_stray,
			  .is_over = is_over,
			  .wait = wait_for},
	};
	struct retention_result result;
	struct err err;
	enum err_kind rc;

	if (has_archive)
		sinks_s3(&o->config, &s3);
	catch_signals();
	rc = retention_apply(&options, &result, &err);
	/* What refuses all of it is one sentence. */
	if (rc && result.dropped + result.kept + result.failed == 0)
		return failed(o, &err);
	if (result.dropped > 0)
		print_asked(o, "was");
	(void)printf("%zu partition%s dropped; past their terms, %zu kept by holds or gaps and %zu "
		     "that could not go\n",
		     result.dropped, result.dropped == 1 ? "" : "s", result.kept, result.failed);
	if (rc)
		return failed(o, &err);
	return result.failed > 0 || result.strays > 0 ? CMD_FAILED : CMD_OK;
}

/* --- profile and set --- */

/*
 * Terms that are often used where such rules hold; whether they fit an organisation's duties is for
 * its people to say. In the order of retention_kinds.
 */
static const struct profile {
	const char *name;
	struct retention_term terms[RETENTION_KINDS];
} profiles[] = {
	{"default", {{"log_lines", 30, 0}, {"security", 396, 0}, {"operations", 92, 0}}},
	{"pci", {{"log_lines", 92, 0}, {"security", 366, 0}, {"operations", 366, 0}}},
	{"hipaa", {{"log_lines", 92, 0}, {"security", 2192, 0}, {"operations", 2192, 0}}},
	{"eu", {{"log_lines", 30, 35}, {"security", 330, 366}, {"operations", 330, 366}}},
};

static const struct retention_term *find_term(const struct retention_term *terms, const char *kind)
{
	for (size_t i = 0; i < RETENTION_KINDS; i++)
		if (strcmp(terms[i].kind, kind) == 0)
			return &terms[i];
	return NULL;
}

static void print_change(const struct retention_term *before, const struct retention_term *now)
{
	char was[TERM_BYTES], is[TERM_BYTES];

	(void)term_text(before, was);
	(void)term_text(now, is);
	(void)printf("%-10s  %s", now->kind, is);
	if (strcmp(was, is) == 0)
		(void)printf(", as before\n");
	else
		(void)printf("; it was %s\n", was);
}

static int set_terms(const struct order *o, const struct retention_term *terms, size_t count)
{
	struct retention_term before[RETENTION_KINDS];
	struct retention_plan *plan = NULL;
	struct retention *db = NULL;
	struct err err;
	enum err_kind rc =
		retention_open_admin(&db, o->config.admin_database_url, o->config.owner_role, &err);

	if (!rc)
		rc = retention_read_terms(db, before, &err);
	if (!rc)
		rc = o->plan ? retention_try_terms(db, terms, count, &plan, &err)
			     : retention_set_terms(db, terms, count, &err);
	retention_close(db);
	if (rc)
		return failed(o, &err);
	for (size_t i = 0; i < count; i++)
		print_change(find_term(before, terms[i].kind), &terms[i]);
	if (plan) {
		(void)printf("\n");
		print_plan(plan);
		(void)printf("that is not set: without --plan it is, and `flytrail run` does it "
			     "within a "
			     "day\n");
	}
	retention_plan_free(plan);
	return CMD_OK;
}

static int profile(const struct order *o)
{
	for (size_t i = 0; i < ARRAY_LEN(profiles); i++)
		if (strcmp(profiles[i].name, o->word) == 0)
			return set_terms(o, profiles[i].terms, RETENTION_KINDS);
	return bad("is no profile", o->word);
}

/* Whole days up to RETENTION_TERM_MAX. */
static bool parse_days(const char *text, int *ret)
{
	uint64_t days;

	if (!cmd_parse_number(&text, '\0', &days) || days > RETENTION_TERM_MAX)
		return false;
	*ret = (int)days;
	return true;
}

/* Partitions go whole, so that there must be a time between both terms in which one can. */
static int shortest_limit(const struct retention_term *t)
{
	const int day = 1, week = 7, month = 31;
	bool is_lines = strcmp(t->kind, "log_lines") == 0;
	bool is_weekly = t->keep_for >= WEEKLY_FROM_DAYS || t->keep_at_most >= WEEKLY_FROM_DAYS;

	return t->keep_for + MARGIN_DAYS + (!is_lines ? month : is_weekly ? week : day);
}

static int set(const struct order *o)
{
	struct retention_term term = {.keep_at_most = 0};

	for (size_t i = 0; i < RETENTION_KINDS; i++)
		if (strcmp(retention_kinds[i], o->word) == 0)
			term.kind = retention_kinds[i];
	if (!term.kind)
		return bad("is no kind of rows: log_lines, security and operations are", o->word);
	if (!o->keep_for)
		return bad("for how many days? say it with --keep-for", "");
	if (!parse_days(o->keep_for, &term.keep_for))
		return bad("is no number of days from 1 to 36500", o->keep_for);
	if (o->keep_at_most && !parse_days(o->keep_at_most, &term.keep_at_most))
		return bad("is no number of days from 1 to 36500", o->keep_at_most);
	if (o->keep_at_most && term.keep_at_most < shortest_limit(&term)) {
		(void)fprintf(stderr,
			      "flytrail: retention set: --keep-at-most %d is too short: partitions "
			      "go whole, so that it takes the %d days of --keep-for, a partition's "
			      "and %d, which is %d\n",
			      term.keep_at_most, term.keep_for, MARGIN_DAYS, shortest_limit(&term));
		return CMD_USAGE;
	}
	return set_terms(o, &term, 1);
}

/* --- arguments --- */

static const struct cmd_verb verbs[] = {
	{"plan", plan, false, CONFIG_FOR_STORE},
	{"apply", apply, false, CONFIG_FOR_STORE},
	{"profile", profile, true, CONFIG_FOR_MIGRATE},
	{"set", set, true, CONFIG_FOR_MIGRATE},
};

static int read_words(struct order *o, const struct cmd_verb *v, int argc, char **argv)
{
	for (int i = 2; i < argc; i++) {
		const char **value = strcmp(argv[i], "--keep-for") == 0       ? &o->keep_for
				     : strcmp(argv[i], "--keep-at-most") == 0 ? &o->keep_at_most
									      : NULL;

		if (value && v->obey == set) {
			if (!cmd_has_value(argc, argv, i))
				return bad("has no value", argv[i]);
			*value = argv[++i];
		} else if (strcmp(argv[i], "--without-archive") == 0 && v->obey == apply) {
			o->without_archive = true;
		} else if (strcmp(argv[i], "--plan") == 0 && v->wants_word) {
			o->plan = true;
		} else if (argv[i][0] == '-' || o->word || !v->wants_word) {
			return bad("is not known here", argv[i]);
		} else {
			o->word = argv[i];
		}
	}
	if (v->wants_word && !o->word)
		return bad(v->obey == set ? "of which kind of rows?" : "which profile?", "");
	return CMD_OK;
}

int cmd_retention(int argc, char **argv)
{
	static struct order order; /* a configuration is large */
	const struct cmd_verb *v = cmd_find_verb(verbs, ARRAY_LEN(verbs), argc, argv, USAGE);
	int status;

	if (!v)
		return CMD_USAGE;
	order = (struct order){.verb = argv[1]};
	status = read_words(&order, v, argc, argv);
	if (status == CMD_OK)
		status = cmd_need_config(&order.config, v->config_flags);
	return status == CMD_OK ? v->obey(&order) : status;
}
