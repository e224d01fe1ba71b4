/* Which options of a sink the configuration makes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "run/sinks.h"

#include <stdlib.h>

enum { ENTRIES_MAX = 8 };

static struct config c;
static struct sinks_datadog datadog;
static struct sinks_s3 s3;

/* Copies, because an environment is writable. */
static void read_env(const char *const *env)
{
	char *copies[ENTRIES_MAX + 1] = {0};
	struct config_report report;
	size_t count = 0;

	for (; env[count] != NULL; count++) {
		assert_true(count < ENTRIES_MAX);
		copies[count] = span_copy(span_text(env[count]));
		assert_non_null(copies[count]);
	}
	config_read(&c, &report, copies);
	sinks_check(&c, &report);
	assert_int_equal(report.count, 0);
	for (size_t i = 0; i < count; i++)
		free(copies[i]);
}

#define READ(...) read_env((const char *const[]){__VA_ARGS__, NULL})

static void datadog_is_off_without_a_key(void **state)
{
	(void)state;
	READ("DATADOG_SITE=datadoghq.eu");
	assert_false(sinks_has_datadog(&c));
	READ("DATADOG_API_KEY=key");
	assert_true(sinks_has_datadog(&c));
	READ("DD_API_KEY=key");
	assert_true(sinks_has_datadog(&c));
}

static void a_key_alone_sends_all_to_the_first_site_and_skips_what_is_late(void **state)
{
	(void)state;
	READ("DATADOG_API_KEY=key");
	sinks_datadog(&c, &datadog);
	assert_string_equal(datadog.options.url, "https://http-intake.logs.datadoghq.com");
	assert_string_equal(datadog.api_url, "https://api.datadoghq.com");
	assert_string_equal(datadog.options.api_key, "key");
	assert_int_equal(datadog.options.send, DATADOG_ALL);
	assert_int_equal(datadog.options.late, DATADOG_LATE_SKIP);
	assert_null(datadog.options.ca_file);
}

static void the_agents_names_are_taken_where_the_shippers_are_not_set(void **state)
{
	(void)state;
	READ("DD_API_KEY=agents", "DD_SITE=datadoghq.eu");
	sinks_datadog(&c, &datadog);
	assert_string_equal(datadog.options.url, "https://http-intake.logs.datadoghq.eu");
	assert_string_equal(datadog.api_url, "https://api.datadoghq.eu");
	assert_string_equal(datadog.options.api_key, "agents");
	READ("DD_API_KEY=agents", "DD_SITE=datadoghq.eu", "DATADOG_API_KEY=shippers",
	     "DATADOG_SITE=us5.datadoghq.com");
	sinks_datadog(&c, &datadog);
	assert_string_equal(datadog.options.url, "https://http-intake.logs.us5.datadoghq.com");
	assert_string_equal(datadog.api_url, "https://api.us5.datadoghq.com");
	assert_string_equal(datadog.options.api_key, "shippers");
}

static void an_address_of_ones_own_is_before_the_site(void **state)
{
	(void)state;
	READ("DATADOG_API_KEY=key", "DATADOG_SITE=datadoghq.eu",
	     "FLYTRAIL_DATADOG_URL=https://relay.example.com:8443", "FLYTRAIL_DATADOG_SEND=events",
	     "FLYTRAIL_DATADOG_LATE=send");
	sinks_datadog(&c, &datadog);
	assert_string_equal(datadog.options.url, "https://relay.example.com:8443");
	assert_string_equal(datadog.api_url, "https://relay.example.com:8443");
	assert_int_equal(datadog.options.send, DATADOG_EVENTS);
	assert_int_equal(datadog.options.late, DATADOG_LATE_SEND);
}

static const struct s3_lock_terms *lock(void)
{
	sinks_s3(&c, &s3);
	return &s3.options.put.lock;
}

static void events_are_locked_where_asked_for_and_lines_by_their_own_setting(void **state)
{
	(void)state;
	READ("AWS_BUCKET=trail", "AWS_ACCESS_KEY_ID=key", "AWS_SECRET_ACCESS_KEY=secret",
	     "AWS_REGION=us-east-1");
	assert_int_equal(lock()->mode, S3_LOCK_OFF);
	READ("AWS_BUCKET=trail", "AWS_ACCESS_KEY_ID=key", "AWS_SECRET_ACCESS_KEY=secret",
	     "AWS_REGION=us-east-1", "FLYTRAIL_S3_LOCK=governance");
	assert_int_equal(lock()->mode, S3_LOCK_GOVERNANCE);
	assert_int_equal(lock()->days[ARCHIVE_LINES], 0);
	assert_int_equal(lock()->days[ARCHIVE_SECURITY], 395);
	assert_int_equal(lock()->days[ARCHIVE_OPERATIONS], 92);
	assert_int_equal(lock()->days[ARCHIVE_INDEX], 395);
	READ("AWS_BUCKET=trail", "AWS_ACCESS_KEY_ID=key", "AWS_SECRET_ACCESS_KEY=secret",
	     "AWS_REGION=us-east-1", "FLYTRAIL_S3_LOCK=compliance",
	     "FLYTRAIL_S3_LOCK_LINES_DAYS=400", "FLYTRAIL_S3_LOCK_SECURITY_DAYS=30",
	     "FLYTRAIL_S3_LOCK_OPERATIONS_DAYS=60");
	assert_int_equal(lock()->mode, S3_LOCK_COMPLIANCE);
	assert_int_equal(lock()->days[ARCHIVE_LINES], 400);
	assert_int_equal(lock()->days[ARCHIVE_SECURITY], 30);
	assert_int_equal(lock()->days[ARCHIVE_OPERATIONS], 60);
	assert_int_equal(lock()->days[ARCHIVE_INDEX], 400);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(datadog_is_off_without_a_key),
		cmocka_unit_test(a_key_alone_sends_all_to_the_first_site_and_skips_what_is_late),
		cmocka_unit_test(the_agents_names_are_taken_where_the_shippers_are_not_set),
		cmocka_unit_test(an_address_of_ones_own_is_before_the_site),
		cmocka_unit_test(events_are_locked_where_asked_for_and_lines_by_their_own_setting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
