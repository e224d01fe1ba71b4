/*
 * Random secrets of every kind at random places, between random neighbours, coloured, escaped,
 * encoded and with holes in them at random, in records and in whole lines: afterwards neither the
 * secret nor any 12 bytes of it are in any text of the record. The seed is printed;
 * FLYTRAIL_TEST_SEED gives another.
 */

#include "stage/redact.h"

#include "base/time.h"
#include "base/utf8.h"
#include "secrets.h"
#include "stage/stages.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define ALNUM UPPER "abcdefghijklmnopqrstuvwxyz0123456789"
#define BASE64 ALNUM "+/"
#define URL64 ALNUM "_-"
#define NASTY ALNUM "!$%^*_-+.~|"

enum {
	CASES = 20000,
	LINES = 40000,
	TEXT_BYTES_MAX = 16 * 1024,
	FIELD_BYTES_MAX = 900, /* short of the limit, where the last word is taken out unread */
	ARENA_BYTES_MAX = 4 * 1024 * 1024,
	SEED = 20260301,
};

/* before, then a secret of lead and random characters, then after. */
struct shape {
	const char *before, *lead, *alphabet;
	size_t len_min, len_max;
	const char *after;
};

static const struct shape shapes[] = {
	{"", "fm2_", BASE64, 16, 900, ""},
	{"", "fm1r_", BASE64, 16, 300, "="},
	{"FlyV1 ", "fm1a_", BASE64, 16, 300, "=="},
	{"", "fo1_", URL64, 43, 43, ""},
	{"fLYv1 ", "", BASE64, 16, 200, ""},
	{"postgres://app:", "", NASTY ":@", 8, 300, "@db.example.com:5432/x"},
	{"nats://app:", "", NASTY "@/", 8, 300, "@mq.example.com:4222"},
	{"amqps://", ":", NASTY "?#", 8, 60, "@mq.example.com"},
	{"https://bot:", "x", NASTY ":@", 8, 60, "@git.example.com/x?y=z"},
	{"", "AKIA", UPPER "234567", 16, 16, ""},
	{"", "A3TX", UPPER "234567", 16, 16, ""},
	{"aws_secret_access_key = ", "", BASE64, 40, 40, ""},
	{"\"SecretAccessKey\":\"", "", BASE64, 40, 40, "\""},
	{"AWS_SESSION_TOKEN=", "", BASE64, 40, 800, "=="},
	{"", "ghp_", ALNUM, 36, 36, ""},
	{"", "ghs_", ALNUM, 36, 200, ""},
	{"", "github_pat_", ALNUM "_", 82, 82, ""},
	{"", "glpat-", URL64, 20, 30, ""},
	{"", "glrt-", URL64 ".", 20, 50, ""},
	{"", "xoxb-1", ALNUM "-", 20, 70, ""},
	{"", "xapp-1-A", ALNUM "-", 20, 90, ""},
	{"https://hooks.slack.com/services/", "T", ALNUM "/", 20, 44, ""},
	{"", "sk_live_", ALNUM, 10, 99, ""},
	{"", "whsec_", BASE64, 24, 40, ""},
	{"", "npm_", ALNUM, 36, 36, ""},
	{"", "AIza", URL64, 35, 35, ""},
	{"", "GOCSPX-", URL64, 28, 28, ""},
	{"", "ya29.", URL64, 60, 200, ""},
	{"", "sk-A", URL64, 44, 44, ""},
	{"", "sk-proj-9", URL64, 60, 150, ""},
	{"", "sk-ant-api03-", URL64, 95, 95, ""},
	{"", "hvs.", URL64, 24, 90, ""},
	{"", "pscale_tkn_", URL64, 32, 64, ""},
	{"", "eyJhbGciOiJFWEFNUExFIn0.eyJ", URL64, 20, 300, "."},
	{"", "eyJhbGciOiJFWEFNUExFIn0..", URL64 ".", 40, 300, ""},
	{"Authorization: ", "Bearer ", BASE64, 8, 300, ""},
	{"\"authorization\":\"", "Basic ", BASE64, 8, 60, "\""},
	{"proxy-AUTHORIZATION=", "", ALNUM " ,;=", 20, 60, ""},
	{"saw BEARER ", "0", URL64 "~.", 20, 90, ""},
	{"Cookie: ", "a=", ALNUM "; =", 10, 100, ""},
	{"\"set-cookie\":[\"", "", ALNUM "; =", 10, 100, "\"]"},
	{"password=", "", NASTY "@#/", 8, 60, ""},
	{"\"db_password\": \"", "", NASTY " ,;)]}&<>'", 8, 60, "\""},
	{"PGPASSWORD=", "", NASTY, 8, 60, ""},
	{"user%5Bpassword%5D=", "", NASTY, 8, 60, "&x=1"},
	{"?access_token=", "", ALNUM "%._-", 8, 60, "&page=2"},
	{"token: ", "0", ALNUM, 16, 60, ""},
	{"client_secret=", "", NASTY, 8, 60, ""},
	{"x-api-key: ", "0", ALNUM, 16, 60, ""},
	{"\"apiKey\":\"", "", NASTY " ", 8, 60, "\""},
	{"-----BEGIN PRIVATE KEY-----\n", "", BASE64 "\n", 64, 900, "\n-----END PRIVATE KEY-----"},
};

