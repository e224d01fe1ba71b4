/* `flytrail dead`: what could not be delivered, and what becomes of it. */

#include "cmd/cmd.h"

#include "base/time.h"
#include "model/ndjson.h"
#include "run/settle.h"
#include "sink/dead_settled.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
	WORDS_MAX = 2,
	/* A record's two texts: escapes are six bytes. */
	TEXT_BYTES_MAX = 16 * RECORD_PAYLOAD_BYTES_MAX,
};

static const char USAGE[] =
	"it is `flytrail dead list [--sink SINK]`, `dead show ID`, `dead retry ID`, `dead retry "
	"--all [--sink SINK]` or `dead drop ID --why TEXT`, with an ID as list prints it";

static const char *const sinks[] = {SETTLE_STORE, "s3", "datadog"};

/* What follows `dead`. */
struct order {
	const char *verb;
	const char *words[WORDS_MAX]; /* an ID, or a sink and the rest of one */
	size_t word_count;
	const char *sink; /* NULL: all of them */
	const char *why;  /* NULL: not said */
	bool all;
	struct dead_key key; /* of an ID */
	struct config config;
};

static int bad(const char *what, const char *word)
{
	return cmd_bad_word("dead", word, what, USAGE);
}

/* --- what is printed --- */

/* Bytes from outside, so that a terminal does nothing for them. */
static void print_text(struct span text)
{
	struct buf out;

	buf_init(&out, TEXT_BYTES_MAX);
	json_write_text(&out, text);
	if (!out.failed)
		(void)fwrite(out.data, 1, out.len, stdout);
	buf_release(&out);
}

static void print_key(const char *sink, const struct dead_key *key)
{
	char stream[ID_TEXT_BYTES];

	(void)printf("%s/%s.%" PRIu64 "-%" PRIu64, sink, id_format(&key->stream, stream),
		     key->epoch, key->seq);
}

/* In one line: what the record is. */
static void print_record(struct span payload, struct record *scratch)
{
	char time[TIME_TEXT_BYTES];
	struct err aside;
	struct event e;
	bool is_line = payload_kind(payload) == PAYLOAD_LINE;

	if (is_line ? record_decode(payload, scratch, &aside) : event_decode(payload, &e, &aside)) {
		(void)printf("what this version cannot read");
		return;
	}
	if (is_line)
		e = (struct event){.class = scratch->class,
				   .action = scratch->action,
				   .occurred_ns = scratch->occurred_ns,
				   .app = scratch->app};
	(void)printf("%s%s%s of %s", class_name(e.class), e.action != ACTION_none ? " " : "",
		     action_name(e.action), time_format(e.occurred_ns, time));
	if (e.app.len > 0) {
		(void)printf(" in ");
		print_text(e.app);
	}
}

/* False: there is none. */
static bool print_damages(const char *folder, const char *sink, const struct dead_damages *d)
{
	for (size_t i = 0; i < d->count && i < ARRAY_LEN(d->places); i++)
		(void)printf("damaged: %s/dead-%s.ndjson has a line that cannot be read, at byte "
			     "%" PRIu64 "\n",
			     folder, sink, d->places[i]);
	if (d->count > ARRAY_LEN(d->places))
		(void)printf("damaged: and %zu lines more of that file\n",
			     d->count - ARRAY_LEN(d->places));
	return d->count > 0;
}

/* --- list --- */

static enum err_kind list_letters(const char *sink, struct dead_reader *r, struct record *scratch,
				  struct err *err)
{
	struct dead_letter letter;
	enum err_kind rc = ERR_NONE;

	for (size_t i = 0; i < dead_reader_count(r) && !rc; i++) {
		rc = dead_reader_read(r, i, &letter, err);
		if (rc)
			break;
		print_key(sink, dead_reader_key(r, i));
		(void)printf("  %.*s  ", (int)letter.time.len, letter.time.data);
		print_record(letter.payload, scratch);
		(void)printf(": ");
		print_text(letter.reason);
		(void)printf("\n");
	}
	return rc;
}

