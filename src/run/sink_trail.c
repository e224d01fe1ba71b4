#include "run/sink_trail.h"

#include "base/log.h"
#include "base/time.h"

#include <stdio.h>

enum { WAIT_MS = 20 };

/* The pipeline is gone, or all is cut short: nothing can be told any more. */
static bool is_mute(const struct sink_trail *t)
{
	return atomic_load(&t->life->pipeline_done) || atomic_load(&t->life->cut);
}

static bool offer(struct sink_trail *t, struct fact *fact)
{
	fact->noticed_ns = time_now_ns();
	(void)snprintf(fact->found.subject, sizeof(fact->found.subject), "%s", t->sink);
	return trail_offer(t->trail, fact);
}

static void post(struct sink_trail *t, struct fact *fact)
{
	while (!offer(t, fact)) {
		if (is_mute(t)) {
			t->told = UINT64_MAX;
			return;
		}
		life_wait(t->life, WAIT_MS * NS_PER_MS);
	}
	t->told = trail_put_count(t->trail);
}

void sink_trail_dead(struct sink_trail *t, uint64_t seq, const char *why)
{
	struct fact fact = {
		.action = ACTION_trail_dead_lettered, .first_seq = seq, .last_seq = seq};

	(void)snprintf(fact.why, sizeof(fact.why), "%s", why);
	post(t, &fact);
	atomic_fetch_add(&t->status->dead_letters, 1);
	log_error(dead_letter, LOG_TEXT("sink", t->sink), LOG_NUMBER("seq", seq),
		  LOG_TEXT("error", why));
}

void sink_trail_untold(struct sink_trail *t, const struct id *event, bool on_record,
		       const char *why)
{
	struct fact fact = {.action = ACTION_trail_untold};

	(void)id_format(event, fact.found.event);
	(void)snprintf(fact.why, sizeof(fact.why), "%s", why);
	if (on_record)
		post(t, &fact);
	atomic_fetch_add(&t->status->dead_letters, 1);
	log_error(untold, LOG_TEXT("receiver", t->sink), LOG_TEXT("event_id", fact.found.event),
		  LOG_TEXT("error", why));
}

void sink_trail_missed(struct sink_trail *t, const struct spool_damage *lost)
{
	struct fact fact = {
		.action = ACTION_trail_sink_missed,
		.gap = {.start_ns = lost->from_ns,
			.end_ns = lost->to_ns,
			.lines_lost = lost->last_seq - lost->first_seq + 1},
		.first_seq = lost->first_seq,
		.last_seq = lost->last_seq,
	};

	post(t, &fact);
	atomic_fetch_add(&t->status->missed, lost->last_seq - lost->first_seq + 1);
	log_error(sink_missed, LOG_TEXT("sink", t->sink), LOG_NUMBER("first_seq", lost->first_seq),
		  LOG_NUMBER("last_seq", lost->last_seq));
}

void sink_trail_proved(struct sink_trail *t, struct span found)
{
	struct fact fact = {.action = ACTION_trail_sink_proved};

	if (found.len < sizeof(fact.found_json))
		memcpy(fact.found_json, found.data, found.len);
	post(t, &fact);
}

/* It is about no record, so nobody waits for it: what finds no room is told at the next look. */
static void tell_behind(struct sink_trail *t, uint64_t next_seq, int64_t misses_ns)
{
	struct fact fact = {.action = ACTION_trail_sink_behind,
			    .first_seq = next_seq,
			    .gap = {.start_ns = atomic_load(&t->status->behind_ns)}};
	char time[TIME_TEXT_BYTES];

	(void)snprintf(fact.why, sizeof(fact.why), "the oldest will have to go at %s",
		       time_format(misses_ns, time));
	t->behind_told = offer(t, &fact);
	if (t->behind_told)
		log_error(sink_behind, LOG_TEXT("sink", t->sink), LOG_TEXT("why", fact.why));
}

void sink_trail_look_behind(struct sink_trail *t, struct spool_reader *reader, uint64_t next_seq)
{
	struct sink_status *s = t->status;
	struct spool_behind behind;
	uint64_t percent;
	int64_t misses_ns;

	spool_reader_behind(reader, &behind);
	atomic_store(&s->behind_bytes, behind.bytes);
	atomic_store(&s->behind_bytes_max, behind.bytes_max);
	atomic_store(&s->behind_ns, behind.from_ns);
	/* Less than two segments are whatever was written last. */
	percent = behind.bytes <= 2 * (uint64_t)SPOOL_SEGMENT_BYTES
			  ? 0
			  : behind.bytes / (behind.bytes_max / 100);
	misses_ns = sink_status_misses_ns(s, time_now_ns());
	if (percent >= SINK_BEHIND_PERCENT && misses_ns != 0 && !t->behind_told)
		tell_behind(t, next_seq, misses_ns);
	else if (percent < SINK_BEHIND_PERCENT / 2)
		t->behind_told = false;
}

bool sink_trail_await(struct sink_trail *t)
{
	struct spool_stats stats;
	uint64_t appended_seq;

	if (t->told == 0)
		return true;
	while (trail_popped_count(t->trail) < t->told) {
		if (is_mute(t))
			return false;
		life_wait(t->life, WAIT_MS * NS_PER_MS);
	}
	spool_stats(t->spool, &stats);
	appended_seq = stats.appended_seq;
	while (stats.accepted_seq < appended_seq) {
		if (atomic_load(&t->life->cut))
			return false;
		life_wait(t->life, WAIT_MS * NS_PER_MS);
		spool_stats(t->spool, &stats);
	}
	t->told = 0;
	return true;
}