static const char *const neighbours[] = {
	" ",       ",",          ")",   "]", ">",  "}", "&",        ".",
	";",       ":",          "|",   "'", "\"", "`", "\n",       "\t",
	"$",       "#",          "(",   "[", "<",  "{", "\xc3\xa4", "\xe2\x80\xa6",
	"\x1b[0m", "\x1b[1;33m", "...", "",
};

static const char *const words[] = {
	"GET",
	"/feed",
	"200",
	"took 12ms",
	"user=bob",
	"\xc3\xa9t\xc3\xa9",
	"level=info",
	"ok",
	"\x1b[2mweb\x1b[0m",
	"machine 0e286551c30586",
	"{x: 1}",
	"2026-03-01T00:00:00Z",
};

static uint64_t seed;

static void read_seed(void)
{
	const char *given = getenv("FLYTRAIL_TEST_SEED");

	seed = given ? strtoull(given, NULL, 10) : SEED;
	assert_true(seed > 0);
	print_message("seed %llu\n", (unsigned long long)seed);
}

static size_t pick(size_t bound)
{
	/* xorshift64*: the same cases for a seed on every machine. */
	seed ^= seed >> 12;
	seed ^= seed << 25;
	seed ^= seed >> 27;
	return (size_t)((seed * UINT64_C(2685821657736338717)) >> 33) % bound;
}

struct text {
	char bytes[TEXT_BYTES_MAX];
	size_t len;
};

static void add(struct text *t, const char *bytes, size_t len)
{
	assert_true(len <= sizeof(t->bytes) - t->len);
	memcpy(t->bytes + t->len, bytes, len);
	t->len += len;
}

static void add_string(struct text *t, const char *s)
{
	add(t, s, strlen(s));
}

static void add_words(struct text *t)
{
	for (size_t n = pick(8); n > 0; n--) {
		add_string(t, words[pick(ARRAY_LEN(words))]);
		add_string(t, " ");
	}
}

static void make_secret(const struct shape *shape, struct text *secret)
{
	size_t len = shape->len_min + pick(shape->len_max - shape->len_min + 1);

	secret->len = 0;
	add_string(secret, shape->lead);
	while (len-- > 0)
		add(secret, &shape->alphabet[pick(strlen(shape->alphabet))], 1);
}

