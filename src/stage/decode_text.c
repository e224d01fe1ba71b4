#include "base/time.h"
#include "stage/draft.h"

/*
 * A line as `fly logs` prints it, each part perhaps in a colour (ESC [ ... m):
 *
 *	[error.message="..." ]TIME PROVIDER[MACHINE] REGION [LEVEL][FIELDS]MESSAGE
 *
 * flyctl writes error.message before the time by mistake, does not escape
 * quotes in it, and then leaves the message out. Old proxy lines have no
 * [MACHINE]. Copies from Fly's dashboard have milliseconds, no zone, no colours
 * and a space before the message.
 */

enum {
	TIME_BYTES_MAX = 40,
	WORD_BYTES_MAX = 64, /* of a provider or a machine */
	LEVEL_BYTES_MAX = 16,
	REGION_BYTES = 3,
	MACHINE_ID_BYTES = 14, /* in hexadecimal digits */
};

#define ESC '\x1b'

/* Where reading is in a line, and whether a colour is on there. */
struct cursor {
	struct span left;
	bool coloured;
};

/* Bytes of the colour at the start of s, 0 where there is none. */
static size_t colour_at(struct span s, bool *ret_on)
{
	bool on = false;

	if (s.len < 3 || s.data[0] != ESC || s.data[1] != '[')
		return 0;
	for (size_t at = 2; at < s.len; at++) {
		char c = s.data[at];

		if (c == 'm') {
			*ret_on = on;
			return at + 1;
		}
		if (c != ';' && (c < '0' || c > '9'))
			return 0;
		on |= c != ';' && c != '0';
	}
	return 0;
}

static void skip_colours(struct cursor *c)
{
	size_t len;

	do {
		len = colour_at(c->left, &c->coloured);
		c->left = span_after(c->left, len);
	} while (len > 0);
}

/* After a colour, if there is one. */
static bool take(struct cursor *c, struct span wanted)
{
	skip_colours(c);
	if (!span_starts(c->left, wanted))
		return false;
	c->left = span_after(c->left, wanted.len);
	return true;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static bool is_word(char c)
{
	return is_lower(c) || is_digit(c) || c == '-' || c == '_';
}

static bool is_time(char c)
{
	return is_digit(c) || c == '-' || c == ':' || c == '.' || c == 'T' || c == 'Z' || c == '+';
}

static struct span take_while(struct cursor *c, bool (*wanted)(char), size_t max)
{
	size_t len = 0;
	struct span word;

	skip_colours(c);
	while (len < c->left.len && len < max && wanted(c->left.data[len]))
		len++;
	word = span_of(c->left.data, len);
	c->left = span_after(c->left, len);
	return word;
}

struct prefix {
	struct span time, provider, machine_id, region, level;
	bool from_dashboard;
};

static bool is_machine_id(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (!is_digit(s.data[i]) && (s.data[i] < 'a' || s.data[i] > 'f'))
			return false;
	}
	return s.len == MACHINE_ID_BYTES;
}

/* PROVIDER[MACHINE], or either of them, or nothing. */
static bool read_origin(struct cursor *c, struct prefix *p)
{
	p->provider = take_while(c, is_word, WORD_BYTES_MAX);
	p->machine_id = (struct span){NULL, 0};
	if (take(c, SPAN("["))) {
		p->machine_id = take_while(c, is_word, WORD_BYTES_MAX);
		return take(c, SPAN("]"));
	}
	if (is_machine_id(p->provider)) {
		p->machine_id = p->provider;
		p->provider = (struct span){NULL, 0};
	}
	return true;
}

/* From TIME to the ']' after LEVEL; c is moved on success only. */
static bool read_prefix(struct cursor *c, struct prefix *ret)
{
	struct cursor at = *c;
	struct prefix p;
	int64_t ns;
	unsigned digits;

	p.time = take_while(&at, is_time, TIME_BYTES_MAX);
	if (!time_parse(p.time, true, &ns, &digits) || !take(&at, SPAN(" ")))
		return false;
	p.from_dashboard = !time_parse(p.time, false, &ns, &digits);
	if (!read_origin(&at, &p) || !take(&at, SPAN(" ")))
		return false;
	p.region = take_while(&at, is_lower, REGION_BYTES);
	if (p.region.len != 0 && p.region.len != REGION_BYTES)
		return false;
	if (!take(&at, SPAN(" [")) && !(take(&at, SPAN(" ")) && take(&at, SPAN("["))))
		return false;
	p.level = take_while(&at, is_lower, LEVEL_BYTES_MAX);
	if (!take(&at, SPAN("]")))
		return false;
	*c = at;
	*ret = p;
	return true;
}

