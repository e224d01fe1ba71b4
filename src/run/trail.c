#include "run/trail.h"

#include "base/json.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/time.h"
#include "base/utf8.h"
#include "source/gap_track.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { KEY_BYTES = 32, SUMMARY_BYTES = 512, ATTRIBUTES_BYTES_MAX = 4096 };

static const int64_t NS_PER_DAY = 86400 * NS_PER_S;

struct trail {
	struct trail_self self; /* const after trail_new() */
	char stream[ID_TEXT_BYTES];

	/* guarded by lock */
	struct lock lock;
	struct fact facts[TRAIL_FACTS_MAX];
	size_t first, count;
	uint64_t popped; /* since the beginning */
};

enum err_kind trail_new(struct trail **ret, const struct trail_self *self, struct err *err)
{
	struct trail *t = calloc(1, sizeof(*t));

	if (!t)
		return err_set(err, ERR_FATAL, "out of memory for flytrail's own facts");
	lock_init(&t->lock, LOCK_RANK_facts);
	t->self = *self;
	(void)id_format(&self->stream.uuid, t->stream);
	*ret = t;
	return ERR_NONE;
}

void trail_free(struct trail *t)
{
	if (!t)
		return;
	lock_destroy(&t->lock);
	free(t);
}

static bool put(struct trail *t, const struct fact *fact, size_t max)
{
	bool room;

	lock_take(&t->lock);
	room = t->count < max;
	if (room)
		t->facts[(t->first + t->count++) % TRAIL_FACTS_MAX] = *fact;
	lock_drop(&t->lock);
	return room;
}

void trail_post(struct trail *t, const struct fact *fact)
{
	if (!put(t, fact, TRAIL_FACTS_MAX))
		log_error(facts_dropped, LOG_TEXT("action", action_name(fact->action)));
}

bool trail_offer(struct trail *t, const struct fact *fact)
{
	return put(t, fact, TRAIL_OFFERED_MAX);
}

bool trail_peek(struct trail *t, struct fact *ret)
{
	bool any;

	lock_take(&t->lock);
	any = t->count > 0;
	if (any)
		*ret = t->facts[t->first];
	lock_drop(&t->lock);
	return any;
}

void trail_pop(struct trail *t)
{
	lock_take(&t->lock);
	REQUIRE(t->count > 0);
	t->first = (t->first + 1) % TRAIL_FACTS_MAX;
	t->count--;
	t->popped++;
	lock_drop(&t->lock);
}

bool trail_is_empty(struct trail *t)
{
	bool empty;

	lock_take(&t->lock);
	empty = t->count == 0;
	lock_drop(&t->lock);
	return empty;
}

uint64_t trail_put_count(struct trail *t)
{
	uint64_t count;

	lock_take(&t->lock);
	count = t->popped + t->count;
	lock_drop(&t->lock);
	return count;
}

uint64_t trail_popped_count(struct trail *t)
{
	uint64_t count;

	lock_take(&t->lock);
	count = t->popped;
	lock_drop(&t->lock);
	return count;
}

struct fact trail_damage(enum gap_reason reason, const struct spool_damage *damage)
{
	/* Lines carry the time of the machine that printed them, and travel for a while. */
	return (struct fact){
		.action = ACTION_trail_gap_opened,
		.noticed_ns = time_now_ns(),
		.gap = {.reason = reason,
			.start_ns = damage->from_ns != 0 ? damage->from_ns - GAP_MARGIN_NS : 0,
			.end_ns = damage->to_ns != 0 ? damage->to_ns + GAP_MARGIN_NS : 0,
			.lines_lost = damage->last_seq - damage->first_seq + 1},
		.first_seq = damage->first_seq,
		.last_seq = damage->last_seq,
	};
}

static bool is_gap(const struct fact *f)
{
	return f->action == ACTION_trail_gap_opened || f->action == ACTION_trail_gap_progress ||
	       f->action == ACTION_trail_gap_closed;
}

static bool end_is_known(const struct gap *g)
{
	return g->end_ns != 0 && g->end_ns != INT64_MAX;
}

