#ifndef RUN_LAST_LIVE_H
#define RUN_LAST_LIVE_H

/*
 * last_live: up to when a spool has what its live source gave: where the gap of
 * the next start begins.
 *
 * Lines of files say nothing about that, however new they are, so the spool is
 * read backwards to the newest line that came live. A fact of listening behind
 * it reaches further, because a night may be quiet. Where there is neither, the
 * newest of flytrail's own facts counts, unless it is a start or stop of a run
 * that read files.
 *
 * Threads: one, at the start.
 * Limits:  reads at most the newest four million records.
 * Errors:  what the disk does not give makes the answer LAST_LIVE_UNKNOWN at most.
 */

#include "spool/spool.h"

#define LAST_LIVE_UNKNOWN INT64_C(1) /* 1970: what would tell is dropped or damaged */

/* *ret_ns: the time; LAST_LIVE_UNKNOWN; or 0: nothing ever came live. */
NODISCARD enum err_kind last_live_find(struct spool *s, int64_t *ret_ns, struct err *err);

#endif
