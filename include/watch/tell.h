#ifndef WATCH_TELL_H
#define WATCH_TELL_H

/*
 * tell: what watching finds, as events.
 *
 * An event's id is made of what it says and of Fly's own time, or else of the
 * snapshot's: made again after a crash, or by another replica, it is the same.
 *
 * Ownership: the caller owns what is given; an event is lent to ops->tell().
 * Threads:   one, the watcher's.
 * Limits:    TELL_ATTRIBUTES_BYTES_MAX: of what is longer, the fact is told without its fields.
 * Errors:    what tell() says.
 */

#include "watch/resource.h"

enum { TELL_ATTRIBUTES_BYTES_MAX = 64 * 1024 };

struct teller {
	enum err_kind (*tell)(void *arg, const struct event *event, struct err *err);
	void *arg;
	struct span org, own_app,
		store_app; /* what touches the last two is of the highest severity */
	struct hasher *hasher;
	struct buf attributes;
};

NODISCARD enum err_kind teller_init(struct teller *t,
				    struct err *err); /* the rest is set by hand */
void teller_release(struct teller *t);

/* All facts of a change. */
NODISCARD enum err_kind teller_change(struct teller *t, const struct watch_resource *resource,
				      const struct watch_ask *ask, const struct change *change,
				      struct err *err);

/* What there was when flytrail first looked. */
NODISCARD enum err_kind teller_baseline(struct teller *t, const struct watch_resource *resource,
					const struct watch_ask *ask, size_t count, struct err *err);

/* That it cannot be looked at since then, for the reason why; NULL: that it can again. */
NODISCARD enum err_kind teller_sight(struct teller *t, const struct watch_resource *resource,
				     const struct watch_ask *ask, const char *why, struct err *err);

/* That it was not looked at since `from_ns` until now; and so perhaps nothing else was. */
NODISCARD enum err_kind teller_absence(struct teller *t, const struct watch_resource *resource,
				       const struct watch_ask *ask, int64_t from_ns,
				       struct err *err);

/* That more happened since `from_ns` than Fly's answer shows. */
NODISCARD enum err_kind teller_overrun(struct teller *t, const struct watch_resource *resource,
				       const struct watch_ask *ask, int64_t from_ns,
				       struct err *err);

#endif
