#include "store/stream.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { NUMBER_BYTES = 24, MARK_BYTES = 48 };

static const char *number_text(uint64_t n, char text[NUMBER_BYTES])
{
	(void)snprintf(text, NUMBER_BYTES, "%" PRIu64, n);
	return text;
}

/* NULL where there is none. */
static const char *mark_text(const struct stream_position *p, char text[MARK_BYTES])
{
	(void)snprintf(text, MARK_BYTES, "%" PRIu64 ":%016" PRIx64, p->seq, p->mark);
	return p->mark != 0 ? text : NULL;
}

/* 0 where it is another number's: an older flytrail, which knows no marks, has moved the cursor. */
static uint64_t parse_mark(const char *text, uint64_t seq)
{
	char *end = NULL;

	if (strtoull(text, &end, 10) != seq || *end != ':')
		return 0;
	return strtoull(end + 1, NULL, 16);
}

/*
 * Finds this stream's row; makes it where there is none. The INSERT waits for a transaction of
 * ours that Postgres is still committing, so that the cursor that is read is the last word.
 */
static enum err_kind find_row(struct session *s, const struct stream_row *r, uint64_t *ret_epoch,
			      struct stream_position *ret, struct err *err)
{
	char stream[ID_TEXT_BYTES], epoch[NUMBER_BYTES], start[NUMBER_BYTES];
	const char *const values[] = {id_format(&r->stream.uuid, stream),
				      number_text(r->stream.epoch, epoch), r->replica,
				      number_text(r->stream.start_seq, start)};
	PGresult *row;
	enum err_kind rc;

	rc = session_ask(s,
			 "INSERT INTO flytrail.streams (stream, epoch, replica, cursor_seq) "
			 "VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
			 values, 4, &row, err);
	if (rc)
		return rc;
	PQclear(row);
	rc = session_ask(s,
			 "SELECT epoch, cursor_seq, cursor_mark FROM flytrail.streams "
			 "WHERE stream = $1",
			 values, 1, &row, err);
	if (rc)
		return rc;
	if (PQntuples(row) == 1) {
		*ret_epoch = strtoull(PQgetvalue(row, 0, 0), NULL, 10);
		ret->seq = strtoull(PQgetvalue(row, 0, 1), NULL, 10);
		ret->mark = parse_mark(PQgetvalue(row, 0, 2), ret->seq);
	} else {
		rc = err_set(err, ERR_RETRY, "the stream's row is gone again");
	}
	PQclear(row);
	return rc;
}

static enum err_kind raise_epoch(struct session *s, const struct stream_row *r, uint64_t old_epoch,
				 struct err *err)
{
	char stream[ID_TEXT_BYTES], epoch[NUMBER_BYTES], old[NUMBER_BYTES];
	const char *const values[] = {id_format(&r->stream.uuid, stream),
				      number_text(r->stream.epoch, epoch),
				      number_text(old_epoch, old), r->replica};
	PGresult *row;
	enum err_kind rc;

	rc = session_ask(s,
			 "UPDATE flytrail.streams SET epoch = $2, replica = $4, updated_at = now() "
			 "WHERE stream = $1 AND epoch = $3",
			 values, 4, &row, err);
	if (!rc)
		PQclear(row);
	return rc;
}

enum err_kind stream_open(struct session *s, const struct stream_row *r,
			  struct stream_position *ret, struct err *err)
{
	char stream[ID_TEXT_BYTES];
	uint64_t epoch = 0;
	enum err_kind rc;

	rc = find_row(s, r, &epoch, ret, err);
	if (rc)
		return rc;
	if (epoch > r->stream.epoch)
		return err_set(
			err, ERR_CONFIG,
			"spool %s has epoch %" PRIu64 " here and %" PRIu64
			" in Postgres: this volume was copied or restored; run `flytrail spool "
			"adopt` on it, or give this machine an empty FLYTRAIL_SPOOL_DIR",
			id_format(&r->stream.uuid, stream), r->stream.epoch, epoch);
	return epoch < r->stream.epoch ? raise_epoch(s, r, epoch, err) : ERR_NONE;
}

enum err_kind stream_move_cursor(struct session *s, const struct stream_row *r, uint64_t after_seq,
				 const struct stream_position *to_position, struct err *err)
{
	char stream[ID_TEXT_BYTES], epoch[NUMBER_BYTES], from[NUMBER_BYTES], to[NUMBER_BYTES],
		mark[MARK_BYTES];
	const char *const values[] = {id_format(&r->stream.uuid, stream),
				      number_text(r->stream.epoch, epoch),
				      number_text(after_seq, from),
				      number_text(to_position->seq, to),
				      r->replica,
				      mark_text(to_position, mark)};
	PGresult *result;
	enum err_kind rc;
	bool moved;

	rc = session_ask(s,
			 "UPDATE flytrail.streams SET cursor_seq = $4, replica = $5, "
			 "cursor_mark = $6, updated_at = now() "
			 "WHERE stream = $1 AND epoch = $2 AND cursor_seq = $3",
			 values, 6, &result, err);
	if (rc)
		return rc;
	moved = strcmp(PQcmdTuples(result), "1") == 0;
	PQclear(result);
	if (moved)
		return ERR_NONE;
	/* A commit whose answer was lost, or another machine's: the new cursor tells which. */
	return err_set(err, ERR_RETRY,
		       "Postgres has another position for spool %s than %s: connecting again to "
		       "read it",
		       values[0], values[2]);
}
