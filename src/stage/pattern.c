#include "stage/pattern.h"

#include "base/time.h"

#include <strings.h>

enum {
	INTEGER_DIGITS_MAX = 18, /* always fits an int64_t */
	HEX_BYTES_MIN = 6, /* the shortest commit that Git abbreviates to, with one to spare */
	HEX_BYTES_MAX = 64,
	MACHINE_BYTES_MIN = 8, /* an allocation's id, before 2024 */
	MACHINE_BYTES_MAX = 16,
	ULID_BYTES = 26,
	CODE_BYTES = 4, /* PM05 */
	TYPE_NAME_BYTES_MAX = 16,
	DURATION_UNITS_MAX = 6,
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f');
}

static bool is_upper(char c)
{
	return c >= 'A' && c <= 'Z';
}

static bool is_alnum(char c)
{
	return is_digit(c) || is_upper(c) || (c >= 'a' && c <= 'z');
}

static bool is_one_of(char c, const char *set)
{
	return c != '\0' && strchr(set, c) != NULL;
}

/* Bytes that are no space, no control and no end of a quotation. */
static bool is_plain(char c)
{
	return (unsigned char)c > ' ' && c != '"' && c != 0x7f;
}

static bool is_signal_char(char c)
{
	return is_upper(c) || is_digit(c);
}

static bool is_image_char(char c)
{
	return is_alnum(c) || is_one_of(c, "._/:@+-");
}

static bool is_address_char(char c)
{
	return is_alnum(c) || is_one_of(c, ".:[]*%-");
}

static bool is_path_char(char c)
{
	return is_plain(c) && !is_one_of(c, ":,'`;!?");
}

static bool is_name_char(char c)
{
	return is_alnum(c) || is_one_of(c, "_.-");
}

static bool is_quoted_char(char c)
{
	return (unsigned char)c >= ' ' && c != '\'' && c != 0x7f;
}

static bool is_word_char(char c)
{
	return is_plain(c) && c != ',';
}

static bool is_version_char(char c)
{
	return is_alnum(c) || is_one_of(c, ".+-");
}

static bool is_bare_value_char(char c)
{
	return is_plain(c) && c != '=';
}

/* Each scan gives how many bytes at the start of s are of its type; 0: none. */
static size_t scan_run(struct span s, bool (*is)(char))
{
	size_t n = 0;

	while (n < s.len && is(s.data[n]))
		n++;
	return n;
}

/* As scan_run, but leaves the dots that end a sentence. */
static size_t scan_undotted(struct span s, bool (*is)(char))
{
	size_t n = scan_run(s, is);

	while (n > 0 && s.data[n - 1] == '.')
		n--;
	return n;
}

static size_t scan_integer(struct span s)
{
	size_t n = scan_run(s, is_digit);

	return n <= INTEGER_DIGITS_MAX ? n : 0;
}

static size_t scan_signed(struct span s)
{
	size_t n;

	if (s.len == 0 || s.data[0] != '-')
		return scan_integer(s);
	n = scan_integer(span_after(s, 1));
	return n ? n + 1 : 0;
}

static size_t scan_bool(struct span s)
{
	if (span_starts(s, SPAN("true")))
		return 4;
	return span_starts(s, SPAN("false")) ? 5 : 0;
}

static size_t scan_hex(struct span s)
{
	size_t n = scan_run(s, is_hex);

	return n >= HEX_BYTES_MIN && n <= HEX_BYTES_MAX ? n : 0;
}

static size_t scan_machine(struct span s)
{
	size_t n = scan_run(s, is_hex);

	return n >= MACHINE_BYTES_MIN && n <= MACHINE_BYTES_MAX ? n : 0;
}

static size_t scan_signal(struct span s)
{
	return span_starts(s, SPAN("SIG")) ? scan_run(s, is_signal_char) : 0;
}

static size_t scan_image(struct span s)
{
	return scan_run(s, is_image_char);
}

static size_t scan_address(struct span s)
{
	size_t n = scan_run(s, is_address_char);

	return n && memchr(s.data, ':', n) && is_digit(s.data[n - 1]) ? n : 0;
}

static size_t scan_path(struct span s)
{
	return s.len && s.data[0] == '/' ? scan_undotted(s, is_path_char) : 0;
}

static size_t scan_device(struct span s)
{
	return span_starts(s, SPAN("/dev/")) ? scan_run(s, is_path_char) : 0;
}

