#ifndef BASE_BACKOFF_H
#define BASE_BACKOFF_H

/*
 * backoff: how long to wait before trying again: 1 s, then twice as long each
 * time, up to a minute, and of that between half and all, so that replicas do
 * not come back in step.
 *
 * Threads: backoff_ms() is pure; backoff_random_ms() asks the system for randomness;
 *          backoff_wait() holds up the thread that calls it, and a signal does not end it.
 */

#include <stdint.h>

enum { BACKOFF_MS_MIN = 1000, BACKOFF_MS_MAX = 60 * 1000 };

/* Before attempt number attempt, from 1. */
int64_t backoff_ms(unsigned attempt, uint64_t random);
int64_t backoff_random_ms(unsigned attempt);

/* Waits so long, and seconds_min at least. For commands: who has to end meanwhile waits elsewhere.
 */
void backoff_wait(unsigned attempt, unsigned seconds_min);

#endif
