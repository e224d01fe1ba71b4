#ifndef SINK_DEAD_LETTER_H
#define SINK_DEAD_LETTER_H

/*
 * dead_letter: what can never be delivered, kept beside the spool with its reason.
 *
 * A file of NDJSON lines {"time","sink","stream","epoch","seq","reason","payload"},
 * payload in base64, synced before the record counts as dealt with.
 *
 * Ownership: the caller owns the handle.
 * Threads:   one handle a thread; files are apart by sink.
 * Limits:    DEAD_LETTER_FILE_BYTES_MAX a sink; beyond it ERR_FULL.
 */

#include "spool/spool.h"

enum { DEAD_LETTER_FILE_BYTES_MAX = 256 * 1024 * 1024 };

struct dead_letters;

NODISCARD enum err_kind dead_letters_open(struct dead_letters **ret, const char *folder,
					  const char *sink, struct spool_stream stream,
					  struct err *err);
void dead_letters_close(struct dead_letters *d); /* NULL is fine */
NODISCARD enum err_kind dead_letters_add(struct dead_letters *d, uint64_t seq, struct span payload,
					 const char *reason, struct err *err);

#endif
