#include "source/splitter.h"

void splitter_reset(struct splitter *s)
{
	*s = (struct splitter){.seen = 0};
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static size_t skip_blanks(struct span s)
{
	size_t at = 0;

	while (at < s.len && is_blank(s.data[at]))
		at++;
	return at;
}

static struct span without_blanks_at_end(struct span s)
{
	while (s.len > 0 && is_blank(s.data[s.len - 1]))
		s.len--;
	return s;
}

static struct span without_return(struct span s)
{
	if (s.len > 0 && s.data[s.len - 1] == '\r')
		s.len--;
	return s;
}

/* `{` and then a key, the object's end, or nothing more on this line. */
static bool starts_object(struct span line)
{
	line = span_after(line, skip_blanks(line));
	if (line.len == 0 || line.data[0] != '{')
		return false;
	line = span_after(line, 1);
	line = span_after(line, skip_blanks(line));
	return line.len == 0 || line.data[0] == '"' || line.data[0] == '}' || line.data[0] == '\n';
}

/* The first byte of a line inside of an object; column counts from 0. */
static bool may_stand_inside(char c, size_t column)
{
	static const char value_starts[] = "{[-0123456789tfn";

	if (c == '"' || c == '}' || c == ']')
		return true;
	/* Printers indent; at the margin another line begins. */
	return column > 0 && memchr(value_starts, c, sizeof(value_starts) - 1);
}

enum look { LOOK_ON, LOOK_END_AFTER, LOOK_END_BEFORE_LINE };

static enum look look_at(struct splitter *s, char c, size_t at)
{
	if (s->at_line_start && !is_blank(c) && c != '\n') {
		if (!may_stand_inside(c, at - s->line_start))
			return LOOK_END_BEFORE_LINE;
		s->at_line_start = false;
	}
	if (c == '\n') {
		if (s->in_text)
			return LOOK_END_AFTER; /* no text in JSON goes over lines */
		s->at_line_start = true;
		s->line_start = at + 1;
	} else if (s->in_text) {
		s->in_text = c != '"' || s->escaped;
		s->escaped = c == '\\' && !s->escaped;
	} else if (c == '"') {
		s->in_text = true;
	} else if (c == '{' || c == '[') {
		s->depth++;
	} else if (c == '}' || c == ']') {
		s->depth--;
		if (s->depth == 0)
			return LOOK_END_AFTER;
	}
	return LOOK_ON;
}

static bool end_unit(struct splitter *s, struct span window, size_t used, struct unit *ret)
{
	struct span bytes = span_of(window.data, used);

	if (bytes.len > 0 && bytes.data[bytes.len - 1] == '\n')
		bytes.len--;
	bytes = without_return(bytes);
	if (skip_blanks(bytes) == bytes.len)
		bytes.len = 0;
	*ret = (struct unit){.bytes = bytes, .used = used};
	splitter_reset(s);
	return true;
}

static bool next_in_object(struct splitter *s, struct span window, bool ended, struct unit *ret)
{
	for (; s->seen < window.len; s->seen++) {
		switch (look_at(s, window.data[s->seen], s->seen)) {
		case LOOK_ON: break;
		case LOOK_END_AFTER: return end_unit(s, window, s->seen + 1, ret);
		case LOOK_END_BEFORE_LINE: return end_unit(s, window, s->line_start, ret);
		}
	}
	return ended && window.len > 0 && end_unit(s, window, window.len, ret);
}

bool splitter_next(struct splitter *s, struct span window, bool ended, struct unit *ret)
{
	const char *newline = NULL;
	struct span line, trimmed;

	if (s->depth > 0)
		return next_in_object(s, window, ended, ret);
	if (window.len > s->seen)
		newline = memchr(window.data + s->seen, '\n', window.len - s->seen);
	if (!newline && !ended) {
		s->seen = window.len;
		return false;
	}
	if (window.len == 0)
		return false;
	line = newline ? span_of(window.data, (size_t)(newline - window.data)) : window;
	trimmed = without_blanks_at_end(line);
	if (!starts_object(line) || trimmed.data[trimmed.len - 1] == '}')
		return end_unit(s, window, line.len + (newline ? 1 : 0), ret);
	/* What stands before the brace is blank; it is looked at as part of the object. */
	s->seen = skip_blanks(line) + 1;
	s->depth = 1;
	return next_in_object(s, window, ended, ret);
}

/* A key on any level; quotes in a text are escaped, so no text looks like one. */
static bool has_key(struct span object, struct span quoted_key)
{
	while (object.len >= quoted_key.len) {
		const char *hit = memmem(object.data, object.len, quoted_key.data, quoted_key.len);

		if (!hit)
			return false;
		object = span_after(object, (size_t)(hit - object.data) + quoted_key.len);
		object = span_after(object, skip_blanks(object));
		if (object.len > 0 && object.data[0] == ':')
			return true;
	}
	return false;
}

enum raw_form splitter_form(struct span unit)
{
	if (span_starts(unit, SPAN("{\"event\":")))
		return RAW_NATS_JSON;
	if (!starts_object(unit))
		return RAW_FLY_TEXT;
	if (has_key(unit, SPAN("\"fly\"")))
		return RAW_NATS_JSON;
	if (has_key(unit, SPAN("\"meta\"")) || has_key(unit, SPAN("\"instance\"")))
		return RAW_FLY_JSON;
	return RAW_NATS_JSON;
}
