#ifndef RUN_EXPIRED_H
#define RUN_EXPIRED_H

/*
 * expired: rows that came past keep_at_most (store/limits.h), from the store's counting them to
 * the facts that say so: trail.expired, of each kind at most one in EXPIRED_TELL_SECONDS.
 *
 *	expired_note()       before the COMMIT that moves the cursor past them
 *	expired_settle()     after it or what came of it, and when the cursor was read anew
 *	expired_tell()       a fact that is due; the caller puts it into a batch
 *	expired_told()       that batch is stored
 *
 * Nothing is passed that is not on record, and a minute is long, so what waits to be told stands
 * in a file in the spool's folder, synced before each COMMIT that passes more. What a COMMIT came
 * to that was not answered, or that a crash came between, is told by the cursor: noted rows
 * count once it is behind them. A fact that was begun to be told keeps its time and so its
 * id; told again it is the same row. The file names its stream: of another one it is
 * ignored, and one that is damaged is begun anew, after the log has said so.
 *
 * Ownership: the caller owns the handle; what it is given is copied.
 * Threads:   the consumer's.
 * Limits:    one fact of each kind is told at a time.
 * Errors:    ERR_RETRY where the file cannot be written, and ERR_FATAL as base/file.h says:
 *            without it nothing is passed.
 */

#include "run/trail.h"
#include "store/limits.h"

#define EXPIRED_NAME "store-expired"

enum { EXPIRED_TELL_SECONDS = 60 };

struct expired;

NODISCARD enum err_kind expired_open(struct expired **ret, const char *folder,
				     const struct spool_stream *stream, struct err *err);
void expired_close(struct expired *e); /* NULL is fine */

/* These rows are late, and the next COMMIT moves the cursor to last_seq. */
NODISCARD enum err_kind expired_note(struct expired *e, const struct limits_expired *rows,
				     uint64_t last_seq, struct err *err);

/* The cursor is there. What is noted and not passed by it is forgotten: that COMMIT did not come
 * about, and the rows are met again. */
NODISCARD enum err_kind expired_settle(struct expired *e, uint64_t cursor, struct err *err);

/*
 * A fact of this kind that is to be told now: when it is due, or at once where is_end. *ret_any:
 * there is one. One that was not told to the end is given again.
 */
NODISCARD enum err_kind expired_tell(struct expired *e, enum limits_kind kind, bool is_end,
				     struct fact *ret, bool *ret_any, struct err *err);

/* What expired_tell() gave is stored. */
NODISCARD enum err_kind expired_told(struct expired *e, struct err *err);

#endif
