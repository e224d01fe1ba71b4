#include "stage/decode.h"

#include "base/time.h"
#include "stage/draft.h"

static const int64_t ns_per_day = 24 * NS_PER_S * 3600;

enum { SUBJECT_PARTS = 4 }; /* logs.<app>.<region>.<machine> */

const char *undecoded_name(enum undecoded u)
{
	static const char *const names[] = {
		"",
#define UNDECODED(word, doc) #word,
#include "stage/undecoded.def"
#undef UNDECODED
	};

	REQUIRE(u < UNDECODED_COUNT);
	return names[u];
}

struct subject {
	struct span app, region, machine_id; /* data NULL: the subject has none */
};

static struct subject read_subject(struct span text)
{
	struct span parts[SUBJECT_PARTS] = {{NULL, 0}};

	for (size_t i = 0; i < SUBJECT_PARTS && text.data; i++) {
		const char *dot = text.len > 0 ? memchr(text.data, '.', text.len) : NULL;

		if (i == SUBJECT_PARTS - 1)
			dot = NULL; /* whatever stands in the rest */
		parts[i] = dot ? span_of(text.data, (size_t)(dot - text.data)) : text;
		text = dot ? span_after(text, parts[i].len + 1) : (struct span){NULL, 0};
	}
	if (!parts[0].data || !span_is(parts[0], "logs"))
		return (struct subject){{NULL, 0}, {NULL, 0}, {NULL, 0}};
	return (struct subject){parts[1], parts[2], parts[3]};
}

/* The payload's field wins; what it lacks comes from the subject. */
static void compare_subject(struct span *field, struct span part, bool *differs, bool *filled)
{
	if (!part.data || part.len == 0)
		return;
	if (field->data && field->len > 0) {
		*differs |= !span_equal(*field, part);
		return;
	}
	*field = part;
	*filled = true;
}

static void apply_subject(struct draft *d, struct span text)
{
	struct subject subject = read_subject(text);
	bool differs = false, filled = false;

	/* A form that names no application lacks nothing: it is told by who asked for it. */
	if (d->form != RAW_NATS_JSON && (!d->app.data || d->app.len == 0))
		d->app = subject.app.data ? subject.app : d->ctx->app;
	if (text.len == 0)
		return;
	compare_subject(&d->app, subject.app, &differs, &filled);
	compare_subject(&d->region, subject.region, &differs, &filled);
	compare_subject(&d->machine_id, subject.machine_id, &differs, &filled);
	if (filled)
		record_attr_bool(d->record, SPAN("from_subject"), true);
	if (differs)
		record_attr_text(d->record, SPAN("subject_mismatch"), draft_field(d, text));
}

static bool in_range(const struct draft *d, int64_t ns)
{
	int64_t observed_ns = d->record->observed_ns;

	if (d->ctx->any_time)
		return true;
	return ns >= observed_ns - DECODE_PAST_MAX_DAYS * ns_per_day &&
	       ns <= observed_ns + DECODE_FUTURE_MAX_DAYS * ns_per_day;
}

/* The line's own time, or NULL and why it cannot be taken. */
static const char *refuse_time(struct draft *d, int64_t *ret_ns, bool *ret_exact)
{
	unsigned digits;

	if (!d->time.data)
		return "missing";
	if (!time_parse(d->time, d->text_time, ret_ns, &digits))
		return "unreadable";
	*ret_exact = !d->text_time || digits >= 3; /* Go cuts zeros at the end: `39Z` is exact */
	return in_range(d, *ret_ns) ? NULL : "out_of_range";
}

static void apply_time(struct draft *d, const struct raw *raw)
{
	struct record *r = d->record;
	const char *refused;

	r->occurred_ns = r->observed_ns;
	if (raw->file.number && in_range(d, raw->file.written_ns))
		r->occurred_ns = raw->file.written_ns;
	r->claimed_ns = r->occurred_ns;
	r->foreign_time = true;
	if (!d->time.data && d->undecoded)
		return; /* `undecoded` has said it */
	refused = refuse_time(d, &r->claimed_ns, &r->exact_time);
	if (!refused) {
		r->occurred_ns = r->claimed_ns;
		r->foreign_time = false;
		return;
	}
	record_attr_text(r, SPAN("time"), span_text(refused));
	if (d->time.data)
		record_attr_text(r, SPAN("claimed_time"), draft_field(d, d->time));
}

static void apply_fields(struct draft *d)
{
	struct record *r = d->record;

	r->app = draft_field(d, d->app);
	r->region = draft_field(d, d->region);
	r->machine_id = draft_field(d, d->machine_id);
	r->host = draft_field(d, d->host);
	r->provider = draft_field(d, d->provider);
	r->level = draft_field(d, d->level);
}

static void apply_message(struct draft *d)
{
	struct record *r = d->record;
	bool is_line = !d->message.data;
	struct span came = is_line ? d->line : d->message;
	bool changed = false;

	if (d->message.data && came.len == 0)
		record_attr_bool(r, SPAN("empty_message"), true);
	r->message = draft_hold(d->ctx->arena, came, &changed);
	if (changed)
		r->raw = came;
	if (d->in_raw && !is_line) {
		r->raw = d->line;
		r->raw_is_line = true;
		record_attr_bool(r, SPAN("fields_in_raw"), true);
	}
}

/* A line that the source cut: its object or prefix is not to be trusted. */
static void describe_cut(struct draft *d, const struct raw *raw)
{
	char text[HASH_HEX_BYTES];
	struct span hex = span_text(hash_hex(raw->full_sha256, text));
	struct span copy = arena_copy(d->ctx->arena, hex);

	d->undecoded = UNDECODED_line_too_long;
	record_attr_number(d->record, SPAN("line_bytes"),
			   raw->full_len > INT64_MAX ? INT64_MAX : (int64_t)raw->full_len);
	if (copy.data)
		record_attr_text(d->record, SPAN("line_sha256"), copy);
}

static void read_line(struct draft *d, char *line, const struct raw *raw)
{
	if (raw->full_len > raw->len) {
		describe_cut(d, raw);
		return;
	}
	switch (raw->form) {
	case RAW_NATS_JSON:
		if (!scan_nats(d, line, raw->len))
			read_json(d);
		return;
	case RAW_FLY_JSON:
		if (!scan_fly(d, line, raw->len))
			read_json(d);
		return;
	case RAW_FLY_TEXT: read_text(d); return;
	}
}

void decode(const struct decode_context *ctx, struct batch *batch, const struct raw *raw,
	    struct record *ret)
{
	struct draft d = {
		.ctx = ctx,
		.record = ret,
		.line = batch_line(batch, raw),
		.form = raw->form,
	};

	memset(ret, 0, offsetof(struct record, attrs)); /* attrs mean nothing past attr_count */
	ret->attr_count = 0;
	ret->exact_time = false;
	ret->raw_is_line = false;
	ret->observed_ns = raw->received_ns;
	ret->source = batch->source;
	ret->org = ctx->org;
	read_line(&d, raw->len > 0 ? (char *)batch->bytes.data + raw->offset : NULL, raw);
	if (d.undecoded)
		record_attr_text(ret, SPAN("undecoded"), span_text(undecoded_name(d.undecoded)));
	apply_subject(&d, batch_subject(batch, raw));
	apply_time(&d, raw);
	apply_fields(&d);
	apply_message(&d);
	ret->decoded = d.undecoded == UNDECODED_no;
}
