#include "serve/health.h"

#include "base/json.h"
#include "base/time.h"

#include <inttypes.h>
#include <stdio.h>

/* 2025-01-01: a clock that shows an earlier time was never set. */
#define CLOCK_FIRST_NS (INT64_C(1735689600) * NS_PER_S)

static struct health_check *add(struct health *h, const char *name, const char *advice)
{
	struct health_check *c = &h->checks[h->count++];

	REQUIRE(h->count <= HEALTH_CHECKS_MAX);
	c->name = name;
	c->advice = advice;
	return c;
}

#define SAY(text, ...) (void)snprintf((text), sizeof(text), __VA_ARGS__)

static void check_open(struct health *h, const struct look *l)
{
	struct health_check *c =
		add(h, "spool", "see flytrail's log for why; `flytrail doctor` checks the folder");

	c->ok = l->spool_open;
	SAY(c->value, "%s", l->spool_open ? "open" : "not open");
	SAY(c->limit, "open");
}

static void check_spool(struct health *h, const struct look *l)
{
	struct health_check *c;
	bool no_volume;

	if (!l->spool_open) {
		check_open(h, l);
		return;
	}
	no_volume = atomic_load(&l->status->spool_no_volume);
	c = add(h, "spool",
		no_volume ? "mount a volume at the spool's place, as fly.toml's [[mounts]] does"
			  : "bring Postgres back, or give the spool a larger volume: no line is "
			    "taken while it is full");
	c->ok = !no_volume && !l->spool.full && look_spool_percent(l) < HEALTH_SPOOL_PERCENT_MAX;
	SAY(c->value, "%s: %" PRIu64 " %% of %" PRIu64 " bytes wait for Postgres%s",
	    l->spool.full ? "full" : "open", look_spool_percent(l), l->spool.max_bytes,
	    no_volume ? ", and not on a volume: a restart loses what is not delivered" : "");
	SAY(c->limit, "on a volume, not full, and less than %d %%", HEALTH_SPOOL_PERCENT_MAX);
}

static void check_source(struct health *h, const struct look *l, bool retrying_will_do)
{
	struct health_check *c =
		add(h, "source", "`flytrail doctor` says what is wrong with the way to Fly's logs");
	const char *why = atomic_load(&l->status->source_why);
	bool connected = atomic_load(&l->status->source_connected);

	c->ok = connected || (retrying_will_do && atomic_load(&l->status->source_started));
	SAY(c->value, "%s", connected ? "connected" : why == NULL ? "not connected" : why);
	SAY(c->limit, "%s", retrying_will_do ? "connected or retrying" : "connected");
}

/* It is no failure that it is off: `doctor` says what is lost by that. */
static void check_heartbeat(struct health *h, const struct look *l)
{
	struct health_check *c = add(
		h, "heartbeat",
		"lines do not come through: see whether Fly has a log incident, whether SUBJECT "
		"lets flytrail's own app pass, and restart this machine if neither; the gap is "
		"on record");
	uint64_t missed = atomic_load(&l->status->heartbeats_missed);
	int64_t last_ns = atomic_load(&l->status->heartbeat_last_ns);
	const char *why = atomic_load(&l->status->heartbeat_why);
	uint64_t seconds_max =
		HEARTBEAT_MISSES * l->heartbeat_seconds + HEALTH_HEARTBEAT_TRAVEL_SECONDS;
	char age[LOOK_AGE_BYTES];

	if (!atomic_load(&l->status->heartbeat_on)) {
		c->ok = true;
		SAY(c->value, "off: a stream that goes silent is not noticed");
		SAY(c->limit, "none while it is off");
		return;
	}
	c->ok = missed < HEARTBEAT_MISSES && why == NULL &&
		(uint64_t)look_age_ns(l, last_ns) <= seconds_max * (uint64_t)NS_PER_S;
	if (why != NULL)
		SAY(c->value, "%s; %" PRIu64 " missing in a row", why, missed);
	else if (last_ns == 0)
		SAY(c->value, "none has come back yet, %" PRIu64 " missing in a row", missed);
	else
		SAY(c->value, "the last came back %s ago, %" PRIu64 " missing in a row",
		    look_age_text(look_age_ns(l, last_ns), age), missed);
	SAY(c->limit, "fewer than %d missing in a row, and the last within %" PRIu64 " s",
	    HEARTBEAT_MISSES, seconds_max);
}

