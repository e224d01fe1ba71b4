#include "source/vouch.h"

#include "base/time.h"
#include "source/gap_track.h"

void vouch_init(struct vouch *v, int64_t from_ns)
{
	*v = (struct vouch){.from_ns = from_ns};
}

void vouch_leave_out(struct vouch *v, int64_t start_ns, int64_t end_ns)
{
	struct listened *hole = v->holes;

	if (end_ns <= v->from_ns)
		return;
	while (hole < v->holes + v->hole_count &&
	       (hole->until_ns < start_ns || end_ns < hole->since_ns))
		hole++;
	if (hole == v->holes + VOUCH_HOLES_MAX)
		hole--; /* which is widened, however far away it is */
	else if (hole == v->holes + v->hole_count)
		v->holes[v->hole_count++] = (struct listened){start_ns, end_ns};
	/* One that it touches takes it in. */
	hole->since_ns = time_earlier(hole->since_ns, start_ns);
	hole->until_ns = time_later(hole->until_ns, end_ns);
}

void vouch_lost(struct vouch *v, enum gap_reason reason, int64_t read_ns, int64_t edge_ns)
{
	int64_t start_ns = time_later(read_ns, v->from_ns);

	if (start_ns >= edge_ns || v->lost.end_ns >= edge_ns)
		return;
	if (v->lost.end_ns == 0 || start_ns > v->lost.end_ns)
		v->lost = (struct gap){.reason = reason, .start_ns = start_ns};
	v->lost.end_ns = edge_ns + GAP_MARGIN_NS;
	v->dirty = true;
	vouch_leave_out(v, start_ns, v->lost.end_ns);
}

void vouch_report_lost(struct vouch *v, struct batch *batch)
{
	if (!v->dirty)
		return;
	(void)batch_add_gap(batch, &v->lost);
	v->lost.known = true;
	v->dirty = false;
}

/* The hole that begins first; NULL: there is none. */
static struct listened *first_hole(struct vouch *v)
{
	struct listened *first = NULL;

	for (size_t i = 0; i < v->hole_count; i++)
		if (!first || v->holes[i].since_ns < first->since_ns)
			first = &v->holes[i];
	return first;
}

/* The next time without a hole, up to until_ns. False: there is none. */
static bool next_piece(struct vouch *v, int64_t until_ns, struct listened *ret)
{
	struct listened *hole = first_hole(v);

	while (hole && hole->since_ns <= v->from_ns) {
		v->from_ns = time_later(v->from_ns, hole->until_ns);
		*hole = v->holes[--v->hole_count];
		hole = first_hole(v);
	}
	if (hole)
		until_ns = time_earlier(until_ns, hole->since_ns);
	*ret = (struct listened){v->from_ns, until_ns};
	return v->from_ns < until_ns;
}

void vouch_report(struct vouch *v, struct batch *batch, int64_t until_ns)
{
	struct listened piece;

	vouch_report_lost(v, batch);
	while (next_piece(v, until_ns, &piece) && batch_add_listened(batch, &piece))
		v->from_ns = piece.until_ns;
}
