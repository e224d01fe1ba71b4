#ifndef STAGE_CLASSIFY_H
#define STAGE_CLASSIFY_H

/*
 * classify: says what a line is, by the one table of rules in stage/rules.c.
 *
 * The line's own form decides, to the letter and to its end: an application
 * that prints something like a platform line is app_log. What only a sequence
 * of lines tells (a restart, a deploy of a new version) is told by SQL views,
 * not here.
 *
 * Threads: pure but for the arena.
 */

#include "base/arena.h"
#include "model/record.h"

/* Sets class and action and, unless it is app_log, finding; appends attributes. */
void classify(struct arena *arena, struct record *record);

#endif
