#include "stage/redact.h"

#include "base/utf8.h"
#include "stage/pem.h"
#include "stage/plain.h"
#include "stage/search.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	ROUNDS_MAX = 4,              /* searches of one text until nothing more is found */
	COUNTS_BYTES_MAX = 1024,     /* of the attribute: every kind with its count */
	SPOKEN_NAME_BYTES_MAX = 128, /* of a name that is the text of an attribute */
	PROBE_BYTES_MAX = 32 * 1024, /* of a name of 1 KiB that is nothing but dots */
	FIELDS = 7,
	JOINED_BYTES_MAX = 256,
};

/* What stands for the value of a name, which it is behind no name that says nothing. */
static const struct span probe_value = {"=0a1b2c3d4e5f6g7h8i9j\n", 22};

/* What was found, by kind. */
struct counts {
	unsigned of[SECRET_KIND_COUNT];
	bool any;
};

struct redactor {
	struct searcher *searcher;
	struct counts counts; /* of the record under way */
	struct buf name;      /* of the name under way, in plain form */
	struct buf probe;
	struct buf line; /* in plain form */
	struct pem pem;  /* of the batch */
};

enum err_kind redactor_new(struct redactor **ret, struct err *err)
{
	struct redactor *r = calloc(1, sizeof(*r));
	enum err_kind rc;

	if (!r)
		return err_set(err, ERR_FATAL, "out of memory for the search for secrets");
	buf_init(&r->name, RECORD_FIELD_BYTES_MAX);
	buf_init(&r->probe, PROBE_BYTES_MAX);
	buf_init(&r->line, PLAIN_BYTES_MAX);
	rc = searcher_new(&r->searcher, err);
	if (rc) {
		redactor_free(r);
		return rc;
	}
	*ret = r;
	return ERR_NONE;
}

void redactor_free(struct redactor *r)
{
	if (!r)
		return;
	searcher_free(r->searcher);
	buf_release(&r->name);
	buf_release(&r->probe);
	buf_release(&r->line);
	free(r);
}

void redactor_begin_batch(struct redactor *r)
{
	pem_forget(&r->pem);
}

static void count(struct redactor *r, enum secret_kind kind)
{
	r->counts.of[kind]++;
	r->counts.any = true;
}

static void count_hits(struct redactor *r, const struct hits *hits)
{
	for (size_t i = 0; i < hits_count(hits); i++)
		count(r, hits_at(hits, i)->kind);
}

/* Redacts a text until nothing more is found in it; known is a hit found before. */
static struct span redact_one(struct redactor *r, struct arena *arena, struct span text,
			      const struct hit *known)
{
	if (text.len == 0)
		return text;
	for (int round = 0; round < ROUNDS_MAX; round++) {
		const struct hits *hits =
			searcher_find(r->searcher, text, round == 0 ? known : NULL);

		if (!hits)
			break;
		if (hits_count(hits) == 0)
			return text;
		count_hits(r, hits);
		text = hits_replace(hits, arena, text);
		if (!text.data)
			break;
	}
	count(r, SECRET_unchecked);
	return secret_marker(SECRET_unchecked);
}

struct span redact_text(struct redactor *r, struct arena *arena, struct span text,
			unsigned *ret_count)
{
	unsigned sum = 0;

	r->counts = (struct counts){.any = false};
	text = redact_one(r, arena, text, NULL);
	for (size_t i = 0; i < SECRET_KIND_COUNT; i++)
		sum += r->counts.of[i];
	if (ret_count)
		*ret_count = sum;
	return text;
}

/* A field comes whole, because a cut may go through a secret, which then looks like none. */
static void redact_field(struct redactor *r, struct arena *arena, struct span *field)
{
	*field = utf8_cut(redact_one(r, arena, *field, NULL), RECORD_FIELD_BYTES_MAX);
}

/* A line as a key's followers read it: a colour or a missing character makes it none of theirs. */
static struct span read_plain(struct redactor *r, struct span line)
{
	if (!plain_differs(line))
		return line;
	buf_reset(&r->line);
	plain_write(line, 0, &r->line);
	return r->line.failed ? line : span_of(r->line.data, r->line.len);
}