static size_t scan_name(struct span s)
{
	return scan_undotted(s, is_name_char);
}

static size_t scan_quoted(struct span s)
{
	return scan_run(s, is_quoted_char);
}

static size_t scan_word(struct span s)
{
	return scan_undotted(s, is_word_char);
}

static size_t scan_version(struct span s)
{
	return scan_run(s, is_version_char);
}

static size_t scan_value(struct span s)
{
	if (s.len == 0 || s.data[0] != '"')
		return scan_run(s, is_bare_value_char);
	for (size_t i = 1; i < s.len; i++) {
		if (s.data[i] == '\\')
			i++;
		else if (s.data[i] == '"')
			return i + 1;
	}
	return 0;
}

static size_t scan_ports(struct span s)
{
	size_t n = 1;

	if (s.len == 0 || s.data[0] != '[')
		return 0;
	while (n < s.len && (is_digit(s.data[n]) || is_one_of(s.data[n], ", ")))
		n++;
	return n < s.len && s.data[n] == ']' ? n + 1 : 0;
}

static size_t scan_code(struct span s)
{
	if (s.len < CODE_BYTES || !is_upper(s.data[0]) || !is_upper(s.data[1]))
		return 0;
	return is_digit(s.data[2]) && is_digit(s.data[3]) ? CODE_BYTES : 0;
}

/* Whether any of the words, up to a NULL, stands in s, in letters of either case. */
static bool has_word(struct span s, const char *const *words)
{
	for (; *words; words++) {
		size_t len = strlen(*words);

		for (size_t at = 0; at + len <= s.len; at++) {
			if (strncasecmp(s.data + at, *words, len) == 0)
				return true;
		}
	}
	return false;
}

static size_t scan_failure(struct span s)
{
	static const char *const words[] = {"error",  "fail",      "could not", "cannot",  "can't",
					    "unable", "timed out", "timeout",   "refused", "denied",
					    "abort",  "gave up",   "giving up", NULL};

	return has_word(s, words) ? s.len : 0;
}

static size_t scan_scaling(struct span s)
{
	static const char *const words[] = {"machine", "instance", "scaling", NULL};

	return has_word(s, words) ? s.len : 0;
}

/* One step of a Go duration: a number and its unit. The unit's length is told by its text. */
static const struct duration_unit {
	struct span text;
	int64_t ns;
} duration_units[] = {
	{{"ns", 2}, 1},
	{{"us", 2}, 1000},
	{{"\xc2\xb5s", 3}, 1000},
	{{"ms", 2}, NS_PER_MS},
	{{"s", 1}, NS_PER_S},
	{{"m", 1}, 60 * NS_PER_S},
	{{"h", 1}, 3600 * NS_PER_S},
};

static const struct duration_unit *duration_unit_at(struct span s)
{
	for (size_t i = 0; i < ARRAY_LEN(duration_units); i++) {
		if (span_starts(s, duration_units[i].text))
			return &duration_units[i];
	}
	return NULL;
}

/* The digits and fraction at the start of s; 0: none. */
static size_t scan_decimal(struct span s)
{
	size_t whole = scan_integer(s);
	size_t fraction;

	if (whole == 0 || whole >= s.len || s.data[whole] != '.')
		return whole;
	fraction = scan_integer(span_after(s, whole + 1));
	return fraction ? whole + 1 + fraction : 0;
}

static size_t scan_duration(struct span s)
{
	size_t n = 0;

	for (int i = 0; i < DURATION_UNITS_MAX; i++) {
		size_t number = scan_decimal(span_after(s, n));
		const struct duration_unit *unit;

		if (number == 0)
			break;
		unit = duration_unit_at(span_after(s, n + number));
		if (unit == NULL)
			return 0;
		n += number + unit->text.len;
	}
	return n;
}

