/* `flytrail hold`: parts of the trail that must not go, whatever the policy says. */

#include "cmd/cmd.h"

#include "base/time.h"
#include "model/class.h"
#include "run/legal_hold.h"
#include "store/retention.h"

#include <inttypes.h>
#include <string.h>

static const char USAGE[] =
	"it is `flytrail hold add [--app APP] [--actor ACTOR] [--class CLASS] [--since TIME] "
	"[--until TIME] --reason TEXT` (a date is the whole day), `hold list` or `hold release ID "
	"--reason TEXT`";

struct order {
	const char *verb;
	struct retention_hold hold;
	char until[TIME_TEXT_BYTES]; /* the hold's, where that is given */
	struct config config;
};

static int bad(const char *what, const char *word)
{
	return cmd_bad_word("hold", word, what, USAGE);
}

static int failed(const struct order *o, const struct err *err)
{
	(void)fprintf(stderr, "flytrail: hold %s: %s\n", o->verb, err->text);
	return CMD_FAILED;
}

/* --- the archive --- */

static bool is_never_over(void *arg)
{
	(void)arg;
	return false;
}

/* S3's legal hold follows the hold that is on, or released, in Postgres already. */
static int hold_archive(const struct order *o, const char *command, const char *id)
{
	const struct legal_hold_options options = {
		.config = &o->config, .command = command, .is_over = is_never_over};
	struct legal_hold_result result;
	struct err err;

	if (!sinks_has_s3(&o->config))
		return CMD_OK;
	if (o->config.database_url[0] == '\0') {
		(void)printf("its archive follows within a day, by `flytrail run`: here "
			     "FLYTRAIL_DATABASE_URL is not set\n");
		return CMD_OK;
	}
	if (legal_hold_one(&options, id, &result, &err)) {
		(void)fprintf(
			stderr,
			"flytrail: %s: that is so in Postgres, and not in all of the archive, "
			"where `flytrail run` tries again: %s\n",
			command, err.text);
		return CMD_FAILED;
	}
	(void)printf("in the archive S3's legal hold was put on or taken off %" PRIu64
		     " of the %" PRIu64 " versions of its objects\n",
		     result.changed, result.versions);
	return CMD_OK;
}

/* --- what is done --- */

static void print_stranger(bool is_stranger, const char *scope, const char *name)
{
	if (!is_stranger)
		return;
	(void)printf("no event so far is of %s ", scope);
	cmd_print_text(name);
	(void)printf(": where that is mistyped, release this hold and add the right one\n");
}

static int add(const struct order *o)
{
	struct retention *db = NULL;
	struct retention_strangers strangers = {0};
	char id[ID_TEXT_BYTES];
	struct err err, aside;
	enum err_kind rc =
		retention_open_admin(&db, o->config.admin_database_url, o->config.owner_role, &err);

	/* A hint, and no reason to fail. Asked before: the hold's own event has an actor. */
	if (!rc && retention_hold_strangers(db, &o->hold, &strangers, &aside))
		strangers = (struct retention_strangers){0};
	if (!rc)
		rc = retention_add_hold(db, &o->hold, id, &err);
	retention_close(db);
	if (rc)
		return failed(o, &err);
	(void)printf("hold %s is on; `flytrail hold release %s --reason TEXT` ends it\n", id, id);
	print_stranger(strangers.app, "app", o->hold.app);
	print_stranger(strangers.actor, "actor", o->hold.actor);
	(void)fflush(stdout);
	return hold_archive(o, "hold add", id);
}

static int release(const struct order *o)
{
	struct retention *db = NULL;
	struct err err;
	enum err_kind rc =
		retention_open_admin(&db, o->config.admin_database_url, o->config.owner_role, &err);

	if (!rc)
		rc = retention_release_hold(db, o->hold.id, o->hold.reason, &err);
	retention_close(db);
	if (rc)
		return failed(o, &err);
	(void)printf("hold %s is released\n", o->hold.id);
	(void)fflush(stdout);
	return hold_archive(o, "hold release", o->hold.id);
}

static void print_scope(const char *name, const char *value)
{
	if (value[0] == '\0')
		return;
	(void)printf("  %s ", name);
	cmd_print_text(value);
}

static void print_hold(void *arg, const struct retention_hold *h)
{
	size_t *count = arg;

	++*count;
	(void)printf("%s", h->id);
	print_scope("app", h->app);
	print_scope("actor", h->actor);
	print_scope("class", h->class);
	print_scope("since", h->since);
	print_scope("until", h->until);
	print_scope("by", h->by);
	(void)printf(" at %s: ", h->added);
	cmd_print_text(h->reason);
	(void)printf("\n");
}

