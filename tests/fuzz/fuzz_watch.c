/*
 * No answer of Fly's crashes a resource; what two answers list can be kept as a snapshot and read
 * again; and each difference between them is facts that can be stored, a few of them.
 *
 * The first line names the resource, with a + behind it where a part is asked for; then come two
 * answers, with a line's end between them. This stands in for watch/api.c: it gives the answer to
 * whatever is asked.
 */

#include "watch/resource.h"

#include <stdio.h>

enum { FACTS_MAX = 8 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static const struct watch_resource *const resources[] = {
#define RESOURCE(name) &watch_##name,
#include "watch/resources.def"
#undef RESOURCE
};

static struct span answer;

static enum err_kind give(struct json **ret, struct err *err)
{
	enum err_kind rc = json_parse(ret, answer, err);

	if (!rc && json_type(*ret) != JSON_OBJECT && json_type(*ret) != JSON_ARRAY &&
	    json_type(*ret) != JSON_NULL) {
		json_free(*ret);
		rc = ERR_REJECT;
	}
	return rc ? err_set(err, ERR_RETRY, "no answer") : ERR_NONE;
}

enum err_kind watch_api_get(struct watch_api *a, const char *path, const struct watch_names *names,
			    struct json **ret, struct err *err)
{
	(void)a;
	REQUIRE(path && names);
	return give(ret, err);
}

enum err_kind watch_api_query(struct watch_api *a, const char *query,
			      const struct watch_names *names, struct json **ret, struct err *err)
{
	enum err_kind rc = give(ret, err);
	const struct json *data;

	(void)a;
	REQUIRE(query && names);
	if (rc)
		return rc;
	data = json_type(*ret) == JSON_OBJECT ? json_member(*ret, "data") : NULL;
	if (data && json_type(data) == JSON_OBJECT)
		return ERR_NONE;
	json_free(*ret);
	return err_set(err, ERR_RETRY, "no data");
}

enum err_kind watch_api_mac(const struct watch_api *a, struct span secret,
			    char ret[WATCH_MAC_BYTES], struct err *err)
{
	(void)a;
	(void)err;
	(void)snprintf(ret, WATCH_MAC_BYTES, "00000000:%zu", secret.len);
	return ERR_NONE;
}

bool watch_macs_differ(struct span a, struct span b)
{
	return a.len > 0 && b.len > 0 && !span_equal(a, b);
}

const char *watch_api_own_app(const struct watch_api *a)
{
	(void)a;
	return "";
}

bool watch_api_refused(const struct watch_api *a)
{
	(void)a;
	return false;
}

/* --- what is done with answers --- */

struct look {
	const struct watch_resource *resource;
	struct watch_ask ask;
};

static void check_fact(const struct watch_fact *fact)
{
	REQUIRE(fact->action > ACTION_none && fact->action < ACTION_COUNT);
	REQUIRE(action_class(fact->action) != CLASS_app_log);
	REQUIRE(fact->target_type && fact->target_type[0] != '\0');
	REQUIRE(fact->actor_type < ACTOR_TYPE_COUNT);
	REQUIRE((fact->actor[0] != '\0') == (fact->actor_type != ACTOR_UNKNOWN));
	REQUIRE(fact->actor[0] != '\0' || (fact->actor_reason && fact->actor_reason[0] != '\0'));
	/* A peer's owner is never Fly's word. */
	REQUIRE(fact->action != ACTION_access_peer_added ||
		(fact->actor_reason && fact->actor_reason[0] != '\0'));
	REQUIRE(memchr(fact->summary, '\0', sizeof(fact->summary)) && fact->summary[0] != '\0');
}

static enum err_kind take(void *arg, const struct change *change, struct err *err)
{
	const struct look *look = arg;

	(void)err;
	for (unsigned nth = 0; look->resource->describe; nth++) {
		struct watch_fact fact = WATCH_NO_FACT;

		REQUIRE(nth < FACTS_MAX);
		if (!look->resource->describe(change, &look->ask, nth, &fact))
			break;
		check_fact(&fact);
	}
	return ERR_NONE;
}

static void check_snapshot(const struct watch_resource *resource, const struct listing *list)
{
	struct listing again;
	struct buf text;
	struct err err;
	enum err_kind rc;

	buf_init(&text, LISTING_JSON_BYTES_MAX);
	listing_write(list, &text);
	rc = buf_check(&text, &err);
	REQUIRE(rc == ERR_NONE);
	listing_init(&again, &resource->shape);
	rc = listing_read(&again, span_of(text.data, text.len), &err);
	REQUIRE(rc == ERR_NONE);
	REQUIRE(again.count == list->count);
	for (size_t i = 0; i < list->count; i++) {
		REQUIRE(span_equal(again.items[i].key, list->items[i].key));
		REQUIRE(item_is_like(&again.items[i], &list->items[i],
				     resource->shape.field_count));
	}
	listing_release(&again);
	buf_release(&text);
}

static void compare(struct look *look, const struct listing *now)
{
	const struct differ differ = {.take = take, .arg = look};
	const struct dated before = {.list = look->ask.before, .ns = 0};
	const struct dated after = {
		.list = now, .ns = look->ask.now_ns, .part = look->ask.part || now->part};
	struct listing next;
	struct err err;
	enum err_kind rc;

	listing_init(&next, &look->resource->shape);
	rc = differ_run(&differ, &before, &after, &next, &err);
	REQUIRE(rc == ERR_NONE);
	check_snapshot(look->resource, &next);
	if (look->resource->is_moving)
		(void)look->resource->is_moving(&next);
	listing_release(&next);
}

static bool fetch(struct look *look, struct span text, struct listing *ret)
{
	struct err err;
	enum err_kind rc;

	answer = text;
	listing_init(ret, &look->resource->shape);
	rc = look->resource->fetch(&look->ask, ret, &err);
	/* Fly's 404 alone is ERR_REJECT, and there is none here. */
	REQUIRE(rc == ERR_NONE || rc == ERR_RETRY);
	return rc == ERR_NONE;
}

/* What is before the next line's end, and is taken off it. */
static struct span next_line(struct span *rest)
{
	const char *end = rest->len > 0 ? memchr(rest->data, '\n', rest->len) : NULL;
	struct span line = span_of(rest->data, end ? (size_t)(end - rest->data) : rest->len);

	*rest = span_after(*rest, line.len + (end ? 1 : 0));
	return line;
}

/* By its name; a name that is none is one of them, too. */
static const struct watch_resource *choose(struct span name)
{
	for (size_t i = 0; i < ARRAY_LEN(resources); i++)
		if (span_is(name, resources[i]->name))
			return resources[i];
	return resources[name.len % ARRAY_LEN(resources)];
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static const struct listing none;
	struct look look = {.ask = {.app = "web-1",
				    .item = "item-1",
				    .before = &none,
				    .now_ns = INT64_C(1790000000000000000)}};
	struct span rest = span_of(bytes, len);
	struct span name = next_line(&rest);
	bool part = name.len > 0 && name.data[name.len - 1] == '+';
	struct listing before, now;

	name.len -= part;
	look.resource = choose(name);
	if (fetch(&look, next_line(&rest), &before)) {
		check_snapshot(look.resource, &before);
		look.ask.before = &before;
		look.ask.part = part && look.resource->quick;
		if (fetch(&look, rest, &now))
			compare(&look, &now);
		listing_release(&now);
	}
	listing_release(&before);
	return 0;
}
