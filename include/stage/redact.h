#ifndef STAGE_REDACT_H
#define STAGE_REDACT_H

/*
 * redact: takes secrets out of a record before anything touches disk.
 *
 * A hit becomes [REDACTED:<kind>]; the attribute `redacted` counts the hits by
 * kind. Patterns consume greedily and have no trailing anchor, so that what
 * follows a secret (a comma, a bracket, a colour) cannot save it. A match
 * limit hit redacts the whole text. PEM private keys are followed across the
 * lines of one batch and machine.
 *
 * Ownership: the redactor owns its compiled patterns; new texts live in the
 *            caller's arena. PCRE2 is met here alone.
 * Threads:   a redactor belongs to one thread.
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

const char *redact_library_version(void); /* of PCRE2 */

#endif
