/* No secret of tests/data/secrets.txt survives in a text, and what is none stays. */

#include "fault.h"
#include "redact_kit.h"
#include "secrets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { LINE_BYTES_MAX = 8192 };

static bool holds(struct span text, const char *part)
{
	return text.len > 0 && memmem(text.data, text.len, part, strlen(part)) != NULL;
}

/* Redacts, checks that a second time changes nothing, and counts into *ret_count. */
static struct span redacted(struct span text, unsigned *ret_count)
{
	unsigned again;
	struct span once = redact_text(redactor, &arena, text, ret_count);
	struct span twice = redact_text(redactor, &arena, once, &again);

	if (!span_equal(once, twice))
		fail_msg("twice is not once: %.*s: %.*s", (int)once.len, once.data, (int)twice.len,
			 twice.data);
	assert_int_equal(again, 0);
	return once;
}

static void assert_gone(const struct secret *s, struct span text)
{
	char marker[64];
	unsigned count;
	struct span out = redacted(text, &count);

	(void)snprintf(marker, sizeof(marker), "[REDACTED:%.*s]", (int)s->kind.len, s->kind.data);
	if (secret_is_in(s->secret, out) || !holds(out, marker) || count == 0)
		fail_msg("%.*s: %.*s: %.*s", (int)s->kind.len, s->kind.data, (int)text.len,
			 text.data, (int)out.len, out.data);
	arena_reset(&arena);
}

static void assert_becomes(const char *text, const char *expected)
{
	struct span out = redacted(span_text(text), NULL);

	if (!span_is(out, expected))
		fail_msg("%s: became %.*s, not %s", text, (int)out.len, out.data, expected);
	arena_reset(&arena);
}

static void every_sample_is_redacted_under_its_kind(void **state)
{
	size_t count;
	const struct secret *secrets = secrets_load(&count);

	(void)state;
	for (size_t i = 0; i < count; i++)
		assert_gone(&secrets[i], secrets[i].text);
}

static void nothing_that_stands_around_a_secret_saves_it(void **state)
{
	static const struct span around[] = {
		{" ", 1},   {",", 1},       {")", 1},          {"]", 1},        {">", 1},
		{"}", 1},   {"&", 1},       {".", 1},          {";", 1},        {":", 1},
		{"|", 1},   {"'", 1},       {"\"", 1},         {"`", 1},        {"\\\"", 2},
		{"\\n", 2}, {"\n", 1},      {"\t", 1},         {"\xc3\xa4", 2}, {"\xe2\x80\xa6", 3},
		{"\0", 1},  {"\x1b[0m", 4}, {"\\u001b[0m", 9}, {"\xff", 1},     {"<", 1},
		{"...", 3}, {"$", 1},       {"#", 1},
	};
	size_t count;
	const struct secret *secrets = secrets_load(&count);
	char line[LINE_BYTES_MAX];

	(void)state;
	for (size_t i = 0; i < count; i++) {
		for (size_t j = 0; j < ARRAY_LEN(around) * ARRAY_LEN(around); j++) {
			struct span before = around[j / ARRAY_LEN(around)];
			struct span after = around[j % ARRAY_LEN(around)];
			const struct span *text = &secrets[i].text;

			memcpy(line, before.data, before.len);
			memcpy(line + before.len, text->data, text->len);
			memcpy(line + before.len + text->len, after.data, after.len);
			assert_gone(&secrets[i], span_of(line, before.len + text->len + after.len));
		}
	}
}

static void a_secret_is_found_far_inside_a_text(void **state)
{
	size_t count;
	const struct secret *secrets = secrets_load(&count);
	char line[LINE_BYTES_MAX];

	(void)state;
	for (size_t i = 0; i < count; i++) {
		size_t at = i * 31 % 4000 + 1;
		size_t len = at + secrets[i].text.len;

		memset(line, ' ', sizeof(line));
		memcpy(line + at, secrets[i].text.data, secrets[i].text.len);
		assert_gone(&secrets[i], span_of(line, len));
		assert_gone(&secrets[i], span_of(line, sizeof(line)));
	}
}

