#include "source/gap_track.h"

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
}

void gap_track_subscribed(struct gap_track *t, int64_t now_ns)
{
	if (t->outage_any && !t->outage_over) {
		t->outage.end_ns = now_ns + GAP_MARGIN_NS;
		t->outage_over = true;
		t->outage_dirty = true;
	}
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

void gap_track_lost(struct gap_track *t, int64_t now_ns)
{
	int64_t start_ns = (t->proof_ns < now_ns ? t->proof_ns : now_ns) - GAP_MARGIN_NS;

	if (t->outage_any && !t->outage_over)
		return;
	t->outage_over = false;
	t->outage_dirty = true;
	if (t->outage_any && t->outage.reason == GAP_disconnect && start_ns <= t->outage.end_ns) {
		t->outage.end_ns = INT64_MAX;
		return;
	}
	t->outage_any = true;
	t->outage = (struct gap){
		.reason = GAP_disconnect,
		.start_ns = start_ns,
		.end_ns = INT64_MAX,
	};
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
}
