#include "base/json.h"

#include "base/bytes.h"
#include "base/time.h"
#include "base/utf8.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	NUMBER_DIGITS_SAFE = 15,    /* DBL_DIG: a double keeps so many, whatever they are */
	NUMBER_EXPONENT_SAFE = 250, /* with 15 digits still far from infinity and denormals */
	UNICODE_ESCAPE_BYTES = 6,   /* \u0000 */
	DUPLICATES_SORT_FROM = 16,  /* members; fewer are compared each with each */
};

/* cJSON says NULL for bad JSON and for no memory alike; this tells them apart. */
static _Thread_local bool memory_failed;

static _Thread_local enum json_fault last_fault;

enum json_fault json_fault(void)
{
	return last_fault;
}

static enum err_kind refuse(enum json_fault fault, const char *why, struct err *err)
{
	last_fault = fault;
	return err_set(err, ERR_REJECT, "not JSON within bounds: %s", why);
}

static void *allocate(size_t len)
{
	void *block = malloc(len);

	if (!block)
		memory_failed = true;
	return block;
}

static void set_hooks(void)
{
	cJSON_InitHooks(&(cJSON_Hooks){.malloc_fn = allocate, .free_fn = free});
}

/*
 * Before cJSON sees a text, prepare() copies it and makes it harmless: depth
 * and count of values are bounded; numbers that a double would change get
 * quotes; \u0000, which would end a C string, and halves of surrogate pairs
 * become \ufffd. It checks no grammar but that of numbers; cJSON does the rest.
 */
struct scan {
	struct span left;
	unsigned depth;
	unsigned values;
	const char *error;
	enum json_fault fault;
};

static void give_up(struct scan *s, enum json_fault fault, const char *error)
{
	s->fault = fault;
	s->error = error;
}

static void copy(struct scan *s, size_t len, struct buf *out)
{
	buf_add(out, s->left.data, len);
	s->left = span_after(s->left, len);
}

static size_t count_digits(struct span s)
{
	size_t len = 0;

	while (len < s.len && s.data[len] >= '0' && s.data[len] <= '9')
		len++;
	return len;
}

struct number {
	size_t len;
	size_t digits; /* with leading zeros of a fraction: on the safe side */
	bool exponent_safe;
};

/* Reads the exponent at n->len, if there is one. */
static bool read_exponent(struct span s, struct number *n)
{
	struct span rest = span_after(s, n->len);
	size_t sign, len;
	unsigned value = 0;

	n->exponent_safe = true;
	if (rest.len == 0 || (rest.data[0] != 'e' && rest.data[0] != 'E'))
		return true;
	sign = rest.len > 1 && (rest.data[1] == '+' || rest.data[1] == '-') ? 2 : 1;
	len = count_digits(span_after(rest, sign));
	for (size_t i = 0; i < len && value <= NUMBER_EXPONENT_SAFE; i++)
		value = value * 10 + (unsigned)(rest.data[sign + i] - '0');
	n->exponent_safe = value <= NUMBER_EXPONENT_SAFE;
	n->len += sign + len;
	return len > 0;
}

/* The number that s begins with, by JSON's grammar. */
static bool read_number(struct span s, struct number *ret)
{
	struct number n = {.len = s.data[0] == '-' ? 1 : 0};
	size_t whole = count_digits(span_after(s, n.len));

	if (whole == 0 || (whole > 1 && s.data[n.len] == '0'))
		return false;
	n.len += whole;
	n.digits = whole;
	if (n.len < s.len && s.data[n.len] == '.') {
		size_t fraction = count_digits(span_after(s, n.len + 1));

		if (fraction == 0)
			return false;
		n.len += 1 + fraction;
		n.digits += fraction;
	}
	if (!read_exponent(s, &n))
		return false;
	*ret = n;
	return true;
}