/* The secret in its surroundings, one time in four with colours inside. */
static void plant(const struct shape *shape, const struct text *secret, struct text *line)
{
	bool coloured = pick(4) == 0;

	line->len = 0;
	add_words(line);
	add_string(line, neighbours[pick(ARRAY_LEN(neighbours))]);
	add_string(line, shape->before);
	for (size_t i = 0; i < secret->len; i++) {
		if (coloured && i > strlen(shape->lead) && pick(16) == 0)
			add_string(line, "\x1b[36m");
		add(line, &secret->bytes[i], 1);
	}
	add_string(line, shape->after);
	add_string(line, neighbours[pick(ARRAY_LEN(neighbours))]);
	add_words(line);
}

/* As the line stands in JSON, with some characters as escapes that need none. */
static void escape(const struct text *from, struct text *to)
{
	char u[8];

	to->len = 0;
	add_string(to, "{\"message\":\"");
	for (size_t i = 0; i < from->len; i++) {
		char c = from->bytes[i];

		(void)snprintf(u, sizeof(u), "\\u%04x", (unsigned)(uint8_t)c);
		if (c == '\n')
			add_string(to, "\\n");
		else if ((uint8_t)c < 0x20 || ((uint8_t)c < 0x80 && pick(16) == 0))
			add_string(to, u);
		else if (c == '"' || c == '\\' || (c == '/' && pick(2)))
			add(to, (char[]){'\\', c}, 2);
		else
			add(to, &c, 1);
	}
	add_string(to, "\",\"fly\":{}}");
}

static void assert_nowhere(const struct record *r, struct span secret, const struct text *line)
{
	const struct span *texts[] = {&r->message, &r->raw,          &r->app,          &r->host,
				      &r->level,   &r->attrs[0].key, &r->attrs[0].text};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		if (secret_is_in(secret, *texts[i]))
			fail_msg("%.*s is left of\n%.*s\nin\n%.*s", (int)secret.len, secret.data,
				 (int)line->len, line->bytes, (int)texts[i]->len, texts[i]->data);
		assert_true(texts[i]->len == 0 || utf8_is_text(*texts[i]));
	}
}

static void no_planted_secret_survives(void **state)
{
	static struct text secret, line, escaped;
	static struct record r;
	struct redactor *redactor;
	struct arena arena;
	struct err err;

	(void)state;
	read_seed();
	assert_int_equal(redactor_new(&redactor, &err), ERR_NONE);
	arena_init(&arena, ARENA_BYTES_MAX);
	for (size_t i = 0; i < CASES; i++) {
		const struct shape *shape = &shapes[i % ARRAY_LEN(shapes)];
		struct span *const places[] = {&r.message,      &r.raw,          &r.message,
					       &r.app,          &r.host,         &r.level,
					       &r.attrs[0].key, &r.attrs[0].text};
		size_t place = pick(ARRAY_LEN(places));
		const struct text *planted = &line;

		memset(&r, 0, sizeof(r));
		r.attr_count = 1;
		r.attrs[0].key = SPAN("extra");
		r.attrs[0].text = SPAN("x");
		make_secret(shape, &secret);
		plant(shape, &secret, &line);
		if (pick(4) == 0) {
			escape(&line, &escaped);
			planted = &escaped;
		}
		if (planted->len > FIELD_BYTES_MAX && place > 2)
			place = 0;
		*places[place] = span_of(planted->bytes, planted->len);
		redact(redactor, &arena, &r);
		assert_nowhere(&r, span_of(secret.bytes, secret.len), planted);
		assert_int_equal(r.attr_count, 2);
		arena_reset(&arena);
	}
	arena_release(&arena);
	redactor_free(redactor);
}

/* Bytes and escapes that are no character: none may save the secret that they stand in. */
static const char *const holes[] = {
	"\xff",    "\xc3",    "\xed\xa0\x80", "\xe2\x82",     "\\ud800",
	"\\udfff", "\\u0000", "\\ufffd",      "\xef\xbf\xbd",
};

/* Names that say that what is under them is a secret. */
static const char *const names[] = {
	"password",      "db_password",   "PGPASSWORD",      "pass",
	"passphrase",    "authorization", "Cookie",          "Set-Cookie",
	"token",         "accessToken",   "x-api-key",       "api_key",
	"client_secret", "credentials",   "secretAccessKey", "private_key",
};

