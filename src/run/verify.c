#include "run/verify.h"

#include "base/json.h"
#include "base/time.h"
#include "store/archived.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { TEXT_BYTES = ARCHIVE_KEY_BYTES + ERR_TEXT_BYTES + 2 }; /* KEY: ERROR */

struct verify {
	const struct verify_calls *calls;
	struct verify_total *total;
	struct archived *archived; /* NULL: Postgres is not asked */
	struct archived_id *ids;   /* of the present object: a batch of them */
	size_t count;
	uint64_t missing; /* of it, so far */
	uint64_t rows_findings;
	bool all_sent; /* by the present options */
};

static void finding(void *arg, const char *word, const char *text)
{
	struct verify *v = arg;

	v->calls->finding(v->calls->arg, word, text);
}

/* What was delivered before all were sent is nobody's to miss; but where no line is there, it may
 * be that each is gone. */
static enum err_kind stream(void *arg, const struct archive_stream *s, struct err *err)
{
	struct verify *v = arg;
	uint64_t first_line_seq =
		v->all_sent && s->first_line_seq == UINT64_MAX ? s->first_seq : s->first_line_seq;

	v->calls->stream(v->calls->arg, s);
	return v->archived
		       ? archived_begins(v->archived, &s->uuid, s->first_seq, first_line_seq, err)
		       : ERR_NONE;
}

/* --- an object's records --- */

/* Retention's class of events; "" for lines. */
static const char *class_of(enum archive_kind kind)
{
	if (kind == ARCHIVE_LINES)
		return "";
	return kind == ARCHIVE_SECURITY ? "security" : "operations";
}

static bool read_time(const struct json *root, const char *key, int64_t *ret)
{
	const struct json *value = json_member(root, key);
	unsigned digits;

	return value && json_type(value) == JSON_TEXT &&
	       time_parse(json_text(value), false, ret, &digits);
}

static bool read_id(const struct json *root, bool is_line, struct archived_id *ret)
{
	const struct json *value = json_member(root, is_line ? "id" : "event_id");

	return value && json_type(value) == JSON_TEXT && id_parse(json_text(value), &ret->id) &&
	       read_time(root, "occurred_at", &ret->occurred_ns) &&
	       read_time(root, "observed_at", &ret->observed_ns);
}

static enum err_kind ask_batch(struct verify *v, const char *class, struct err *err)
{
	uint64_t missing;
	enum err_kind rc = archived_missing(v->archived, class, v->ids, v->count, &missing, err);

	if (rc)
		return rc;
	v->missing += missing;
	v->count = 0;
	return ERR_NONE;
}

/* ERR_REJECT: the line is no record that this version can read. */
static enum err_kind add_line(struct verify *v, const struct archive_entry *entry, struct span line,
			      struct err *err)
{
	struct json *root = NULL;
	enum err_kind rc = json_parse(&root, line, err);

	if (!rc && !read_id(root, entry->name.kind == ARCHIVE_LINES, &v->ids[v->count]))
		rc = err_set(err, ERR_REJECT, "a line of it has no id and times");
	json_free(root);
	if (rc)
		return rc;
	v->count++;
	return v->count < ARCHIVED_IDS_MAX ? ERR_NONE
					   : ask_batch(v, class_of(entry->name.kind), err);
}

static enum err_kind ask_all(struct verify *v, const struct archive_entry *entry,
			     struct span content, struct err *err)
{
	enum err_kind rc = ERR_NONE;

	v->count = 0;
	v->missing = 0;
	while (content.len > 0 && !rc) {
		const char *end = memchr(content.data, '\n', content.len);
		size_t len = end ? (size_t)(end - content.data) : content.len;

		rc = add_line(v, entry, span_of(content.data, len), err);
		content = span_after(content, end ? len + 1 : len);
	}
	return rc ? rc : ask_batch(v, class_of(entry->name.kind), err);
}

static void tell_rows(struct verify *v, const char *text)
{
	v->rows_findings++;
	finding(v, "ROWS", text);
}

/* Of the object some records are missing: is all of its day? */
static enum err_kind judge(struct verify *v, const struct archive_entry *entry, struct err *err)
{
	int64_t hour_ns = entry->name.from_ns;
	int64_t into_day_ns = (hour_ns % TIME_DAY_NS + TIME_DAY_NS) % TIME_DAY_NS;
	char text[TEXT_BYTES];
	bool has_day;
	enum err_kind rc = archived_has_day(v->archived, class_of(entry->name.kind),
					    hour_ns - into_day_ns, &has_day, err);

