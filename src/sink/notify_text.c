#include "sink/notify_text.h"

#include "base/json.h"
#include "base/time.h"
#include "sink/notify_plain.h"

#include <inttypes.h>

enum {
	ACTOR_BYTES_MAX = 160,
	APP_BYTES_MAX = 96,
	MACHINE_BYTES_MAX = 64,
	REGION_BYTES_MAX = 32,
	SAID_BYTES_MAX = 600,
	WHY_BYTES_MAX = 200,
	DATE_BYTES = 10, /* of an RFC 3339 time */
	CLOCK_BYTES = 8,
};

_Static_assert(ACTOR_BYTES_MAX + MACHINE_BYTES_MAX + REGION_BYTES_MAX + SAID_BYTES_MAX +
			       WHY_BYTES_MAX + 100 <=
		       NOTIFY_TEXT_SAMPLE_BYTES_MAX,
	       "a sample holds all of its parts");
_Static_assert(NOTIFY_TEXT_SHOWN_BYTES_MAX +
			       NOTIFY_TEXT_SAMPLES_MAX * (NOTIFY_TEXT_SAMPLE_BYTES_MAX + 100) +
			       2048 <=
		       NOTIFY_TEXT_BYTES_MAX,
	       "one group more than is shown has room");

void notify_text_init(struct notify_text *t)
{
	memset(t, 0, sizeof(*t));
	buf_init(&t->one, NOTIFY_TEXT_SAMPLE_BYTES_MAX);
}

void notify_text_release(struct notify_text *t)
{
	buf_release(&t->one);
}

void notify_text_begin(struct notify_text *t)
{
	t->group_count = 0;
	t->count = t->others = 0;
}

/* --- one fact --- */

static const char *severity_word(enum severity s)
{
	static const char *const words[] = {
		[SEVERITY_UNKNOWN] = "of no known severity",
		[SEVERITY_INFO] = "informational",
		[SEVERITY_LOW] = "low",
		[SEVERITY_MEDIUM] = "medium",
		[SEVERITY_HIGH] = "high",
		[SEVERITY_CRITICAL] = "critical",
		[SEVERITY_FATAL] = "fatal",
	};

	return (unsigned)s < ARRAY_LEN(words) ? words[s] : words[SEVERITY_UNKNOWN];
}

/* before, and the text as code; nothing where there is no text. */
static void write_code(struct buf *out, const char *before, struct span text, size_t max)
{
	size_t start = out->len;

	buf_str(out, before);
	buf_u8(out, '`');
	if (notify_plain(text, max, out))
		buf_u8(out, '`');
	else
		buf_cut(out, start);
}

static void write_actor(struct buf *out, const struct event *e)
{
	if (e->actor_type == ACTOR_SELF)
		return;
	if (e->actor.len > 0)
		write_code(out, ", by ", e->actor, ACTOR_BYTES_MAX);
	else
		buf_str(out, ", by nobody that is known");
}

/* What may differ between two facts of a group, but for the time. */
static void write_sample(struct buf *out, const struct event *e)
{
	struct span said = e->summary.len > 0 ? e->summary : e->message;

	buf_reset(out);
	write_actor(out, e);
	write_code(out, ", machine ", e->machine_id, MACHINE_BYTES_MAX);
	write_code(out, " ", e->region, REGION_BYTES_MAX);
	write_code(out, ": ", said, SAID_BYTES_MAX);
	if (e->actor.len == 0)
		write_code(out, "; ", event_actor_reason(e), WHY_BYTES_MAX);
	if (e->trust == TRUST_GUEST)
		buf_str(out, " (as said from inside the machine)");
}

/* --- groups --- */

static bool is_of(const struct notify_group *g, const struct event *e)
{
	return g->action == e->action && span_equal(span_of(g->app, g->app_len), e->app);
}

/* Where there is no room, that of the least severe, which is only counted from now on; or NULL. */
static struct notify_group *make_room(struct notify_text *t, enum severity severity)
{
	struct notify_group *weakest = &t->groups[0];

	if (t->group_count < NOTIFY_TEXT_GROUPS_MAX)
		return &t->groups[t->group_count++];
	for (size_t i = 1; i < t->group_count; i++)
		if (t->groups[i].severity < weakest->severity)
			weakest = &t->groups[i];
	if (weakest->severity >= severity)
		return NULL;
	t->others += weakest->count;
	return weakest;
}

static struct notify_group *find_group(struct notify_text *t, const struct event *e)
{
	struct notify_group *g;

	for (size_t i = 0; i < t->group_count; i++)
		if (is_of(&t->groups[i], e))
			return &t->groups[i];
	g = e->app.len < sizeof(g->app) ? make_room(t, e->severity) : NULL;
	if (!g)
		return NULL;
	g->action = e->action;
	if (e->app.len > 0)
		memcpy(g->app, e->app.data, e->app.len);
	g->app_len = e->app.len;
	g->severity = e->severity;
	g->count = g->sampled = 0;
	g->sample_count = 0;
	g->first_ns = g->last_ns = e->occurred_ns;
	return g;
}

