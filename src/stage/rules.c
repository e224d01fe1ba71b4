#include "stage/rules.h"

#include "base/time.h"
#include "base/util.h"

#include <pthread.h>

enum {
	FORM_ANY =
		LINE_BARE | LINE_INIT | LINE_KERNEL | LINE_HALLPASS | LINE_FIRECRACKER | LINE_CODE,
	KERNEL_FRACTION_DIGITS = 6,
	KERNEL_SECONDS_DIGITS_MAX = 10, /* 316 years */
	MOMENT_BYTES = 19,              /* "2026/03/07 15:20:03" */
	GO_DATE_BYTES = 20,             /* and a space */
	ISO_DATE_BYTES = 30,            /* "2026-03-03T17:47:04.971114147 " */
	ULID_BYTES = 26,
	CODE_PREFIX_BYTES = 7, /* "[PM05] " */
	COLOUR_BYTES_MAX = 4,  /* "1;32" */
	RULES_MAX = 250,       /* next[] below is made of bytes; RULE_NONE is none of them */
	RULE_NONE = 255,
	FIRST_BYTES = 256,
	FIRST_ANY = 256, /* the chain of rules whose pattern begins with a field */
};

#define APP (FROM_APP | FROM_UNKNOWN)
#define RUNNER (FROM_RUNNER | FROM_UNKNOWN)
#define PROXY (FROM_PROXY | FROM_UNKNOWN)
#define HEALTH (FROM_HEALTH | FROM_UNKNOWN)
#define ONLY_RUNNER FROM_RUNNER
#define ONLY_PROXY FROM_PROXY
#define ONLY_HEALTH FROM_HEALTH
#define NOT_INFO FROM_NOT_INFO

/* What init says stood bare before it had levels; LEVEL is for what it says only since. */
#define BARE LINE_BARE
#define INIT (LINE_INIT | LINE_BARE)
#define LEVEL LINE_INIT
#define KERNEL LINE_KERNEL
#define HALLPASS LINE_HALLPASS
#define FIRECRACKER LINE_FIRECRACKER
#define CODE LINE_CODE
#define ANY FORM_ANY

#define YES(...) ((const char *const[]){__VA_ARGS__, NULL})
#define NO(...) ((const char *const[]){__VA_ARGS__, NULL})
#define RULE(id, action, from, forms, outcome, pattern, summary, match, no_match) \
	{id, ACTION_##action, from, forms, OUTCOME_##outcome, pattern, summary, match, no_match},

const struct rule rules[] = {
#include "stage/rules.def"
};

const size_t rules_count = ARRAY_LEN(rules);

_Static_assert(ARRAY_LEN(rules) <= RULES_MAX, "the index holds rules in bytes");

/* Rules by the first byte of their text, in the table's order. */
static struct {
	pthread_once_t once;
	uint8_t head[FIRST_BYTES + 1];
	uint8_t next[ARRAY_LEN(rules)];
	unsigned any_from[FORM_ANY + 1]; /* who the chain FIRST_ANY has rules for, by form */
} rule_index = {.once = PTHREAD_ONCE_INIT};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* As the shape: 0 stands for a digit, anything else for itself. */
static bool has_shape(struct span s, const char *shape, size_t len)
{
	if (s.len < len)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (shape[i] == '0' ? !is_digit(s.data[i]) : s.data[i] != shape[i])
			return false;
	}
	return true;
}

/* The levels that init prints, padded as its logger pads them. */
static const struct span levels[] = {{" INFO", 5}, {" WARN", 5}, {"ERROR", 5}};

/* The length of a colour at the start of s, with its escape or what a copy left of it. */
static size_t colour_length(struct span s)
{
	size_t n = s.len > 0 && s.data[0] == '\x1b' ? 1 : 0;
	size_t start;

	if (n >= s.len || s.data[n] != '[')
		return 0;
	start = ++n;
	while (n < s.len && (is_digit(s.data[n]) || s.data[n] == ';') &&
	       n - start < COLOUR_BYTES_MAX)
		n++;
	/* A reset may have no number, but then it must have its escape. */
	if (n == start && s.data[0] != '\x1b')
		return 0;
	return n < s.len && s.data[n] == 'm' ? n + 1 : 0;
}

