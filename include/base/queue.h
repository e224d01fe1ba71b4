#ifndef BASE_QUEUE_H
#define BASE_QUEUE_H

/*
 * queue: a bounded hand-over of pointers between threads.
 *
 * Ownership: queue_put() passes the item to the queue, queue_get() to the
 *            taker. The queue never frees items; queue_free() requires it empty.
 * Threads:   any number of putters and takers.
 * Limits:    slots, fixed at creation. A full queue makes queue_put() wait:
 *            that wait is the back-pressure.
 * Errors:    ERR_FATAL out of memory, at creation only.
 */

#include "base/err.h"

struct queue;

NODISCARD enum err_kind queue_new(struct queue **ret, size_t slots, struct err *err);
void queue_free(struct queue *q); /* NULL is fine */

/* False: the queue is closed, the item stays yours. */
NODISCARD bool queue_put(struct queue *q, void *item);

/* NULL: closed and drained, or nothing came within timeout_ns (negative: no time limit). */
void *queue_get(struct queue *q, int64_t timeout_ns);

void queue_close(struct queue *q); /* wakes everybody; may be called twice */
bool queue_is_closed(struct queue *q);

#endif
