#include "serve/status_page.h"

#include "base/time.h"
#include "base/version.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
	NAME_COLUMNS = 12,  /* of a check */
	STATE_COLUMNS = 10, /* after it */
	LABEL_COLUMNS = 44, /* of a number */
	NUMBER_COLUMNS = 20,
	CHECK_COLUMNS = 2 + NAME_COLUMNS + STATE_COLUMNS,
	DATE_TIME_BYTES = 19, /* of RFC 3339: without the fraction */
	TITLE_BYTES = STATUS_PAGE_COLUMNS + 1,
};

static void pad(struct buf *out, size_t columns)
{
	for (size_t i = 0; i < columns; i++)
		buf_u8(out, ' ');
}

static void put_plain(struct buf *out, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		buf_u8(out, text[i] >= ' ' && text[i] <= '~' ? (uint8_t)text[i] : '?');
}

/* How much of text stands in a row of so many columns: whole words, unless one is longer. */
static size_t row_len(const char *text, size_t columns)
{
	size_t len = strlen(text), at = columns;

	if (len <= columns)
		return len;
	while (at > 0 && text[at] != ' ')
		at--;
	return at > 0 ? at : columns;
}

/* before and text, in rows that begin below text's first byte. */
static void put_wrapped(struct buf *out, size_t indent, const char *before, const char *text)
{
	size_t columns;

	indent += strlen(before);
	columns = STATUS_PAGE_COLUMNS - indent;
	buf_str(out, before);
	for (;;) {
		size_t len = row_len(text, columns);

		put_plain(out, text, len);
		buf_u8(out, '\n');
		text += len + (text[len] == ' ');
		if (*text == '\0')
			return;
		pad(out, indent);
	}
}

static void put_check(struct buf *out, const struct health_check *c)
{
	buf_fmt(out, "  %-*s%-*s", NAME_COLUMNS, c->name, STATE_COLUMNS, c->ok ? "ok" : "NOT OK");
	put_wrapped(out, CHECK_COLUMNS, "", c->value);
	if (c->ok)
		return;
	pad(out, CHECK_COLUMNS);
	put_wrapped(out, CHECK_COLUMNS, "limit: ", c->limit);
	pad(out, CHECK_COLUMNS);
	put_wrapped(out, CHECK_COLUMNS, "do:    ", c->advice);
}

static void put_text(struct buf *out, const char *label, const char *text)
{
	buf_fmt(out, "  %-*s%*s\n", LABEL_COLUMNS, label, NUMBER_COLUMNS, text);
}

static void put_number(struct buf *out, const char *label, uint64_t n)
{
	buf_fmt(out, "  %-*s%*" PRIu64 "\n", LABEL_COLUMNS, label, NUMBER_COLUMNS, n);
}

static void put_age(struct buf *out, const char *label, int64_t age_ns)
{
	char text[LOOK_AGE_BYTES];

	put_text(out, label, look_age_text(age_ns, text));
}

static void put_since(struct buf *out, const struct look *l, const char *label, int64_t then_ns)
{
	if (then_ns == 0)
		put_text(out, label, "never");
	else
		put_age(out, label, look_age_ns(l, then_ns));
}

static void put_title(struct buf *out, const struct look *l, const struct health *h)
{
	char title[TITLE_BYTES], now[TIME_TEXT_BYTES], up[LOOK_AGE_BYTES];

	(void)snprintf(title, sizeof(title), "flytrail %s, up %s", FLYTRAIL_VERSION,
		       look_age_text(l->monotonic_ns - l->status->started_monotonic_ns, up));
	buf_fmt(out, "%-*s%.*sZ\n\n", STATUS_PAGE_COLUMNS - DATE_TIME_BYTES - 1, title,
		DATE_TIME_BYTES, time_format(l->now_ns, now));
	switch (h->state) {
	case HEALTH_OK:
		buf_str(out, "All is well: lines come in, are kept and are stored.\n");
		break;
	case HEALTH_STARTING: buf_str(out, "It is starting; not all is well yet.\n"); break;
	case HEALTH_FAILING: buf_str(out, "NOT ALL IS WELL: see what is not ok.\n"); break;
	}
}

