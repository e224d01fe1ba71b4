#include "serve/look.h"

#include "base/time.h"

#include <inttypes.h>
#include <stdio.h>

enum { PERCENT = 100, MINUTE = 60, HOUR = 3600, DAY = 86400 };

void look_take(struct look *ret, struct status *status, uint64_t heartbeat_seconds, bool by_http)
{
	*ret = (struct look){
		.status = status,
		.heartbeat_seconds = heartbeat_seconds,
		.by_http = by_http,
		.now_ns = time_now_ns(),
		.monotonic_ns = time_monotonic_ns(),
	};
	ret->spool_open = status_spool(status, &ret->spool);
}

int64_t look_age_ns(const struct look *l, int64_t then_ns)
{
	return l->now_ns > then_ns ? l->now_ns - then_ns : 0;
}

int64_t look_lag_ns(const struct look *l)
{
	int64_t oldest_ns = atomic_load(&l->status->oldest_unstored_ns);

	return oldest_ns == 0 ? 0 : look_age_ns(l, oldest_ns);
}

uint64_t look_records_left(const struct look *l)
{
	uint64_t stored = l->spool.opened_seq;

	if (atomic_load(&l->status->stored_known))
		stored = atomic_load(&l->status->stored_seq);
	return l->spool.accepted_seq > stored ? l->spool.accepted_seq - stored : 0;
}

uint64_t look_spool_percent(const struct look *l)
{
	uint64_t one = l->spool.max_bytes / PERCENT;

	return one == 0 ? 0 : (l->spool.held_bytes + one - 1) / one;
}

const char *look_age_text(int64_t age_ns, char text[LOOK_AGE_BYTES])
{
	int64_t s = age_ns / NS_PER_S;

	if (s < MINUTE)
		(void)snprintf(text, LOOK_AGE_BYTES, "%" PRId64 ".%" PRId64 " s", s,
			       age_ns % NS_PER_S / (100 * NS_PER_MS));
	else if (s < HOUR)
		(void)snprintf(text, LOOK_AGE_BYTES, "%" PRId64 " min %" PRId64 " s", s / MINUTE,
			       s % MINUTE);
	else if (s < DAY)
		(void)snprintf(text, LOOK_AGE_BYTES, "%" PRId64 " h %" PRId64 " min", s / HOUR,
			       s % HOUR / MINUTE);
	else
		(void)snprintf(text, LOOK_AGE_BYTES, "%" PRId64 " d %" PRId64 " h", s / DAY,
			       s % DAY / HOUR);
	return text;
}
