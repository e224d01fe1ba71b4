#ifndef STORE_FRESH_H
#define STORE_FRESH_H

/*
 * fresh: facts of flytrail.events that a taker has not taken yet: who passes them on to the sinks,
 * and who tells people.
 *
 *	fresh_read(session, &taker, &page, err)
 *	... the page's facts are passed on, for good ...
 *	fresh_taken(session, page's keys, err)		and so on, until a page is empty
 *
 * Facts are those of the classes ssh_session, secret_change, access, deploy and trail: all are of
 * the retention class security. What was read and not said to be taken comes again with the next
 * read, so a fact may be passed on twice, after a crash, and is passed on once at least.
 *
 * Two ways to see what is new, since rows appear when their transaction ends, with the time of its
 * begin as stored_at:
 *
 *	all of them	stored_at is asked for from FRESH_MARGIN_SECONDS before up_to, which is as
 *			far as the taker has come. That is longer than flytrail has any transaction
 *			open that stores what came by a spool. The first read begins now: what there
 *			was before is nobody's news. Nor is what occurred FRESH_DAYS ago, which came
 *			by replay or import. Of facts that came by no spool the next holds, in that
 *			time, for who may have had a transaction open for however long. Where up_to
 *			is ahead of the server's clock by more than the margin, because that went
 *			back, or somebody moved it, a day's facts that were not taken are given.
 *	is_apart	facts that came by no spool: what commands and Postgres itself wrote, with
 *			seq 0. They are few: each that is not among those taken is new, whenever it
 *			was stored or occurred, and however long the transaction was. So the first
 *			reads give all that there are.
 *
 * How far a taker has come is in flytrail.fact_takers, and what it has taken in
 * flytrail.facts_taken, for as long as it may be met again: FRESH_DAYS of all, and of those apart
 * for good, which is a row of some 100 bytes for each thing that somebody did to the trail. Both
 * are the writer's to change; so who has its password, or acts as the owner of the database, can
 * mark a fact as taken.
 *
 * A taker is one at a time, by a lease (store/lease.h): two at once do everything twice.
 *
 * Ownership: a page is the caller's; its facts point into it, until the next read or release.
 * Threads:   as the session, which is in no transaction.
 * Limits:    FRESH_FACTS_MAX facts a page, of which the classes that lines have may carry
 *            RECORD_TEXT_BYTES_MAX each.
 * Errors:    the session's.
 */

#include "model/event.h"
#include "store/session.h"

enum {
	FRESH_FACTS_MAX = 32,
	FRESH_MARGIN_SECONDS = 600,
	FRESH_MOVE_SECONDS =
		60, /* up_to moves by so much, or stays: there may be a read a second */
	FRESH_DAYS = 8,
};

struct fresh_taker {
	const char *name;    /* of flytrail.fact_takers: a constant */
	enum severity least; /* not those below */
	bool is_apart;       /* those that came by no spool, and no others */
};

struct fresh_page {
	struct event facts[FRESH_FACTS_MAX]; /* in the order in which they were stored */
	size_t count;
	size_t unknown; /* further ones with words that only a newer flytrail knows: left to that */
	PGresult *rows; /* what the facts point into */
};

#define FRESH_PAGE_EMPTY ((struct fresh_page){.count = 0})

/* page: empty, or one that was read before. No facts, and none unknown: all are taken. */
NODISCARD enum err_kind fresh_read(struct session *s, const struct fresh_taker *taker,
				   struct fresh_page *page, struct err *err);
void fresh_release(struct fresh_page *page);

/* What a read does by itself that finds that all are taken: it is said so for the next. */
NODISCARD enum err_kind fresh_reached(struct session *s, const struct fresh_taker *taker,
				      struct err *err);

struct fresh_key {
	struct id id;
	int64_t occurred_ns;
};

struct fresh_key fresh_key(const struct event *fact);

/* In one transaction. Those that were taken already stay so. count: FRESH_FACTS_MAX at most. */
NODISCARD enum err_kind fresh_taken(struct session *s, const struct fresh_taker *taker,
				    const struct fresh_key *keys, size_t count, struct err *err);

#endif