	if (rc)
		return rc;
	if (!has_day) {
		v->total->gone++;
		return ERR_NONE;
	}
	v->total->compared++;
	(void)snprintf(text, sizeof(text),
		       "%s: Postgres has not %" PRIu64 " of its %" PRIu64 " records", entry->key,
		       v->missing, entry->records);
	tell_rows(v, text);
	return ERR_NONE;
}

static enum err_kind compare(struct verify *v, const struct archive_entry *entry,
			     struct span content, struct err *err)
{
	uint64_t reach;
	enum err_kind rc =
		archived_reach(v->archived, &entry->name.stream, entry->name.epoch, &reach, err);

	if (rc)
		return rc;
	if (reach < entry->name.last_seq) {
		v->total->pending++;
		return ERR_NONE;
	}
	rc = ask_all(v, entry, content, err);
	if (rc == ERR_REJECT) {
		char text[TEXT_BYTES];

		(void)snprintf(text, sizeof(text), "%s: %s", entry->key, err->text);
		tell_rows(v, text);
		return ERR_NONE;
	}
	if (rc || v->missing > 0)
		return rc ? rc : judge(v, entry, err);
	v->total->compared++;
	return ERR_NONE;
}

static enum err_kind object(void *arg, const struct archive_entry *entry, struct span content,
			    struct err *err)
{
	struct verify *v = arg;

	return v->archived ? compare(v, entry, content, err) : ERR_NONE;
}

/* --- what the archive does not name --- */

static enum err_kind named(void *arg, const struct archive_name *n, struct err *err)
{
	struct verify *v = arg;
	const struct archived_object object = {
		.class = class_of(n->kind),
		.stream = n->stream,
		.from_ns = n->from_ns,
		.first_seq = n->first_seq,
		.last_seq = n->last_seq,
	};

	return v->archived ? archived_name(v->archived, &object, err) : ERR_NONE;
}

static void tell_unnamed(struct verify *v, const char *text)
{
	v->rows_findings++;
	finding(v, "UNNAMED", text);
}

static enum err_kind find_unnamed(struct verify *v, const struct verify_options *o,
				  const struct verify_total *total, struct err *err)
{
	static const char *const classes[] = {"", "security", "operations"};
	enum err_kind rc = ERR_NONE;

	if (total->archive.indexes == 0)
		tell_unnamed(v, "no index was read: nothing says what there has to be");
	for (size_t i = 0; i < ARRAY_LEN(classes) && v->archived && !rc; i++) {
		char text[TEXT_BYTES];
		uint64_t rows;

		rc = archived_unnamed(v->archived, classes[i], o->since_ns, o->until_ns, &rows,
				      err);
		if (rc || rows == 0)
			continue;
		(void)snprintf(
			text, sizeof(text),
			"of the class %s Postgres has %" PRIu64
			" rows that no object of their stream can have: the archive has lost "
			"them, or they went to another FLYTRAIL_S3_PREFIX or bucket",
			classes[i][0] != '\0' ? classes[i] : "lines", rows);
		tell_unnamed(v, text);
	}
	return rc;
}

/* --- all of it --- */

static enum err_kind open_store(struct verify *v, const char *url, struct err *err)
{
	if (url[0] == '\0')
		return ERR_NONE;
	v->ids = calloc(ARCHIVED_IDS_MAX, sizeof(v->ids[0]));
	if (!v->ids)
		return err_set(err, ERR_FATAL, "out of memory for the records' ids");
	return archived_open(&v->archived, url, err);
}

enum err_kind verify_archive(const struct verify_options *options, const struct verify_calls *calls,
			     struct verify_total *ret, struct err *err)
{
	const struct s3_sink_options *s3 = &options->s3->options;
	const struct archive_verify_options archive = {
		.client = s3->client,
		.prefix = s3->archive.prefix,
		.since_ns = options->since_ns,
		.until_ns = options->until_ns,
		.all_sent = s3->archive.send == ARCHIVE_ALL,
	};
	struct verify v = {.calls = calls, .total = ret, .all_sent = archive.all_sent};
	const struct archive_verify_calls archive_calls = {
		.finding = finding,
		.stream = stream,
		.object = object,
		.named = named,
		.arg = &v,
	};
	enum err_kind rc;

	*ret = (struct verify_total){.compared = 0};
	rc = open_store(&v, options->database_url, err);
	if (!rc)
		rc = archive_verify(&archive, &archive_calls, &ret->archive, err);
	if (!rc)
		rc = find_unnamed(&v, options, ret, err);
	ret->archive.findings += v.rows_findings;
	archived_close(v.archived);
	free(v.ids);
	return rc;
}