static const struct field_type {
	const char *name;
	const char *usual; /* the field's name where the pattern gives none */
	enum field_kind kind;
	size_t (*scan)(struct span s);
} field_types[] = {
	{"int", "", FIELD_INTEGER, scan_integer},
	{"signed", "", FIELD_INTEGER, scan_signed},
	{"bool", "", FIELD_BOOL, scan_bool},
	{"duration", "seconds", FIELD_DURATION, scan_duration},
	{"hex", "", FIELD_TEXT, scan_hex},
	{"machine", "machine", FIELD_TEXT, scan_machine},
	{"signal", "signal", FIELD_TEXT, scan_signal},
	{"image", "image", FIELD_TEXT, scan_image},
	{"address", "address", FIELD_TEXT, scan_address},
	{"path", "path", FIELD_TEXT, scan_path},
	{"device", "device", FIELD_TEXT, scan_device},
	{"name", "", FIELD_TEXT, scan_name},
	{"quoted", "", FIELD_TEXT, scan_quoted},
	{"word", "", FIELD_TEXT, scan_word},
	{"value", "", FIELD_VALUE, scan_value},
	{"ports", "ports", FIELD_TEXT, scan_ports},
	{"code", "error_code", FIELD_TEXT, scan_code},
	{"version", "version", FIELD_TEXT, scan_version},
	{"failure", "", FIELD_TEXT, scan_failure},
	{"scaling", "", FIELD_TEXT, scan_scaling},
	{"text", "", FIELD_TEXT, NULL}, /* as far as what follows it */
};

/* What stands in one pair of braces. */
struct brace {
	const struct field_type *type; /* of a field, else NULL */
	struct span name;
	struct span literals; /* of {one|other} */
	char mark;            /* of {?} and {/}, else 0 */
	const char *next;     /* after the brace */
};

static const struct field_type *find_type(struct span name)
{
	for (size_t i = 0; i < ARRAY_LEN(field_types); i++) {
		if (span_is(name, field_types[i].name))
			return &field_types[i];
	}
	return NULL;
}

/* Reads the brace that pattern points to. False: it is none. */
static bool read_brace(const char *pattern, struct brace *ret)
{
	const char *end = strchr(pattern, '}');
	struct span inside;
	const char *colon;

	if (end == NULL)
		return false;
	inside = span_of(pattern + 1, (size_t)(end - pattern) - 1);
	*ret = (struct brace){.next = end + 1};
	if (span_is(inside, "?") || span_is(inside, "/")) {
		ret->mark = inside.data[0];
		return true;
	}
	if (memchr(inside.data, '|', inside.len)) {
		ret->literals = inside;
		return true;
	}
	colon = memchr(inside.data, ':', inside.len);
	if (colon == NULL) {
		ret->type = find_type(inside);
		ret->name = ret->type ? span_text(ret->type->usual) : SPAN("");
		return ret->type != NULL && ret->name.len > 0;
	}
	ret->type = find_type(span_of(inside.data, (size_t)(colon - inside.data)));
	ret->name = span_of(colon + 1, (size_t)(end - colon) - 1);
	return ret->type != NULL;
}

/* How much of s the first of the literals takes that stands at its start; 0: none does. */
static size_t scan_literals(struct span s, struct span literals)
{
	for (size_t at = 0; at < literals.len;) {
		struct span rest = span_after(literals, at);
		const char *bar = memchr(rest.data, '|', rest.len);

		if (bar)
			rest.len = (size_t)(bar - rest.data);
		if (span_starts(s, rest))
			return rest.len;
		at += rest.len + 1;
	}
	return 0;
}

/* The place of the last `needle` in s; s.len where it has none. */
static size_t find_last(struct span s, struct span needle)
{
	for (size_t at = s.len; needle.len <= s.len && at-- > 0;) {
		if (at + needle.len <= s.len && memcmp(s.data + at, needle.data, needle.len) == 0)
			return at;
	}
	return s.len;
}

/* Where the pattern goes on after the {?}...{/} that stand at its start. */
static const char *skip_options(const char *pattern)
{
	while (strncmp(pattern, "{?}", 3) == 0) {
		const char *end = strstr(pattern, "{/}");

		if (end == NULL)
			break;
		pattern = end + 3;
	}
	return pattern;
}

/* How much of s a {text} takes that is followed by the pattern `next`. */
static size_t scan_text(struct span s, const char *next)
{
	struct span literal;
	size_t at;

	if (strncmp(next, "{/}", 3) == 0)
		next = skip_options(next + 3);
	if (*next == '\0')
		return s.len;
	literal = span_of(next, strcspn(next, "{"));
	if (literal.len == 0)
		return 0;
	at = find_last(s, literal);
	return at < s.len ? at : 0;
}

static size_t scan_brace(struct span s, const struct brace *brace)
{
	if (brace->type == NULL)
		return scan_literals(s, brace->literals);
	return brace->type->scan ? brace->type->scan(s) : scan_text(s, brace->next);
}