static int list(const struct order *o)
{
	struct record *scratch = malloc(sizeof(*scratch));
	bool damaged = false;
	size_t count = 0;
	struct err err;
	enum err_kind rc = scratch ? ERR_NONE : err_set(&err, ERR_FATAL, "out of memory");

	for (size_t i = 0; i < ARRAY_LEN(sinks) && !rc; i++) {
		struct dead_reader *r = NULL;

		if (o->sink && strcmp(o->sink, sinks[i]) != 0)
			continue;
		rc = dead_reader_open(&r, o->config.spool_dir, sinks[i], &err);
		if (rc)
			break;
		rc = list_letters(sinks[i], r, scratch, &err);
		damaged |= print_damages(o->config.spool_dir, sinks[i], dead_reader_damages(r));
		count += dead_reader_count(r);
		dead_reader_close(r);
	}
	free(scratch);
	if (rc) {
		(void)fprintf(stderr, "flytrail: dead list: %s\n", err.text);
		return CMD_FAILED;
	}
	(void)printf("%zu dead letter%s\n", count, count == 1 ? "" : "s");
	return damaged ? CMD_FAILED : CMD_OK;
}

/* --- show --- */

/* False: there is no letter of this key, and stderr says so. */
static bool find(const struct order *o, const struct dead_reader *r, size_t *ret_idx)
{
	if (dead_reader_find(r, &o->key, ret_idx))
		return true;
	(void)fprintf(stderr, "flytrail: dead %s: %s\n", o->verb,
		      dead_reader_is_settled(r, &o->key)
			      ? "this letter was retried or dropped before"
			      : "there is no such letter; `flytrail dead list` shows them");
	return false;
}

/* The record as archives have it, or its bytes where this version cannot read them. */
static void print_whole(struct span payload, struct record *scratch)
{
	bool is_line = payload_kind(payload) == PAYLOAD_LINE;
	struct err aside;
	struct buf out;
	struct event e;

	buf_init(&out, TEXT_BYTES_MAX);
	if (is_line && !record_decode(payload, scratch, &aside)) {
		ndjson_write(scratch, NDJSON_LINE, &out);
		if (scratch->class != CLASS_app_log) {
			event_from_record(scratch, &e);
			ndjson_write_event(&e, &out);
		}
	} else if (!is_line && !event_decode(payload, &e, &aside)) {
		ndjson_write_event(&e, &out);
	} else {
		buf_str(&out, "payload, in base64: ");
		base64_write(&out, payload);
		buf_str(&out, "\n");
	}
	if (!out.failed)
		(void)fwrite(out.data, 1, out.len, stdout);
	buf_release(&out);
}

static int show_letter(const struct order *o, struct dead_reader *r)
{
	struct record *scratch = malloc(sizeof(*scratch));
	struct dead_letter letter;
	struct err err;
	size_t idx = 0;
	enum err_kind rc;

	if (!find(o, r, &idx)) {
		free(scratch);
		return CMD_FAILED;
	}
	rc = scratch ? dead_reader_read(r, idx, &letter, &err)
		     : err_set(&err, ERR_FATAL, "out of memory");
	if (rc) {
		(void)fprintf(stderr, "flytrail: dead show: %s\n", err.text);
		free(scratch);
		return CMD_FAILED;
	}
	print_key(o->sink, &o->key);
	(void)printf("\nsince: %.*s\nreason: ", (int)letter.time.len, letter.time.data);
	print_text(letter.reason);
	if (letter.answer.len > 0) {
		(void)printf("\nanswer: ");
		print_text(letter.answer);
	}
	(void)printf("\n");
	print_whole(letter.payload, scratch);
	free(scratch);
	return CMD_OK;
}

