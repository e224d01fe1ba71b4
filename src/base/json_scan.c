#include "base/json_scan.h"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void skip_blanks(struct span *s)
{
	while (s->len > 0 && is_blank(s->data[0]))
		*s = span_after(*s, 1);
}

/* The length of the text that s begins with, with both quotes; 0: it has no end. */
static size_t text_len(struct span s)
{
	size_t at = 1;

	while (at < s.len) {
		const char *quote = memchr(s.data + at, '"', s.len - at);
		size_t backslashes = 0;

		if (!quote)
			return 0;
		at = (size_t)(quote - s.data);
		while (s.data[at - 1 - backslashes] == '\\')
			backslashes++; /* ends at the opening quote at the latest */
		at++;
		if (backslashes % 2 == 0)
			return at;
	}
	return 0;
}

/* The length of the object or array that s begins with; 0: it has no end. */
static size_t container_len(struct span s)
{
	size_t depth = 0, at = 0;

	while (at < s.len) {
		char c = s.data[at];
		size_t step = c == '"' ? text_len(span_after(s, at)) : 1;

		if (step == 0)
			return 0;
		at += step;
		if (c == '{' || c == '[')
			depth++;
		if ((c == '}' || c == ']') && --depth == 0)
			return at;
	}
	return 0;
}

static size_t value_len(struct span s)
{
	size_t len = 0;

	if (s.len == 0)
		return 0;
	if (s.data[0] == '"')
		return text_len(s);
	if (s.data[0] == '{' || s.data[0] == '[')
		return container_len(s);
	while (len < s.len && !is_blank(s.data[len]) && !strchr(",:]}[{\"", s.data[len]))
		len++;
	return len < s.len ? len : 0; /* at the very end it may have been cut */
}

/* Takes the value off the front of left. */
static bool take_value(struct span *left, struct span *ret)
{
	size_t len = value_len(*left);

	if (len == 0)
		return false;
	*ret = span_of(left->data, len);
	*left = span_after(*left, len);
	skip_blanks(left);
	return true;
}

static bool take_key(struct span *left, struct span *ret)
{
	if (left->len == 0 || left->data[0] != '"' || !take_value(left, ret))
		return false;
	*ret = span_of(ret->data + 1, ret->len - 2);
	if (left->len == 0 || left->data[0] != ':')
		return false;
	*left = span_after(*left, 1);
	skip_blanks(left);
	return true;
}

bool json_scan_begin(struct json_scan *s, struct span text, char open)
{
	skip_blanks(&text);
	if (text.len == 0 || text.data[0] != open)
		return false;
	*s = (struct json_scan){.left = span_after(text, 1), .open = open};
	skip_blanks(&s->left);
	return true;
}

bool json_scan_next(struct json_scan *s, struct span *ret_key, struct span *ret_value)
{
	struct span left = s->left;

	if (s->ended || left.len == 0)
		return false;
	if (left.data[0] == (s->open == '{' ? '}' : ']')) {
		s->left = span_after(left, 1);
		s->ended = true;
		return false;
	}
	if (s->any) {
		if (left.data[0] != ',')
			return false;
		left = span_after(left, 1);
		skip_blanks(&left);
	}
	*ret_key = SPAN("");
	if (s->open == '{' && !take_key(&left, ret_key))
		return false;
	if (!take_value(&left, ret_value))
		return false;
	s->any = true;
	s->left = left;
	return true;
}

bool json_scan_is_all(const struct json_scan *s)
{
	struct span left = s->left;

	skip_blanks(&left);
	return s->ended && left.len == 0;
}

struct span json_scan_plain(struct span value)
{
	if (value.len < 2 || value.data[0] != '"' || memchr(value.data, '\\', value.len))
		return (struct span){NULL, 0};
	return span_of(value.data + 1, value.len - 2);
}
