#include "source/logs_page.h"

#include "base/json_scan.h"
#include "base/time.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	FLYS_COPY = 1, /* the number of the file that Fly's copy is taken for */
	NS_DIGITS_MAX = 18,
	SUBJECT_BYTES = LOGS_API_APP_BYTES + 8,
};

struct entry {
	struct span line;
	int64_t ns; /* 0: none is known */
	size_t idx; /* in the page */
	int64_t order_ns;
};

struct page {
	struct entry entries[LOGS_API_PAGE_LINES_MAX];
	size_t count;
	int64_t token_ns; /* 0: none */
};

/* A whole number of nanoseconds, 0 where it is none. */
static int64_t read_ns(struct span digits)
{
	int64_t ns = 0;

	/* 19 digits are from 2001 to 2286; the last of them may be too many. */
	if (digits.len == 0 || digits.len > NS_DIGITS_MAX + 1)
		return 0;
	for (size_t i = 0; i < digits.len; i++) {
		if (digits.data[i] < '0' || digits.data[i] > '9' ||
		    __builtin_mul_overflow(ns, 10, &ns) ||
		    __builtin_add_overflow(ns, digits.data[i] - '0', &ns))
			return 0;
	}
	return ns;
}

/* Of "...-NANOSECONDS". */
static int64_t ns_of_id(struct span value)
{
	struct span id = json_scan_plain(value);
	const char *dash = id.data ? memrchr(id.data, '-', id.len) : NULL;

	return dash ? read_ns(span_after(id, (size_t)(dash - id.data) + 1)) : 0;
}

static int64_t ns_of_attributes(struct span attributes)
{
	struct json_scan members;
	struct span key, value;
	unsigned digits;
	int64_t ns = 0;

	if (!json_scan_begin(&members, attributes, '{'))
		return 0;
	while (json_scan_next(&members, &key, &value)) {
		struct span text = json_scan_plain(value);

		if (span_is(key, "timestamp"))
			return text.data && time_parse(text, false, &ns, &digits) && ns > 0 ? ns
											    : 0;
	}
	return 0;
}

static void read_entry(struct span bytes, struct entry *ret)
{
	struct json_scan members;
	struct span key, value;
	int64_t id_ns = 0;

	*ret = (struct entry){.line = bytes};
	if (!json_scan_begin(&members, bytes, '{'))
		return;
	while (json_scan_next(&members, &key, &value)) {
		if (span_is(key, "id")) {
			id_ns = ns_of_id(value);
		} else if (span_is(key, "attributes") && value.data[0] == '{') {
			ret->line = value;
			ret->ns = ns_of_attributes(value);
		}
	}
	if (ret->ns == 0)
		ret->ns = id_ns;
}

static enum err_kind refuse(const char *why, struct err *err)
{
	return err_set(err, ERR_RETRY, "the answer is no page of logs: %s", why);
}

static enum err_kind read_entries(struct page *p, struct span value, struct err *err)
{
	struct json_scan elements;
	struct span none, bytes;
	int64_t before_ns = 0;

	if (span_is(value, "null"))
		return ERR_NONE; /* so Go writes a list that has nothing in it */
	if (!json_scan_begin(&elements, value, '['))
		return refuse("`data` is no list", err);
	while (json_scan_next(&elements, &none, &bytes)) {
		struct entry *e = &p->entries[p->count];

		if (p->count == LOGS_API_PAGE_LINES_MAX)
			return refuse("it has too many entries", err);
		read_entry(bytes, e);
		e->idx = p->count++;
		/* One without a time stays behind the one before it. */
		e->order_ns = e->ns > 0 ? e->ns : before_ns;
		before_ns = e->order_ns;
	}
	return elements.ended ? ERR_NONE : refuse("`data` is broken", err);
}

static void read_meta(struct page *p, struct span value)
{
	struct json_scan members;
	struct span key, token;

	if (!json_scan_begin(&members, value, '{'))
		return;
	while (json_scan_next(&members, &key, &token)) {
		struct span text = json_scan_plain(token);

		if (span_is(key, "next_token"))
			p->token_ns = read_ns(text.data ? text : token);
	}
}

static enum err_kind read_body(struct page *p, struct span body, struct err *err)
{
	struct json_scan members;
	struct span key, value;
	bool has_data = false;
	enum err_kind rc;

	if (!json_scan_begin(&members, body, '{'))
		return refuse("it is no JSON object", err);
	while (json_scan_next(&members, &key, &value)) {
		if (span_is(key, "meta"))
			read_meta(p, value);
		if (!span_is(key, "data"))
			continue;
		if (has_data)
			return refuse("`data` twice", err);
		has_data = true;
		rc = read_entries(p, value, err);
		if (rc)
			return rc;
	}
	if (!json_scan_is_all(&members))
		return refuse("it is broken or ends too early", err);
	return has_data ? ERR_NONE : refuse("it has no `data`", err);
}