static void check_lag(struct health *h, const struct look *l)
{
	struct health_check *c =
		add(h, "lag",
		    "see the check `store`; if that is well, see what Postgres is doing: "
		    "pg_stat_activity, locks, its disk. Nothing is lost while the spool has room");
	char age[LOOK_AGE_BYTES];

	c->ok = look_lag_ns(l) <= HEALTH_LAG_SECONDS_MAX * NS_PER_S;
	SAY(c->value, "%s, %" PRIu64 " records are not stored", look_age_text(look_lag_ns(l), age),
	    look_records_left(l));
	SAY(c->limit, "%d s", HEALTH_LAG_SECONDS_MAX);
}

static void check_store(struct health *h, const struct look *l)
{
	struct health_check *c =
		add(h, "store",
		    "`flytrail doctor` says what is wrong with Postgres; what came in is kept in "
		    "the spool");
	char error[ERR_TEXT_BYTES];
	enum store_state state = status_store(l->status, error);

	c->ok = state == STORE_WORKING;
	SAY(c->value, "%s%s%s", store_state_name(state), error[0] != '\0' ? ": " : "", error);
	SAY(c->limit, "working");
}

/* How far Postgres's clock is ahead of this machine's; 0 also where it is not known. */
static int64_t clock_ahead_ns(const struct look *l)
{
	int64_t clock_ns = atomic_load(&l->status->store_clock_ns);

	return clock_ns == 0 ? 0 : clock_ns + l->monotonic_ns - l->now_ns;
}

static void say_clock(struct health_check *c, const struct look *l, bool is_apart)
{
	uint64_t jumps = atomic_load(&l->status->clock_jumps);
	int64_t ahead_ns = clock_ahead_ns(l);
	char age[LOOK_AGE_BYTES];

	if (l->now_ns < CLOCK_FIRST_NS)
		SAY(c->value, "never set: it shows a time before 2025");
	else if (is_apart)
		SAY(c->value, "Postgres's clock is %s %s this machine's",
		    look_age_text(ahead_ns > 0 ? ahead_ns : -ahead_ns, age),
		    ahead_ns > 0 ? "ahead of" : "behind");
	else if (jumps == 0)
		SAY(c->value, "%s", l->by_http ? "set" : "no jump");
	else
		SAY(c->value, "%" PRIu64 " jumps, the last %s ago", jumps,
		    look_age_text(look_age_ns(l, atomic_load(&l->status->clock_jumped_ns)), age));
}

static void check_clock(struct health *h, const struct look *l)
{
	struct health_check *c =
		add(h, "clock",
		    "see which clock is wrong, and why: this machine's tells when lines came, and "
		    "when gaps were, and those are off by as much; a jump is on record");
	int64_t jumped_ns = look_age_ns(l, atomic_load(&l->status->clock_jumped_ns));
	int64_t ahead_ns = clock_ahead_ns(l);
	bool is_apart = ahead_ns > HEALTH_SKEW_SECONDS_MAX * NS_PER_S ||
			ahead_ns < -HEALTH_SKEW_SECONDS_MAX * NS_PER_S;

	c->ok = l->now_ns >= CLOCK_FIRST_NS && !is_apart &&
		(atomic_load(&l->status->clock_jumps) == 0 ||
		 jumped_ns > HEALTH_CLOCK_SECONDS * NS_PER_S);
	say_clock(c, l, is_apart);
	if (l->by_http) /* what is read is told by Fly's clock, and nothing is missed by a jump */
		SAY(c->limit, "set, and within %d s of Postgres's", HEALTH_SKEW_SECONDS_MAX);
	else
		SAY(c->limit, "set, within %d s of Postgres's, and no jump within %d s",
		    HEALTH_SKEW_SECONDS_MAX, HEALTH_CLOCK_SECONDS);
}

static void check_worker(struct health *h, const struct look *l)
{
	struct health_check *c =
		add(h, "worker",
		    "gaps stay open until it works: `flytrail doctor` says what is wrong with the "
		    "way to Fly's API and with Postgres");
	const char *why = atomic_load(&l->status->worker_why);
	uint64_t open = atomic_load(&l->status->gaps_open);

	/* Where nothing is missing, it is no reason to wake anybody that nothing can be looked up.
	 */
	c->ok = why == NULL || open == 0;
	SAY(c->value, "%s; %" PRIu64 " gaps are open", why == NULL ? "well" : why, open);
	SAY(c->limit, "well, or no gap open");
}

