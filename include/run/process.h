#ifndef RUN_PROCESS_H
#define RUN_PROCESS_H

/*
 * process: what `flytrail run` asks of the system before it holds a secret.
 *
 * Threads: process_harden() before any is made; they inherit the blocked signals.
 */

#include "base/err.h"

#include <signal.h>

/*
 * Blocks signals, forbids core dumps, tracing and new privileges, makes files private, and sees to
 * it that no file gets the number of a standard descriptor that is closed.
 */
NODISCARD enum err_kind process_harden(struct err *err);

/* The signals that end the program; they are read from a descriptor. */
void process_ending_signals(sigset_t *set);

#endif