/* About a sink, whose name is its subject. */
static bool is_sinks(const struct fact *f)
{
	return f->action == ACTION_trail_sink_behind || f->action == ACTION_trail_sink_missed ||
	       f->action == ACTION_trail_sink_proved || f->action == ACTION_trail_untold ||
	       (f->action == ACTION_trail_dead_lettered && f->found.subject[0] != '\0');
}

/* Which words the times of a fact's range have; NULL: it has none. */
static const char *range_name(const struct fact *f)
{
	if (is_gap(f))
		return "gap";
	if (is_sinks(f))
		return "observed";
	if (f->action == ACTION_trail_listening)
		return "listening";
	if (f->action == ACTION_trail_retention_waits)
		return "partition";
	if (f->action == ACTION_trail_expired)
		return "occurred";
	return f->action == ACTION_trail_window_checked ? "window" : NULL;
}

static enum err_kind gap_id(const struct trail *t, struct hasher *hasher, const struct fact *f,
			    struct id *ret, struct err *err)
{
	char start[ID_NUMBER_BYTES], seq[ID_NUMBER_BYTES], epoch[ID_NUMBER_BYTES];
	const struct span parts[] = {
		SPAN("gap"),
		span_text(t->stream),
		id_number((int64_t)t->self.stream.epoch, epoch),
		span_text(gap_reason_name(f->gap.reason)),
		id_number(f->gap.start_ns, start),
		id_number((int64_t)f->first_seq, seq),
	};

	return id_event(hasher, parts, ARRAY_LEN(parts), ret, err);
}

/* What makes two facts of one action and one subject different. */
static enum err_kind fact_id(const struct trail *t, struct hasher *hasher, const struct fact *f,
			     struct span subject, struct id *ret, struct err *err)
{
	bool by_time = f->action == ACTION_trail_started || f->action == ACTION_trail_stopped ||
		       f->action == ACTION_trail_sink_proved || f->action == ACTION_trail_expired;
	bool by_start = range_name(f) && !is_gap(f); /* a gap's start is in the subject */
	char time[ID_NUMBER_BYTES], end[ID_NUMBER_BYTES], lost[ID_NUMBER_BYTES],
		seq[ID_NUMBER_BYTES], epoch[ID_NUMBER_BYTES], start[ID_NUMBER_BYTES],
		recovered[ID_NUMBER_BYTES];
	const struct span parts[] = {
		SPAN("trail"),
		span_text(action_name(f->action)),
		span_text(t->stream),
		id_number((int64_t)t->self.stream.epoch, epoch),
		subject,
		id_number(by_time ? f->noticed_ns : 0, time),
		id_number(f->gap.end_ns, end),
		id_number((int64_t)f->gap.lines_lost, lost),
		id_number((int64_t)f->first_seq, seq),
		span_text(f->found.app),
		span_text(f->found.state ? f->found.state : ""),
		id_number(by_start ? f->gap.start_ns : 0, start),
		id_number((int64_t)f->found.lines_recovered, recovered),
		span_text(f->found.event), /* the last: only a fact that has one is made from it */
	};
	size_t count = ARRAY_LEN(parts) - (f->found.event[0] == '\0');

	return id_event(hasher, parts, count, ret, err);
}

static void write_number(struct buf *out, const char *key, uint64_t n)
{
	if (n == 0)
		return;
	json_write_key(out, key);
	buf_fmt(out, "%" PRIu64, n);
}

static void write_range(const struct fact *f, struct buf *out)
{
	const char *name = range_name(f);
	char key[KEY_BYTES];

	if (!name)
		return;
	(void)snprintf(key, sizeof(key), "%s_start", name);
	if (f->gap.start_ns != 0)
		json_write_time(out, key, f->gap.start_ns);
	(void)snprintf(key, sizeof(key), "%s_end", name);
	if (end_is_known(&f->gap))
		json_write_time(out, key, f->gap.end_ns);
}