static void say_watch(struct health_check *c, const struct look *l, int64_t age_ns)
{
	const struct status *s = l->status;
	const char *why = atomic_load(&s->watch_why);
	char age[LOOK_AGE_BYTES];

	(void)look_age_text(age_ns, age);
	if (atomic_load(&s->watch_last_ns) == 0)
		SAY(c->value, "nothing was looked at yet, for %s%s%s", age, why ? ": " : "",
		    why ? why : "");
	else
		SAY(c->value, "the last look was %s ago%s%s%s; %" PRIu64 " cannot be looked at",
		    age, atomic_load(&s->watch_alone) ? ", without Postgres" : "", why ? ": " : "",
		    why ? why : "", atomic_load(&s->watch_unobserved));
}

static void check_watcher(struct health *h, const struct look *l)
{
	struct health_check *c =
		add(h, "watcher",
		    "changes of Fly's control plane are told when it looks again, with the time "
		    "between: `flytrail doctor` says what this token may read");
	const struct status *s = l->status;
	uint64_t seconds = atomic_load(&s->watch_seconds);
	uint64_t limit = HEALTH_WATCH_INTERVALS * seconds;
	int64_t age_ns = look_age_ns(
		l, time_later(atomic_load(&s->watch_last_ns), atomic_load(&s->watch_from_ns)));

	if (limit < HEALTH_WATCH_SECONDS_MIN)
		limit = HEALTH_WATCH_SECONDS_MIN;
	SAY(c->limit, "the list of applications can be read, and a look within %" PRIu64 " s",
	    limit);
	if (seconds == 0 || atomic_load(&s->watch_elsewhere)) {
		c->ok = true;
		SAY(c->value, "%s", seconds == 0 ? "off" : "another replica watches");
	} else if (atomic_load(&s->watch_blind)) {
		SAY(c->value, "the list of applications is refused, so nothing is looked at");
	} else {
		c->ok = (uint64_t)age_ns <= limit * (uint64_t)NS_PER_S;
		say_watch(c, l, age_ns);
	}
}

/* Rows that stay for longer than they have to lose no line, so that it is never red. */
static void check_retention(struct health *h, const struct look *l)
{
	struct health_check *c =
		add(h, "retention",
		    "`flytrail retention plan` says what goes, what stays and why; facts "
		    "trail.retention_waits say since when");
	const struct status *s = l->status;
	const char *why = atomic_load(&s->retention_why);
	int64_t last_ns = atomic_load(&s->retention_last_ns);
	uint64_t waiting = atomic_load(&s->partitions_waiting);
	char age[LOOK_AGE_BYTES];

	c->ok = true;
	if (last_ns == 0)
		SAY(c->value, "not applied by this replica yet%s%s", why ? ": " : "",
		    why ? why : "");
	else
		SAY(c->value,
		    "applied %s ago%s%s; %" PRIu64 " partitions stay though past their terms",
		    look_age_text(look_age_ns(l, last_ns), age), why ? ": " : "", why ? why : "",
		    waiting);
	SAY(c->limit, "none: what stays for longer is no line that is lost");
}

/* What is written of a sink beside its state: how long it has failed, and how long that may last.
 */
static void say_failing(struct health_check *c, const struct look *l, const struct sink_status *s)
{
	int64_t misses_ns = sink_status_misses_ns(s, l->now_ns);
	char age[LOOK_AGE_BYTES], left[LOOK_AGE_BYTES];
	size_t len = strlen(c->value);

	(void)snprintf(c->value + len, sizeof(c->value) - len, "; it takes nothing for %s",
		       look_age_text(look_age_ns(l, atomic_load(&s->failing_ns)), age));
	len = strlen(c->value);
	if (misses_ns != 0)
		(void)snprintf(
			c->value + len, sizeof(c->value) - len,
			", and in %s it begins to miss records",
			look_age_text(misses_ns > l->now_ns ? misses_ns - l->now_ns : 0, left));
}

static const char SINK_ADVICE[] =
	"nothing is lost while it has room in the spool, and Postgres is not held up: "
	"mend what it says; of a bucket `flytrail doctor` finds out more";
static const char NOTIFY_ADVICE[] = "nobody is told of what happens, and nothing is lost: Postgres "
				    "has it, and it is told when what this says is mended";