/* What ends the prefix's own colours; a colour that the message begins with stays. */
static void end_prefix(struct cursor *c, const struct prefix *p)
{
	bool on;
	size_t len = colour_at(c->left, &on);

	if (c->coloured && len > 0 && !on)
		c->left = span_after(c->left, len);
	if (p->from_dashboard && span_starts(c->left, SPAN(" ")))
		c->left = span_after(c->left, 1);
}

/* error.message="...": it ends where a quote, a space and a prefix follow. */
static bool read_early_error(struct cursor *c, struct prefix *p, struct span *ret)
{
	struct span text;
	size_t at = 0;

	if (!take(c, SPAN("error.message=")) || !take(c, SPAN("\"")))
		return false;
	text = c->left;
	while (at < text.len) {
		const char *quote = memchr(text.data + at, '"', text.len - at);
		struct cursor after = {.left = text};

		if (!quote)
			return false;
		at = (size_t)(quote - text.data);
		after.left = span_after(text, at + 1);
		if (take(&after, SPAN(" ")) && read_prefix(&after, p)) {
			*c = after;
			*ret = span_of(text.data, at);
			return true;
		}
		at++;
	}
	return false;
}

/* FIELDS: flyctl's names for them, and the names that the JSON forms have. */
static const struct field {
	const char *printed;
	const char *key;
	bool quoted;
} fields[] = {
	{"error.code=", "error.code", false},
	{"request.method=", "http.request.method", true},
	{"request.url=", "url.full", true},
	{"request.id=", "http.request.id", true},
	{"response.status=", "http.response.status_code", false},
};

static void skip_space(struct cursor *c)
{
	if (span_starts(c->left, SPAN(" ")))
		c->left = span_after(c->left, 1);
}

/* "...": quotes inside are not escaped, so it ends at the first with a space or nothing after. */
static bool read_quoted(struct cursor *c, struct span *ret)
{
	struct span text;

	if (!take(c, SPAN("\"")))
		return false;
	text = c->left;
	for (size_t at = 0; at < text.len; at++) {
		if (text.data[at] != '"' || (at + 1 < text.len && text.data[at + 1] != ' '))
			continue;
		*ret = span_of(text.data, at);
		c->left = span_after(text, at + 1);
		return true;
	}
	return false;
}

static bool read_field(struct draft *d, struct cursor *c, const struct field *f)
{
	struct cursor at = *c;
	struct span text;
	int64_t number = 0;

	if (!take(&at, span_text(f->printed)))
		return false;
	if (f->quoted) {
		if (!read_quoted(&at, &text))
			return false;
		draft_attr_text(d, span_text(f->key), text);
	} else {
		text = take_while(&at, is_digit, 9);
		if (text.len == 0 || (at.left.len > 0 && at.left.data[0] != ' '))
			return false;
		for (size_t i = 0; i < text.len; i++)
			number = number * 10 + (text.data[i] - '0');
		draft_attr_number(d, span_text(f->key), number);
	}
	skip_space(&at);
	*c = at;
	return true;
}

static void read_fields(struct draft *d, struct cursor *c)
{
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		(void)read_field(d, c, &fields[i]); /* printed in this order, where present */
}

void read_text(struct draft *d)
{
	struct cursor c = {.left = d->line};
	struct span error = {NULL, 0};
	struct prefix p;

	if (!read_prefix(&c, &p)) {
		c = (struct cursor){.left = d->line};
		if (!read_early_error(&c, &p, &error)) {
			d->undecoded = UNDECODED_not_fly_text;
			return;
		}
	}
	end_prefix(&c, &p);
	d->time = p.time;
	d->text_time = true;
	d->provider = p.provider;
	d->machine_id = p.machine_id;
	d->region = p.region;
	d->level = p.level;
	/* An application's message may look like fields; flyctl prints none for it. */
	if (!span_is(p.provider, "app"))
		read_fields(d, &c);
	d->message = c.left;
	if (!error.data)
		return;
	if (c.left.len > 0)
		draft_attr_text(d, SPAN("error.message"), error);
	else
		d->message = error;
}