static int compare_entries(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->order_ns != y->order_ns)
		return x->order_ns < y->order_ns ? -1 : 1;
	return x->idx < y->idx ? -1 : 1;
}

/* False in *ret_added: the batch has no room for it. */
static enum err_kind add_entry(const struct logs_page_question *q, struct span subject,
			       const struct entry *e, struct batch *batch, bool *ret_added,
			       struct err *err)
{
	struct span line = e->line;
	struct raw *raw;

	if (line.len > RAW_BYTES_MAX)
		line.len = RAW_BYTES_MAX;
	raw = batch_add(batch, subject, line);
	*ret_added = raw != NULL;
	if (!raw && batch->count == 0)
		return err_set(err, ERR_FATAL, "out of memory for a line of %zu bytes", line.len);
	if (!raw)
		return ERR_NONE;
	raw->form = RAW_FLY_JSON;
	raw->received_ns = q->now_ns;
	raw->ordinal = e->ns > 0 ? 1 : e->idx + 1;
	if (e->ns > 0)
		raw->file = (struct file_stamp){.number = FLYS_COPY, .written_ns = e->ns};
	raw->full_len = e->line.len;
	if (line.len == e->line.len)
		return ERR_NONE;
	return hasher_digest(q->hasher, e->line, raw->full_sha256, err);
}

static enum err_kind add_entries(const struct page *p, const struct logs_page_question *q,
				 struct batch *batch, struct err *err)
{
	char subject[SUBJECT_BYTES];
	int len = snprintf(subject, sizeof(subject), "logs.%s", q->app);
	enum err_kind rc = ERR_NONE;
	bool added = true;

	REQUIRE(len > 0 && (size_t)len < sizeof(subject));
	for (size_t i = 0; i < p->count && added && !rc; i++)
		rc = add_entry(q, span_of(subject, (size_t)len), &p->entries[i], batch, &added,
			       err);
	return rc;
}

/* What the entries in the batch say. */
static void sum_up(const struct page *p, const struct logs_page_question *q, size_t taken,
		   struct logs_page *ret, size_t *ret_ties)
{
	for (size_t i = 0; i < taken; i++) {
		int64_t ns = p->entries[i].ns;

		if (ns > q->now_ns)
			ret->ahead = true;
		if (ns == 0 || ns > q->now_ns)
			continue;
		if (ns > ret->last_ns) {
			ret->last_ns = ns;
			*ret_ties = 0;
		}
		*ret_ties += ns == ret->last_ns;
	}
	ret->ahead = ret->ahead && ret->last_ns == 0;
	ret->count = taken;
}

/* Where the next page begins. */
static enum err_kind step(const struct page *p, const struct logs_page_question *q,
			  struct logs_page *ret, size_t ties, struct err *err)
{
	bool partly = ret->count < p->count;
	bool full = partly || p->count >= LOGS_API_PAGE_LINES;
	int64_t newest_ns = ret->last_ns;

	ret->next_ns = q->after_ns;
	ret->end = p->count == 0;
	if (ret->end)
		return ERR_NONE;
	/* The token knows the last entry to the nanosecond, where its text may be rounded. */
	if (!partly && p->token_ns > newest_ns && p->token_ns <= q->now_ns &&
	    (newest_ns == 0 || p->token_ns - newest_ns <= LOGS_PAGE_ROUNDED_NS))
		newest_ns = p->token_ns;
	if (newest_ns - 1 > q->after_ns) {
		ret->next_ns = newest_ns - 1;
	} else if (newest_ns > q->after_ns || (newest_ns == q->after_ns && full)) {
		ret->next_ns = q->after_ns + 1;
		ret->tie_cut = partly || ties >= LOGS_API_PAGE_LINES;
	} else if (newest_ns == 0 || (!full && newest_ns + LOGS_PAGE_ROUNDED_NS >= q->after_ns)) {
		ret->end = true;
	} else {
		return refuse("it is older than what was asked for", err);
	}
	return ERR_NONE;
}

enum err_kind logs_page_read(struct span body, const struct logs_page_question *q,
			     struct batch *batch, struct logs_page *ret, struct err *err)
{
	struct page *p = malloc(sizeof(*p));
	struct logs_page page = {.count = 0};
	size_t ties = 0;
	enum err_kind rc;

	REQUIRE(batch->count == 0);
	if (!p)
		return err_set(err, ERR_FATAL, "out of memory for a page of logs");
	p->count = 0;
	p->token_ns = 0;
	batch->source = SOURCE_HTTP;
	rc = read_body(p, body, err);
	if (!rc) {
		qsort(p->entries, p->count, sizeof(p->entries[0]), compare_entries);
		rc = add_entries(p, q, batch, err);
	}
	if (!rc) {
		sum_up(p, q, batch->count, &page, &ties);
		rc = step(p, q, &page, ties, err);
	}
	if (rc)
		batch_reset(batch);
	else
		*ret = page;
	free(p);
	return rc;
}
