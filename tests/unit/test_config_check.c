/* What a prefix of keys is: a word from outside that becomes a part of what is asked of S3. */
#include "base/config_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_prefix_is_parts_between_slashes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
