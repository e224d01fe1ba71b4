#ifndef WATCH_RESOURCE_H
#define WATCH_RESOURCE_H

/*
 * resource: one kind of thing of Fly's control plane: how it is read, and what a
 * difference of it means. A new one is a file src/watch/<name>.c with a struct
 * watch_resource, and a line in watch/resources.def.
 *
 * A resource fetches and normalises; it neither waits nor remembers. What is kept
 * of an item is the fields of its shape, and they are shown to people: a value, a
 * digest, a key is none of them. What follows from the time alone (soon to expire,
 * overdue) is a field, too, made from ask->now_ns, so that it differs when it is so.
 *
 * What stands in the view `inventory` goes by the names of fields: `name`, `app`, `state`
 * or `status`, `created_at` or `joined_at`. Give an item that is to be added first NULL for
 * a start, since watch_set() is passed it whatever came before; and bound what people can
 * make long: a fact without room for its fields is told without them.
 *
 * Ownership: what describe() gives lends from the change or the ask, or is constant.
 * Threads:   one, the watcher's.
 * Errors:    fetch(): as watch/api.h; ERR_REJECT: what it belongs to is gone. The list is
 *            all that there is, or there is an error, or it is marked as a part: that must
 *            not look like a removal.
 */

#include "base/time.h"
#include "model/event.h"
#include "watch/api.h"
#include "watch/differ.h"

enum {
	WATCH_SUMMARY_BYTES = 512,
	WATCH_ACTOR_BYTES = 256,
	WATCH_PAGES_MAX = 64, /* of one answer */
};

/* What is asked for, and what is known already. */
struct watch_ask {
	struct watch_api *api;
	const char *app, *item;       /* whose it is; "": of the organisation, of no item */
	const struct listing *before; /* the snapshot; empty where there is none */
	int64_t before_ns;            /* when all of that was looked at; LISTING_NO_TIME: never */
	int64_t now_ns;      /* when it begins to ask: what comes later may be in no answer */
	int64_t answered_ns; /* when all is answered: what that shows had come by then */
	bool part;           /* items that are as they were before may be left out */
};

/* What a change is, as a fact. */
struct watch_fact {
	enum action action;
	int64_t fly_ns; /* when, as Fly says; LISTING_NO_TIME: it does not */
	/* Then: what it cannot have come before, though the snapshot is older; LISTING_NO_TIME. */
	int64_t since_ns;
	const char *target_type;
	struct span target; /* empty: the item's key */
	struct span app;    /* empty: ask->app */
	struct span machine, region, correlation;
	struct span outcome;           /* empty: unknown */
	char actor[WATCH_ACTOR_BYTES]; /* "": not known, and actor_reason says why */
	enum actor_type actor_type;
	const char *actor_reason; /* of a known one: from what it is inferred; NULL: Fly says it */
	enum severity severity;   /* SEVERITY_UNKNOWN: the action's */
	char summary[WATCH_SUMMARY_BYTES];
	/*
	 * So many of the shape's fields, from the first on, are told; 0: all. What may be another
	 * by the time that the change is seen again, after a crash, would make it another fact.
	 */
	size_t field_count;
};

#define WATCH_NO_FACT ((struct watch_fact){.fly_ns = LISTING_NO_TIME, .since_ns = LISTING_NO_TIME})

