#include "watch_kit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { ANSWER_BYTES_MAX = 64 * 1024 };

struct watch_kit kit;

static const struct listing_shape no_shape;

int watch_kit_set_up(void **state)
{
	(void)state;
	kit.ask = (struct watch_ask){
		.app = "web-1", .item = "", .before = &kit.before, .now_ns = time_now_ns()};
	kit.key = WATCH_KIT_KEY;
	kit.err = (struct err){.kind = ERR_NONE};
	listing_init(&kit.list, &no_shape);
	listing_init(&kit.before, &no_shape);
	return 0;
}

int watch_kit_tear_down(void **state)
{
	(void)state;
	listing_release(&kit.list);
	listing_release(&kit.before);
	return 0;
}

enum err_kind watch_kit_fetch_all(const struct watch_resource *r, const char *const *answers)
{
	struct watch_api_options options = {
		.org = "example-org", .own_app = "", .token = "fm2_x", .hmac_key = kit.key};
	struct watch_api *api = NULL;
	enum err_kind rc;

	tiny_http_start(&kit.server, answers);
	options.machines_url = options.api_url = kit.server.url;
	assert_int_equal(watch_api_new(&api, &options, &kit.err), ERR_NONE);
	listing_release(&kit.list);
	listing_init(&kit.list, &r->shape);
	kit.ask.api = api;
	rc = r->fetch(&kit.ask, &kit.list, &kit.err);
	kit.ask.api = NULL;
	watch_api_free(api);
	tiny_http_stop(&kit.server);
	return rc;
}

enum err_kind watch_kit_fetch_status(const struct watch_resource *r, unsigned status,
				     const char *body)
{
	char *text = malloc(ANSWER_BYTES_MAX);
	const char *answers[] = {NULL, NULL};
	enum err_kind rc;

	assert_non_null(text);
	answers[0] = tiny_http_answer(text, ANSWER_BYTES_MAX, status, "", body);
	rc = watch_kit_fetch_all(r, answers);
	free(text);
	return rc;
}

enum err_kind watch_kit_fetch(const struct watch_resource *r, const char *body)
{
	return watch_kit_fetch_status(r, 200, body);
}

void watch_kit_remember(const struct watch_resource *r)
{
	listing_release(&kit.before);
	kit.before = kit.list;
	listing_init(&kit.list, &r->shape);
}

struct span watch_kit_field(const struct watch_resource *r, const struct item *item,
			    const char *name)
{
	for (size_t i = 0; i < r->shape.field_count; i++)
		if (strcmp(r->shape.fields[i], name) == 0)
			return item->values[i];
	fail_msg("no field %s", name);
	return SPAN("");
}

static const struct item *find(const struct listing *list, const char *key)
{
	for (size_t i = 0; i < list->count; i++)
		if (span_is(list->items[i].key, key))
			return &list->items[i];
	return NULL;
}

const struct item *watch_kit_item(const struct listing *list, const char *key)
{
	const struct item *item = find(list, key);

	assert_non_null(item);
	return item;
}

bool watch_kit_fact(const struct watch_resource *r, const char *key, unsigned nth)
{
	const struct item *was = find(&kit.before, key), *is = find(&kit.list, key);
	struct change change = {
		.kind = was && is ? CHANGE_CHANGED
			: is      ? CHANGE_ADDED
				  : CHANGE_REMOVED,
		.from_ns = kit.ask.now_ns - NS_PER_S,
		.to_ns = kit.ask.now_ns,
	};

	assert_true(was || is);
	if (was)
		kit.was = *was;
	if (is)
		kit.is = *is;
	change.before = was ? &kit.was : NULL;
	change.after = is ? &kit.is : NULL;
	change.item = is ? &kit.is : &kit.was;
	kit.fact = WATCH_NO_FACT;
	return r->describe(&change, &kit.ask, nth, &kit.fact);
}
