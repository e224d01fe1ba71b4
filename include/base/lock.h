#ifndef BASE_LOCK_H
#define BASE_LOCK_H

/*
 * lock: a pthread mutex that knows its rank and its owner.
 *
 * A thread may take a lock only if its rank is above every rank it holds.
 * base/locks.def lists all locks of the program, outermost first. A wrong
 * order, a double take and dropping another's lock panic at once, in every
 * build. Never under a lock: allocation, I/O, logging, another module's
 * public function.
 */

#include "base/util.h"

#include <pthread.h>
#include <stdatomic.h>

enum lock_rank {
#define LOCK(name) LOCK_RANK_##name,
#include "base/locks.def"
#undef LOCK
	LOCK_RANK_COUNT
};

struct lock {
	pthread_mutex_t mutex;
	enum lock_rank rank;
	_Atomic(const void *) owner; /* the owner's books; NULL: nobody has it */
};

void lock_init(struct lock *l, enum lock_rank rank);
void lock_destroy(struct lock *l);
void lock_take(struct lock *l);
void lock_drop(struct lock *l);
bool lock_is_mine(struct lock *l);

/* A condition variable on the monotonic clock. */
void lock_cond_init(pthread_cond_t *cond);

/* Waits for a signal, keeping the books. Whoever waits may hold no other lock. */
void lock_wait(struct lock *l, pthread_cond_t *cond);

/* The same, at most until deadline_ns on the monotonic clock; false: it has passed. */
bool lock_wait_until(struct lock *l, pthread_cond_t *cond, int64_t deadline_ns);

#define LOCK_ASSERT_HELD(l) REQUIRE(lock_is_mine(l))

#endif