static int show(const struct order *o)
{
	struct dead_reader *r = NULL;
	struct err err;
	int status;

	if (dead_reader_open(&r, o->config.spool_dir, o->sink, &err)) {
		(void)fprintf(stderr, "flytrail: dead show: %s\n", err.text);
		return CMD_FAILED;
	}
	status = show_letter(o, r);
	dead_reader_close(r);
	return status;
}

/* --- retry and drop --- */

static void print_settled(const char *sink, const struct dead_key *key, const char *end)
{
	print_key(sink, key);
	(void)printf(": %s\n", end);
	(void)fflush(stdout);
}

/* Counts what it could not; stops where nothing more can be done now. */
static enum err_kind retry_all(const char *sink, struct settle *s, size_t *ret_stay,
			       struct err *err)
{
	const struct dead_reader *r = settle_letters(s);

	for (size_t i = 0; i < dead_reader_count(r); i++) {
		enum err_kind rc = settle_retry(s, i, err);

		if (!rc) {
			print_settled(sink, dead_reader_key(r, i), "delivered");
			continue;
		}
		if (rc != ERR_REJECT && rc != ERR_CORRUPT)
			return rc;
		print_key(sink, dead_reader_key(r, i));
		(void)printf(": refused once more: ");
		print_text(span_text(err->text));
		(void)printf("\n");
		++*ret_stay;
	}
	return ERR_NONE;
}

static enum err_kind settle_one(const struct order *o, struct settle *s, size_t *ret_stay,
				struct err *err)
{
	bool is_drop = strcmp(o->verb, "drop") == 0;
	size_t idx = 0;
	enum err_kind rc;

	if (!find(o, settle_letters(s), &idx)) {
		++*ret_stay;
		return ERR_NONE;
	}
	rc = is_drop ? settle_drop(s, idx, o->why, err) : settle_retry(s, idx, err);
	if (!rc)
		print_settled(o->sink, &o->key, is_drop ? "dropped" : "delivered");
	return rc;
}

/* Of one sink. */
static int settle(const struct order *o, const char *sink)
{
	struct settle *s = NULL;
	struct err err;
	size_t stay = 0;
	enum err_kind rc = settle_open(&s, &o->config, sink, &err);

	if (!rc)
		rc = o->all ? retry_all(sink, s, &stay, &err) : settle_one(o, s, &stay, &err);
	settle_close(s);
	if (rc)
		(void)fprintf(stderr, "flytrail: dead %s: %s\n", o->verb, err.text);
	return rc || stay > 0 ? CMD_FAILED : CMD_OK;
}

/* A sink that has no letters is left alone, whether or not it can be reached. */
static bool has_letters(const struct order *o, const char *sink)
{
	struct dead_reader *r = NULL;
	struct err aside;
	bool any = true;

	if (dead_reader_open(&r, o->config.spool_dir, sink, &aside) == ERR_NONE)
		any = dead_reader_count(r) > 0;
	dead_reader_close(r);
	return any;
}

static int retry(const struct order *o)
{
	int status = CMD_OK;

	if (!o->all)
		return settle(o, o->sink);
	for (size_t i = 0; i < ARRAY_LEN(sinks); i++)
		if ((!o->sink || strcmp(o->sink, sinks[i]) == 0) && has_letters(o, sinks[i]) &&
		    settle(o, sinks[i]) != CMD_OK)
			status = CMD_FAILED;
	return status;
}

static int drop(const struct order *o)
{
	return settle(o, o->sink);
}

/* --- arguments --- */

static const struct cmd_verb verbs[] = {
	{"list", list, false, 0},
	{"show", show, true, 0},
	{"retry", retry, true, CONFIG_FOR_STORE},
	{"drop", drop, true, CONFIG_FOR_STORE},
};

static bool is_sink(struct span name)
{
	for (size_t i = 0; i < ARRAY_LEN(sinks); i++)
		if (span_is(name, sinks[i]))
			return true;
	return false;
}