/* Writes text as it stands in JSON; every n-th character as a \u escape, slashes escaped. */
static size_t write_escaped(char *to, struct span text, size_t nth)
{
	char *start = to;

	for (size_t i = 0; i < text.len; i++) {
		char c = text.data[i];

		if (nth && i % nth == nth - 1)
			to += sprintf(to, "\\u%04x", (unsigned)(uint8_t)c);
		else if (c == '"' || c == '\\' || c == '/')
			to += sprintf(to, "\\%c", c);
		else
			*to++ = c;
	}
	return (size_t)(to - start);
}

static void escapes_of_an_undecoded_line_hide_nothing(void **state)
{
	size_t count;
	const struct secret *secrets = secrets_load(&count);
	char line[LINE_BYTES_MAX];

	(void)state;
	for (size_t i = 0; i < count; i++) {
		for (size_t nth = 0; nth < 8; nth++) {
			size_t len = (size_t)sprintf(line, "{\"message\":\"");

			len += write_escaped(line + len, secrets[i].text, nth);
			len += (size_t)sprintf(line + len, "\",\"fly\":{\"app\"");
			assert_gone(&secrets[i], span_of(line, len));
		}
	}
}

static void colours_inside_a_secret_hide_nothing(void **state)
{
	static const char *const colours[] = {"\x1b[33m", "\x1b[0m", "\x1b[1;38;5;208m",
					      "\\u001b[2m"};
	size_t count;
	const struct secret *secrets = secrets_load(&count);
	char line[LINE_BYTES_MAX];

	(void)state;
	for (size_t i = 0; i < count; i++) {
		struct span text = secrets[i].text;

		for (size_t at = 0; at <= text.len; at++) {
			const char *colour = colours[at % ARRAY_LEN(colours)];
			size_t len = strlen(colour);

			/* Within an escape it is no colour but other bytes. */
			if (at > 0 && text.data[at - 1] == '\\')
				continue;
			memcpy(line, text.data, at);
			memcpy(line + at, colour, len);
			memcpy(line + at + len, text.data + at, text.len - at);
			assert_gone(&secrets[i], span_of(line, text.len + len));
		}
	}
}

