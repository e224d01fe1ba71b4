/*
 * Lines made to be slow to search are searched all the same: no attempt hits
 * PCRE2's match limit, and none is repeated over the same bytes. Run once with
 * JIT and once without: the interpreter counts every step, so that "no limit
 * was hit" is a bound on the work and not on the time.
 */

#include "stage/redact.h"

#include "secrets.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

enum {
	LINE_BYTES = 1024 * 1024,
	ARENA_BYTES_MAX = 256 * 1024 * 1024,
	/* Of CPU, a line, in the slowest build (sanitizers, no JIT); quadratic work takes hours. */
	LINE_SECONDS_MAX = 3,
	NO_MATCH = -1,        /* PCRE2_ERROR_NOMATCH */
	JIT_BAD_OPTION = -45, /* PCRE2_ERROR_JIT_BADOPTION: what a library without JIT says */
};

static bool without_jit;
static bool limit_hit;

int pcre2_jit_compile_8(void *code, uint32_t options);
int pcre2_match_8(const void *code, const uint8_t *text, size_t len, size_t from, uint32_t options,
		  void *match, void *context);

/* Stands before the library's and says what that would on a machine without JIT. */
int pcre2_jit_compile_8(void *code, uint32_t options)
{
	int (*real)(void *, uint32_t);
	void *symbol = dlsym(RTLD_NEXT, "pcre2_jit_compile_8");

	assert_non_null(symbol);
	memcpy(&real, &symbol, sizeof(real));
	return without_jit ? JIT_BAD_OPTION : real(code, options);
}

/* Stands before the library's and remembers whether it ever gave up. */
int pcre2_match_8(const void *code, const uint8_t *text, size_t len, size_t from, uint32_t options,
		  void *match, void *context)
{
	static int (*real)(const void *, const uint8_t *, size_t, size_t, uint32_t, void *, void *);
	int rc;

	if (!real) {
		void *symbol = dlsym(RTLD_NEXT, "pcre2_match_8");

		assert_non_null(symbol);
		memcpy(&real, &symbol, sizeof(real));
	}
	rc = real(code, text, len, from, options, match, context);
	limit_hit |= rc < NO_MATCH;
	return rc;
}

struct matcher {
	struct redactor *redactor;
	struct arena arena;
	char *line;
};

static int set_up(void **state)
{
	struct matcher *m = calloc(1, sizeof(*m));
	struct err err;

	assert_non_null(m);
	m->line = malloc(LINE_BYTES);
	assert_non_null(m->line);
	arena_init(&m->arena, ARENA_BYTES_MAX);
	*state = m;
	return redactor_new(&m->redactor, &err) ? -1 : 0;
}

static int set_up_with_jit(void **state)
{
	without_jit = false;
	return set_up(state);
}

static int set_up_without_jit(void **state)
{
	without_jit = true;
	return set_up(state);
}

static int tear_down(void **state)
{
	struct matcher *m = *state;

	redactor_free(m->redactor);
	arena_release(&m->arena);
	free(m->line);
	free(m);
	return 0;
}

static void every_sample_is_redacted(void **state)
{
	struct matcher *m = *state;
	size_t count;
	const struct secret *secrets = secrets_load(&count);

	for (size_t i = 0; i < count; i++) {
		unsigned hits;
		struct span out = redact_text(m->redactor, &m->arena, secrets[i].text, &hits);

		assert_false(secret_is_in(secrets[i].secret, out));
		assert_int_equal(hits, 1);
	}
}

static void assert_bounded(struct matcher *m, struct span line, struct span piece)
{
	clock_t begun = clock();
	struct span out;
	double seconds;

	limit_hit = false;
	out = redact_text(m->redactor, &m->arena, line, NULL);
	seconds = (double)(clock() - begun) / CLOCKS_PER_SEC;
	assert_true(out.len > 0);
	if (limit_hit)
		fail_msg("a limit was hit by %.*s", (int)piece.len, piece.data);
	if (seconds > LINE_SECONDS_MAX)
		fail_msg("%.1f s for %.*s", seconds, (int)piece.len, piece.data);
	arena_reset(&m->arena);
}