/* elsewhere: another replica does it. */
static void check_sink(struct health *h, const struct look *l, struct sink_status *s,
		       const char *name, const char *advice, bool elsewhere)
{
	char error[ERR_TEXT_BYTES];
	enum sink_state state = sink_status_read(s, error);
	int64_t failing_ns = atomic_load(&s->failing_ns);
	int64_t misses_ns = sink_status_misses_ns(s, l->now_ns);
	struct health_check *c;

	if (state == SINK_OFF)
		return;
	c = add(h, name, advice);
	c->ok = state == SINK_STARTING || state == SINK_WORKING ||
		(state == SINK_RETRYING &&
		 look_age_ns(l, failing_ns) <= HEALTH_SINK_SECONDS_MAX * NS_PER_S &&
		 (misses_ns == 0 ||
		  misses_ns - l->now_ns > HEALTH_SINK_LEFT_SECONDS_MIN * NS_PER_S));
	if (elsewhere)
		SAY(c->value, "another replica tells");
	else
		SAY(c->value, "%s%s%s", sink_state_name(state), error[0] != '\0' ? ": " : "",
		    error);
	if (failing_ns != 0)
		say_failing(c, l, s);
	SAY(c->limit, "not parked, and failing for %d s at most", HEALTH_SINK_SECONDS_MAX);
}

static bool all_ok(const struct health *h)
{
	for (size_t i = 0; i < h->count; i++)
		if (!h->checks[i].ok)
			return false;
	return true;
}

void health_ready(const struct look *l, struct health *ret)
{
	*ret = (struct health){.count = 0};
	check_open(ret, l);
	check_source(ret, l, true);
	ret->state = all_ok(ret) ? HEALTH_OK : HEALTH_FAILING;
}

void health_health(const struct look *l, struct health *ret)
{
	int64_t up_ns = l->monotonic_ns - l->status->started_monotonic_ns;

	*ret = (struct health){.count = 0};
	check_source(ret, l, false);
	if (!l->by_http)
		check_heartbeat(ret, l);
	check_lag(ret, l);
	check_spool(ret, l);
	check_store(ret, l);
	check_clock(ret, l);
	check_worker(ret, l);
	check_watcher(ret, l);
	check_retention(ret, l);
	for (size_t i = 0; i < SINK_COUNT; i++)
		check_sink(ret, l, &l->status->sinks[i], sink_name((enum sink_id)i), SINK_ADVICE,
			   false);
	for (size_t i = 0; i < NOTIFY_COUNT; i++)
		check_sink(ret, l, &l->status->told[i], notify_name((enum notify_kind)i),
			   NOTIFY_ADVICE, atomic_load(&l->status->notify_elsewhere[i]));
	if (all_ok(ret)) {
		ret->state = HEALTH_OK;
		atomic_store(&l->status->was_healthy, true);
	} else if (up_ns < HEALTH_START_SECONDS * NS_PER_S &&
		   !atomic_load(&l->status->was_healthy)) {
		ret->state = HEALTH_STARTING;
	} else {
		ret->state = HEALTH_FAILING;
	}
}

const char *health_state_name(enum health_state state)
{
	switch (state) {
	case HEALTH_OK: return "ok";
	case HEALTH_STARTING: return "starting";
	case HEALTH_FAILING: return "failing";
	}
	return "unknown";
}

static void write_member(struct buf *out, const char *before, const char *text)
{
	buf_str(out, before);
	json_write_text(out, span_text(text));
}

void health_write(const struct health *h, const struct look *l, struct buf *out)
{
	write_member(out, "{\"status\":", health_state_name(h->state));
	buf_str(out, ",\"checks\":[");
	for (size_t i = 0; i < h->count; i++) {
		const struct health_check *c = &h->checks[i];

		write_member(out, i > 0 ? ",\n{\"name\":" : "\n{\"name\":", c->name);
		buf_str(out, c->ok ? ",\"ok\":true" : ",\"ok\":false");
		write_member(out, ",\"value\":", c->value);
		write_member(out, ",\"limit\":", c->limit);
		write_member(out, ",\"do\":", c->advice);
		if (l->spool_open && strcmp(c->name, "spool") == 0)
			buf_fmt(out, ",\"torn_bytes\":%" PRIu64 ",\"damaged_segments\":%" PRIu64,
				l->spool.torn_bytes, l->spool.damage_count);
		buf_str(out, "}");
	}
	buf_str(out, "]}\n");
}
