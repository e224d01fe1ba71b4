#include "run/restore.h"

#include "base/backoff.h"
#include "base/time.h"
#include "run/act.h"
#include "store/replay.h"

#include <stdio.h>
#include <string.h>

enum { TEXT_BYTES = ARCHIVE_KEY_BYTES + ERR_TEXT_BYTES + 2 };

static const struct {
	const char *class;
	enum replay_kind kind;
} kinds[] = {
	[ARCHIVE_LINES] = {"lines", REPLAY_LINES},
	[ARCHIVE_SECURITY] = {"security", REPLAY_SECURITY},
	[ARCHIVE_OPERATIONS] = {"operations", REPLAY_OPERATIONS},
};

struct restore {
	const struct restore_options *options;
	struct restore_counts *counts;
	struct replay *replay;
	bool is_on_record; /* that it began */
};

/* Of archive_verify_options; 0: it is none, or "". */
static unsigned kinds_of(const char *class)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (strcmp(kinds[i].class, class) == 0)
			return 1u << i;
	return 0;
}

bool restore_is_class(const char *name)
{
	return kinds_of(name) != 0;
}

/* --- what the archive holds --- */

static void finding(void *arg, const char *word, const char *text)
{
	struct restore *r = arg;

	r->counts->refused++;
	r->options->refused(r->options->arg, word, text);
}

static enum err_kind stream(void *arg, const struct archive_stream *s, struct err *err)
{
	(void)arg;
	(void)s; /* how far the indexes go is for who verifies */
	(void)err;
	return ERR_NONE;
}

static enum err_kind write_object(struct restore *r, const struct archive_name *n,
				  struct span content, struct err *err)
{
	const struct replay_job job = {
		.kind = kinds[n->kind].kind,
		.from_ns = n->from_ns,
		.until_ns = n->until_ns,
		.stream = n->stream,
		.seq = n->first_seq,
		.content = content,
		.app = r->options->app,
		.wanted_from_ns = r->options->since_ns,
		.wanted_until_ns = r->options->until_ns,
	};
	struct replay_result result = {.wanted = 0};
	enum err_kind rc = replay_write(r->replay, &job, &result, err);

	for (unsigned attempt = 1; rc == ERR_RETRY && attempt < RESTORE_ATTEMPTS_MAX; attempt++) {
		backoff_wait(attempt, 0);
		rc = replay_write(r->replay, &job, &result, err);
	}
	r->counts->rows += result.wanted;
	r->counts->added += result.added;
	return rc;
}

/* --- on record --- */

static const char *time_or_nothing(int64_t ns, char text[TIME_TEXT_BYTES])
{
	return ns == INT64_MIN || ns == INT64_MAX ? "" : time_format(ns, text);
}

/* How it went on since the fact before. */
static enum err_kind put_on_record(struct restore *r, const char *state, struct err *err)
{
	const struct restore_options *o = r->options;
	const struct restore_counts *counts = r->counts;
	char since[TIME_TEXT_BYTES], until[TIME_TEXT_BYTES];
	const struct act_text texts[] = {
		{"state", span_text(state)},
		{"class", span_text(o->class)},
		{"app", span_text(o->app)},
		{"since", span_text(time_or_nothing(o->since_ns, since))},
		{"until", span_text(time_or_nothing(o->until_ns, until))},
	};
	const struct act_number numbers[] = {
		{"indexes", counts->indexes},
		{"objects_indexed", counts->indexed},
		{"objects_unindexed", counts->unindexed},
		{"refused", counts->refused},
		{"rows_added", counts->added},
		{"rows_there", counts->rows - counts->added},
	};
	const struct act act = {
		.action = ACTION_trail_replayed,
		.command = "replay",
		.target_type = "archive",
		.target = o->from,
		.why = "",
		.numbers = numbers,
		.number_count = ARRAY_LEN(numbers),
		.texts = texts,
		.text_count = ARRAY_LEN(texts),
	};
	struct apart_result result;
	struct apart *apart = NULL;
	enum err_kind rc = apart_open(&apart, o->config->database_url, err);

	if (!rc)
		rc = act_add(apart, o->config, &act, err);
	if (!rc)
		rc = apart_commit(apart, &result, err);
	apart_close(apart);
	return rc;
}

/* Before the first row, for whatever ends it may leave no time to say so. */
static enum err_kind begin_record(struct restore *r, struct err *err)
{
	enum err_kind rc;

	if (r->is_on_record)
		return ERR_NONE;
	rc = put_on_record(r, "begun", err);
	if (rc)
		return err_wrap(err, "that it begins cannot be put on record");
	r->is_on_record = true;
	return ERR_NONE;
}

/* --- objects --- */

static enum err_kind object(void *arg, const struct archive_entry *entry, struct span content,
			    struct err *err)
{
	struct restore *r = arg;
	bool is_indexed = entry->sha256[0] != '\0';
	enum err_kind rc;

	if (r->options->is_over(r->options->arg))
		return err_set(err, ERR_RETRY, "it was told to end");
	rc = begin_record(r, err);
	if (!rc)
		rc = write_object(r, &entry->name, content, err);
	if (!rc) {
		(*(is_indexed ? &r->counts->indexed : &r->counts->unindexed))++;
	} else if (rc == ERR_REJECT) {
		char text[TEXT_BYTES];

		(void)snprintf(text, sizeof(text), "%s: %s", entry->key, err->text);
		finding(r, "REFUSED", text);
		rc = ERR_NONE;
	}
	r->options->progress(r->options->arg, r->counts);
	return rc;
}

static enum err_kind take_all(struct restore *r, struct err *err)
{
	const struct restore_options *o = r->options;
	const struct archive_verify_options options = {
		.client = *o->s3,
		.prefix = o->prefix,
		.since_ns = o->since_ns,
		.until_ns = o->until_ns,
		.kinds = kinds_of(o->class),
		.unindexed_too = true,
	};
	const struct archive_verify_calls calls = {
		.finding = finding, .stream = stream, .object = object, .arg = r};
	struct archive_verify_total total;
	enum err_kind rc = archive_verify(&options, &calls, &total, err);

	r->counts->indexes = total.indexes;
	return rc;
}

/* --- the whole --- */

enum err_kind restore_run(const struct restore_options *options, struct restore_counts *ret,
			  struct err *err)
{
	struct restore r = {.options = options, .counts = ret};
	struct err aside;
	enum err_kind rc = replay_open(&r.replay, options->config->database_url, err);

	*ret = (struct restore_counts){.indexes = 0};
	if (!rc)
		rc = take_all(&r, err);
	replay_close(r.replay);
	if (!rc) {
		rc = put_on_record(&r, "done", err);
		return rc ? err_wrap(err, "it is done, but that is not on record") : ERR_NONE;
	}
	if (r.is_on_record && put_on_record(&r, "ended early", &aside))
		return err_wrap(err, "how far it came is not on record");
	return rc;
}