static const char *const slow_pieces[] = {
	"a",
	" ",
	"\\",
	"\"",
	"=",
	":",
	"@",
	"-",
	"eyJ",
	"eyJa.",
	"eyJaaaaaaaa.",
	"a.eyJ",
	"://",
	"://a:",
	"://a:b@",
	"://a:b/",
	"x://a@:",
	"@://a:",
	"http://a:b,",
	"p://a:/@/",
	"password",
	"password=",
	"password =",
	"password: ",
	"password\":",
	"password\\\":\\\"",
	"password=\"",
	"password=,",
	"password=&a",
	"pass=)",
	"token: a ",
	"token=token",
	"key",
	"api_key",
	"api_key: ",
	"secret\t:\t",
	"secret=\\",
	"&a=",
	",a:",
	")]}>",
	"\\\"",
	"'",
	"authorization",
	"authorization:",
	"authorization=\"",
	"'authorization:",
	"cookie=",
	"cookie: a=\"",
	"cookie:[\"",
	"cookie:{",
	"bearer ",
	"bearer a",
	"flyv1 ",
	"flyv1 bearer ",
	"-----BEGIN",
	"-----BEGIN PRIVATE KEY-----",
	"-----BEGIN A",
	"-----BEGIN PRIVATE KEY-----\n-",
	"-----END",
	"sk-",
	"sk-a",
	"sk-A",
	"xox",
	"xoxa-",
	"xoxa.xoxa",
	"fm2_",
	"fm2_a,",
	"fo1_",
	"fm2_EXAMPLEexampleEXAMPLE,",
	"AKIA",
	"ghp_",
	"glpat-",
	"AIza",
	"ya29.",
	"SG.",
	"SG.a",
	"SG.aaaaaaaaaaaaaaaaaaaa",
	"hooks.slack.com/services/",
	"whsec_",
	"npm_",
	"\x1b",
	"\x1b[",
	"\x1b[0",
	"\x1b[0m",
	"\\u",
	"\\u00",
	"\\u001b",
	"\\u001b[",
	"\\x1b[0",
	"\\n",
	"\\/",
	"\\e",
	"[REDACTED:",
	"[REDACTED:jwt]",
	"_token",
	"\xc3\xa4",
	"\xff",
	"<nil>",
	"null",
	"%",
	"%2",
	"%25",
	"%40",
	"%3A%2F%2Fa%3A",
	"%u0041",
	"\\u0025",
	"{",
	"[",
	"[\"",
	"{'",
	"password:{\"",
	"password=[\"",
	"password\":{\"a\":{",
	"\"password\":[\"\\",
	"token: [{",
	"cookie:[\"a",
	"{\"password\":{\"a\":\"b\"},",
	"\"password\",\"value\":",
	"\"token\" value=\"",
	"password\"          ",
	"a\"b",
	"password=\"a'",
	"password=a\"b",
	"password=a\\\"b",
	"://a:\"",
	"://a:b\"c",
	"://a:b'c@",
	"://a:b c d",
	"://a:b c d e@f",
	"http://a",
	"http://a0",
	"https://a0@",
	"<password",
	"<password>",
	"<password a=\"",
	"<wsse:password>a",
	"<secret>a b",
	"--password",
	"--password ",
	"--password a",
	"--access-token a",
	"--auth-",
	" -u ",
	" -u a:",
	" -u a:a",
	" --user a",
	"pass ",
	"pass: ",
	"\xed\xa0\x80",
	"\xc3",
	"\\ud800",
	"\\ufffd",
};

static void lines_made_to_be_slow_are_searched(void **state)
{
	struct matcher *m = *state;

	for (size_t i = 0; i < ARRAY_LEN(slow_pieces); i++) {
		struct span piece = span_text(slow_pieces[i]);
		size_t len = without_jit ? LINE_BYTES / 4 : LINE_BYTES;

		for (size_t at = 0; at < len; at++)
			m->line[at] = piece.data[at % piece.len];
		assert_bounded(m, span_of(m->line, len), piece);
		/* Again with what such a run may be waiting for, before it and behind it. */
		memcpy(m->line, "password=\"eyJ://a:", 18);
		memcpy(m->line + len - 4, "@a.b", 4);
		assert_bounded(m, span_of(m->line, len), piece);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_sample_is_redacted),
		cmocka_unit_test(lines_made_to_be_slow_are_searched),
	};

	return cmocka_run_group_tests_name("with JIT", tests, set_up_with_jit, tear_down) +
	       cmocka_run_group_tests_name("without JIT", tests, set_up_without_jit, tear_down);
}
