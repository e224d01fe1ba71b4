#ifndef SUPPORT_WATCH_KIT_H
#define SUPPORT_WATCH_KIT_H

/*
 * watch_kit: a resource of src/watch/ on canned answers of Fly's, for tests of what it keeps of
 * them and what it says of a change.
 *
 * Ownership: one of it for a program; what it lends lives until the next fetch, or fact.
 * Errors:    what cannot be set up fails the test.
 */

#include "watch/resource.h"

#include "tiny_http.h"

#define WATCH_KIT_KEY "an-example-of-a-key"

struct watch_kit {
	struct watch_ask ask;    /* as of the next fetch: application web-1, nothing before */
	const char *key;         /* FLYTRAIL_HMAC_KEY of the next fetch; WATCH_KIT_KEY */
	struct tiny_http server; /* what was asked is in its requests */
	struct listing list;     /* what the newest fetch gave */
	struct listing before;   /* what watch_kit_remember() kept; the ask's */
	struct err err;          /* the newest */
	struct watch_fact fact;  /* the newest */
	struct item was, is;     /* of the fact */
};

extern struct watch_kit kit;

/* For cmocka: each test begins with a kit as new. */
int watch_kit_set_up(void **state);
int watch_kit_tear_down(void **state);
#define WATCH_TEST(name) \
	cmocka_unit_test_setup_teardown(name, watch_kit_set_up, watch_kit_tear_down)

/* Fetches where Fly answers with that, or with each of some in turn; NULL ends them. */
enum err_kind watch_kit_fetch(const struct watch_resource *r, const char *body);
enum err_kind watch_kit_fetch_status(const struct watch_resource *r, unsigned status,
				     const char *body);
enum err_kind watch_kit_fetch_all(const struct watch_resource *r, const char *const *answers);

/* What was fetched is what there was before the next fetch. */
void watch_kit_remember(const struct watch_resource *r);

/* An item's field by its name, and an item by its key; what is not there fails the test. */
struct span watch_kit_field(const struct watch_resource *r, const struct item *item,
			    const char *name);
const struct item *watch_kit_item(const struct listing *list, const char *key);

/*
 * The nth fact of what became of an item between kit.before and kit.list, in which it is, or was;
 * false: there is none. It is kit.fact.
 */
bool watch_kit_fact(const struct watch_resource *r, const char *key, unsigned nth);

#endif
