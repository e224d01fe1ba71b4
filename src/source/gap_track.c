#include "source/gap_track.h"

#include "base/time.h"

#include <string.h>

void gap_track_init(struct gap_track *t, int64_t last_live_ns, int64_t now_ns)
{
	int64_t start_ns = now_ns;

	memset(t, 0, sizeof(*t));
	/* A clock that was set back must not turn the gap around. */
	if (last_live_ns > 0 && last_live_ns - GAP_MARGIN_NS < now_ns)
		start_ns = last_live_ns > GAP_MARGIN_NS ? last_live_ns - GAP_MARGIN_NS : 0;
	t->outage = (struct gap){.reason = GAP_start, .start_ns = start_ns, .end_ns = INT64_MAX};
	t->outage_any = true;
	t->outage_dirty = true;
	t->first_run = last_live_ns == 0;
	t->proof_ns = now_ns;
	t->drops_checked_ns = now_ns;
	t->sure_ns = INT64_MAX;
	t->tell_every_ns = GAP_LISTENED_TELL_NS;
	t->heard_told_ns = now_ns;
}

static bool outage_goes_on(const struct gap_track *t)
{
	return t->outage_any && !t->outage_over;
}

/* Up to where no gap can reach that is opened from now on. */
static int64_t vouched_until(const struct gap_track *t)
{
	int64_t ns = time_earlier(time_earlier(t->proof_ns, t->drops_checked_ns), t->sure_ns);

	if (t->wall_ns != 0)
		ns = time_earlier(ns, t->wall_ns);
	return ns - GAP_MARGIN_NS;
}

/* A gap begins: what was heard before it is told, and nothing that lies in it. */
static void end_listening(struct gap_track *t, int64_t gap_start_ns)
{
	int64_t until_ns = time_earlier(vouched_until(t), gap_start_ns);

	if (outage_goes_on(t) || t->heard_from_ns >= until_ns)
		return;
	/* Never two at once: the next begins after the gap. Less is vouched for if ever. */
	if (t->heard.until_ns == 0)
		t->heard = (struct listened){t->heard_from_ns, until_ns};
	t->heard_from_ns = until_ns;
}

static void listen_from(struct gap_track *t, int64_t gap_end_ns)
{
	t->heard_from_ns = time_later(t->heard_from_ns, gap_end_ns);
}

static void end_outage(struct gap_track *t, int64_t now_ns)
{
	t->outage.end_ns = now_ns + GAP_MARGIN_NS;
	t->outage_over = true;
	t->outage_dirty = true;
	listen_from(t, t->outage.end_ns);
}

void gap_track_subscribed(struct gap_track *t, int64_t now_ns)
{
	if (outage_goes_on(t) && t->outage.reason != GAP_heartbeat_missed)
		end_outage(t, now_ns);
	/* The first run of a stream that got its subscription at once has missed nothing. */
	if (t->first_run && !t->outage.known) {
		t->outage_any = false;
		t->outage_dirty = false;
	}
	t->first_run = false;
	t->asked_ns = 0;
	t->proof_ns = now_ns;
	t->drops_checked_ns = now_ns;
}

void gap_track_answered(struct gap_track *t, int64_t asked_ns)
{
	t->asked_ns = asked_ns;
}

void gap_track_drained(struct gap_track *t)
{
	if (t->asked_ns > t->proof_ns)
		t->proof_ns = t->asked_ns;
}

/* None goes on yet. */
static void open_outage(struct gap_track *t, enum gap_reason reason, int64_t start_ns)
{
	end_listening(t, start_ns);
	t->outage_over = false;
	t->outage_dirty = true;
	if (t->outage_any && t->outage.reason == reason && start_ns <= t->outage.end_ns) {
		t->outage.end_ns = INT64_MAX;
		return;
	}
	t->outage_any = true;
	t->outage = (struct gap){.reason = reason, .start_ns = start_ns, .end_ns = INT64_MAX};
}

void gap_track_lost(struct gap_track *t, int64_t now_ns)
{
	if (!outage_goes_on(t))
		open_outage(t, GAP_disconnect, time_earlier(t->proof_ns, now_ns) - GAP_MARGIN_NS);
}

void gap_track_new_subscription(struct gap_track *t)
{
	t->dropped_count = 0;
}

