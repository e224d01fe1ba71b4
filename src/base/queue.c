#include "base/queue.h"

#include "base/lock.h"
#include "base/time.h"

#include <stdlib.h>

struct queue {
	/* const after queue_new() */
	struct lock lock;
	pthread_cond_t not_empty;
	pthread_cond_t not_full;
	size_t slots;
	/* guarded by lock */
	bool closed;
	size_t first;
	size_t count;
	void *items[];
};

enum err_kind queue_new(struct queue **ret, size_t slots, struct err *err)
{
	struct queue *q;

	REQUIRE(slots > 0 && slots <= SIZE_MAX / sizeof(void *) / 2);
	q = calloc(1, sizeof(*q) + slots * sizeof(q->items[0]));
	if (!q)
		return err_set(err, ERR_FATAL, "out of memory for a queue of %zu", slots);
	lock_init(&q->lock, LOCK_RANK_queue);
	lock_cond_init(&q->not_empty);
	lock_cond_init(&q->not_full);
	q->slots = slots;
	*ret = q;
	return ERR_NONE;
}

void queue_free(struct queue *q)
{
	if (!q)
		return;
	REQUIRE(q->count == 0);
	MUST0(pthread_cond_destroy(&q->not_full));
	MUST0(pthread_cond_destroy(&q->not_empty));
	lock_destroy(&q->lock);
	free(q);
}

bool queue_put(struct queue *q, void *item)
{
	bool open;

	REQUIRE(item);
	lock_take(&q->lock);
	while (!q->closed && q->count == q->slots)
		lock_wait(&q->lock, &q->not_full);
	open = !q->closed;
	if (open) {
		q->items[(q->first + q->count) % q->slots] = item;
		q->count++;
		MUST0(pthread_cond_signal(&q->not_empty));
	}
	lock_drop(&q->lock);
	return open;
}

/* Waits while there is nothing and something may still come. */
static void wait_for_item(struct queue *q, int64_t timeout_ns)
{
	int64_t deadline_ns = INT64_MAX;

	LOCK_ASSERT_HELD(&q->lock);
	if (q->count > 0 || q->closed || timeout_ns == 0)
		return;
	if (timeout_ns > 0 && __builtin_add_overflow(time_monotonic_ns(), timeout_ns, &deadline_ns))
		deadline_ns = INT64_MAX;
	while (q->count == 0 && !q->closed) {
		if (timeout_ns < 0)
			lock_wait(&q->lock, &q->not_empty);
		else if (!lock_wait_until(&q->lock, &q->not_empty, deadline_ns))
			return;
	}
}

void *queue_get(struct queue *q, int64_t timeout_ns)
{
	void *item = NULL;

	lock_take(&q->lock);
	wait_for_item(q, timeout_ns);
	if (q->count > 0) {
		item = q->items[q->first];
		q->first = (q->first + 1) % q->slots;
		q->count--;
		MUST0(pthread_cond_signal(&q->not_full));
	}
	lock_drop(&q->lock);
	return item;
}

void queue_close(struct queue *q)
{
	lock_take(&q->lock);
	q->closed = true;
	MUST0(pthread_cond_broadcast(&q->not_empty));
	MUST0(pthread_cond_broadcast(&q->not_full));
	lock_drop(&q->lock);
}

bool queue_is_closed(struct queue *q)
{
	bool closed;

	lock_take(&q->lock);
	closed = q->closed;
	lock_drop(&q->lock);
	return closed;
}
