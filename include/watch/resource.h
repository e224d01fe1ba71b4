#ifndef WATCH_RESOURCE_H
#define WATCH_RESOURCE_H

/*
 * resource: one kind of thing of Fly's control plane: how it is read, and what a
 * difference of it means. A new one is a file src/watch/<name>.c with a struct
 * watch_resource, and a line in watch/resources.def.
 *
 * A resource fetches and normalises; it neither waits nor remembers. What is kept
 * of an item is the fields of its shape, and they are shown to people: a value, a
 * digest, a key is none of them.
 *
 * Ownership: what describe() gives lends from the change, or is constant.
 * Threads:   one, the watcher's.
 * Errors:    fetch(): as watch/api.h; ERR_REJECT: what it belongs to is gone. The list is
 *            all that there is, or there is an error: a part must not look like it.
 */

#include "base/time.h"
#include "model/event.h"
#include "watch/api.h"
#include "watch/differ.h"

enum { WATCH_SUMMARY_BYTES = 512 };

/* What a change is, as a fact. */
struct watch_fact {
	enum action action;
	int64_t fly_ns; /* when, as Fly says; LISTING_NO_TIME: it does not */
	const char *target_type;
	struct span actor; /* empty: not known, and actor_reason says why */
	enum actor_type actor_type;
	const char *actor_reason;
	char summary[WATCH_SUMMARY_BYTES];
};

struct watch_resource {
	const char *name; /* of its snapshots */
	bool of_app;      /* each application has its own; else the organisation has one */
	struct listing_shape shape;
	enum err_kind (*fetch)(struct watch_api *api, const char *app, struct listing *ret,
			       struct err *err);
	/* False: it is no fact. NULL: none is. */
	bool (*describe)(const struct change *change, const char *app, struct watch_fact *ret);
};

/* An answer that is an object with a list in it. */
struct watch_list {
	const char *path;   /* see watch_api_get() */
	const char *member; /* the list; null, as Go writes an empty one, is empty */
	enum err_kind (*take)(struct watch_api *api, const struct json *element,
			      struct listing *ret, struct err *err);
};

/* Fetches it, all of it: what cannot be kept makes the whole answer none, which is ERR_RETRY. */
NODISCARD enum err_kind watch_fetch_list(struct watch_api *api, const struct watch_list *what,
					 const char *name, struct listing *ret, struct err *err);

/* A member's text; empty where there is none or it is no text. */
struct span watch_text(const struct json *object, const char *member);

/* Fly's time in one form of its four, as text; empty where there is none that can be read. */
const char *watch_time(const struct json *object, const char *member, char text[TIME_TEXT_BYTES]);

/* The time of a field that watch_time() made; LISTING_NO_TIME: there is none. */
int64_t watch_field_time(struct span field);

#define RESOURCE(name) extern const struct watch_resource watch_##name;
#include "watch/resources.def"
#undef RESOURCE

#endif
