#ifndef SINK_DEAD_LETTER_H
#define SINK_DEAD_LETTER_H

/*
 * dead_letter: what can never be delivered, kept beside the spool with its reason.
 *
 * A file (sink/dead_file.h) of NDJSON lines
 * {"time","sink","stream","epoch","seq","reason","answer","payload"}, payload in base64,
 * synced before the record counts as dealt with. answer is the first bytes of what the place
 * said, where it said something; the file is the operator's, and no log.
 *
 * What `flytrail dead` has settled is cleared away when the letters are opened, and when there
 * is no room for more. What cannot be cleared stays, and is no error;
 * where there is no room then, that says why.
 *
 * Ownership: the caller owns the handle.
 * Threads:   one handle a thread; files are apart by sink.
 * Limits:    DEAD_FILE_BYTES_MAX a sink; beyond it ERR_FULL.
 */

#include "spool/spool.h"

struct dead_letters;

NODISCARD enum err_kind dead_letters_open(struct dead_letters **ret, const char *folder,
					  const char *sink, struct spool_stream stream,
					  struct err *err);
void dead_letters_close(struct dead_letters *d); /* NULL is fine */
/* answer: empty, or of whatever length; its first DEAD_ANSWER_BYTES_MAX are kept. */
NODISCARD enum err_kind dead_letters_add(struct dead_letters *d, uint64_t seq, struct span payload,
					 const char *reason, struct span answer, struct err *err);

#endif
