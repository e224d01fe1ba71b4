/* No connection string, however it is mistyped, makes an error tell a piece of the password. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "store/session.h"
#include "store/url.h"

#include <stdio.h>
#include <string.h>

enum { URL_BYTES = 512 };

/* Either it is refused, or libpq's words about it may be told. */
static void assert_nothing_is_told(const char *url)
{
	const struct session_options options = {
		.url = url, .url_name = "URL", .connect_seconds = 1, .answer_seconds = 1};
	struct session *s = NULL;
	struct err err = {0};

	assert_int_not_equal(session_open(&s, &options, &err), ERR_NONE);
	if (strstr(err.text, "FIRST") || strstr(err.text, "LAST") || err.text[0] == '\0')
		fail_msg("%s: %s", url, err.text);
}

static void no_piece_of_a_password_is_told(void **state)
{
	/* %s is the password; nobody listens on port 1. */
	static const char *const forms[] = {
		"postgres://u:%s@127.0.0.1:1/db",
		"postgresql://u:%s@127.0.0.1:1",
		"postgres://u:%s@127.0.0.1:1/db?sslmode=disable",
		"postgres://u:%s@127.0.0.1:1,127.0.0.1:1/db",
		"postgres://%s@127.0.0.1:1/db",
		"postgres://127.0.0.1:1/db?user=u&password=%s",
		"postgres://127.0.0.1:1?user=u&password=%s",
		"postgres://127.0.0.1?password=%s&port=1",
		"postgres://u:%s@",
		"postgres://u:%s",
		"postgres:/u:%s@127.0.0.1:1/db",
		"postgres:u:%s@127.0.0.1:1/db",
		"u:%s@127.0.0.1:1/db",
		"mysql://u:%s@127.0.0.1:1/db",
		"host=127.0.0.1 port=1 user=u password=%s",
		"host=127.0.0.1 port=1 user=u password='%s'",
		"host=127.0.0.1 port=1 user=u password='%s",
		"password=%s host=127.0.0.1 port=1",
		"host=127.0.0.1 port=1 dbname=postgres://u:%s@127.0.0.1:1/db",
		"host=127.0.0.1 port=1 %s",
		"host=u:%s@127.0.0.1 port=1",
		"hostaddr=u:%s@127.0.0.1 port=1",
		"%s",
	};
	static const char *const separators[] = {
		"@",   "/",     "?",   "#",     "%",     "%4",     ":",       "[",
		"]",   ",",     "&",   "=",     "+",     ";",      "'",       "\"",
		"\\",  " ",     "@@",  "@x/y@", "/@",    "?@",     "@/",      "@?",
		"@:",  "@1:1/", "@h?", "?a=b",  "?a=b@", "@[::1",  "%zz",     "%00",
		"://", "@,",    ",@",  "=@",    "/?@",   "@#",     "#@",      "@h/x?sslmode=",
		"1/2", "@h:1",  "%40", "%",     "@%",    "?port=", "@?host=",
	};
	char password[URL_BYTES], url[2 * URL_BYTES];

	(void)state;
	for (size_t f = 0; f < ARRAY_LEN(forms); f++)
		for (size_t i = 0; i < ARRAY_LEN(separators); i++)
			for (int digits = 0; digits < 2; digits++) {
				const char *form = forms[f], *at = strstr(form, "%s");

				(void)snprintf(password, sizeof(password), "%s%sLAST",
					       digits ? "12" : "FIRST", separators[i]);
				/* These are well-formed, whatever was meant: LAST is a host. */
				if (strcmp(form, "postgres://u:%s") == 0 &&
				    (strchr(separators[i], '@') ||
				     (digits && strchr(separators[i], ','))))
					continue;
				(void)snprintf(url, sizeof(url), "%.*s%s%s", (int)(at - form), form,
					       password, at + 2);
				assert_nothing_is_told(url);
			}
}

static void what_is_well_written_passes(void **state)
{
	static const struct {
		const char *url;
		int hosts;
	} good[] = {
		{"postgres://w:p%40ss%2Fw%3Ford@db.example.com:5432/flytrail?sslmode=require", 1},
		{"postgresql://w@[2001:db8::1]:5432/flytrail", 1},
		{"postgres://w:p@a.example.com:1,b.example.com:2/x?target_session_attrs=any", 2},
		{"postgres://w:p#ss;w+rd=&@127.0.0.1/x", 1},
		{"postgres://user%40server:p@127.0.0.1/x", 1},
		{"postgres://%2Fvar%2Frun%2Fpostgresql/x", 1},
		{"postgres:///x", 1},
		{"host=127.0.0.1 user=user@server password='p@ss w/rd?'", 1},
		{"host=a,b port=,5433 dbname=x application_name=me@home", 2},
		{"service=flytrail", 1},
	};
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		int hosts = 0;

		if (url_check(good[i].url, &hosts, &err))
			fail_msg("%s: %s", good[i].url, err.text);
		assert_int_equal(hosts, good[i].hosts);
	}
}

static void what_libpq_would_refuse_later_is_refused_now(void **state)
{
	static const char *const bad[] = {
		"x y",
		"postgres://w@127.0.0.1:99999/x",
		"postgres://w@127.0.0.1:0/x",
		"postgres://w@127.0.0.1:5432a/x",
		"postgres://w@127.0.0.1/x?sslmode=required",
		"postgres://w@[::1/x",
		"postgres://w@127.0.0.1/x?no_such=1",
		"https://example.com/",
		"host=127.0.0.1 port=1,2,x",
	};
	struct err err;
	int hosts;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (url_check(bad[i], &hosts, &err) != ERR_CONFIG)
			fail_msg("%s is taken", bad[i]);
}

static void the_application_of_postgres_is_in_its_hosts_name(void **state)
{
	static const struct {
		const char *host, *app;
	} cases[] = {
		{"trail-db.internal", "trail-db"},
		{"trail-db.flycast", "trail-db"},
		{"TRAIL-DB.Internal.", "trail-db"},
		{"top2.nearest.of.trail-db.internal", "trail-db"},
		{"0e286551c30586.vm.trail-db.internal", "trail-db"},
		{"iad.trail-db.internal", "trail-db"},
		{"trail-db.internal,other-db.internal", "trail-db"},
		{"_api.internal", ""},
		{"internal", ""},
		{".internal", ""},
		{"x..internal", ""},
		{"db.example.com", ""},
		{"trail-db.internal.example.com", ""},
		{"127.0.0.1", ""},
		{"%2Fvar%2Frun", ""},
		{"", ""},
		{"a1234567890123456789012345678901234567890123456789012345678901234567890.internal",
		 ""},
	};
	char url[URL_BYTES], app[URL_APP_BYTES];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		(void)snprintf(url, sizeof(url), "postgres://w:p@%s/x", cases[i].host);
		url_app(url, app);
		assert_string_equal(app, cases[i].app);
	}
	url_app("host=trail-db.flycast dbname=x", app);
	assert_string_equal(app, "trail-db");
	url_app("no connection string", app);
	assert_string_equal(app, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_piece_of_a_password_is_told),
		cmocka_unit_test(what_is_well_written_passes),
		cmocka_unit_test(the_application_of_postgres_is_in_its_hosts_name),
		cmocka_unit_test(what_libpq_would_refuse_later_is_refused_now),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
