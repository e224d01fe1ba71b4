#include "run/legal_hold.h"

#include "base/time.h"
#include "run/act.h"
#include "sink/archive_walk.h"
#include "sink/s3_hold.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	CONNECT_SECONDS = 10,
	ANSWER_SECONDS = 60,
	/* Of S3's clock and ours, and of a put that took its time. */
	MARGIN_HOURS = 24,
};

struct holding {
	const struct legal_hold_options *options;
	struct sinks_s3 s3;
	struct s3_client *client;
	struct hasher *hasher;
	struct held_list list;
	const struct held *hold; /* the present one */
	int64_t stored_since_ns; /* what was put before is as it should be */
	struct legal_hold_result *result;
	struct legal_hold_result present; /* of it, those of the present hold */
	struct err first;                 /* why the first version failed */
};

/* --- what a hold covers --- */

/* 1 << each kind that can have rows of that class; a line that is an event is both. */
static unsigned kinds_of(const char *class)
{
	for (int c = 0; c < CLASS_COUNT; c++) {
		const char *retention = class_retention((enum line_class)c);

		if (strcmp(class_name((enum line_class)c), class) != 0)
			continue;
		if (retention[0] == '\0')
			return 1u << ARCHIVE_LINES;
		return 1u << ARCHIVE_LINES |
		       (strcmp(retention, "security") == 0 ? 1u << ARCHIVE_SECURITY
							   : 1u << ARCHIVE_OPERATIONS);
	}
	return 1u << ARCHIVE_LINES | 1u << ARCHIVE_SECURITY | 1u << ARCHIVE_OPERATIONS;
}

static bool covers(const struct held *h, const struct archive_name *n)
{
	return (kinds_of(h->class) & 1u << n->kind) != 0 && n->until_ns > h->since_ns &&
	       n->from_ns < h->until_ns;
}

static bool is_held_open(const struct held_list *list, const struct archive_name *n)
{
	for (size_t i = 0; i < list->count; i++)
		if (!list->holds[i].is_released && covers(&list->holds[i], n))
			return true;
	return false;
}

/* --- versions --- */

static enum err_kind set(struct holding *h, const struct s3_listed *listed, struct err *err)
{
	const struct s3_hold_target target = {.key = listed->key, .version = listed->version};
	bool is_changed = false;
	unsigned tries = 0;
	enum err_kind rc;

	do
		rc = s3_hold_set(h->client, h->hasher, &target, !h->hold->is_released, &is_changed,
				 err);
	while (archive_walk_again(rc, ++tries, h->options->cut));
	if (rc == ERR_REJECT) {
		if (h->present.failed++ == 0)
			h->first = *err;
		return ERR_NONE;
	}
	if (rc)
		return rc;
	h->present.versions++;
	h->present.changed += is_changed;
	return ERR_NONE;
}

static enum err_kind take_page(void *arg, const struct archive_walk_object *objects, size_t count,
			       struct err *err)
{
	struct holding *h = arg;
	enum err_kind rc = ERR_NONE;

	for (size_t i = 0; i < count && !rc; i++) {
		int64_t stored_ns = objects[i].listed.stored_ns;

		if ((stored_ns != 0 && stored_ns < h->stored_since_ns) ||
		    (h->hold->is_released && is_held_open(&h->list, &objects[i].name)))
			continue;
		if (h->options->is_over(h->options->arg))
			return err_set(err, ERR_FULL, "it was told to end");
		rc = set(h, &objects[i].listed, err);
	}
	return rc;
}

static enum err_kind walk(struct holding *h, struct err *err)
{
	const unsigned kinds = kinds_of(h->hold->class);
	const struct archive_walk_calls calls = {.page = take_page, .arg = h};
	struct archive_walk_options options = {
		.client = h->client,
		.cut = h->options->cut,
		.prefix = h->s3.options.archive.prefix,
		.since_ns = h->hold->since_ns,
		.until_ns = h->hold->until_ns,
		.versions = true,
	};
	enum err_kind rc = ERR_NONE;

	for (unsigned kind = ARCHIVE_LINES; kind <= ARCHIVE_OPERATIONS && !rc; kind++) {
		options.kind = (enum archive_kind)kind;
		if ((kinds & 1u << kind) != 0)
			rc = archive_walk(&options, &calls, err);
	}
	return rc;
}

/* --- on record --- */

/* why: what went wrong; "": nothing did. */
static enum err_kind put_on_record(const struct holding *h, const char *why, struct err *err)
{
	const struct act_number numbers[] = {
		{"versions", h->present.versions},
		{"changed", h->present.changed},
		{"failed", h->present.failed},
	};
	const struct act_text texts[] = {{"state", SPAN("archive")}, {"failure", span_text(why)}};
	const struct act act = {
		.action =
			h->hold->is_released ? ACTION_trail_hold_released : ACTION_trail_hold_added,
		.command = h->options->command,
		.target_type = "hold",
		.target = h->hold->id,
		.why = "",
		.numbers = numbers,
		.number_count = ARRAY_LEN(numbers),
		.texts = texts,
		.text_count = ARRAY_LEN(texts),
	};
	struct apart_result result;
	struct apart *apart = NULL;
	enum err_kind rc = apart_open(&apart, h->options->config->database_url, err);

