#ifndef STAGE_CLASSIFY_H
#define STAGE_CLASSIFY_H

/*
 * classify: says what a line is, by the one table of rules, stage/rules.def.
 *
 * The line's own form decides, to the letter and to its end: an application
 * that prints something like a platform line is app_log. What only a sequence
 * of lines tells (a restart, a deploy of a new version) is told by SQL views,
 * not here.
 *
 * What a rule's fields say becomes attributes and the finding: the field
 * `email` the actor, `machine` or `volume_name` the target, and so on. What the
 * line has of its own under such a name gets `line.` in front.
 *
 * Ownership: what is made lives in the arena; the rest lends from the record.
 * Threads:   pure but for the arena.
 * Limits:    an application's line longer than CLASSIFY_BYTES_MAX is app_log;
 *            a field is cut at RECORD_FIELD_BYTES_MAX. Where the arena is full
 *            the class stands, and a summary or a field may be missing.
 */

#include "base/arena.h"
#include "model/record.h"

enum { CLASSIFY_BYTES_MAX = 16 * 1024 };

/* Sets class and action and, unless it is app_log, finding; appends attributes. */
void classify(struct arena *arena, struct record *record);

#endif
