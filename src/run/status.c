#include "run/status.h"

#include "base/time.h"

#include <stdio.h>
#include <string.h>

void status_init(struct status *s)
{
	memset(s, 0, sizeof(*s));
	s->started_ns = time_now_ns();
	s->started_monotonic_ns = time_monotonic_ns();
	lock_init(&s->lock, LOCK_RANK_status);
	atomic_store(&s->source_why, "not started yet");
}

void status_release(struct status *s)
{
	lock_destroy(&s->lock);
}

void status_set_store(struct status *s, enum store_state state, const char *error)
{
	lock_take(&s->lock);
	atomic_store(&s->store_state, state);
	(void)snprintf(s->store_error, sizeof(s->store_error), "%s", error);
	lock_drop(&s->lock);
}

enum store_state status_store(struct status *s, char text[ERR_TEXT_BYTES])
{
	enum store_state state;

	lock_take(&s->lock);
	state = atomic_load(&s->store_state);
	memcpy(text, s->store_error, ERR_TEXT_BYTES);
	lock_drop(&s->lock);
	return state;
}

const char *store_state_name(enum store_state state)
{
	switch (state) {
	case STORE_STARTING: return "starting";
	case STORE_WORKING: return "working";
	case STORE_RETRYING: return "retrying";
	case STORE_PARKED: return "parked";
	}
	return "unknown";
}

void status_set_spool(struct status *s, struct spool *spool)
{
	lock_take(&s->lock);
	s->spool = spool;
	lock_drop(&s->lock);
}

bool status_spool(struct status *s, struct spool_stats *ret)
{
	bool open;

	lock_take(&s->lock);
	open = s->spool != NULL;
	if (open)
		spool_stats(s->spool, ret);
	lock_drop(&s->lock);
	return open;
}