/* lines_recovered stands there also when it is 0: see trail.h. */
static void write_found(const struct fact *f, struct buf *out)
{
	const struct fact_found *found = &f->found;

	if (found->app[0] != '\0') {
		json_write_key(out, "app");
		json_write_text(out, span_text(found->app));
	}
	if (found->state) {
		json_write_key(out, "state");
		json_write_text(out, span_text(found->state));
	}
	if (found->hour_done) {
		json_write_key(out, "hour_done");
		buf_str(out, "true");
	}
	if (f->action == ACTION_trail_unconfirmed_line) {
		json_write_key(out, "line_id");
		json_write_text(out, span_text(found->subject));
		json_write_time(out, "line_at", f->gap.start_ns);
	} else if (f->action == ACTION_trail_retention_waits) {
		json_write_key(out, "partition");
		json_write_text(out, span_text(found->subject));
	} else if (!is_sinks(f) && f->action != ACTION_trail_expired &&
		   (found->subject[0] != '\0' || f->action == ACTION_trail_window_checked)) {
		write_number(out, "lines_seen", found->lines_seen);
		json_write_key(out, "lines_recovered");
		buf_fmt(out, "%" PRIu64, found->lines_recovered);
		write_number(out, "id_mismatches", found->id_mismatches);
	}
}

static void write_attributes(const struct trail *t, const struct fact *f, struct buf *out)
{
	buf_u8(out, '{');
	json_write_key(out, "stream");
	json_write_text(out, span_text(t->stream));
	write_number(out, "epoch", t->self.stream.epoch);
	if (is_gap(f)) {
		json_write_key(out, "reason");
		json_write_text(out, span_text(gap_reason_name(f->gap.reason)));
		write_number(out, "lines_lost", f->gap.lines_lost);
	}
	write_range(f, out);
	write_found(f, out);
	if (f->shared) {
		json_write_key(out, "shared");
		buf_str(out, "true");
	}
	if (f->action == ACTION_trail_listening && t->self.subject.len > 0) {
		json_write_key(out, "subject");
		json_write_text(out, t->self.subject);
	}
	if (is_sinks(f)) {
		json_write_key(out, "sink");
		json_write_text(out, span_text(f->found.subject));
	}
	if (f->action == ACTION_trail_expired) {
		json_write_key(out, "kind");
		json_write_text(out, span_text(f->found.subject));
		write_number(out, "rows", f->gap.lines_lost);
	}
	if (f->found.event[0] != '\0') {
		json_write_key(out, "event_id");
		json_write_text(out, span_text(f->found.event));
	}
	write_number(out, "first_seq", f->first_seq);
	write_number(out, "last_seq", f->last_seq);
	if (f->from_files) {
		json_write_key(out, "input");
		json_write_text(out, SPAN(TRAIL_INPUT_FILES));
	}
	if (f->found_json[0] != '\0') {
		json_write_key(out, "found");
		buf_str(out, f->found_json);
	}
	if (f->why[0] != '\0') {
		json_write_key(out, "why");
		json_write_text(out, span_text(f->why));
	}
	buf_u8(out, '}');
}

static const char *gap_doc(enum gap_reason r)
{
	static const char *const docs[] = {
#define GAP_REASON(name, doc) doc,
#include "model/gap_reasons.def"
#undef GAP_REASON
	};

	REQUIRE(r < GAP_REASON_COUNT);
	return docs[r];
}