struct watch_resource {
	const char *name; /* of its snapshots */
	/*
	 * NULL: the organisation has it. Otherwise each item of that one has it: an application,
	 * or what belongs to an application by its field "app" or by its own ask.
	 */
	const struct watch_resource *of;
	/* A change of it makes this one due: of the same application, and item, where it has one.
	 */
	const struct watch_resource *stirred_by;
	unsigned every;  /* looked at in each so-many-th full interval; 0: in each */
	bool quick;      /* a part of it is looked at each WATCH_QUICK_SECONDS */
	bool log;        /* items age out of the answer, and are not gone for that */
	size_t page_max; /* of a log: a full answer of other items than before has left some out */
	/* Whether some are left out, where an answer shows that better; or NULL. */
	bool (*has_hole)(const struct listing *before, const struct listing *now);
	struct listing_shape shape;
	enum err_kind (*fetch)(const struct watch_ask *ask, struct listing *ret, struct err *err);
	/* The nth fact of a change, from 0 on; false: there is none. NULL: there is none ever. */
	bool (*describe)(const struct change *change, const struct watch_ask *ask, unsigned nth,
			 struct watch_fact *ret);
	/* Whether something in it is under way, so that it is looked at again soon; or NULL. */
	bool (*is_moving)(const struct listing *list);
};

/* --- for fetch() --- */

/* An answer that has a list in it, of as many pages as it needs. */
struct watch_list {
	const char
		*path; /* see watch_api_get(); {cursor} stands where the next page is asked for */
	const char *member; /* the list; NULL: the answer is it. null, as Go writes an empty one, is
			       empty */
	const char *next;   /* the member with the next page's cursor; NULL: there is one page */
	const char *doubt;  /* a list that must be empty, or it is no answer; NULL: none */
	const char *since;  /* what stands for {since} */
	enum err_kind (*take)(const struct watch_ask *ask, const struct json *element,
			      struct listing *ret, struct err *err);
};

/* Fetches it, all of it. What has no name makes it a part; what has no room, none: ERR_RETRY. */
NODISCARD enum err_kind watch_fetch_list(const struct watch_ask *ask, const struct watch_list *what,
					 struct listing *ret, struct err *err);

/*
 * The same by GraphQL. The query has $org or $app, and $after where what it asks for comes in
 * pages: then that has pageInfo { hasNextPage endCursor }, and nodes or edges.
 */
struct watch_query {
	const char *text;
	const char *owner, *member; /* in data: organization or app, and what is asked of it */
	enum err_kind (*take)(const struct watch_ask *ask, const struct json *element,
			      struct listing *ret, struct err *err);
};

NODISCARD enum err_kind watch_fetch_query(const struct watch_ask *ask,
					  const struct watch_query *what, struct listing *ret,
					  struct err *err);

/* What fetch() says of an answer that cannot be kept: only Fly's own 404 says that it is gone. */
enum err_kind watch_not_gone(enum err_kind rc, struct err *err);

/* A member's text; empty where there is none or it is no text. */
struct span watch_text(const struct json *object, const char *member);

/* A number that is digits alone; -1: it is none, or too long to be one of Fly's. */
int64_t watch_digits(struct span text);

/* As text what a value is: a text, a number, true or false; empty: none of these. */
struct span watch_value(const struct json *v, char text[TIME_TEXT_BYTES]);

/* As text what a member is: a text, a number, true or false; empty: it is not there, or other. */
struct span watch_scalar(const struct json *object, const char *member, char text[TIME_TEXT_BYTES]);

/* Fly's time in any form of its four, or milliseconds, as text; empty: there is none. */
const char *watch_time(const struct json *object, const char *member, char text[TIME_TEXT_BYTES]);
const char *watch_time_of(const struct json *value, char text[TIME_TEXT_BYTES]); /* or NULL */

/* Adds an item's field, and may be given the error of what was done before: then it does nothing.
 */
enum err_kind watch_set(enum err_kind rc, struct listing *l, struct item *item, size_t field,
			struct span value, struct err *err);

/* Whether there is an item with such a field that is not empty. */
bool watch_any_has(const struct listing *list, size_t field);

/* --- for describe() --- */

/* The time of a field that watch_time() made; LISTING_NO_TIME: there is none. */
int64_t watch_field_time(struct span field);

/* Who it was, as Fly names them; empty or a bare "user": unknown, for the reason given. */
void watch_actor(struct watch_fact *fact, struct span name, const char *reason);

#define RESOURCE(name) extern const struct watch_resource watch_##name;
#include "watch/resources.def"
#undef RESOURCE

#endif