/* How what is secret stands under its name, @ for it and $ for the name. */
static const char *const unders[] = {
	"{\"$\":@}",
	"{\"$\":[@]}",
	"{\"$\":[\"x\",@]}",
	"{\"$\":{\"x\":@}}",
	"{\"$\":[[{\"x\":@}]]}",
	"{\"a\":{\"$\":{\"b\":[1,{\"c\":@}]}}}",
	"{\"a\":[{\"name\":\"$\",\"value\":@}]}",
	"{\"key\":\"$\", \"value\": @}",
	"{\"$\":{\"x\":\"]}\",\"y\":@}}",
	"{\"$\" : @}",
};

/* How a text stands in a line, @ for it as a JSON string, # for it as it is. */
static const char *const lines[] = {
	"{\"message\":@,\"timestamp\":\"T\"}",
	"{\"message\":@,\"x\":1}",
	"{\"message\":\"m\",\"x\":@}",
	"{\"message\":\"m\",\"x\":[1,{\"y\":@}]}",
	"{\"message\":\"m\",@:1}",
	"{\"message\":\"m\",\"x\":{@:[true]}}",
	"{\"message\":{\"x\":@}}",
	"{\"message\":[@]}",
	"{\"message\":\"m\",\"fly\":{\"app\":{\"name\":@}}}",
	"{\"message\":\"m\",\"host\":@,\"log\":{\"level\":1}}",
	"{\"message\":\"m\",\"timestamp\":@}",
	"{\"message\":\"m\",\"message\":@}",
	"{\"message\":@",
	"#",
};

static void add_hole(struct text *t)
{
	add_string(t, holes[pick(ARRAY_LEN(holes))]);
}

/* The text as it stands in a JSON string, with one hole at most from `from` to `to`. */
static void add_json(struct text *t, const struct text *from, size_t hole_at)
{
	char u[8];

	add_string(t, "\"");
	for (size_t i = 0; i < from->len; i++) {
		uint8_t c = (uint8_t)from->bytes[i];

		if (i == hole_at)
			add_hole(t);
		(void)snprintf(u, sizeof(u), "\\u%04x", (unsigned)c);
		if (c < 0x20 || (c < 0x80 && pick(40) == 0))
			add_string(t, u);
		else if (c == '"' || c == '\\')
			add(t, (char[]){'\\', (char)c}, 2);
		else
			add(t, (char *)&c, 1);
	}
	add_string(t, "\"");
}

static void add_raw(struct text *t, const struct text *from, size_t hole_at)
{
	for (size_t i = 0; i < from->len; i++) {
		if (i == hole_at)
			add_hole(t);
		add(t, &from->bytes[i], 1);
	}
}

static void percent_encode(struct text *t)
{
	static struct text from;
	bool often = pick(2) == 0;
	char code[8];

	from = *t;
	t->len = 0;
	for (size_t i = 0; i < from.len; i++) {
		uint8_t c = (uint8_t)from.bytes[i];
		bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
			     (c >= 'A' && c <= 'Z') || c == '-' || c == '_' || c == '.' ||
			     c >= 0x80;

		(void)snprintf(code, sizeof(code), pick(2) ? "%%%02X" : "%%%02x", (unsigned)c);
		if (plain && (c >= 0x80 || !often || pick(8) > 0))
			add(t, (char *)&c, 1);
		else
			add_string(t, code);
	}
}

/* A text with a secret in it by its form. Returns where the secret begins at the earliest. */
static void make_text(struct text *secret, struct text *text)
{
	const struct shape *shape = &shapes[pick(ARRAY_LEN(shapes))];

	make_secret(shape, secret);
	plant(shape, secret, text);
}