static void write_summary(const struct fact *f, char text[SUMMARY_BYTES])
{
	char start[TIME_TEXT_BYTES] = "a time not known", end[TIME_TEXT_BYTES] = "now";
	const struct fact_found *found = &f->found;

	if (f->gap.start_ns != 0)
		(void)time_format(f->gap.start_ns, start);
	if (end_is_known(&f->gap))
		(void)time_format(f->gap.end_ns, end);
	if (is_gap(f) && found->state)
		(void)snprintf(text, SUMMARY_BYTES,
			       "the gap from %s to %s is %s: %" PRIu64 " lines were recovered",
			       start, end, found->state, found->lines_recovered);
	else if (is_gap(f) && found->subject[0] != '\0')
		(void)snprintf(text, SUMMARY_BYTES,
			       "%" PRIu64 " lines of the gap from %s to %s were recovered so far",
			       found->lines_recovered, start, end);
	else if (is_gap(f))
		(void)snprintf(text, SUMMARY_BYTES, "lines may be missing from %s to %s: %s", start,
			       end, gap_doc(f->gap.reason));
	else if (f->action == ACTION_trail_window_checked)
		(void)snprintf(text, SUMMARY_BYTES, "%s from %s to %s: %s", found->app, start, end,
			       found->state ? found->state : "unknown");
	else if (f->action == ACTION_trail_expired)
		(void)snprintf(text, SUMMARY_BYTES,
			       "%" PRIu64 " rows of %s from %s to %s were past keep_at_most when "
			       "they came, and are not stored",
			       f->gap.lines_lost, found->subject, start, end);
	else if (is_sinks(f) || f->action == ACTION_trail_retention_waits)
		(void)snprintf(text, SUMMARY_BYTES, "%s: %s%s%s", found->subject,
			       action_doc(f->action), f->why[0] != '\0' ? "; " : "", f->why);
	else
		(void)snprintf(text, SUMMARY_BYTES, "%s", action_doc(f->action));
}

/* A gap stands where it begins, so that a timeline shows it before the lines after it. */
static int64_t fact_time(const struct fact *f)
{
	int64_t ns = f->noticed_ns;

	if (f->action == ACTION_trail_gap_opened)
		ns = f->gap.start_ns != 0    ? f->gap.start_ns
		     : end_is_known(&f->gap) ? f->gap.end_ns
					     : f->noticed_ns;
	if (ns > f->noticed_ns || ns < f->noticed_ns - TRAIL_OLD_DAYS_MAX * NS_PER_DAY)
		ns = f->noticed_ns;
	return ns;
}

/* A loss that will stay is not for information. */
static enum severity fact_severity(const struct fact *f)
{
	return f->found.is_loss ? SEVERITY_HIGH : action_severity(f->action);
}

enum err_kind trail_encode(const struct trail *t, struct hasher *hasher, const struct fact *f,
			   struct buf *out, struct err *err)
{
	char subject[ID_TEXT_BYTES], summary[SUMMARY_BYTES];
	struct buf attributes;
	struct event e;
	struct id gap, id;
	enum err_kind rc = ERR_NONE;

	REQUIRE(action_class(f->action) == CLASS_trail);
	buf_init(&attributes, ATTRIBUTES_BYTES_MAX);
	memcpy(subject, f->found.subject, sizeof(subject));
	if (is_gap(f) && subject[0] == '\0') {
		rc = gap_id(t, hasher, f, &gap, err);
		if (rc)
			goto out;
		(void)id_format(&gap, subject);
	}
	rc = fact_id(t, hasher, f, span_text(subject), &id, err);
	if (rc)
		goto out;
	write_attributes(t, f, &attributes);
	rc = buf_check(&attributes, err);
	if (rc)
		goto out;
	write_summary(f, summary);
	utf8_end(summary);
	e = (struct event){
		.id = id,
		.class = CLASS_trail,
		.action = f->action,
		.occurred_ns = fact_time(f),
		.not_after_ns = EVENT_NO_TIME,
		.time_basis = TIME_OBSERVED,
		.observed_ns = f->noticed_ns,
		.org = t->self.org,
		.app = t->self.app,
		.region = t->self.region,
		.machine_id = t->self.machine,
		.correlation_id = span_text(subject),
		.actor = SPAN("flytrail"),
		.actor_type = ACTOR_SELF,
		.target_type = SPAN("stream"),
		.target = span_text(t->stream),
		.severity = fact_severity(f),
		.trust = TRUST_SELF,
		.source = SOURCE_TRAIL,
		.rule = SPAN("trail"),
		.summary = span_text(summary),
		.attributes = span_of(attributes.data, attributes.len),
	};
	event_encode(&e, out);
	rc = buf_check(out, err);
out:
	buf_release(&attributes);
	return rc;
}
