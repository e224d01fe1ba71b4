#ifndef STORE_REPLAY_H
#define STORE_REPLAY_H

/*
 * replay: rows that an archive kept, back in the trail, past the spool.
 *
 * An object's content, NDJSON as model/ndjson.h writes it, goes by COPY into a temporary
 * table, as jsonb; there it is checked, line by line; and from there it is inserted, ON
 * CONFLICT DO NOTHING. That is one transaction: an object is in the trail, or nothing of it.
 * Rows have `source` replay, the stream and the number that the caller says, and otherwise
 * what the row had that was archived: times to the microsecond, rounded down, as store/copy.h
 * does, and occurred_ns what that drops.
 *
 * Nobody vouches for what lies in a bucket. So each line must be an object of the keys that
 * this version knows, each of its own type; and its time and retention class must be those of
 * the object that it stands in, which therefore needs one partition; and its id must be the
 * one that it makes (model/ndjson.h), so that nothing takes the place of another line that has
 * not come yet. Where an id is made from more than the row has, as of lines without an exact
 * time of their own and of facts, it is taken as it is, and can only be that of another such
 * row. What no id is made from is not checked. A row that is there already stays as it is. Rows
 * that are past keep_at_most of their kind, as the policy is in that transaction, are counted
 * and not inserted (store/limits.h).
 *
 * Ownership: replay_open() copies the URL; a job is lent for the call.
 * Threads:   one.
 * Limits:    partitions are made for 800 days back, or for as long as rows are kept where that
 *            is longer, and 100 days ahead (flytrail.ensure_partition() refuses what is beyond).
 *            REPLAY_ANSWER_SECONDS for each answer.
 * Errors:    ERR_REJECT: nothing of this content is stored; the next may be. ERR_RETRY: the
 *            connection is closed, and made again by the next call, which may be the same one:
 *            what was stored then counts as there already. ERR_CONFIG: an operator must act.
 */

#include "base/span.h"
#include "model/id.h"

#include <stdint.h>

enum {
	REPLAY_CONNECT_SECONDS = 10,
	REPLAY_ANSWER_SECONDS = 300, /* an object is one statement */
};

struct replay;

NODISCARD enum err_kind replay_open(struct replay **ret, const char *url, struct err *err);
void replay_close(struct replay *r); /* NULL is fine */

enum replay_kind { REPLAY_LINES, REPLAY_SECURITY, REPLAY_OPERATIONS };

struct replay_job {
	enum replay_kind kind;
	int64_t from_ns, until_ns; /* of the object, whose rows' times are not outside */
	struct id stream;
	uint64_t seq;
	struct span content;
	/* What is wanted of it. */
	const char *app; /* "": of all */
	int64_t wanted_from_ns, wanted_until_ns;
};

struct replay_result {
	uint64_t wanted;  /* rows of the content */
	uint64_t expired; /* of these, past keep_at_most */
	uint64_t added;   /* of these; the others are there already */
};

NODISCARD enum err_kind replay_write(struct replay *r, const struct replay_job *job,
				     struct replay_result *ret, struct err *err);

#endif
