/* Who a holder is. What Postgres makes of it is tried by tests/integration/test_lease.py. */

#include "store/lease.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct spool_stream stream = {.uuid = {{0x11, 0x22}}, .epoch = 3};

static void a_holder_is_a_machine_and_its_stream(void **state)
{
	char text[LEASE_TEXT_BYTES];

	(void)state;
	assert_string_equal(lease_holder("0e286551c30586", &stream, text),
			    "0e286551c30586 11220000-0000-0000-0000-000000000000");
}

static void a_long_name_is_cut_and_the_stream_is_not(void **state)
{
	char name[2 * LEASE_TEXT_BYTES], text[LEASE_TEXT_BYTES];

	(void)state;
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	(void)lease_holder(name, &stream, text);
	assert_int_equal(strlen(text), LEASE_TEXT_BYTES - 1);
	assert_string_equal(strchr(text, ' '), " 11220000-0000-0000-0000-000000000000");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_holder_is_a_machine_and_its_stream),
		cmocka_unit_test(a_long_name_is_cut_and_the_stream_is_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