static void put_lags(struct buf *out, const struct look *l)
{
	struct status *s = l->status;

	buf_str(out, "\nHow far behind\n");
	put_age(out, "oldest record that is not stored", look_lag_ns(l));
	put_number(out, "records that are not stored", look_records_left(l));
	put_number(out, "bytes of the spool that hold them", l->spool.held_bytes);
	put_number(out, "bytes of the spool on disk", l->spool.bytes);
	put_number(out, "bytes that it may take", l->spool.max_bytes);
	put_since(out, l, "newest line came, ago", atomic_load(&s->last_received_ns));
	put_since(out, l, "rows were written, ago", atomic_load(&s->last_stored_ns));
	put_since(out, l, "heartbeat came back, ago", atomic_load(&s->heartbeat_last_ns));
}

static void put_counters(struct buf *out, struct status *s)
{
	buf_str(out, "\nCounted since the start\n");
	put_number(out, "lines received", atomic_load(&s->lines_received));
	put_number(out, "lines dropped by the NATS library", atomic_load(&s->lines_lost));
	put_number(out, "lines that could not be decoded", atomic_load(&s->lines_undecoded));
	put_number(out, "lines with secrets redacted", atomic_load(&s->lines_redacted));
	put_number(out, "lines that are events", atomic_load(&s->lines_classified));
	put_number(out, "lines accepted by the spool", atomic_load(&s->lines_accepted));
	put_number(out, "lines stored", atomic_load(&s->lines_stored));
	put_number(out, "lines that were there already", atomic_load(&s->lines_duplicate));
	put_number(out, "events stored", atomic_load(&s->events_stored));
	put_number(out, "dead letters", atomic_load(&s->dead_letters));
	put_number(out, "records left by an earlier process", atomic_load(&s->records_found));
	put_number(out, "records stored, without an answer", atomic_load(&s->records_unanswered));
	put_number(out, "records lost by the spool", atomic_load(&s->records_damaged));
	put_number(out, "records forgotten by Postgres", atomic_load(&s->records_forgotten));
}

static void put_sink(struct buf *out, const struct look *l, enum sink_id id)
{
	struct sink_status *s = &l->status->sinks[id];

	if (atomic_load(&s->state) == SINK_OFF)
		return;
	buf_fmt(out, "\nForwarding to %s\n", sink_name(id));
	put_number(out, "records delivered since the start", atomic_load(&s->records));
	put_number(out, "deliveries", atomic_load(&s->deliveries));
	put_number(out, "deliveries tried again", atomic_load(&s->retries));
	put_number(out, "dead letters", atomic_load(&s->dead_letters));
	put_number(out, "records missed", atomic_load(&s->missed));
	put_number(out, "records left out for their age", atomic_load(&s->late));
	put_number(out, "bytes of the spool before it", atomic_load(&s->behind_bytes));
	put_number(out, "bytes that may be", atomic_load(&s->behind_bytes_max));
	put_since(out, l, "delivered, ago", atomic_load(&s->delivered_ns));
}

static void put_gaps(struct buf *out, struct status *s)
{
	uint64_t open = atomic_load(&s->gaps_open);

	buf_str(out, "\nWhat may be missing\n");
	put_number(out, "gaps noticed since the start", atomic_load(&s->gaps));
	put_number(out, "gaps that are open", open);
	put_number(out, "lines recovered from Fly's second copy", atomic_load(&s->lines_recovered));
	put_number(out, "lines that it has, too", atomic_load(&s->lines_confirmed));
	put_number(out, "lines of Fly's that it does not have", atomic_load(&s->lines_unconfirmed));
	put_number(out, "lines that it has under another id", atomic_load(&s->id_mismatches));
	put_number(out, "requests to Fly that failed", atomic_load(&s->api_errors));
	put_number(out, "jumps of the clock", atomic_load(&s->clock_jumps));
	if (open > 0)
		buf_str(out, "  Which: SELECT * FROM flytrail.gaps WHERE state = 'open';\n");
}

void status_page_write(const struct look *l, const struct health *health, struct buf *out)
{
	put_title(out, l, health);
	buf_str(out, "\nChecks\n");
	for (size_t i = 0; i < health->count; i++)
		put_check(out, &health->checks[i]);
	put_lags(out, l);
	put_counters(out, l->status);
	put_gaps(out, l->status);
	for (size_t i = 0; i < SINK_COUNT; i++)
		put_sink(out, l, (enum sink_id)i);
}