/* A text, and what becomes of it. */
static const char *const cases[][2] = {
	{"a fm2_EXAMPLEexample0EXAMPLE, b", "a [REDACTED:fly_token], b"},
	{"[fm2_EXAMPLEexample0EXAMPLE,fm1a_EXAMPLEexample0EXAMPLE]", "[[REDACTED:fly_token]]"},
	{"postgres://u:p:w@d@h/db?m=a@b", "postgres://u:[REDACTED:url_password]@h/db?m=a@b"},
	{"two redis://:a@h and redis://:b@i",
	 "two redis://:[REDACTED:url_password]@h and redis://:[REDACTED:url_password]@i"},
	{"https://u:pa/ss@h/x", "https://u:[REDACTED:url_password]@h/x"},
	{"\"postgres:\\/\\/u:p\\/w@h\"", "\"postgres:\\/\\/u:[REDACTED:url_password]@h\""},
	{"?token=a1&page=2", "?token=[REDACTED:token]&page=2"},
	{"?a=1&amp;password=x&amp;b=2", "?a=1&amp;password=[REDACTED:password]&amp;b=2"},
	{"password=a,b c", "password=[REDACTED:password] c"},
	{"password=a, user=b", "password=[REDACTED:password], user=b"},
	{"(password=a)", "(password=[REDACTED:password])"},
	{"{password: \"a b\", x: 1}", "{password: \"[REDACTED:password]\", x: 1}"},
	{"{\"password\":\"a\\\\\",\"x\":1}", "{\"password\":\"[REDACTED:password]\",\"x\":1}"},
	{"{\"m\":\"{\\\"token\\\":\\\"a\\\\\\\"b\\\",\\\"x\\\":1}\"}",
	 "{\"m\":\"{\\\"token\\\":\\\"[REDACTED:token]\\\",\\\"x\\\":1}\"}"},
	{"%{password: \"x\", \"token\" => \"y\"}",
	 "%{password: \"[REDACTED:password]\", \"token\" => \"[REDACTED:token]\"}"},
	{"{\"authorization\", \"Bearer x\"}", "{\"authorization\", \"[REDACTED:authorization]\"}"},
	{"-H 'Authorization: Basic eA==' https://h",
	 "-H 'Authorization: [REDACTED:authorization]' https://h"},
	{"{\"set-cookie\":[\"a=b\",\"c=d\"],\"x\":1}",
	 "{\"set-cookie\":[REDACTED:cookie],\"x\":1}"},
	{"Authorization: Bearer eyJEXAMPLE01.eyJEXAMPLE02.x", "Authorization: [REDACTED:jwt]"},
	{"\"pass\\u0077ord\":\"a\\\"b\",", "\"pass\\u0077ord\":\"[REDACTED:password]\","},
	{"postgres://u:p\"EXAMPLE@h/d", "postgres://u:[REDACTED:url_password]@h/d"},
	{"postgres://u:p'EXAMPLE@h/d", "postgres://u:[REDACTED:url_password]@h/d"},
	{"postgres://u:p<EXAMPLE@h/d", "postgres://u:[REDACTED:url_password]@h/d"},
	{"https://u:p`EX>AMPLE@h/d", "https://u:[REDACTED:url_password]@h/d"},
	{"\"postgres://u:p\\\"EXAMPLE@h/d\",", "\"postgres://u:[REDACTED:url_password]@h/d\","},
	{"at postgres://u:p EX AMPLE@h/d", "at postgres://u:[REDACTED:url_password]@h/d"},
	{"https://EXAMPLE00EXAMPLE00EXAMPLE@h/x", "https://[REDACTED:url_password]@h/x"},
	{"mysql://u:<EXAMPLE>@h", "mysql://u:[REDACTED:url_password]@h"},
	{"x postgres://u:a b'EXAMPLE@h:5432/d", "x postgres://u:[REDACTED:url_password]@h:5432/d"},
	{"{:authorization, \"Bearer x\"}", "{:authorization, \"[REDACTED:authorization]\"}"},
	{"\"Cookie\":[]string{\"a=b\", \"c=d\"}, x", "\"Cookie\":[REDACTED:cookie], x"},
	{"{\"name\":\"password\",\"in\":\"x\",\"n\":1,\"value\":\"a\"}",
	 "{\"name\":\"password\",\"in\":\"x\",\"n\":1,\"value\":\"[REDACTED:password]\"}"},
	{"dbPass=EXAMPLE x", "dbPass=[REDACTED:password] x"},
	{"<Password><![CDATA[x]]></Password>",
	 "<Password><![CDATA[[REDACTED:password]]]></Password>"},
	{"password&quot;:&quot;EXAMPLE&quot;, x", "password&quot;:[REDACTED:password], x"},
	{"curl --cookie 'a=b; c=d' h", "curl --cookie '[REDACTED:cookie]' h"},
	{"password=a'EXAMPLE b", "password=[REDACTED:password] b"},
	{"{\"m\":\"password=a\\\"EXAMPLE\",\"n\":1}",
	 "{\"m\":\"password=[REDACTED:password]\",\"n\":1}"},
	{"{\"password\":{\"a\":\"EX}\",\"b\":[1]},\"n\":1}",
	 "{\"password\":[REDACTED:password],\"n\":1}"},
	{"{\"m\":\"{\\\"token\\\":[\\\"a\\\",\\\"]\\\"],\\\"n\\\":1}\"}",
	 "{\"m\":\"{\\\"token\\\":[REDACTED:token],\\\"n\\\":1}\"}"},
	{"%{password: %{a: \"x\"}, n: 1}", "%{password: [REDACTED:password], n: 1}"},
	{"{\"secret\":{\"a\":\"EXAM", "{\"secret\":[REDACTED:secret]"},
	{"\"cookies\":{\"a\":\"b\"},\"n\":1", "\"cookies\":[REDACTED:cookie],\"n\":1"},
	{"{\"name\":\"cookie\",\"value\":\"a=b\"},",
	 "{\"name\":\"cookie\",\"value\":\"[REDACTED:cookie]\"},"},
	{"{\"Key\": \"X_TOKEN\",\n \"Value\": \"b\"},",
	 "{\"Key\": \"X_TOKEN\",\n \"Value\": \"[REDACTED:token]\"},"},
	{"<input name=\"password\" value=\"a\">",
	 "<input name=\"password\" value=\"[REDACTED:password]\">"},
	{"<a><password>x y</password></a>", "<a><password>[REDACTED:password]</password></a>"},
	{"<wsse:Password Type=\"T\">x</wsse:Password>",
	 "<wsse:Password Type=\"T\">[REDACTED:password]</wsse:Password>"},
	{"mysql --password EXAMPLE -h db", "mysql --password [REDACTED:password] -h db"},
	{"x --api-key 'a b' -h db", "x --api-key '[REDACTED:password]' -h db"},
	{"curl -u bob:EXAMPLE https://h", "curl -u bob:[REDACTED:password] https://h"},
	{"curl --user \"bob:EXAMPLE\" https://h",
	 "curl --user \"bob:[REDACTED:password]\" https://h"},
	{"-u 'b:EXAMPLE a' h", "-u 'b:[REDACTED:password]' h"},
	{"user[pass]=EXAMPLE&x=1", "user[pass]=[REDACTED:password]&x=1"},
	{"{\"l\":\"{\\\"pass\\\":\\\"a\\\"}\"}",
	 "{\"l\":\"{\\\"pass\\\":\\\"[REDACTED:password]\\\"}\"}"},
	{"{\\u0022token\\u0022:\\u0022a\\\\\\u0022b\\u0022,",
	 "{\\u0022token\\u0022:\\u0022[REDACTED:token]\\u0022,"},
	{"pass: EXAMPLE1, x", "pass: [REDACTED:password], x"},
	{"-----BEGIN+PRIVATE+KEY-----%0AEXAMPLE%0A-----END+PRIVATE+KEY-----&x",
	 "[REDACTED:pem_private_key]&x"},
	{"?u=postgres%3A%2F%2Fapp%3Ahunter2%40db&x=1",
	 "?u=postgres%3A%2F%2Fapp%3A[REDACTED:url_password]%40db&x=1"},
	{"https%3A%2F%2Fhooks.slack.com%2Fservices%2FTEXAMPLE%2FB01&x=1",
	 "https%3A%2F%2Fhooks.slack.com%2Fservices%2F[REDACTED:slack_webhook]&x=1"},
	{"f=%7B%22password%22%3A%22EXAMPLE%22%7D",
	 "f=%7B%22password%22%3A%22[REDACTED:password]%22%7D"},
	{"eyJEXAMPLE01%2EeyJEXAMPLE02%2Ex, y", "[REDACTED:jwt], y"},
	{"k -----BEGIN%20PRIVATE%20KEY-----%0AEXAMPLE, l", "k [REDACTED:pem_private_key], l"},
	{"k -----BEGIN RSA PRIVATE KEY-----\\nEXAMPLE\\n-----END RSA PRIVATE KEY----- l",
	 "k [REDACTED:pem_private_key] l"},
};