/* "\x1b[32m INFO\x1b[0m ", " INFO ", "INFO ": the length of init's prefix; 0: none. */
static size_t init_prefix(struct span s)
{
	size_t colour = colour_length(s);
	size_t n = colour;

	for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
		struct span level = levels[i];

		if (colour == 0 && level.data[0] == ' ' && s.len > 0 && s.data[0] != ' ')
			level = span_after(level, 1);
		if (!span_starts(span_after(s, colour), level))
			continue;
		n += level.len;
		if (colour > 0) {
			size_t reset = colour_length(span_after(s, n));

			if (reset == 0)
				return 0;
			n += reset;
		}
		return n < s.len && s.data[n] == ' ' ? n + 1 : 0;
	}
	return 0;
}

static size_t skip_spaces(struct span s, size_t n)
{
	while (n < s.len && s.data[n] == ' ')
		n++;
	return n;
}

/* The thread that newer kernels put after the stamp: "[  T177]". Returns n where it is none. */
static size_t skip_caller(struct span s, size_t n)
{
	size_t at = n;

	if (at >= s.len || s.data[at] != '[')
		return n;
	at = skip_spaces(s, at + 1);
	if (at >= s.len || (s.data[at] != 'T' && s.data[at] != 'C'))
		return n;
	at++;
	while (at < s.len && is_digit(s.data[at]))
		at++;
	return at < s.len && s.data[at] == ']' ? at + 1 : n;
}

/* "[  258.930660] ": the length of the kernel's prefix; 0: none. */
static size_t kernel_prefix(struct span s, int64_t *ret_us)
{
	size_t n = skip_spaces(s, 1);
	size_t start = n;
	int64_t seconds = 0;
	int64_t us = 0;

	while (n < s.len && is_digit(s.data[n]) && n - start < KERNEL_SECONDS_DIGITS_MAX)
		seconds = seconds * 10 + (s.data[n++] - '0');
	if (n == start || !has_shape(span_after(s, n), ".000000]", KERNEL_FRACTION_DIGITS + 2))
		return 0;
	for (size_t i = 1; i <= KERNEL_FRACTION_DIGITS; i++)
		us = us * 10 + (s.data[n + i] - '0');
	n = skip_caller(s, n + KERNEL_FRACTION_DIGITS + 2);
	if (n >= s.len || s.data[n] != ' ')
		return 0;
	*ret_us = seconds * (NS_PER_S / 1000) + us;
	return n + 1;
}

/* Whether the date and time are of the calendar that s, of their shape, begins with. */
static bool moment_exists(struct span s)
{
	char text[MOMENT_BYTES];
	int64_t ns;
	unsigned digits;

	memcpy(text, s.data, MOMENT_BYTES);
	text[4] = '-';
	text[7] = '-';
	/* time_parse() takes leap seconds, which neither Go nor firecracker prints. */
	return text[MOMENT_BYTES - 2] < '6' &&
	       time_parse(span_of(text, MOMENT_BYTES), true, &ns, &digits);
}

/* "2026/03/07 15:20:03 ": the length of hallpass' prefix; 0: none. */
static size_t hallpass_prefix(struct span s)
{
	if (!has_shape(s, "0000/00/00 00:00:00 ", GO_DATE_BYTES) || !moment_exists(s))
		return 0;
	return GO_DATE_BYTES;
}

static bool is_ulid(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = s.data[i];
		bool upper = c >= 'A' && c <= 'Z' && c != 'I' && c != 'L' && c != 'O' && c != 'U';

		if (!is_digit(c) && !upper)
			return false;
	}
	return s.len == ULID_BYTES && s.data[0] <= '7';
}

/* The length of firecracker's prefix, whose id must be a machine version; 0: none. */
static size_t firecracker_prefix(struct span s, struct span *ret_version)
{
	size_t id = ISO_DATE_BYTES + 1;
	const char *end;

	if (!has_shape(s, "0000-00-00T00:00:00.000000000 [", id) || s.len < id + ULID_BYTES + 1)
		return 0;
	if (!is_ulid(span_of(s.data + id, ULID_BYTES)) || s.data[id + ULID_BYTES] != ':' ||
	    !moment_exists(s))
		return 0;
	end = memchr(s.data + id, ']', s.len - id);
	if (end == NULL || (size_t)(end - s.data) + 1 >= s.len || end[1] != ' ')
		return 0;
	*ret_version = span_of(s.data + id, ULID_BYTES);
	return (size_t)(end - s.data) + 2;
}