	if (!rc)
		rc = act_add(apart, h->options->config, &act, err);
	if (!rc)
		rc = apart_commit(apart, &result, err);
	apart_close(apart);
	return rc;
}

/* told: the failure that is on record already; NULL: what was done is put there in any case. */
static enum err_kind hold_one(struct holding *h, char *told, struct err *err)
{
	struct err aside;
	const char *why;
	enum err_kind rc;

	h->present = (struct legal_hold_result){.failed = 0};
	rc = walk(h, err);
	why = rc ? err->text : h->present.failed > 0 ? h->first.text : "";
	h->result->versions += h->present.versions;
	h->result->changed += h->present.changed;
	h->result->failed += h->present.failed;
	if (rc == ERR_FULL ||
	    (told && h->present.changed == 0 && (why[0] == '\0' || strcmp(why, told) == 0)))
		return rc;
	if (told && why[0] != '\0')
		(void)snprintf(told, ERR_TEXT_BYTES, "%s", why);
	if (put_on_record(h, why, &aside) && !rc)
		rc = err_set(err, aside.kind, "it is done, but that is not on record: %s",
			     aside.text);
	return rc;
}

static enum err_kind tell_failed(const struct holding *h, struct err *err)
{
	return err_set(err, ERR_REJECT, "%" PRIu64 " versions could not be looked at: %s",
		       h->result->failed, h->first.text);
}

/* --- the whole --- */

static enum err_kind read_holds(struct holding *h, struct err *err)
{
	const struct session_options options = {
		.url = h->options->config->database_url,
		.url_name = "FLYTRAIL_DATABASE_URL",
		.connect_seconds = CONNECT_SECONDS,
		.answer_seconds = ANSWER_SECONDS,
	};
	struct session *session = NULL;
	enum err_kind rc = session_open(&session, &options, err);

	if (!rc)
		rc = held_read(session, &h->list, err);
	session_close(session);
	return rc;
}

static void end(struct holding *h)
{
	if (!h)
		return;
	s3_client_free(h->client);
	hasher_free(h->hasher);
	free(h);
}

static enum err_kind begin(struct holding **ret, const struct legal_hold_options *options,
			   struct legal_hold_result *result, struct err *err)
{
	struct holding *h = calloc(1, sizeof(*h));
	enum err_kind rc;

	*result = (struct legal_hold_result){.versions = 0};
	if (!h)
		return err_set(err, ERR_FATAL, "out of memory for holds");
	h->options = options;
	h->result = result;
	h->stored_since_ns = INT64_MIN;
	sinks_s3(options->config, &h->s3);
	h->s3.options.client.cut = options->cut;
	rc = hasher_new(&h->hasher, err);
	if (!rc)
		rc = s3_client_new(&h->client, &h->s3.options.client, err);
	if (!rc)
		rc = read_holds(h, err);
	if (rc)
		end(h);
	else
		*ret = h;
	return rc;
}

static const struct held *find(const struct held_list *list, const char *id)
{
	for (size_t i = 0; i < list->count; i++)
		if (strcmp(list->holds[i].id, id) == 0)
			return &list->holds[i];
	return NULL;
}

enum err_kind legal_hold_one(const struct legal_hold_options *options, const char *id,
			     struct legal_hold_result *ret, struct err *err)
{
	struct holding *h = NULL;
	enum err_kind rc = begin(&h, options, ret, err);

	if (rc)
		return rc;
	h->hold = find(&h->list, id);
	rc = h->hold ? hold_one(h, NULL, err) : err_set(err, ERR_REJECT, "there is no hold %s", id);
	if (!rc && ret->failed > 0)
		rc = tell_failed(h, err);
	end(h);
	return rc;
}

/* Whether all that was there at the last look is as this hold wants it. */
static bool was_looked_at(const struct legal_hold *l, const struct held *hold)
{
	const struct held *before = l->done_ns != 0 ? find(&l->last, hold->id) : NULL;

	return before && before->is_released == hold->is_released;
}

enum err_kind legal_hold_daily(struct legal_hold *l, const struct legal_hold_options *options,
			       struct legal_hold_result *ret, struct err *err)
{
	const int64_t margin_ns = MARGIN_HOURS * (3600 * NS_PER_S), began_ns = time_now_ns();
	struct holding *h = NULL;
	enum err_kind rc = begin(&h, options, ret, err);

	if (rc)
		return rc;
	for (size_t i = 0; i < h->list.count && !rc; i++) {
		bool is_old = was_looked_at(l, &h->list.holds[i]);

		h->hold = &h->list.holds[i];
		/* Nothing is put for a hold that is none. */
		if (is_old && h->hold->is_released)
			continue;
		h->stored_since_ns = is_old ? l->done_ns - margin_ns : INT64_MIN;
		rc = hold_one(h, l->told, err);
	}
	l->done_ns = rc || ret->failed > 0 ? 0 : began_ns;
	l->last = h->list;
	if (l->done_ns != 0)
		l->told[0] = '\0';
	if (!rc && ret->failed > 0)
		rc = tell_failed(h, err);
	end(h);
	return rc;
}