static void only_the_secret_is_taken_out(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_becomes(cases[i][0], cases[i][1]);
}

static const char *const harmless[] = {
	"token=",
	"password= next",
	"token: ",
	"?token=&page=2",
	"{token=,user=bob}",
	"invalid token: expected a string",
	"Unexpected token: foo",
	"unexpected token '<'",
	"{\"token\":null,\"password\":\"\",\"secret\":false}",
	"password: null, token: nil",
	"\"redacted\":{\"password\":1,\"token\":2}",
	"password=****",
	"password=xxxxx",
	"max_tokens=4096 tokens=12 tokenizer=bpe",
	"if (token == other)",
	"12 pass, 3 fail",
	"tests: pass=12 fail=0",
	"Health check on port 8080 is now passing.",
	"TokenManager initialized: 1 pools with 125 tokens",
	"monkey=1 keyboard: 2 primary key: id",
	"http://127.0.0.1:8080/a@b",
	"https://example.com/@me",
	"GET http://[::1]:80/x?m=a@b",
	"https://example.com/a:b",
	"ssh://git@example.com/x",
	"bob@example.com: hello",
	"task-550e8400-e29b-41d4-a716-446655440000",
	"disk-0e286551c30586aaaaaaaa",
	"sk-button-primary-and-so-on-wide",
	"FO1_EXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLE",
	"INFO1_some_long_name_of_a_constant_thing",
	"info1_some_name_of_a_thing",
	"PWD=/app HOME=/root",
	"npm_config_registry=https://example.com",
	"npm_lifecycle_event=start",
	"eyJpZCI6MTIzNDU2Nzg5fQ== cursor",
	"sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822c",
	"Authorization Violation",
	"authorization failed for user 7",
	"cookie policy accepted",
	"[\"authorization\",\"content-type\"]",
	"bearer of bad news: nothing",
	"Bearer authentication",
	"-----BEGIN CERTIFICATE-----\\nEXAMPLE\\n-----END CERTIFICATE-----",
	"lease currently held by 3f2b1c9e-1d2c-5a3b-8c4d-0123456789ab@tokens.fly.io",
	"secrets: 3 staged",
	"secret_name=DATABASE_URL",
	"password authentication failed for user \"x\"",
	"[REDACTED:jwt] and [REDACTED:url_password]: odd",
	"{\"url\":\"http://host:8080\",\"email\":\"bob@example.com\"}",
	"{\"m\":\"{\\\"cache\\\":\\\"redis://cache:x\\\",\\\"from\\\":\\\"a@b\\\"}\"}",
	"url='redis://cache:6379' user='x@y'",
	"<url>http://h:80</url><mail>a@b</mail> <a href=\"http://h:80\">bob@x</a>",
	"see http://localhost:3000 or mail admin@example.com/",
	"at <http://localhost:3000>,bob@example.com",
	"cloning https://github.com/@a1b2c3d4e5f6a1b2c3d4e5f6",
	"ssh://a1b2c3d4e5f6a1b2c3d4e5f6@example.com/x",
	"usage: login <user> <password> [options]",
	"use --password to set it, or the --token option; --secret is none",
	"--password=, --token <TOKEN> --api-key=",
	"docker run -u 1000:1000 --user app:app image",
	"date -u 12:30, sort -u file",
	"password: [], token: {} secret={}",
	"[\"password\"] is required, \"value\":\"x\"",
	"{\"fields\":[\"password\",\"token\"],\"value\":\"x\"}",
	"unexpected token: [",
	"Invalid token: { at 12",
	"pass: 12 fail: 0, all pass: yes, 12 pass = 3",
	"bypass: required by compass=1",
	"GET /login?next=https%3A%2F%2Fexample.com%3A8080%2Fa%40b%20c%3Dd 200",
	"/search?q=a%20token%20of%20love&lang=en%2DGB",
	"mailto%3Abob%40example.com, 100%25 of 12%",
	"https%3A%2F%2Fexample.com%2F%40me%3Fx%3Da:b",
	"AKIA is a prefix",
	"xox and xapp",
};