static bool keep_field(struct fields *fields, const struct brace *brace, struct span value)
{
	if (brace->name.len == 0)
		return true;
	if (fields->count == PATTERN_FIELDS_MAX)
		return false;
	fields->list[fields->count++] =
		(struct field){.name = brace->name, .kind = brace->type->kind, .value = value};
	return true;
}

/* Matches pattern up to its end, a {?} or a {/}. True: *pattern and *line stand behind it. */
static bool match_run(const char **pattern, struct span *line, struct fields *fields)
{
	while (**pattern != '\0') {
		struct brace brace;
		size_t n;

		if (**pattern != '{') {
			if (line->len == 0 || line->data[0] != **pattern)
				return false;
			*line = span_after(*line, 1);
			(*pattern)++;
			continue;
		}
		if (!read_brace(*pattern, &brace))
			return false;
		if (brace.mark)
			return true;
		n = scan_brace(*line, &brace);
		if (n == 0 || !keep_field(fields, &brace, span_of(line->data, n)))
			return false;
		*line = span_after(*line, n);
		*pattern = brace.next;
	}
	return true;
}

/* At a {?}: takes what is inside where it is there, and passes it where it is not. */
static bool match_option(const char **pattern, struct span *line, struct fields *fields)
{
	const char *inside = *pattern + 3;
	const char *end = strstr(inside, "{/}");
	struct span rest = *line;
	size_t kept = fields->count;

	if (end == NULL)
		return false;
	if (match_run(&inside, &rest, fields) && inside == end)
		*line = rest;
	else
		fields->count = kept;
	*pattern = end + 3;
	return true;
}

bool pattern_match(const char *pattern, struct span line, struct fields *ret)
{
	ret->count = 0;
	while (match_run(&pattern, &line, ret)) {
		if (*pattern == '\0')
			return line.len == 0;
		if (!match_option(&pattern, &line, ret))
			return false;
	}
	return false;
}

const struct field *fields_get(const struct fields *fields, const char *name)
{
	for (size_t i = 0; i < fields->count; i++) {
		if (span_is(fields->list[i].name, name))
			return &fields->list[i];
	}
	return NULL;
}

const char *pattern_fault(const char *pattern)
{
	bool inside = false;

	for (pattern = strchr(pattern, '{'); pattern; pattern = strchr(pattern, '{')) {
		struct brace brace;
		bool is_text;

		if (!read_brace(pattern, &brace))
			return "a brace that is neither a field nor {?} nor {/}";
		is_text = brace.type && brace.type->scan == NULL;
		if (is_text && *brace.next == '{' && strncmp(brace.next, "{/}", 3) != 0)
			return "{text} is followed by another brace";
		if (brace.mark && inside == (brace.mark == '?'))
			return "{?} and {/} do not alternate";
		if (brace.mark)
			inside = brace.mark == '?';
		pattern = brace.next;
	}
	return inside ? "{?} without {/}" : NULL;
}

static bool add_scaled(int64_t *sum, int64_t number, int64_t scale)
{
	int64_t product;

	return !__builtin_mul_overflow(number, scale, &product) &&
	       !__builtin_add_overflow(*sum, product, sum);
}

/* Takes one number with its unit from the front of *s and adds it to *sum. */
static bool duration_step(struct span *s, int64_t *sum)
{
	int64_t whole = 0;
	int64_t scale;
	const struct duration_unit *unit;
	size_t n = scan_decimal(*s);
	size_t i = 0;

	unit = n ? duration_unit_at(span_after(*s, n)) : NULL;
	if (unit == NULL)
		return false;
	while (i < n && s->data[i] != '.')
		whole = whole * 10 + (s->data[i++] - '0');
	if (!add_scaled(sum, whole, unit->ns))
		return false;
	scale = unit->ns;
	for (i++; i < n; i++) {
		scale /= 10;
		if (!add_scaled(sum, s->data[i] - '0', scale))
			return false;
	}
	*s = span_after(*s, n + unit->text.len);
	return true;
}

bool duration_parse(struct span text, int64_t *ret_ns)
{
	int64_t sum = 0;

	if (text.len == 0 || scan_duration(text) != text.len)
		return false;
	while (text.len > 0) {
		if (!duration_step(&text, &sum))
			return false;
	}
	*ret_ns = sum;
	return true;
}