/* How much of the line continues a private key of earlier lines. */
static size_t key_head(struct redactor *r, uint64_t machine, struct span came)
{
	bool is_open = r->pem.count > 0 || r->pem.overflown;
	struct span line = is_open ? read_plain(r, came) : came;
	struct plain_walk walk = {0};
	size_t start, end;

	end = pem_concerns(&r->pem, line) ? pem_continue(&r->pem, machine, line) : 0;
	if (end > 0 && line.data != came.data)
		plain_origin(&walk, came, end - 1, &start, &end);
	return end;
}

/* The message, with what continues a private key of earlier lines. */
static void redact_message(struct redactor *r, struct arena *arena, struct record *record)
{
	struct span came = record->message;
	struct hit head = {.kind = SECRET_pem_private_key};

	if (pem_concerns(&r->pem, came))
		head.end = key_head(r, pem_machine(record->app, record->machine_id), came);
	(void)searcher_saw_pem(r->searcher);
	record->message = redact_one(r, arena, came, head.end ? &head : NULL);
	if (searcher_saw_pem(r->searcher))
		pem_begin(&r->pem, pem_machine(record->app, record->machine_id),
			  read_plain(r, came));
	if (r->line.cap > PLAIN_KEEP_BYTES)
		buf_release(&r->line);
}

/*
 * What kind_of_name() searches instead of a name: each part of it, up to a dot,
 * with the part before it and a value behind. Of headers.authorization.0 that is
 * headers=..., headers.authorization=..., authorization.0=...
 */
static void write_probe(struct buf *probe, struct span name)
{
	size_t before = 0; /* where the part before begins */
	size_t start = 0;

	for (size_t i = 0; i <= name.len; i++) {
		if (i < name.len && name.data[i] != '.')
			continue;
		buf_add(probe, name.data + before, i - before);
		buf_add(probe, probe_value.data, probe_value.len);
		before = start;
		start = i + 1;
	}
}

/*
 * Whether a name alone says that its value is a secret, or that what it is a part
 * of is one: SECRET_KIND_COUNT if not.
 */
static enum secret_kind kind_of_name(struct redactor *r, struct span name)
{
	const struct hits *hits;
	struct span probe;

	buf_reset(&r->name);
	buf_reset(&r->probe);
	if (plain_differs(name) || plain_has_percent(name)) {
		plain_write(name, PLAIN_DEPTH_MAX, &r->name);
		name = span_of(r->name.data, r->name.len);
	}
	write_probe(&r->probe, name);
	if (r->name.failed || r->probe.failed)
		return SECRET_unchecked;
	probe = span_of(r->probe.data, r->probe.len);
	hits = searcher_find(r->searcher, probe, NULL);
	if (!hits)
		return SECRET_unchecked;
	for (size_t i = 0; i < hits_count(hits); i++) {
		const struct hit *hit = hits_at(hits, i);
		struct span rest = span_after(probe, hit->start - (hit->start > 0));

		/* The value and nothing else: what is found in the name itself says nothing of it.
		 */
		if (span_starts(rest, probe_value) && hit->end - hit->start == probe_value.len - 2)
			return hit->kind;
	}
	return SECRET_KIND_COUNT;
}

/* A key without its last part and that part, as in headers.0 and value. */
static struct span split_key(struct span key, struct span *ret_last)
{
	const char *dot = key.len ? memrchr(key.data, '.', key.len) : NULL;
	size_t len = dot ? (size_t)(dot - key.data) : 0;

	*ret_last = dot ? span_after(key, len + 1) : key;
	return span_of(key.data, len);
}

/* In any case, and whatever characters of it are missing. */
static bool is_word(struct span s, struct span word)
{
	static const struct span missing = {UTF8_REPLACEMENT, sizeof(UTF8_REPLACEMENT) - 1};

	while (s.len > 0) {
		bool same = word.len > 0 && strncasecmp(s.data, word.data, 1) == 0;

		if (!same && !span_starts(s, missing))
			return false;
		s = span_after(s, same ? 1 : missing.len);
		word = span_after(word, same);
	}
	return word.len == 0;
}

static bool is_index(struct span s)
{
	return s.len > 0 && s.data[0] >= '0' && s.data[0] <= '9';
}

/* Whether these two are "name": NAME and "value": VALUE of one object. */
static bool are_name_and_value(const struct attr *name, const struct attr *value)
{
	struct span name_last, value_last;
	struct span parent = split_key(value->key, &value_last);

	return span_equal(parent, split_key(name->key, &name_last)) &&
	       is_word(value_last, SPAN("value")) &&
	       (is_word(name_last, SPAN("name")) || is_word(name_last, SPAN("key")));
}