static void what_is_no_secret_stays(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(harmless); i++)
		assert_becomes(harmless[i], harmless[i]);
}

static void nothing_in_real_lines_is_taken_for_a_secret(void **state)
{
	static const char *const files[] = {
		"tests/data/log-lines.jsonl", "tests/data/captures/01.txt",
		"tests/data/captures/02.txt", "tests/data/captures/03.txt",
		"tests/data/captures/04.txt", "tests/data/captures/05.txt",
		"tests/data/captures/06.txt", "tests/data/captures/07.txt",
		"tests/data/captures/08.txt", "tests/data/captures/09.txt",
		"tests/data/captures/10.txt", "tests/data/captures/11.txt",
		"tests/data/captures/12.txt",
	};
	size_t lines = 0;
	char *line = NULL;
	size_t cap = 0;
	ssize_t len;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		FILE *f = fopen(files[i], "rb");

		if (!f)
			fail_msg("%s: not there; unit tests are run from the repository's root",
				 files[i]);
		while ((len = getline(&line, &cap, f)) > 0) {
			struct span text = span_of(line, (size_t)len);
			unsigned count;

			(void)redact_text(redactor, &arena, text, &count);
			if (count > 0)
				fail_msg("%s: %s", files[i], line);
			lines++;
		}
		assert_int_equal(fclose(f), 0);
	}
	free(line);
	assert_true(lines > 400);
}

