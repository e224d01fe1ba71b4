#ifndef RUN_PROCESS_H
#define RUN_PROCESS_H

/*
 * process: what `flytrail run` asks of the system before it holds a secret.
 *
 * Threads: process_harden() before any is made; they inherit the blocked signals.
 */

#include "base/err.h"

#include <signal.h>

/* Twice what it was seen to take under load (tests/integration/test_image_run.py), for the kernel
 * and for the pages of its files. */
enum { PROCESS_MEMORY_MIB_MIN = 128 };

/*
 * Blocks signals, forbids core dumps, tracing and new privileges, makes files private, and sees to
 * it that no file gets the number of a standard descriptor that is closed.
 */
NODISCARD enum err_kind process_harden(struct err *err);

/*
 * ERR_CONFIG where there is less memory than flytrail needs: in the machine, or in what a container
 * may take of it. It would be killed in the first burst of lines, without a word.
 */
NODISCARD enum err_kind process_check_memory(struct err *err);

/* The signals that end the program; they are read from a descriptor. */
void process_ending_signals(sigset_t *set);

#endif
