#ifndef STAGE_STAGES_H
#define STAGE_STAGES_H

/*
 * stages: a raw line's whole way to a record: decode, redact, id, cut, classify.
 *
 * One place for the order, so that `flytrail classify` and `flytrail run` make
 * the same record, with the same id, of the same line. The id is made of what
 * redaction left, before anything is cut: a longer line with the same start is
 * another line.
 *
 *	stages_begin_batch(s);
 *	for each raw of the batch:
 *		rc = stages_take(s, batch, raw, &record, err);
 *		... encode or print the record ...
 *
 * Ownership: the record lends from the batch and from the stages, until the
 *            next stages_begin_batch().
 * Threads:   a struct stages belongs to one thread.
 * Limits:    message and raw are kept to RECORD_TEXT_BYTES_MAX; of a longer
 *            one the attributes message_bytes and message_sha256 (raw_bytes,
 *            raw_sha256) tell the whole.
 * Errors:    ERR_FATAL: no memory, no SHA-256.
 */

#include "model/record.h"

enum { STAGES_ARENA_BYTES_MAX = 32 * 1024 * 1024 };

struct stages_options {
	struct span org; /* may be empty */
	struct span app; /* for forms that do not name it; may be empty */
	struct span
		own_app; /* flytrail's: what it prints is app_log, whatever it says; may be empty */
	struct span store_app; /* its Postgres's: with own_app, a stop or a session is severest */
	bool any_time;         /* as in decode.h */
};

struct stages;

NODISCARD enum err_kind stages_new(struct stages **ret, const struct stages_options *options,
				   struct err *err);
void stages_free(struct stages *s); /* NULL is fine */

/* Before the first line of a batch: forgets what the last one was lent, and its open PEM blocks. */
void stages_begin_batch(struct stages *s);

/* Fills *ret wholly from a line of any content. */
NODISCARD enum err_kind stages_take(struct stages *s, struct batch *batch, const struct raw *raw,
				    struct record *ret, struct err *err);

/* Whether the last line taken had something to redact. */
bool stages_redacted(const struct stages *s);

#endif
