#include "run/life.h"

#include "base/time.h"

#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum err_kind life_init(struct life *l, struct err *err)
{
	memset(l, 0, sizeof(*l));
	l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->wake_fd < 0)
		return err_errno(err, ERR_FATAL, "no eventfd for the end of the program");
	lock_init(&l->lock, LOCK_RANK_life);
	lock_cond_init(&l->changed);
	return ERR_NONE;
}

void life_release(struct life *l)
{
	MUST0(pthread_cond_destroy(&l->changed));
	lock_destroy(&l->lock);
	(void)close(l->wake_fd);
}

static void wake_all(struct life *l)
{
	LOCK_ASSERT_HELD(&l->lock);
	MUST0(pthread_cond_broadcast(&l->changed));
}

static void wake_main(struct life *l)
{
	uint64_t one = 1;

	/* A full counter is readable as well: main wakes up anyhow. */
	if (write(l->wake_fd, &one, sizeof(one)) < 0)
		return;
}

enum life_state life_state(struct life *l)
{
	enum life_state state;

	lock_take(&l->lock);
	state = l->state;
	lock_drop(&l->lock);
	return state;
}

void life_advance(struct life *l, enum life_state next)
{
	lock_take(&l->lock);
	REQUIRE(next > l->state);
	l->state = next;
	atomic_store(&l->ending, next >= LIFE_DRAINING);
	wake_all(l);
	lock_drop(&l->lock);
}

void life_cut(struct life *l)
{
	atomic_store(&l->cut, true);
	life_wake(l);
}

void life_fail(struct life *l, const struct err *why)
{
	lock_take(&l->lock);
	if (l->why.kind == ERR_NONE)
		l->why = *why;
	wake_all(l);
	lock_drop(&l->lock);
	wake_main(l);
}

enum err_kind life_failure(struct life *l, struct err *ret)
{
	enum err_kind kind;

	lock_take(&l->lock);
	kind = l->why.kind;
	if (kind)
		*ret = l->why;
	lock_drop(&l->lock);
	return kind;
}

void life_wake(struct life *l)
{
	lock_take(&l->lock);
	wake_all(l);
	lock_drop(&l->lock);
	wake_main(l);
}

void life_wait(struct life *l, int64_t timeout_ns)
{
	int64_t deadline_ns = time_monotonic_ns() + timeout_ns;
	enum life_state state;

	lock_take(&l->lock);
	state = l->state;
	while (l->state == state && !atomic_load(&l->cut))
		if (!lock_wait_until(&l->lock, &l->changed, deadline_ns))
			break;
	lock_drop(&l->lock);
}