/* A text with a secret in it by its name. */
static void make_named(struct text *secret, struct text *text)
{
	static const struct shape any = {"", "0", NASTY NASTY " \"'\\{}[],:;/<>&?@#%", 12, 60, ""};
	const char *under = unders[pick(ARRAY_LEN(unders))];

	make_secret(&any, secret);
	text->len = 0;
	for (const char *p = under; *p; p++) {
		if (*p == '@')
			add_json(text, secret, SIZE_MAX);
		else if (*p == '$')
			add_string(text, names[pick(ARRAY_LEN(names))]);
		else
			add(text, p, 1);
	}
}

/*
 * Where to put a hole, or nowhere: within a colour, a code or an escape it would
 * break that, not the secret.
 */
static size_t pick_hole(const struct text *text)
{
	size_t at = pick(text->len + 1);

	if (pick(3) || memchr(text->bytes, '\x1b', text->len) ||
	    memchr(text->bytes, '%', text->len) || (at > 0 && text->bytes[at - 1] == '\\'))
		return SIZE_MAX;
	return at;
}

static void make_line(const struct text *text, bool as_json, struct text *line)
{
	const char *form = lines[pick(ARRAY_LEN(lines))];
	size_t hole_at = pick_hole(text);

	line->len = 0;
	for (const char *p = form; *p; p++) {
		if (*p == '@' && as_json && p[-1] == ':')
			add_raw(line, text, SIZE_MAX);
		else if (*p == '@')
			add_json(line, text, hole_at);
		else if (*p == '#')
			add_raw(line, text, hole_at);
		else if (*p == 'T')
			add_string(line, "2026-03-01T00:00:00.5Z");
		else
			add(line, p, 1);
	}
}

static void assert_gone_from(const struct record *r, struct span secret, const struct text *line)
{
	const struct span texts[] = {r->message,    r->raw,  r->org,      r->app,  r->region,
				     r->machine_id, r->host, r->provider, r->level};

	for (size_t i = 0; i < ARRAY_LEN(texts) + 2 * r->attr_count; i++) {
		size_t attr = i < ARRAY_LEN(texts) ? 0 : (i - ARRAY_LEN(texts)) / 2;
		struct span text = i < ARRAY_LEN(texts) ? texts[i]
				   : i % 2              ? r->attrs[attr].key
							: r->attrs[attr].text;

		if (i >= ARRAY_LEN(texts) && r->attrs[attr].type != ATTR_TEXT && i % 2 == 0)
			continue;
		if (secret_is_in(secret, text))
			fail_msg("%.*s is left of\n%.*s\nin\n%.*s", (int)secret.len, secret.data,
				 (int)line->len, line->bytes, (int)text.len, text.data);
	}
}

static void no_planted_secret_survives_in_a_line(void **state)
{
	static struct text secret, text, line;
	static struct record r;
	struct stages_options options = {.any_time = true};
	struct stages *stages;
	struct batch *batch;
	struct err err;

	(void)state;
	read_seed();
	assert_int_equal(stages_new(&stages, &options, &err), ERR_NONE);
	assert_int_equal(batch_new(&batch, &err), ERR_NONE);
	for (size_t i = 0; i < LINES; i++) {
		bool named = pick(3) == 0;
		struct raw *raw;

		if (named)
			make_named(&secret, &text);
		else
			make_text(&secret, &text);
		if (!named && pick(4) == 0)
			percent_encode(&text);
		make_line(&text, named && pick(2), &line);
		batch_reset(batch);
		raw = batch_add(batch, SPAN(""), span_of(line.bytes, line.len));
		assert_non_null(raw);
		raw->form = RAW_NATS_JSON;
		raw->received_ns = time_now_ns();
		stages_begin_batch(stages);
		assert_int_equal(stages_take(stages, batch, raw, &r, &err), ERR_NONE);
		assert_gone_from(&r, span_of(secret.bytes, secret.len), &line);
	}
	stages_free(stages);
	batch_free(batch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_planted_secret_survives),
		cmocka_unit_test(no_planted_secret_survives_in_a_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