/* Whether these two follow each other in one list. */
static bool are_in_a_list(const struct attr *first, const struct attr *second)
{
	struct span first_last, second_last;
	struct span parent = split_key(second->key, &second_last);

	return span_equal(parent, split_key(first->key, &first_last)) && is_index(first_last) &&
	       is_index(second_last);
}

static enum secret_kind kind_of_text(struct redactor *r, const struct attr *name)
{
	bool may_be = name->type == ATTR_TEXT && name->text.len > 0 &&
		      name->text.len <= SPOKEN_NAME_BYTES_MAX;

	return may_be ? kind_of_name(r, name->text) : SECRET_KIND_COUNT;
}

/* What another attribute says that this one holds, as in lists of headers. */
static enum secret_kind kind_by_neighbour(struct redactor *r, const struct record *record,
					  size_t idx)
{
	const struct attr *attrs = record->attrs;
	enum secret_kind kind = SECRET_KIND_COUNT;

	for (size_t i = 0; i < record->attr_count; i++) {
		if (are_name_and_value(&attrs[i], &attrs[idx]))
			return kind_of_text(r, &attrs[i]);
	}
	if (idx > 0 && are_in_a_list(&attrs[idx - 1], &attrs[idx]))
		kind = kind_of_text(r, &attrs[idx - 1]);
	/* Of other kinds, a list is rather one of names alone. */
	return kind == SECRET_authorization || kind == SECRET_cookie ? kind : SECRET_KIND_COUNT;
}

/* Whether a line may hold an attribute's value, in whatever form it was read from. */
static bool may_hold(struct span line, const struct attr *attr)
{
	/* A number is printed anew, and an escape stands for other bytes. */
	if (attr->type == ATTR_NUMBER || memchr(line.data, '\\', line.len))
		return true;
	if (attr->text.len == 0)
		return false;
	return (attr->text.data[0] >= '0' && attr->text.data[0] <= '9') ||
	       attr->text.data[0] == '-' ||
	       memmem(line.data, line.len, attr->text.data, attr->text.len);
}

/* The message of a line that was not decoded is that line: it says what the attributes say. */
static void take_out_of_line(struct record *record, const struct attr *attr, enum secret_kind kind)
{
	struct span line = record->message;

	if (!record->decoded && line.len > 0 && may_hold(line, attr))
		record->message = secret_marker(kind);
}

/* Our own count of an earlier redaction, or what says that there is no value. */
static bool holds_nothing(const struct attr *attr)
{
	return attr->type == ATTR_BOOL ||
	       (attr->type == ATTR_JSON &&
		(span_is(attr->key, "redacted") || span_is(attr->text, "null") ||
		 span_is(attr->text, "{}") || span_is(attr->text, "[]")));
}

static void redact_attr(struct redactor *r, struct arena *arena, struct record *record,
			struct attr *attr, enum secret_kind kind)
{
	const char *text = attr->text.data;

	redact_field(r, arena, &attr->key);
	if (holds_nothing(attr))
		return;
	if (kind < SECRET_KIND_COUNT && (attr->type == ATTR_NUMBER || attr->text.len > 0)) {
		if (attr->type == ATTR_NUMBER || !secret_is_marker(attr->text))
			count(r, kind);
		take_out_of_line(record, attr, kind);
		attr->type = ATTR_TEXT;
		attr->text = secret_marker(kind);
		return;
	}
	if (attr->type == ATTR_TEXT)
		redact_field(r, arena, &attr->text);
	if (attr->type != ATTR_JSON)
		return;
	attr->text = redact_one(r, arena, attr->text, NULL);
	/* With a hole in it JSON may be none any more: from here on it is a text. */
	if (attr->text.data != text)
		attr->type = ATTR_TEXT;
}

static void redact_attrs(struct redactor *r, struct arena *arena, struct record *record)
{
	NOT_CLEARED enum secret_kind kinds[RECORD_ATTRS_MAX];

	/* All names are read before the first one is changed. */
	for (size_t i = 0; i < record->attr_count; i++) {
		kinds[i] = kind_of_name(r, record->attrs[i].key);
		if (kinds[i] == SECRET_KIND_COUNT)
			kinds[i] = kind_by_neighbour(r, record, i);
	}
	for (size_t i = 0; i < record->attr_count; i++)
		redact_attr(r, arena, record, &record->attrs[i], kinds[i]);
}

