#include "watch/resource.h"

#include <stdio.h>
#include <string.h>

enum { CURSOR_BYTES_MAX = 512, MS_DIGITS_MAX = 13, DIGITS_MAX = 15 };

static enum err_kind take_elements(const struct watch_ask *ask, const struct json *list,
				   enum err_kind (*take)(const struct watch_ask *ask,
							 const struct json *element,
							 struct listing *ret, struct err *err),
				   struct listing *ret, struct err *err)
{
	enum err_kind rc = ERR_NONE;

	if (!list || (json_type(list) != JSON_ARRAY && json_type(list) != JSON_NULL))
		return err_set(err, ERR_RETRY, "the answer has no list of what was asked for");
	for (const struct json *v = json_first(list); v && !rc; v = json_next(v)) {
		size_t count = ret->count;

		rc = json_type(v) == JSON_OBJECT
			     ? take(ask, v, ret, err)
			     : err_set(err, ERR_REJECT, "an element that is none");
		/* One that cannot be read hides no other; what it is may be known already. */
		if (rc == ERR_REJECT && !ret->full) {
			listing_skip(ret, count);
			rc = ERR_NONE;
		}
	}
	return rc;
}

/* Where the next page begins; empty: there is none. */
static enum err_kind keep_cursor(struct span next, char ret[CURSOR_BYTES_MAX + 1], struct err *err)
{
	if (next.len > CURSOR_BYTES_MAX || memchr(next.data ? next.data : "", '\0', next.len))
		return err_set(err, ERR_RETRY, "the answer's next page cannot be asked for");
	if (next.len > 0 && span_is(next, ret))
		return err_set(err, ERR_RETRY, "the answer's next page is itself");
	(void)snprintf(ret, CURSOR_BYTES_MAX + 1, "%.*s", (int)next.len,
		       next.data ? next.data : "");
	return ERR_NONE;
}

enum err_kind watch_not_gone(enum err_kind rc, struct err *err)
{
	if (rc == ERR_REJECT)
		err->kind = rc = ERR_RETRY;
	return rc;
}

/* All pages are there. */
static enum err_kind end(enum err_kind rc, bool more, struct listing *ret, struct err *err)
{
	if (!rc && more)
		rc = err_set(err, ERR_REJECT, "a list of more than %d pages", WATCH_PAGES_MAX);
	/* Of a thing on two pages the first will do: then it is a part. */
	if (!rc && listing_end(ret, err) == ERR_FATAL)
		rc = ERR_FATAL;
	if (!rc && ret->part && ret->count == 0)
		rc = err_set(err, ERR_RETRY, "the answer's list has nothing that can be read");
	return watch_not_gone(rc, err);
}

static enum err_kind take_page(const struct watch_ask *ask, const struct watch_list *what,
			       const struct json *root, struct listing *ret, struct err *err)
{
	const struct json *doubt = what->doubt ? json_member(root, what->doubt) : NULL;

	if (doubt && json_first(doubt))
		return err_set(err, ERR_RETRY, "the answer lacks what is in %s", what->doubt);
	return take_elements(ask, what->member ? json_member(root, what->member) : root, what->take,
			     ret, err);
}

static enum err_kind take_next(const struct watch_list *what, const struct json *root,
			       char cursor[CURSOR_BYTES_MAX + 1], struct err *err)
{
	const struct json *next = what->next ? json_member(root, what->next) : NULL;

	if (next && json_type(next) != JSON_TEXT && json_type(next) != JSON_NULL)
		return err_set(err, ERR_RETRY, "the answer's next page cannot be asked for");
	return keep_cursor(next && json_type(next) == JSON_TEXT ? json_text(next) : SPAN(""),
			   cursor, err);
}

enum err_kind watch_fetch_list(const struct watch_ask *ask, const struct watch_list *what,
			       struct listing *ret, struct err *err)
{
	char cursor[CURSOR_BYTES_MAX + 1] = "";
	const struct watch_names names = {
		.app = ask->app, .item = ask->item, .cursor = cursor, .since = what->since};
	enum err_kind rc = ERR_NONE;
	bool more = true;

	for (unsigned page = 0; page < WATCH_PAGES_MAX && more && !rc; page++) {
		struct json *root = NULL;

		rc = watch_api_get(ask->api, what->path, &names, &root, err);
		if (rc)
			return rc;
		rc = take_page(ask, what, root, ret, err);
		if (!rc)
			rc = take_next(what, root, cursor, err);
		more = cursor[0] != '\0';
		json_free(root);
	}
	return end(rc, more, ret, err);
}

/* What was asked of the owner: a list, or a connection, whose next page is told. */
static enum err_kind take_connection(const struct watch_ask *ask, const struct watch_query *what,
				     const struct json *root, char cursor[CURSOR_BYTES_MAX + 1],
				     struct listing *ret, struct err *err)
{
	const struct json *owner = json_member(json_member(root, "data"), what->owner);
	const struct json *asked = owner ? json_member(owner, what->member) : NULL;
	const struct json *list = asked, *page = NULL, *more;
	enum err_kind rc;

