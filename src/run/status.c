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
	for (size_t i = 0; i < SINK_COUNT; i++)
		lock_init(&s->sinks[i].lock, LOCK_RANK_status);
	for (size_t i = 0; i < NOTIFY_COUNT; i++)
		lock_init(&s->told[i].lock, LOCK_RANK_status);
	atomic_store(&s->source_why, "not started yet");
}

void status_release(struct status *s)
{
	for (size_t i = 0; i < SINK_COUNT; i++)
		lock_destroy(&s->sinks[i].lock);
	for (size_t i = 0; i < NOTIFY_COUNT; i++)
		lock_destroy(&s->told[i].lock);
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

const char *sink_name(enum sink_id sink)
{
	static const char *const names[] = {[SINK_S3] = "s3", [SINK_DATADOG] = "datadog"};

	REQUIRE(sink < SINK_COUNT);
	return names[sink];
}

const char *sink_state_name(enum sink_state state)
{
	switch (state) {
	case SINK_OFF: return "off";
	case SINK_STARTING: return "starting";
	case SINK_WORKING: return "working";
	case SINK_RETRYING: return "retrying";
	case SINK_PARKED: return "parked";
	}
	return "unknown";
}

void sink_status_set(struct sink_status *s, enum sink_state state, const char *error)
{
	lock_take(&s->lock);
	atomic_store(&s->state, state);
	(void)snprintf(s->error, sizeof(s->error), "%s", error);
	lock_drop(&s->lock);
}

enum sink_state sink_status_read(struct sink_status *s, char text[ERR_TEXT_BYTES])
{
	enum sink_state state;

	lock_take(&s->lock);
	state = atomic_load(&s->state);
	memcpy(text, s->error, ERR_TEXT_BYTES);
	lock_drop(&s->lock);
	return state;
}

int64_t sink_status_misses_ns(const struct sink_status *s, int64_t now_ns)
{
	static const double days_max = 3650;
	/* Of too short a time nothing follows, unless what it filled is as much as is left. */
	static const int64_t short_ns = 600 * NS_PER_S;
	double behind = (double)atomic_load(&s->behind_bytes);
	double max = (double)atomic_load(&s->behind_bytes_max);
	int64_t from_ns = atomic_load(&s->behind_ns);
	int64_t age_ns = now_ns > from_ns ? now_ns - from_ns : 0;
	double left_ns;

	if (from_ns == 0 || behind <= 0 || (age_ns < short_ns && behind < max / 2))
		return 0;
	left_ns = behind >= max ? 0 : (max - behind) / behind * (double)age_ns;
	return left_ns / (double)NS_PER_S > days_max * 86400 ? 0 : now_ns + (int64_t)left_ns;
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
