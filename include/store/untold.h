#ifndef STORE_UNTOLD_H
#define STORE_UNTOLD_H

/*
 * untold: the facts that somebody was not told of yet, and whose it is to tell: what run/notifier.c
 * asks of Postgres, on a connection of its own.
 *
 *	untold_look()	outside of all; the first one of a taker begins now
 *	untold_begin()	a message: what is marked from here on is taken for good by untold_keep(),
 *	untold_read()	and is as it was after untold_undo(), a crash, or a connection that ended
 *	untold_mark()	...
 *
 * The message is sent in between, so a transaction is open for as long as that may take. It has
 * nothing but rows of flytrail.facts_taken and its own of flytrail.fact_takers, and so holds up
 * nobody: what a read locks is let go of with the savepoint that it is in. Else retention, which
 * detaches partitions, would wait for a receiver, and who stores for retention.
 *
 * Ownership: untold_open() makes it, untold_close() ends it. The facts of a page are lent until the
 *            next.
 * Threads:   one.
 * Limits:    see store/fresh.h.
 * Errors:    the session's; after ERR_RETRY it is of no use.
 */

#include "store/fresh.h"
#include "store/lease.h"

enum { UNTOLD_CONNECT_SECONDS = 10, UNTOLD_ANSWER_SECONDS = 15 };

struct untold;

NODISCARD enum err_kind untold_open(struct untold **ret, const char *url, struct err *err);
void untold_close(struct untold *u); /* NULL is fine */

/* As store/lease.h, of the lease that has the taker's name. */
NODISCARD enum err_kind untold_hold(struct untold *u, const struct fresh_taker *taker,
				    const char *holder, int seconds, bool *ret_mine,
				    struct err *err);
void untold_give_back(struct untold *u, const struct fresh_taker *taker, const char *holder);

/* Whether there is any. */
NODISCARD enum err_kind untold_look(struct untold *u, const struct fresh_taker *taker,
				    bool *ret_any, struct err *err);

NODISCARD enum err_kind untold_begin(struct untold *u, struct err *err);
/* The next page. Without facts: there are no more. */
NODISCARD enum err_kind untold_read(struct untold *u, const struct fresh_taker *taker,
				    const struct fresh_page **ret, struct err *err);
/* The first so many of that page. */
NODISCARD enum err_kind untold_mark(struct untold *u, const struct fresh_taker *taker, size_t count,
				    struct err *err);
NODISCARD enum err_kind untold_keep(struct untold *u, struct err *err);
NODISCARD enum err_kind untold_undo(struct untold *u, struct err *err);

#endif