/* Says in the attribute `redacted` what was taken out. */
static void tell_counts(const struct redactor *r, struct arena *arena, struct record *record)
{
	char *json = arena_alloc(arena, COUNTS_BYTES_MAX);
	int len = 0;

	if (!json) {
		record_attr_json(record, SPAN("redacted"), SPAN("{\"unchecked\":1}"));
		return;
	}
	for (size_t i = 0; i < SECRET_KIND_COUNT; i++) {
		if (r->counts.of[i] == 0)
			continue;
		len += snprintf(json + len, COUNTS_BYTES_MAX - (size_t)len, "%c\"%s\":%u",
				len ? ',' : '{', secret_kind_name((enum secret_kind)i),
				r->counts.of[i]);
		REQUIRE(len < COUNTS_BYTES_MAX - 1);
	}
	json[len++] = '}';
	arena_shrink(arena, json, COUNTS_BYTES_MAX, (size_t)len);
	record_attr_json(record, SPAN("redacted"), span_of(json, (size_t)len));
}

/*
 * Whether no field holds anything to look into. They are short, and one search
 * over all of them costs half of seven.
 */
static bool fields_are_clean(const struct redactor *r, struct span *const fields[FIELDS])
{
	NOT_CLEARED char joined[JOINED_BYTES_MAX];
	size_t len = 0;

	for (size_t i = 0; i < FIELDS; i++) {
		struct span field = *fields[i];

		if (field.len >= sizeof(joined) - len)
			return false;
		if (field.len > 0)
			memcpy(joined + len, field.data, field.len);
		len += field.len;
		joined[len++] = '\n'; /* in no word: none is found over two fields */
	}
	return searcher_can_skip(r->searcher, span_of(joined, len));
}

static void redact_fields(struct redactor *r, struct arena *arena, struct record *record)
{
	struct span *const fields[FIELDS] = {&record->org,      &record->app,  &record->region,
					     &record->provider, &record->host, &record->machine_id,
					     &record->level};

	if (fields_are_clean(r, fields))
		return;
	for (size_t i = 0; i < FIELDS; i++)
		redact_field(r, arena, fields[i]);
}

/* Counts again what other texts of the same line had: what is in both is one secret. */
static void keep_larger(struct counts *counts, const struct counts *other)
{
	for (size_t i = 0; i < SECRET_KIND_COUNT; i++) {
		if (other->of[i] > counts->of[i])
			counts->of[i] = other->of[i];
	}
	counts->any |= other->any;
}

/*
 * raw says what the other texts do, in bytes of any sort, and may say more. It
 * comes last and is kept as it came or not at all: that a secret was found in
 * another text does not say that all of it can be found in this one.
 */
static void redact_raw(struct redactor *r, struct record *record)
{
	struct counts others = r->counts;
	const struct hits *hits;
	size_t kind = 0;

	if (secret_is_marker(record->raw))
		return;
	r->counts = (struct counts){.any = false};
	hits = searcher_find_in_bytes(r->searcher, record->raw);
	if (hits)
		count_hits(r, hits);
	else
		count(r, SECRET_unchecked);
	keep_larger(&r->counts, &others);
	if (!r->counts.any)
		return;
	while (r->counts.of[kind] == 0)
		kind++;
	record->raw = secret_marker((enum secret_kind)kind);
}

void redact(struct redactor *r, struct arena *arena, struct record *record)
{
	NOT_CLEARED struct counts message;
	bool is_line = false;

	r->counts = (struct counts){.any = false};
	redact_message(r, arena, record);
	/* The message of a line that was not decoded is that line, with all that is in fields. */
	if (r->counts.any && !record->decoded) {
		is_line = true;
		message = r->counts;
		r->counts = (struct counts){.any = false};
	}
	redact_fields(r, arena, record);
	redact_attrs(r, arena, record);
	if (is_line)
		keep_larger(&r->counts, &message);
	if (record->raw.len > 0)
		redact_raw(r, record);
	if (r->counts.any)
		tell_counts(r, arena, record);
}
