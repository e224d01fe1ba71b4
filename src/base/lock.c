#include "base/lock.h"

#include <errno.h>
#include <time.h>

_Static_assert(LOCK_RANK_COUNT < 32, "a thread's books hold a bit for each rank");

/* The ranks that this thread holds; its address stands for the thread. */
static _Thread_local uint32_t books;

void lock_init(struct lock *l, enum lock_rank rank)
{
	REQUIRE(rank < LOCK_RANK_COUNT);
	MUST0(pthread_mutex_init(&l->mutex, NULL));
	l->rank = rank;
	atomic_init(&l->owner, NULL);
}

void lock_destroy(struct lock *l)
{
	REQUIRE(atomic_load(&l->owner) == NULL);
	MUST0(pthread_mutex_destroy(&l->mutex));
}

static void note_taken(struct lock *l)
{
	books |= UINT32_C(1) << l->rank;
	atomic_store_explicit(&l->owner, &books, memory_order_relaxed);
}

static void note_dropped(struct lock *l)
{
	REQUIRE(lock_is_mine(l));
	atomic_store_explicit(&l->owner, NULL, memory_order_relaxed);
	books &= ~(UINT32_C(1) << l->rank);
}

void lock_take(struct lock *l)
{
	REQUIRE(books >> l->rank == 0);
	MUST0(pthread_mutex_lock(&l->mutex));
	note_taken(l);
}

void lock_drop(struct lock *l)
{
	note_dropped(l);
	MUST0(pthread_mutex_unlock(&l->mutex));
}

bool lock_is_mine(struct lock *l)
{
	return atomic_load_explicit(&l->owner, memory_order_relaxed) == &books;
}

void lock_cond_init(pthread_cond_t *cond)
{
	pthread_condattr_t attr;

	MUST0(pthread_condattr_init(&attr));
	MUST0(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC));
	MUST0(pthread_cond_init(cond, &attr));
	MUST0(pthread_condattr_destroy(&attr));
}

static void begin_wait(struct lock *l)
{
	note_dropped(l);
	REQUIRE(books == 0);
}

void lock_wait(struct lock *l, pthread_cond_t *cond)
{
	begin_wait(l);
	MUST0(pthread_cond_wait(cond, &l->mutex));
	note_taken(l);
}

bool lock_wait_until(struct lock *l, pthread_cond_t *cond, int64_t deadline_ns)
{
	struct timespec deadline = {
		.tv_sec = deadline_ns > 0 ? deadline_ns / NS_PER_S : 0,
		.tv_nsec = deadline_ns > 0 ? deadline_ns % NS_PER_S : 0,
	};
	int rc;

	begin_wait(l);
	rc = pthread_cond_timedwait(cond, &l->mutex, &deadline);
	note_taken(l);
	REQUIRE(rc == 0 || rc == ETIMEDOUT);
	return rc == 0;
}