	if (asked && json_type(asked) == JSON_OBJECT) {
		list = json_member(asked, "nodes");
		if (!list)
			list = json_member(asked, "edges");
		page = json_member(asked, "pageInfo");
	} else if (!asked || json_type(asked) != JSON_ARRAY) {
		return err_set(err, ERR_RETRY, "the answer has no %s", what->member);
	}
	rc = take_elements(ask, list, what->take, ret, err);
	more = page ? json_member(page, "hasNextPage") : NULL;
	if (!rc && page && (!more || json_type(more) != JSON_BOOL))
		return err_set(err, ERR_RETRY, "the answer does not say whether it is all");
	if (rc || !page || !json_bool(more)) {
		cursor[0] = '\0';
		return rc;
	}
	if (watch_text(page, "endCursor").len == 0)
		return err_set(err, ERR_RETRY, "the answer's next page cannot be asked for");
	return keep_cursor(watch_text(page, "endCursor"), cursor, err);
}

enum err_kind watch_fetch_query(const struct watch_ask *ask, const struct watch_query *what,
				struct listing *ret, struct err *err)
{
	char cursor[CURSOR_BYTES_MAX + 1] = "";
	enum err_kind rc = ERR_NONE;
	bool more = true;

	for (unsigned page = 0; page < WATCH_PAGES_MAX && more && !rc; page++) {
		const struct watch_names names = {.app = ask->app,
						  .cursor = cursor[0] != '\0' ? cursor : NULL};
		struct json *root = NULL;

		rc = watch_api_query(ask->api, what->text, &names, &root, err);
		if (rc)
			return rc;
		rc = take_connection(ask, what, root, cursor, ret, err);
		more = cursor[0] != '\0';
		json_free(root);
	}
	return end(rc, more, ret, err);
}

/* --- fields --- */

struct span watch_text(const struct json *object, const char *member)
{
	const struct json *v = json_member(object, member);

	return v && json_type(v) == JSON_TEXT ? json_text(v) : SPAN("");
}

int64_t watch_digits(struct span text)
{
	int64_t number = 0;

	if (text.len == 0 || text.len > DIGITS_MAX)
		return -1;
	for (size_t i = 0; i < text.len; i++) {
		if (text.data[i] < '0' || text.data[i] > '9')
			return -1;
		number = number * 10 + (text.data[i] - '0');
	}
	return number;
}

struct span watch_value(const struct json *v, char text[TIME_TEXT_BYTES])
{
	switch (json_type(v)) {
	case JSON_TEXT: return json_text(v);
	case JSON_BOOL: return json_bool(v) ? SPAN("true") : SPAN("false");
	case JSON_NUMBER:
		(void)snprintf(text, TIME_TEXT_BYTES, "%.15g", json_number(v));
		return span_text(text);
	case JSON_NULL:
	case JSON_ARRAY:
	case JSON_OBJECT: break;
	}
	return SPAN("");
}

struct span watch_scalar(const struct json *object, const char *member, char text[TIME_TEXT_BYTES])
{
	const struct json *v = json_member(object, member);

	return v ? watch_value(v, text) : SPAN("");
}

/* Milliseconds that came as a text. */
static bool read_ms(struct span text, int64_t *ret_ns)
{
	int64_t ms = text.len <= MS_DIGITS_MAX ? watch_digits(text) : -1;

	if (ms <= 0 || ms > INT64_MAX / NS_PER_MS)
		return false;
	*ret_ns = ms * NS_PER_MS;
	return true;
}

/* What is no time, or milliseconds that cannot be, is none. */
static bool read_time(const struct json *v, int64_t *ret_ns)
{
	static const double ms_max = (double)(INT64_MAX / NS_PER_MS);
	unsigned digits;

	if (v && json_type(v) == JSON_TEXT)
		return time_parse(json_text(v), true, ret_ns, &digits) ||
		       read_ms(json_text(v), ret_ns);
	if (!v || json_type(v) != JSON_NUMBER || !(json_number(v) > 0) || json_number(v) >= ms_max)
		return false;
	*ret_ns = (int64_t)json_number(v) * NS_PER_MS;
	return true;
}

const char *watch_time_of(const struct json *value, char text[TIME_TEXT_BYTES])
{
	int64_t ns;

	text[0] = '\0';
	if (read_time(value, &ns))
		(void)time_format(ns, text);
	return text;
}

const char *watch_time(const struct json *object, const char *member, char text[TIME_TEXT_BYTES])
{
	return watch_time_of(json_member(object, member), text);
}

enum err_kind watch_set(enum err_kind rc, struct listing *l, struct item *item, size_t field,
			struct span value, struct err *err)
{
	return rc ? rc : listing_set(l, item, field, value, err);
}

bool watch_any_has(const struct listing *list, size_t field)
{
	for (size_t i = 0; i < list->count; i++)
		if (list->items[i].values[field].len > 0)
			return true;
	return false;
}

int64_t watch_field_time(struct span field)
{
	unsigned digits;
	int64_t ns;

	return time_parse(field, true, &ns, &digits) ? ns : LISTING_NO_TIME;
}

void watch_actor(struct watch_fact *fact, struct span name, const char *reason)
{
	static const struct {
		const char *name;
		enum actor_type type;
	} robots[] = {{"flyd", ACTOR_FLYD}, {"proxy", ACTOR_PROXY}};
	size_t len = name.len < WATCH_ACTOR_BYTES ? name.len : 0;

	for (size_t i = 0; i < len; i++) {
		char c = name.data[i];

		fact->actor[i] = c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
	}
	fact->actor[len] = '\0';
	fact->actor_type = actor_type_of(span_text(fact->actor));
	for (size_t i = 0; i < ARRAY_LEN(robots); i++)
		if (strcmp(fact->actor, robots[i].name) == 0)
			fact->actor_type = robots[i].type;
	if (fact->actor_type != ACTOR_UNKNOWN)
		return;
	fact->actor[0] = '\0';
	fact->actor_reason = reason;
}