/* STREAM.EPOCH-SEQ */
static bool parse_key(const char *text, struct dead_key *ret)
{
	return cmd_parse_stream(&text, &ret->stream, &ret->epoch) &&
	       cmd_parse_number(&text, '\0', &ret->seq);
}

/* SINK/KEY, or SINK and KEY: what list prints, or what somebody took apart. */
static int read_id(struct order *o)
{
	static char sink[SPOOL_CONSUMER_NAME_BYTES];
	const char *slash = strchr(o->words[0], '/');
	const char *key = o->word_count == WORDS_MAX ? o->words[1] : slash ? slash + 1 : "";
	size_t len = slash ? (size_t)(slash - o->words[0]) : strlen(o->words[0]);

	if (!is_sink(span_of(o->words[0], len)) || (slash && o->word_count == WORDS_MAX))
		return bad("names no sink: store, s3 or datadog", o->words[0]);
	if (!parse_key(key, &o->key))
		return bad("is no dead letter's ID", o->words[o->word_count - 1]);
	(void)snprintf(sink, sizeof(sink), "%.*s", (int)len, o->words[0]);
	o->sink = sink;
	return CMD_OK;
}

static int read_words(struct order *o, int argc, char **argv)
{
	for (int i = 2; i < argc; i++) {
		const char **value = strcmp(argv[i], "--sink") == 0  ? &o->sink
				     : strcmp(argv[i], "--why") == 0 ? &o->why
								     : NULL;

		if (strcmp(argv[i], "--all") == 0) {
			o->all = true;
		} else if (value && !cmd_has_value(argc, argv, i)) {
			return bad("has no value", argv[i]);
		} else if (value) {
			*value = argv[++i];
		} else if (argv[i][0] == '-' || o->word_count == WORDS_MAX) {
			return bad("is not known here", argv[i]);
		} else {
			o->words[o->word_count++] = argv[i];
		}
	}
	return CMD_OK;
}

/* What goes with what. */
static int check_words(struct order *o, const struct cmd_verb *v)
{
	bool is_drop = v->obey == drop;

	if (o->sink && !is_sink(span_text(o->sink)))
		return bad("is no sink: store, s3 or datadog are", o->sink);
	if (o->all && v->obey != retry)
		return bad("is for `dead retry`", "--all");
	if (is_drop != (o->why != NULL))
		return is_drop ? bad("say why, with --why TEXT", "")
			       : bad("is for `dead drop`", "--why");
	if (is_drop && strlen(o->why) > DEAD_WHY_BYTES_MAX)
		return bad("is too long", "--why");
	if (!v->wants_word || o->all)
		return o->word_count == 0 ? CMD_OK : bad("is not known here", o->words[0]);
	if (o->sink)
		return bad("is for list, and for `dead retry --all`", "--sink");
	return o->word_count > 0 ? read_id(o) : bad("which letter?", "");
}

/* Where Postgres is not needed, nothing but the folder has to be right. */
static int read_config(struct order *o, unsigned flags)
{
	struct config_report report;

	cmd_read_config(&o->config, flags, &report);
	if (!config_is_bad(&report, "FLYTRAIL_SPOOL_DIR") && !(flags != 0 && report.bad_count > 0))
		return CMD_OK;
	cmd_print_report(stderr, &report);
	return CMD_USAGE;
}

int cmd_dead(int argc, char **argv)
{
	static struct order order; /* a configuration is large */
	const struct cmd_verb *v = cmd_find_verb(verbs, ARRAY_LEN(verbs), argc, argv, USAGE);
	int status;

	if (!v)
		return CMD_USAGE;
	order = (struct order){.verb = argv[1]};
	status = read_words(&order, argc, argv);
	if (status == CMD_OK)
		status = check_words(&order, v);
	if (status == CMD_OK)
		status = read_config(&order, v->config_flags);
	return status == CMD_OK ? v->obey(&order) : status;
}
