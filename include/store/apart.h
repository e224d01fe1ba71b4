#ifndef STORE_APART_H
#define STORE_APART_H

/*
 * apart: rows that come to Postgres past the spool's order: a dead letter that is tried again, a
 * range of an archive, what a command has to say.
 *
 *	apart_open(), apart_add() ..., apart_commit(), apart_add() ..., apart_close()
 *
 * What is added up to a commit is one transaction. The rows get the stream and the number that
 * the caller says; no stream's row is looked for, made or changed, and no cursor moves. So this
 * may go on while `flytrail run` stores the same spool. A row whose key is there already is left
 * as it is, and counted as a duplicate.
 *
 * Rows wait in temporary tables. Partitions are made before the transaction, so that it waits
 * for nobody.
 *
 * Ownership: apart_open() makes it, apart_close() ends it; a payload is lent for the call.
 * Threads:   one.
 * Limits:    no end to a transaction's rows, which the server keeps; here are
 *            APART_BATCH_ROWS, or APART_BATCH_BYTES_MAX and one payload more. Every wait on
 *            the server ends after APART_ANSWER_SECONDS.
 * Errors:    ERR_REJECT: some record since the last commit cannot be stored. ERR_RETRY: Postgres
 *            is away. ERR_CONFIG: an operator must act. After each of them nothing of what was
 *            added since the last commit is stored, but after ERR_RETRY from apart_commit(),
 *            when all of it may be. After ERR_REJECT the next may be added; after any other
 *            close it.
 */

#include "base/span.h"
#include "model/id.h"

#include <stdint.h>

enum {
	APART_BATCH_ROWS = 10000,
	APART_BATCH_BYTES_MAX = 4 * 1024 * 1024,
	APART_CONNECT_SECONDS = 10,
	APART_ANSWER_SECONDS = 300, /* a merge of many rows is one statement */
};

struct apart;

struct apart_row {
	struct id stream;
	uint64_t seq;
	struct span payload;
};

struct apart_result {
	uint64_t lines, events; /* rows written */
	uint64_t duplicates;    /* rows that were there already, or were added twice */
};

/* url is the writer's. Checks the schema's version. */
NODISCARD enum err_kind apart_open(struct apart **ret, const char *url, struct err *err);
void apart_close(struct apart *a); /* NULL is fine; what is not committed is not stored */

NODISCARD enum err_kind apart_add(struct apart *a, const struct apart_row *row, struct err *err);

/* Stores what was added since the last commit, all or nothing; *ret counts it. */
NODISCARD enum err_kind apart_commit(struct apart *a, struct apart_result *ret, struct err *err);

#endif