static void an_unredacted_text_is_the_callers_own(void **state)
{
	struct span text = SPAN("GET /feed 200");
	unsigned count = 7;

	(void)state;
	assert_ptr_equal(redact_text(redactor, &arena, text, &count).data, text.data);
	assert_int_equal(count, 0);
	text = (struct span){NULL, 0};
	assert_null(redact_text(redactor, &arena, text, &count).data);
}

static void without_memory_the_whole_text_goes(void **state)
{
	struct arena small;
	char line[200];

	(void)state;
	arena_init(&small, 64);
	memset(line, ' ', sizeof(line));
	memcpy(line + 100, "password=EXAMPLE", 16);
	assert_true(span_is(redact_text(redactor, &small, span_of(line, sizeof(line)), NULL),
			    "[REDACTED:unchecked]"));
	arena_release(&small);
}

static void redact_under_memory_faults(void *arg)
{
	static const char line[] =
		"x password=\\u0045XAMPLEsecret \x1b[0m fm2_EXAMPLEexample0EXAMPLE";
	struct redactor *r = NULL;
	struct arena a;
	struct err err;

	(void)arg;
	arena_init(&a, 1024 * 1024);
	if (redactor_new(&r, &err)) {
		assert_int_equal(err.kind, ERR_FATAL);
	} else {
		struct span out = redact_text(r, &a, span_text(line), NULL);

		assert_false(secret_is_in(SPAN("EXAMPLEsecret"), out));
		assert_false(secret_is_in(SPAN("fm2_EXAMPLEexample0EXAMPLE"), out));
		assert_true(holds(out, "[REDACTED:"));
	}
	redactor_free(r);
	arena_release(&a);
}

static void no_memory_fault_leaks_a_secret(void **state)
{
	(void)state;
	fault_everywhere(redact_under_memory_faults, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_sample_is_redacted_under_its_kind),
		cmocka_unit_test(nothing_that_stands_around_a_secret_saves_it),
		cmocka_unit_test(a_secret_is_found_far_inside_a_text),
		cmocka_unit_test(escapes_of_an_undecoded_line_hide_nothing),
		cmocka_unit_test(colours_inside_a_secret_hide_nothing),
		cmocka_unit_test(only_the_secret_is_taken_out),
		cmocka_unit_test(what_is_no_secret_stays),
		cmocka_unit_test(nothing_in_real_lines_is_taken_for_a_secret),
		cmocka_unit_test(an_unredacted_text_is_the_callers_own),
		cmocka_unit_test(without_memory_the_whole_text_goes),
		cmocka_unit_test(no_memory_fault_leaks_a_secret),
	};

	return cmocka_run_group_tests(tests, redact_kit_set_up, redact_kit_tear_down);
}