static void add_sample(struct notify_group *g, const struct event *e, const char *text)
{
	for (size_t i = 0; i < g->sample_count; i++)
		if (strcmp(g->samples[i].text, text) == 0) {
			g->sampled++;
			return;
		}
	if (g->sample_count == NOTIFY_TEXT_SAMPLES_MAX)
		return;
	memcpy(g->samples[g->sample_count].text, text, strlen(text) + 1);
	g->samples[g->sample_count].occurred_ns = e->occurred_ns;
	g->samples[g->sample_count++].not_after_ns = e->not_after_ns;
	g->sampled++;
}

void notify_text_add(struct notify_text *t, const struct event *e)
{
	struct notify_group *g = find_group(t, e);

	t->count++;
	if (!g) {
		t->others++;
		return;
	}
	g->count++;
	if (e->severity > g->severity)
		g->severity = e->severity;
	g->first_ns = time_earlier(g->first_ns, e->occurred_ns);
	g->last_ns = time_later(g->last_ns, e->occurred_ns);
	write_sample(&t->one, e);
	if (!t->one.failed && t->one.len > 0) /* else it is counted */
		add_sample(g, e, (const char *)t->one.data);
}

/* --- the message --- */

static void write_clock(struct buf *out, int64_t ns, bool with_date)
{
	char text[TIME_TEXT_BYTES];

	(void)time_format(ns, text);
	if (with_date)
		buf_fmt(out, "%.*s ", DATE_BYTES, text);
	buf_fmt(out, "%.*s", CLOCK_BYTES, text + DATE_BYTES + 1);
}

/* One day's has its date once. */
static void write_times(struct buf *out, int64_t from_ns, int64_t to_ns)
{
	char from[TIME_TEXT_BYTES], to[TIME_TEXT_BYTES];
	bool is_one_day =
		memcmp(time_format(from_ns, from), time_format(to_ns, to), DATE_BYTES) == 0;

	write_clock(out, from_ns, true);
	buf_str(out, " to ");
	write_clock(out, to_ns, !is_one_day);
}

static void write_group(struct buf *out, const struct notify_group *g)
{
	buf_fmt(out, "\n*%s* %s", action_name(g->action), severity_word(g->severity));
	write_code(out, ", ", span_of(g->app, g->app_len), APP_BYTES_MAX);
	if (g->count > 1) {
		buf_fmt(out, ", %" PRIu64 " times, ", g->count);
		write_times(out, g->first_ns, g->last_ns);
		buf_str(out, " UTC");
	}
	for (size_t i = 0; i < g->sample_count; i++) {
		int64_t occurred_ns = g->samples[i].occurred_ns;
		int64_t not_after_ns = g->samples[i].not_after_ns;

		buf_str(out, "\n\xe2\x80\xa2 ");
		if (not_after_ns != EVENT_NO_TIME && not_after_ns > occurred_ns)
			write_times(out, occurred_ns, not_after_ns);
		else
			write_clock(out, occurred_ns, true);
		buf_fmt(out, " UTC%s", g->samples[i].text);
	}
	if (g->sampled < g->count)
		buf_fmt(out, "\n\xe2\x80\xa2 and %" PRIu64 " that differ from these",
			g->count - g->sampled);
}

/* The most severe that is not written yet; of these the one that came first. NULL: none is left. */
static const struct notify_group *next_group(const struct notify_text *t, const bool *written)
{
	const struct notify_group *next = NULL;

	for (size_t i = 0; i < t->group_count; i++)
		if (!written[i] && (!next || t->groups[i].severity > next->severity))
			next = &t->groups[i];
	return next;
}

enum err_kind notify_text_write(struct notify_text *t, struct span org, struct buf *out,
				struct err *err)
{
	bool written[NOTIFY_TEXT_GROUPS_MAX] = {false};
	const struct notify_group *g;
	size_t start = out->len;
	uint64_t left = t->others;

	buf_str(out, "*flytrail*");
	write_code(out, " ", org, APP_BYTES_MAX);
	buf_fmt(out, ": %" PRIu64 " fact%s", t->count, t->count == 1 ? "" : "s");
	while ((g = next_group(t, written)) != NULL) {
		written[g - t->groups] = true;
		if (out->len - start < NOTIFY_TEXT_SHOWN_BYTES_MAX)
			write_group(out, g);
		else
			left += g->count;
	}
	if (left > 0)
		buf_fmt(out,
			"\nand %" PRIu64 " fact%s of other actions or applications, which "
			"`flytrail.timeline` has",
			left, left == 1 ? "" : "s");
	return buf_check(out, err);
}

void notify_text_body(struct span text, struct buf *out)
{
	buf_u8(out, '{');
	json_write_key(out, "text");
	json_write_text(out, text);
	buf_str(out, ",\"mrkdwn\":true,\"unfurl_links\":false,\"unfurl_media\":false}");
}