static void prepare_number(struct scan *s, struct buf *out)
{
	struct number n;

	if (!read_number(s->left, &n)) {
		give_up(s, JSON_FAULT_SYNTAX, "a malformed number");
		return;
	}
	if (n.digits <= NUMBER_DIGITS_SAFE && n.exponent_safe) {
		copy(s, n.len, out);
		return;
	}
	buf_u8(out, '"');
	copy(s, n.len, out);
	buf_u8(out, '"');
}

/* The code unit of a \uXXXX that s begins with, or -1. */
static int read_unit(struct span s)
{
	int unit = 0;

	if (s.len < UNICODE_ESCAPE_BYTES || s.data[0] != '\\' || s.data[1] != 'u')
		return -1;
	for (size_t i = 2; i < UNICODE_ESCAPE_BYTES; i++) {
		char c = s.data[i];
		int digit = c >= '0' && c <= '9'   ? c - '0'
			    : c >= 'a' && c <= 'f' ? c - 'a' + 10
			    : c >= 'A' && c <= 'F' ? c - 'A' + 10
						   : -1;

		if (digit < 0)
			return -1;
		unit = unit * 16 + digit;
	}
	return unit;
}

static void prepare_escape(struct scan *s, struct buf *out)
{
	int unit = read_unit(s->left);
	int next;

	if (unit < 0) {
		/* cJSON refuses other bad escapes, but takes this one for \u0000. */
		if (s->left.len > UNICODE_ESCAPE_BYTES && s->left.data[1] == 'u')
			give_up(s, JSON_FAULT_SYNTAX, "a malformed escape");
		copy(s, s->left.len > 1 ? 2 : 1, out);
		return;
	}
	next = read_unit(span_after(s->left, UNICODE_ESCAPE_BYTES));
	if (unit >= 0xd800 && unit <= 0xdbff && next >= 0xdc00 && next <= 0xdfff) {
		copy(s, 2 * (size_t)UNICODE_ESCAPE_BYTES, out);
	} else if (unit == 0 || (unit >= 0xd800 && unit <= 0xdfff)) {
		buf_str(out, "\\ufffd");
		s->left = span_after(s->left, UNICODE_ESCAPE_BYTES);
	} else {
		copy(s, UNICODE_ESCAPE_BYTES, out);
	}
}

static void prepare_text(struct scan *s, struct buf *out)
{
	copy(s, 1, out);
	while (s->left.len > 0 && s->left.data[0] != '"' && !s->error) {
		if (s->left.data[0] == '\\') {
			prepare_escape(s, out);
		} else {
			size_t len = 1;

			while (len < s->left.len && s->left.data[len] != '"' &&
			       s->left.data[len] != '\\')
				len++;
			copy(s, len, out);
		}
	}
	if (s->error)
		return;
	if (s->left.len == 0)
		give_up(s, JSON_FAULT_END, "a text without its end");
	else
		copy(s, 1, out);
}

static void prepare_mark(struct scan *s, struct buf *out)
{
	char c = s->left.data[0];

	if (c == '{' || c == '[')
		s->depth++;
	if ((c == '}' || c == ']') && s->depth > 0)
		s->depth--;
	if (c == '{' || c == '[' || c == ',')
		s->values++;
	if (s->depth > JSON_DEPTH_MAX)
		give_up(s, JSON_FAULT_DEPTH, "more levels than allowed");
	if (s->values > JSON_VALUES_MAX)
		give_up(s, JSON_FAULT_COUNT, "more values than allowed");
	copy(s, 1, out);
}

static enum err_kind prepare(struct span text, struct buf *out, struct err *err)
{
	struct scan s = {.left = text};

	if (text.len > 0 && memchr(text.data, '\0', text.len))
		return refuse(JSON_FAULT_SYNTAX, "a NUL byte", err);
	while (s.left.len > 0 && !s.error) {
		char c = s.left.data[0];

		if (c == '"')
			prepare_text(&s, out);
		else if (c == '-' || (c >= '0' && c <= '9'))
			prepare_number(&s, out);
		else
			prepare_mark(&s, out);
	}
	if (s.error)
		return refuse(s.fault, s.error, err);
	/* What it is should cJSON refuse it. */
	last_fault = s.depth > 0 ? JSON_FAULT_END : JSON_FAULT_SYNTAX;
	return buf_check(out, err);
}