static bool is_code_prefix(struct span s)
{
	return s.len > CODE_PREFIX_BYTES && s.data[1] == 'P' && s.data[2] >= 'A' &&
	       s.data[2] <= 'Z' && has_shape(span_after(s, 3), "00] ", 4);
}

static void take_prefix(struct line *line, enum line_form form, size_t len)
{
	if (len == 0)
		return;
	line->form = form;
	line->text = span_after(line->text, len);
}

void line_split(struct span message, struct line *ret)
{
	*ret = (struct line){.form = LINE_BARE, .text = message};
	while (ret->text.len > 0 && strchr(" \t\r\n", ret->text.data[ret->text.len - 1]))
		ret->text.len--;
	if (ret->text.len == 0)
		return;
	switch (ret->text.data[0]) {
	case '[':
		if (is_code_prefix(ret->text)) {
			ret->code = span_of(ret->text.data + 1, 4);
			take_prefix(ret, LINE_CODE, CODE_PREFIX_BYTES);
			break;
		}
		take_prefix(ret, LINE_KERNEL, kernel_prefix(ret->text, &ret->uptime_us));
		if (ret->form == LINE_BARE)
			take_prefix(ret, LINE_INIT, init_prefix(ret->text));
		break;
	case '\x1b':
	case ' ':
	case 'I':
	case 'W':
	case 'E': take_prefix(ret, LINE_INIT, init_prefix(ret->text)); break;
	case '1':
	case '2':
		take_prefix(ret, LINE_HALLPASS, hallpass_prefix(ret->text));
		if (ret->form == LINE_BARE)
			take_prefix(ret, LINE_FIRECRACKER,
				    firecracker_prefix(ret->text, &ret->version));
		break;
	default: break;
	}
}

bool rule_matches(const struct rule *rule, const struct line *line, unsigned from,
		  struct fields *ret)
{
	if ((rule->from & from & ~(unsigned)FROM_NOT_INFO) == 0 || !(rule->forms & line->form))
		return false;
	if ((rule->from & FROM_NOT_INFO) && !(from & FROM_NOT_INFO))
		return false;
	return pattern_match(rule->pattern, line->text, ret);
}

/* Puts rule i at the end of the chain; the table is walked backwards, so at its front. */
static void index_rule(size_t chain, size_t i)
{
	rule_index.next[i] = rule_index.head[chain];
	rule_index.head[chain] = (uint8_t)i;
}

static void index_rules(void)
{
	memset(rule_index.head, RULE_NONE, sizeof(rule_index.head));
	for (size_t i = ARRAY_LEN(rules); i-- > 0;) {
		unsigned char first = (unsigned char)rules[i].pattern[0];

		index_rule(first == '{' ? FIRST_ANY : first, i);
		for (unsigned form = LINE_BARE; first == '{' && form <= FORM_ANY; form *= 2)
			rule_index.any_from[form] |= (rules[i].forms & form) ? rules[i].from : 0;
	}
}

static const struct rule *find_in_chain(size_t chain, const struct line *line, unsigned from,
					struct fields *ret)
{
	for (uint8_t i = rule_index.head[chain]; i != RULE_NONE; i = rule_index.next[i]) {
		if (rule_matches(&rules[i], line, from, ret))
			return &rules[i];
	}
	return NULL;
}

const struct rule *rules_find(const struct line *line, unsigned from, struct fields *ret)
{
	const struct rule *rule;

	if (line->text.len == 0)
		return NULL;
	MUST0(pthread_once(&rule_index.once, index_rules));
	rule = find_in_chain((unsigned char)line->text.data[0], line, from, ret);
	if (rule || !(rule_index.any_from[line->form] & from & ~(unsigned)FROM_NOT_INFO))
		return rule;
	return find_in_chain(FIRST_ANY, line, from, ret);
}