static int list(const struct order *o)
{
	struct retention *db = NULL;
	size_t count = 0;
	struct err err;
	enum err_kind rc = retention_open(&db, o->config.database_url, &err);

	if (!rc)
		rc = retention_list_holds(db, print_hold, &count, &err);
	retention_close(db);
	if (rc)
		return failed(o, &err);
	(void)printf("%zu hold%s\n", count, count == 1 ? "" : "s");
	return CMD_OK;
}

/* --- arguments --- */

static const struct cmd_verb verbs[] = {
	{"add", add, false, CONFIG_FOR_MIGRATE},
	{"list", list, false, CONFIG_FOR_STORE},
	{"release", release, true, CONFIG_FOR_MIGRATE},
};

static const char **find_option(struct order *o, const struct cmd_verb *v, const char *name)
{
	const struct {
		const char *name;
		const char **value;
	} known[] = {{"--reason", &o->hold.reason}, {"--app", &o->hold.app},
		     {"--actor", &o->hold.actor},   {"--class", &o->hold.class},
		     {"--since", &o->hold.since},   {"--until", &o->hold.until}};
	/* A release has a reason alone, and a list nothing. */
	size_t count = v->obey == add ? ARRAY_LEN(known) : v->obey == release ? 1 : 0;

	for (size_t i = 0; i < count; i++)
		if (strcmp(known[i].name, name) == 0)
			return known[i].value;
	return NULL;
}

static int read_words(struct order *o, const struct cmd_verb *v, int argc, char **argv)
{
	for (int i = 2; i < argc; i++) {
		const char **value = find_option(o, v, argv[i]);

		if (value && !cmd_has_value(argc, argv, i))
			return bad("has no value", argv[i]);
		if (value)
			*value = argv[++i];
		else if (argv[i][0] == '-' || !v->wants_word || o->hold.id)
			return bad("is not known here", argv[i]);
		else
			o->hold.id = argv[i];
	}
	return CMD_OK;
}

static bool is_class(const char *name)
{
	for (int c = 0; c < CLASS_COUNT; c++)
		if (strcmp(class_name((enum line_class)c), name) == 0)
			return true;
	return false;
}

static const char BLANKS[] = " \t\r\n";

static bool is_blank(const char *text)
{
	return text[strspn(text, BLANKS)] == '\0';
}

/* Such a name is no application's and no actor's, so that the hold would be on nothing. */
static bool has_blank_end(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && (strchr(BLANKS, name[0]) || strchr(BLANKS, name[len - 1]));
}

static int check_scope(struct order *o)
{
	struct retention_hold *h = &o->hold;
	int64_t since_ns = INT64_MIN, until_ns = INT64_MAX;

	if (h->app[0] == '\0' && h->actor[0] == '\0' && h->class[0] == '\0' &&
	    h->since[0] == '\0' && h->until[0] == '\0')
		return bad("a hold on nothing? say at least one of --app, --actor, --class, "
			   "--since and --until",
			   "");
	if (has_blank_end(h->app) || has_blank_end(h->actor))
		return bad("begins or ends with a blank",
			   has_blank_end(h->app) ? "--app" : "--actor");
	if (h->class[0] != '\0' && !is_class(h->class))
		return bad("is no class", h->class);
	if (h->since[0] != '\0' && !cmd_parse_time(h->since, &since_ns))
		return bad("is no time", h->since);
	if (h->until[0] != '\0' && !cmd_parse_until(h->until, &until_ns))
		return bad("is no time", h->until);
	if (since_ns >= until_ns)
		return bad("must be before --until", "--since");
	if (h->until[0] != '\0')
		h->until = time_format(until_ns, o->until);
	return CMD_OK;
}

static int check_words(struct order *o, const struct cmd_verb *v)
{
	struct id id;

	if (v->obey == list)
		return CMD_OK;
	if (is_blank(o->hold.reason))
		return bad("say why, with --reason TEXT", "");
	if (v->obey == add)
		return check_scope(o);
	if (!o->hold.id)
		return bad("which hold?", "");
	return id_parse(span_text(o->hold.id), &id) ? CMD_OK : bad("is no hold's ID", o->hold.id);
}

int cmd_hold(int argc, char **argv)
{
	static struct order order; /* a configuration is large */
	const struct cmd_verb *v = cmd_find_verb(verbs, ARRAY_LEN(verbs), argc, argv, USAGE);
	int status;

	if (!v)
		return CMD_USAGE;
	order = (struct order){.verb = argv[1],
			       .hold = {.app = "",
					.actor = "",
					.class = "",
					.since = "",
					.until = "",
					.reason = ""}};
	status = read_words(&order, v, argc, argv);
	if (status == CMD_OK)
		status = check_words(&order, v);
	if (status == CMD_OK)
		status = cmd_need_config(&order.config, v->config_flags);
	return status == CMD_OK ? v->obey(&order) : status;
}