static const cJSON *node(const struct json *v)
{
	return (const cJSON *)(const void *)v;
}

static const struct json *lend(const cJSON *n)
{
	return (const struct json *)(const void *)n;
}

static int compare_keys(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Of one object with many members. */
static enum err_kind refuse_duplicates_sorted(const cJSON *object, size_t count, struct err *err)
{
	const char **keys = malloc(count * sizeof(*keys));
	enum err_kind rc = ERR_NONE;
	size_t i = 0;

	if (!keys)
		return err_set(err, ERR_FATAL, "out of memory for the keys of a JSON object");
	for (const cJSON *m = object->child; m; m = m->next)
		keys[i++] = m->string;
	qsort(keys, count, sizeof(*keys), compare_keys);
	for (i = 1; i < count && !rc; i++) {
		if (strcmp(keys[i - 1], keys[i]) == 0)
			rc = refuse(JSON_FAULT_KEY_TWICE, "a key twice", err);
	}
	free(keys);
	return rc;
}

static enum err_kind refuse_duplicates(const cJSON *object, struct err *err)
{
	size_t count = 0;

	for (const cJSON *m = object->child; m; m = m->next)
		count++;
	if (count >= DUPLICATES_SORT_FROM)
		return refuse_duplicates_sorted(object, count, err);
	for (const cJSON *m = object->child; m; m = m->next) {
		for (const cJSON *o = m->next; o; o = o->next) {
			if (strcmp(m->string, o->string) == 0)
				return refuse(JSON_FAULT_KEY_TWICE, "a key twice", err);
		}
	}
	return ERR_NONE;
}

/* Goes through all objects; it calls itself at most JSON_DEPTH_MAX deep. */
static enum err_kind refuse_all_duplicates(const cJSON *value, struct err *err)
{
	enum err_kind rc = cJSON_IsObject(value) ? refuse_duplicates(value, err) : ERR_NONE;

	for (const cJSON *child = value->child; child && !rc; child = child->next) {
		if (child->child)
			rc = refuse_all_duplicates(child, err);
	}
	return rc;
}

enum err_kind json_parse(struct json **ret, struct span text, struct err *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	cJSON *root = NULL;
	struct buf b;
	enum err_kind rc;

	MUST0(pthread_once(&once, set_hooks));
	buf_init(&b, 3 * text.len + 1); /* quotes around every number of one digit */
	rc = prepare(text, &b, err);
	if (rc)
		goto out;
	memory_failed = false;
	if (b.len > 0)
		root = cJSON_ParseWithLengthOpts((const char *)b.data, b.len + 1, NULL, 1);
	if (!root)
		rc = memory_failed ? err_set(err, ERR_FATAL, "out of memory for a JSON value")
				   : refuse(last_fault, "its grammar", err);
	else
		rc = refuse_all_duplicates(root, err);
	if (rc)
		goto out;
	*ret = (struct json *)(void *)root;
	root = NULL;
out:
	cJSON_Delete(root);
	buf_release(&b);
	return rc;
}

void json_free(struct json *root)
{
	cJSON_Delete((cJSON *)(void *)root);
}

enum json_type json_type(const struct json *v)
{
	if (cJSON_IsBool(node(v)))
		return JSON_BOOL;
	if (cJSON_IsNumber(node(v)))
		return JSON_NUMBER;
	if (cJSON_IsString(node(v)))
		return JSON_TEXT;
	if (cJSON_IsArray(node(v)))
		return JSON_ARRAY;
	return cJSON_IsObject(node(v)) ? JSON_OBJECT : JSON_NULL;
}

const struct json *json_member(const struct json *object, const char *key)
{
	if (!cJSON_IsObject(node(object)))
		return NULL;
	return lend(cJSON_GetObjectItemCaseSensitive(node(object), key));
}

const struct json *json_first(const struct json *container)
{
	return lend(node(container)->child);
}

const struct json *json_next(const struct json *v)
{
	return lend(node(v)->next);
}

struct span json_key(const struct json *v)
{
	return node(v)->string ? span_text(node(v)->string) : SPAN("");
}

struct span json_text(const struct json *v)
{
	return cJSON_IsString(node(v)) ? span_text(node(v)->valuestring) : SPAN("");
}

bool json_bool(const struct json *v)
{
	return cJSON_IsTrue(node(v));
}

double json_number(const struct json *v)
{
	return cJSON_IsNumber(node(v)) ? node(v)->valuedouble : 0;
}

static bool is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/*
 * The high bit of the first of eight bytes that is not plain is set, and of those before it is not:
 * what is borrowed from goes upwards alone. (Hacker's Delight, "Find First 0-Byte".)
 */
static uint64_t not_plain(uint64_t bytes)
{
	uint64_t quote = bytes ^ EACH('"'), backslash = bytes ^ EACH('\\'),
		 del = bytes ^ EACH(0x7f);
	uint64_t found = bytes - EACH(0x20);

	found |= (quote - EACH(1)) | (backslash - EACH(1)) | (del - EACH(1));
	return (found | bytes) & EACH(0x80);
}

/* Bytes at the start of s that stand in JSON as they are. */
static size_t plain_prefix(struct span s)
{
	size_t len = 0;

	for (; s.len - len >= sizeof(uint64_t); len += sizeof(uint64_t)) {
		uint64_t found = not_plain(get_u64_le((const uint8_t *)s.data + len));

		if (found != 0)
			return len + (size_t)__builtin_ctzll(found) / 8;
	}
	while (len < s.len && is_plain((unsigned char)s.data[len]))
		len++;
	return len;
}

static void write_escape(struct buf *out, unsigned char c)
{
	switch (c) {
	case '"': buf_str(out, "\\\""); return;
	case '\\': buf_str(out, "\\\\"); return;
	case '\n': buf_str(out, "\\n"); return;
	case '\r': buf_str(out, "\\r"); return;
	case '\t': buf_str(out, "\\t"); return;
	case '\0': buf_str(out, UTF8_REPLACEMENT); return;
	default: buf_fmt(out, "\\u%04x", c);
	}
}

void json_write_text(struct buf *out, struct span s)
{
	buf_u8(out, '"');
	while (s.len > 0) {
		size_t len = plain_prefix(s);

		if (len == 0 && (unsigned char)s.data[0] >= 0x80)
			len = utf8_char(s);
		if (len > 0) {
			buf_add(out, s.data, len);
			s = span_after(s, len);
			continue;
		}
		if ((unsigned char)s.data[0] >= 0x80)
			buf_str(out, UTF8_REPLACEMENT);
		else
			write_escape(out, (unsigned char)s.data[0]);
		s = span_after(s, 1);
	}
	buf_u8(out, '"');
}

void json_write_key_span(struct buf *out, struct span key)
{
	if (out->len > 0 && out->data[out->len - 1] != '{')
		buf_u8(out, ',');
	json_write_text(out, key);
	buf_u8(out, ':');
}

void json_write_key(struct buf *out, const char *key)
{
	json_write_key_span(out, span_text(key));
}

void json_write_time(struct buf *out, const char *key, int64_t ns)
{
	char text[TIME_TEXT_BYTES];

	json_write_key(out, key);
	json_write_text(out, span_text(time_format(ns, text)));
}

void json_write_digits(struct buf *out, const char *key, uint64_t number)
{
	json_write_key(out, key);
	buf_fmt(out, "\"%" PRIu64 "\"", number);
}

bool json_read_digits(const struct json *object, const char *key, uint64_t *ret)
{
	const struct json *v = json_member(object, key);

	return v && json_type(v) == JSON_TEXT && span_digits(json_text(v), ret);
}

const char *json_library_version(void)
{
	return cJSON_Version();
}