void gap_track_dropped(struct gap_track *t, uint64_t dropped_total, int64_t now_ns)
{
	uint64_t lost = dropped_total > t->dropped_count ? dropped_total - t->dropped_count : 0;
	int64_t start_ns = t->drops_checked_ns - GAP_MARGIN_NS;

	t->dropped_count = dropped_total;
	if (lost > 0)
		end_listening(t, start_ns);
	t->drops_checked_ns = now_ns;
	if (lost == 0)
		return;
	if (!t->drops_any || start_ns > t->drops.end_ns) {
		t->drops = (struct gap){.reason = GAP_slow_consumer, .start_ns = start_ns};
		t->drops_any = true;
		t->drops_reported_ns = now_ns - GAP_DROPS_REPORT_NS;
	}
	t->drops.end_ns = now_ns + GAP_MARGIN_NS;
	t->drops.lines_lost += lost;
	t->drops_dirty = true;
	listen_from(t, t->drops.end_ns);
}

void gap_track_sure(struct gap_track *t, int64_t sure_ns)
{
	t->sure_ns = sure_ns;
}

void gap_track_silent(struct gap_track *t)
{
	if (!outage_goes_on(t))
		open_outage(t, GAP_heartbeat_missed,
			    time_earlier(t->proof_ns, t->sure_ns) - GAP_MARGIN_NS);
}

void gap_track_beat(struct gap_track *t, int64_t now_ns)
{
	if (outage_goes_on(t) && t->outage.reason == GAP_heartbeat_missed)
		end_outage(t, now_ns);
}

bool gap_track_clocks(struct gap_track *t, int64_t wall_ns, int64_t steady_ns)
{
	int64_t before_ns = t->wall_ns, expected_ns = before_ns + (steady_ns - t->steady_ns);
	int64_t step_ns = wall_ns - expected_ns;
	bool first = before_ns == 0;

	t->wall_ns = wall_ns;
	t->steady_ns = steady_ns;
	if (first || (step_ns <= GAP_JUMP_NS && step_ns >= -GAP_JUMP_NS))
		return false;
	/* When in the time between the looks it jumped is not known. */
	t->jump = (struct gap){
		.reason = GAP_time_jump,
		.start_ns = time_earlier(before_ns, wall_ns) - GAP_MARGIN_NS,
		.end_ns = time_later(expected_ns, wall_ns) + GAP_MARGIN_NS,
	};
	t->jump_dirty = true;
	t->jumps++;
	t->jumped_ns = wall_ns;
	t->jump_ns = step_ns;
	end_listening(t, t->jump.start_ns);
	listen_from(t, t->jump.end_ns);
	/* What was proved up to a time that is to come now, for a second time, is not proved of it.
	 */
	t->proof_ns = time_earlier(t->proof_ns, wall_ns);
	t->drops_checked_ns = time_earlier(t->drops_checked_ns, wall_ns);
	t->asked_ns = 0;
	return true;
}

static void report_listened(struct gap_track *t, struct batch *batch, int64_t now_ns, bool last)
{
	int64_t until_ns = vouched_until(t);
	/* A clock that was set back must not keep it from being told for as long. */
	bool due =
		last || now_ns - t->heard_told_ns >= t->tell_every_ns || now_ns < t->heard_told_ns;

	if (t->heard.until_ns != 0 && batch_add_listened(batch, &t->heard))
		t->heard.until_ns = 0;
	if (!due || outage_goes_on(t))
		return;
	t->heard_told_ns = now_ns;
	if (t->heard_from_ns < until_ns &&
	    batch_add_listened(batch, &(struct listened){t->heard_from_ns, until_ns}))
		t->heard_from_ns = until_ns;
}

void gap_track_report(struct gap_track *t, struct batch *batch, int64_t now_ns, bool last)
{
	if (t->outage_dirty) {
		(void)batch_add_gap(batch, &t->outage);
		t->outage.known = true;
		t->outage_dirty = false;
	}
	if (t->drops_dirty && (last || now_ns - t->drops_reported_ns >= GAP_DROPS_REPORT_NS)) {
		(void)batch_add_gap(batch, &t->drops);
		t->drops.known = true;
		t->drops_dirty = false;
		t->drops_reported_ns = now_ns;
	}
	if (t->jump_dirty) {
		(void)batch_add_gap(batch, &t->jump);
		t->jump_dirty = false;
	}
	report_listened(t, batch, now_ns, last);
}
