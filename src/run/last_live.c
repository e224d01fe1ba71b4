#include "run/last_live.h"

#include "base/json.h"
#include "model/event.h"
#include "base/time.h"
#include "run/trail.h"
#include "source/gap_track.h"

#include <stdlib.h>

enum {
	LINE_WAITED_SECONDS_MAX = 3600, /* an older line is of a program with a wrong clock */
	STRETCH_FRAMES_MIN = 64,        /* the newest, which are read first */
	STRETCH_FRAMES_MAX = 64 * 1024, /* about two segments of usual lines */
	STRETCH_GROWS = 4,
	SEARCHED_FRAMES_MAX = 4 * 1024 * 1024, /* some seconds; lines of a file may be many more */
	BATCH_FRAMES = 1024,
	BATCH_BYTES = 1024 * 1024,
};

struct search {
	struct spool_reader *reader;
	struct spool_batch batch;
	struct record record;
	int64_t line_ns, fact_ns; /* of the newest; 0: none found */
	int64_t listened_ns; /* up to when the source had taken everything; 0: no fact says it */
	bool line_waited;    /* the newest line was older when it came than a margin allows for */
	bool lost;           /* what could not be read may have been live */
};

/*
 * A line that had waited (for room in the spool, in a machine that was
 * suspended) is as old as it says, and so may be those behind it.
 */
static int64_t line_time(const struct record *r)
{
	int64_t age_ns = r->observed_ns - r->occurred_ns;

	return age_ns > 0 && age_ns < LINE_WAITED_SECONDS_MAX * NS_PER_S ? r->occurred_ns
									 : r->observed_ns;
}

/* What was listened to is told up to GAP_MARGIN_NS before what had been taken; see gap_track.h. */
static int64_t taken_until(const struct json *attributes)
{
	const struct json *end = json_member(attributes, "listening_end");
	unsigned digits;
	int64_t ns;

	if (!end || !time_parse(json_text(end), false, &ns, &digits))
		return 0;
	return ns + GAP_MARGIN_NS;
}

/* A fact of flytrail's that a run told which had a live source. */
static bool is_live_fact(struct search *s, const struct event *e)
{
	struct json *attributes = NULL;
	struct err ignored;
	int64_t taken_ns;
	bool live;

	if (e->source != SOURCE_TRAIL || json_parse(&attributes, e->attributes, &ignored))
		return false;
	live = !span_is(json_text(json_member(attributes, "input")), TRAIL_INPUT_FILES);
	taken_ns = e->action == ACTION_trail_listening ? taken_until(attributes) : 0;
	if (taken_ns > s->listened_ns)
		s->listened_ns = taken_ns;
	json_free(attributes);
	return live;
}

static void look_at(struct search *s, struct span payload, int64_t *newest_fact_ns)
{
	struct record *r = &s->record;
	struct event event;
	struct err ignored;

	if (payload_kind(payload) == PAYLOAD_EVENT) {
		if (event_decode(payload, &event, &ignored) == ERR_NONE && is_live_fact(s, &event))
			*newest_fact_ns = event.observed_ns;
	} else if (record_decode(payload, r, &ignored) == ERR_NONE && r->source == SOURCE_NATS) {
		/* One by HTTP may have filled a gap; that source keeps positions of its own. */
		s->line_ns = line_time(r);
		s->line_waited = r->observed_ns - s->line_ns > GAP_MARGIN_NS;
	}
}

/* Reads the frames (after_seq, last_seq], which lie before those that were looked at already. */
static enum err_kind search_stretch(struct search *s, uint64_t after_seq, uint64_t last_seq,
				    struct err *err)
{
	struct spool_batch *b = &s->batch;
	struct spool_damage lost;
	int64_t fact_ns = 0;
	uint64_t seq = after_seq;
	enum err_kind rc = spool_reader_seek(s->reader, after_seq, &lost, err);

	while (!rc && seq < last_seq) {
		spool_batch_reset(b);
		rc = spool_reader_read(s->reader, b, 0, 0, err);
		if (rc == ERR_RETRY) { /* the disk does not give it now: no reason not to start */
			s->lost = true;
			return ERR_NONE;
		}
		if (rc || (b->count == 0 && b->damage.first_seq == 0))
			break;
		if (b->damage.first_seq != 0) {
			s->lost = true;
			seq = b->damage.last_seq;
		}
		for (size_t i = 0; i < b->count && b->frames[i].seq <= last_seq; i++)
			look_at(s, spool_batch_payload(b, i), &fact_ns);
		if (b->count > 0)
			seq = b->frames[b->count - 1].seq;
	}
	if (s->fact_ns == 0)
		s->fact_ns = fact_ns;
	return rc;
}

static enum err_kind search_back(struct search *s, const struct spool_stats *stats, struct err *err)
{
	uint64_t last_seq = stats->accepted_seq, stretch = STRETCH_FRAMES_MIN;
	uint64_t first_seq = stats->oldest_seq;
	enum err_kind rc = ERR_NONE;

	if (last_seq > SEARCHED_FRAMES_MAX && first_seq < last_seq - SEARCHED_FRAMES_MAX)
		first_seq = last_seq - SEARCHED_FRAMES_MAX;
	s->lost = first_seq > 1;
	while (!rc && s->line_ns == 0 && last_seq >= first_seq) {
		uint64_t left = last_seq - (first_seq - 1);
		uint64_t after_seq = last_seq - (left < stretch ? left : stretch);

		rc = search_stretch(s, after_seq, last_seq, err);
		last_seq = after_seq;
		if (stretch < STRETCH_FRAMES_MAX)
			stretch *= STRETCH_GROWS;
	}
	return rc;
}

/*
 * A fact of listening vouches for more than the lines that came in that time. But where the newest
 * line had waited, others that come from where it did may be as old.
 */
static int64_t newest(const struct search *s)
{
	if (s->listened_ns > s->line_ns && !s->line_waited)
		return s->listened_ns;
	if (s->line_ns != 0)
		return s->line_ns;
	if (s->fact_ns != 0)
		return s->fact_ns;
	return s->lost ? LAST_LIVE_UNKNOWN : 0;
}

enum err_kind last_live_find(struct spool *spool, int64_t *ret_ns, struct err *err)
{
	struct search *s = calloc(1, sizeof(*s));
	struct spool_stats stats;
	enum err_kind rc;

	if (!s)
		return err_set(err, ERR_FATAL, "out of memory for reading the spool");
	spool_stats(spool, &stats);
	rc = spool_batch_init(&s->batch, BATCH_FRAMES, BATCH_BYTES, err);
	if (rc == ERR_NONE)
		rc = spool_reader_new(&s->reader, spool, "start", stats.accepted_seq, err);
	if (rc == ERR_NONE)
		rc = search_back(s, &stats, err);
	if (rc == ERR_NONE)
		*ret_ns = newest(s);
	spool_reader_free(s->reader);
	spool_batch_release(&s->batch);
	free(s);
	return rc;
}
