/* A prefix of keys, which becomes a part of what is asked of S3; an address that is a secret. */
#include "base/config_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void a_prefix_is_parts_between_slashes(void **state)
{
	static const char *const good[] = {"a", "audit/fly", "a.b/c-d_e=f", "..a/b.."};
	static const char *const bad[] = {"/a",     "a/",    "a//b", ".",    "..",
					  "a/../b", "a/./b", "a b",  "a\nb", "a\"b"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_null(must_be_prefix(good[i]));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (!must_be_prefix(bad[i]))
			fail_msg("%s is taken for a prefix", bad[i]);
}

static void a_hook_is_an_address_with_whatever_behind_the_host(void **state)
{
	static const char *const good[] = {
		"https://hooks.slack.com/services/T0/B0/x",
		"https://hooks.example.com",
		"https://hooks.example.com:8443/a?b=c&d=e",
		"http://127.0.0.1:8080/hook",
		"http://teller.internal/hook",
		"https://[2001:db8::1]/x",
		"https://example.com?token=a@b",
	};
	static const char *const bad[] = {
		"hooks.slack.com/services",
		"http://hooks.slack.com/services/T0/B0/x",
		"https:///services",
		"https://user:pass@example.com/x",
		"https://example.com/x#y",
		"https://example.com/a b",
		"https://example.com/\"",
		"https://example.com:0/x",
		"ftp://example.com/x",
		"https://127.0.0.1.internal@example.com/x",
		"http://example.com/.internal",
	};
	char long_host[1024];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		if (must_be_hook(good[i]))
			fail_msg("%s is refused: %s", good[i], must_be_hook(good[i]));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (!must_be_hook(bad[i]))
			fail_msg("%s is taken for a hook", bad[i]);
	memset(long_host, 'a', sizeof(long_host));
	memcpy(long_host, "https://", 8);
	long_host[sizeof(long_host) - 1] = '\0';
	assert_non_null(must_be_hook(long_host));
	long_host[8] = '/'; /* no host, and a long path */
	assert_non_null(must_be_hook(long_host));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_prefix_is_parts_between_slashes),
		cmocka_unit_test(a_hook_is_an_address_with_whatever_behind_the_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
