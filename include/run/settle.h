#ifndef RUN_SETTLE_H
#define RUN_SETTLE_H

/*
 * settle: what becomes of a sink's dead letters: each is retried, or dropped, and that is a fact.
 *
 * For the store a retry is the record's rows, put into Postgres past the spool in one
 * transaction with the fact; for any other sink it is a delivery of that record alone, and
 * then the fact. A letter is settled (sink/dead_settled.h) when its fact is stored and not
 * before: where Postgres cannot be told, nothing is dropped. Broken off in between, it is
 * still a letter, and to retry it again is no harm. A connection that was lost is made again,
 * once for each letter; what a sink has then, and Postgres was not told, is said.
 *
 * A letter of the store that is settled is as safe as Postgres: what a failover to a standby that
 * was behind takes back of the store, `flytrail run` stores again from the spool, but not what was
 * retried here. Its fact goes with it, and once `run` has cleared it away so has the letter.
 *
 * Ownership: settle_open() makes it, settle_close() ends it; the configuration outlives it.
 * Threads:   one; `flytrail run` may be at work on the same folder.
 * Limits:    those of sink/dead_reader.h and run/delivery.h.
 * Errors:    ERR_REJECT: this letter is refused once more, and the next may be tried; so it is
 *            where another object has the name in S3 that this one's would have;
 *            ERR_CORRUPT: its line was changed meanwhile, and likewise. Any
 *            other: nothing more can be done now. ERR_CONFIG from settle_open() also where
 *            another command is at work.
 */

#include "base/config.h"
#include "sink/dead_reader.h"

/* The store's name among the sinks. */
#define SETTLE_STORE "store"

struct settle;

NODISCARD enum err_kind settle_open(struct settle **ret, const struct config *c, const char *sink,
				    struct err *err);
void settle_close(struct settle *s); /* NULL is fine */

/* Those that there were at settle_open(); read by settle_retry() and settle_drop(), too. */
struct dead_reader *settle_letters(const struct settle *s);

NODISCARD enum err_kind settle_retry(struct settle *s, size_t idx, struct err *err);
NODISCARD enum err_kind settle_drop(struct settle *s, size_t idx, const char *why, struct err *err);

#endif
