#ifndef STAGE_REDACT_H
#define STAGE_REDACT_H

/*
 * redact: takes secrets out of a record before anything touches disk.
 *
 * A hit becomes [REDACTED:<kind>]; the attribute `redacted` counts the hits by
 * kind. What a secret is and how it is found: stage/search.h. Patterns consume
 * greedily and have no trailing anchor, so that what follows a secret (a comma,
 * a bracket, a colour) cannot save it. A text is searched again until nothing
 * more is found: twice is once. A match limit hit, or too many hits, redacts
 * the whole text. PEM private keys are followed across the lines
 * of one batch and machine (stage/pem.h).
 *
 * raw holds bytes of any sort, and what of a line fits into no field. It comes
 * last and is kept only where no text of the record had a secret, raw itself
 * included; else it becomes a marker as a whole. What several texts of one line
 * hold is counted once.
 *
 * An attribute whose name, or any part of its dotted name, says that it holds a
 * secret loses its value; so does one that {"name": ..., "value": ...} or a list
 * of headers names. JSON
 * with a hole in it becomes text. Fields are cut to their limit when they are
 * redacted.
 *
 * A line that was not decoded is its message, and goes as a whole where the
 * name of an attribute gives something in it away that no pattern found.
 *
 * Not seen: a secret without a known form or a telling name; a bare value
 * behind its first space, or behind a quote where the text may well go on like
 * that; a password that holds "://", or that begins like a port in a URL and
 * goes on with a quote or, in http, a slash; a pair whose value comes before its
 * name; a name that is in two parts in a text ({"master": {"key": ...}}), but for
 * api; the last, short line of a key whose other lines came in the batch before;
 * a secret in base64, or in percent encoding more than three times.
 *
 * Ownership: new texts live in the caller's arena, unchanged ones stay where
 *            they are.
 * Threads:   a redactor belongs to one thread.
 * Limits:    an attempt takes a bounded number of steps a byte, and no byte is
 *            walked over again and again: a line of 1 MiB takes tens of ms.
 * Errors:    ERR_FATAL, when made, if a pattern does not compile or memory is
 *            out. Redacting itself never fails: a text that cannot be
 *            redacted (no memory, match limit) becomes [REDACTED:unchecked].
 */

#include "base/arena.h"
#include "model/record.h"

struct redactor;

NODISCARD enum err_kind redactor_new(struct redactor **ret, struct err *err);
void redactor_free(struct redactor *r); /* NULL is fine */

/* Before the first record of a batch: forgets open PEM blocks. */
void redactor_begin_batch(struct redactor *r);

/* Redacts every text of the record: message, raw, fields and attributes. */
void redact(struct redactor *r, struct arena *arena, struct record *record);

/* One text on its own, with no memory of others; count may be NULL. */
struct span redact_text(struct redactor *r, struct arena *arena, struct span text,
			unsigned *ret_count);

#endif
