/* Which options of a sink the configuration makes, and which name of two counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "run/sinks.h"

#include <stdlib.h>
#include <string.h>

enum { ENTRIES_MAX = 8 };

static struct config c;
static struct config_report report;
static struct sinks_datadog datadog;
static struct sinks_s3 s3;

/* Copies, because an environment is writable. */
static void read_env(const char *const *env)
{
	char *copies[ENTRIES_MAX + 1] = {0};
	size_t count = 0;

	for (; env[count] != NULL; count++) {
		assert_true(count < ENTRIES_MAX);
		copies[count] = span_copy(span_text(env[count]));
		assert_non_null(copies[count]);
	}
	config_read(&c, &report, copies);
	sinks_check(&c, &report);
	for (size_t i = 0; i < count; i++)
		free(copies[i]);
}

#define READ_WHAT_IS_WRONG(...) read_env((const char *const[]){__VA_ARGS__, NULL})
#define READ(...)                                  \
	do {                                       \
		READ_WHAT_IS_WRONG(__VA_ARGS__);   \
		assert_int_equal(report.count, 0); \
	} while (false)
#define S3_KEYS "AWS_ACCESS_KEY_ID=key", "AWS_SECRET_ACCESS_KEY=secret"

/* And nothing else. */
static void assert_is_said(enum config_finding_kind kind, const char *start)
{
	assert_int_equal(report.count, 1);
	assert_int_equal(report.findings[0].kind, kind);
	assert_ptr_equal(strstr(report.findings[0].text, start), report.findings[0].text);
}

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

/* Either name is enough, and an empty one is none; where both differ, the shipper's own counts. */
static void of_two_names_that_differ_the_shippers_counts(void **state)
{
	static const struct {
		const char *key, *other_key, *site, *other_site, *url;
	} cases[] = {
		{"DATADOG_API_KEY=shippers", "DD_API_KEY=agents", "DATADOG_SITE=",
		 "DD_SITE=ap1.datadoghq.com", "https://http-intake.logs.ap1.datadoghq.com"},
		{"DATADOG_API_KEY=shippers", "DD_API_KEY=", "DATADOG_SITE=datadoghq.eu",
		 "DD_SITE=ap1.datadoghq.com", "https://http-intake.logs.datadoghq.eu"},
		{"DATADOG_API_KEY=", "DD_API_KEY=shippers", "DATADOG_SITE=datadoghq.eu",
		 "DD_SITE=", "https://http-intake.logs.datadoghq.eu"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		READ(cases[i].other_key, cases[i].other_site, cases[i].key, cases[i].site);
		sinks_datadog(&c, &datadog);
		assert_string_equal(datadog.options.api_key, "shippers");
		assert_string_equal(datadog.options.url, cases[i].url);
	}
	READ(S3_KEYS, "BUCKET_NAME=other", "AWS_BUCKET=trail",
	     "AWS_ENDPOINT_URL_S3=https://other.example.com", "S3_ENDPOINT=https://s3.example.com");
	sinks_s3(&c, &s3);
	assert_string_equal(s3.options.client.bucket, "trail");
	assert_string_equal(s3.options.client.endpoint, "https://s3.example.com");
	READ(S3_KEYS, "BUCKET_NAME=other",
	     "AWS_BUCKET=", "AWS_ENDPOINT_URL_S3=https://other.example.com", "S3_ENDPOINT=");
	sinks_s3(&c, &s3);
	assert_string_equal(s3.options.client.bucket, "other");
	assert_string_equal(s3.options.client.endpoint, "https://other.example.com");
}

static void s3_is_off_without_keys_a_bucket_and_a_way_to_it(void **state)
{
	(void)state;
	READ(S3_KEYS, "AWS_BUCKET=trail", "AWS_REGION=eu-west-1");
	assert_true(sinks_has_s3(&c));
	READ(S3_KEYS, "BUCKET_NAME=trail", "AWS_ENDPOINT_URL_S3=https://fly.storage.tigris.dev");
	assert_true(sinks_has_s3(&c));
	READ("AWS_REGION=eu-west-1");
	assert_false(sinks_has_s3(&c));
	READ_WHAT_IS_WRONG(S3_KEYS, "AWS_REGION=eu-west-1");
	assert_false(sinks_has_s3(&c));
	assert_is_said(CONFIG_WARNING, "AWS_BUCKET: is not set");
	READ_WHAT_IS_WRONG("AWS_BUCKET=trail", "AWS_REGION=eu-west-1");
	assert_false(sinks_has_s3(&c));
	assert_is_said(CONFIG_WARNING, "AWS_ACCESS_KEY_ID: is not set");
	READ_WHAT_IS_WRONG("AWS_ACCESS_KEY_ID=key", "AWS_BUCKET=trail", "AWS_REGION=eu-west-1");
	assert_false(sinks_has_s3(&c));
	assert_is_said(CONFIG_BAD, "AWS_SECRET_ACCESS_KEY: is not set");
	READ_WHAT_IS_WRONG("AWS_SECRET_ACCESS_KEY=secret", "AWS_BUCKET=trail",
			   "AWS_REGION=eu-west-1");
	assert_false(sinks_has_s3(&c));
	assert_is_said(CONFIG_BAD, "AWS_ACCESS_KEY_ID: is not set");
	READ_WHAT_IS_WRONG(S3_KEYS, "AWS_BUCKET=trail");
	assert_false(sinks_has_s3(&c));
	assert_is_said(CONFIG_BAD, "AWS_REGION: must be the bucket's region");
}

static void without_an_endpoint_it_is_amazons_own(void **state)
{
	static const struct {
		const char *region, *endpoint;
	} cases[] = {
		{"AWS_REGION=eu-west-1", "https://s3.eu-west-1.amazonaws.com"},
		{"AWS_REGION=us-east-1", "https://s3.us-east-1.amazonaws.com"},
		{"AWS_REGION=us-gov-west-1", "https://s3.us-gov-west-1.amazonaws.com"},
		{"AWS_REGION=cn-north-1", "https://s3.cn-north-1.amazonaws.com.cn"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		READ(S3_KEYS, "AWS_BUCKET=trail", cases[i].region);
		sinks_s3(&c, &s3);
		assert_string_equal(s3.options.client.endpoint, cases[i].endpoint);
		assert_string_equal(s3.options.client.region,
				    cases[i].region + strlen("AWS_REGION="));
		assert_string_equal(s3.options.client.access_key, "key");
		assert_string_equal(s3.options.client.secret_key, "secret");
		assert_string_equal(s3.options.client.session_token, "");
		assert_true(s3.options.client.host_style);
	}
}

static void the_buckets_name_stands_before_the_host_of_who_wants_that(void **state)
{
	static const struct {
		const char *endpoint, *bucket;
		bool host_style;
	} cases[] = {
		{"S3_ENDPOINT=https://s3.eu-west-1.amazonaws.com", "AWS_BUCKET=trail", true},
		{"S3_ENDPOINT=https://s3.eu-west-1.amazonaws.com/", "AWS_BUCKET=trail", true},
		{"S3_ENDPOINT=https://s3.cn-north-1.amazonaws.com.cn", "AWS_BUCKET=trail", true},
		{"S3_ENDPOINT=https://fly.storage.tigris.dev", "AWS_BUCKET=trail", true},
		{"S3_ENDPOINT=https://t3.storage.dev", "AWS_BUCKET=trail", true},
		{"S3_ENDPOINT=https://0123abcd.r2.cloudflarestorage.com", "AWS_BUCKET=trail", true},
		/* a certificate's * is one part of a name */
		{"S3_ENDPOINT=https://s3.eu-west-1.amazonaws.com", "AWS_BUCKET=trail.example.com",
		 false},
		{"S3_ENDPOINT=https://fly.storage.tigris.dev", "AWS_BUCKET=a.trail", false},
		/* hosts that only look like them */
		{"S3_ENDPOINT=https://notamazonaws.com", "AWS_BUCKET=trail", false},
		{"S3_ENDPOINT=https://s3.amazonaws.com.example.com", "AWS_BUCKET=trail", false},
		{"S3_ENDPOINT=https://minio.example.com:9000", "AWS_BUCKET=trail", false},
		{"S3_ENDPOINT=https://[2001:db8::3]:9000", "AWS_BUCKET=trail", false},
		{"S3_ENDPOINT=http://minio.internal:9000", "AWS_BUCKET=trail", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		READ(S3_KEYS, cases[i].endpoint, cases[i].bucket);
		sinks_s3(&c, &s3);
		if (s3.options.client.host_style != cases[i].host_style)
			fail_msg("%s %s", cases[i].endpoint, cases[i].bucket);
		READ(S3_KEYS, cases[i].endpoint, cases[i].bucket, "FLYTRAIL_S3_STYLE=host");
		sinks_s3(&c, &s3);
		assert_true(s3.options.client.host_style);
		READ(S3_KEYS, cases[i].endpoint, cases[i].bucket, "FLYTRAIL_S3_STYLE=path");
		sinks_s3(&c, &s3);
		assert_false(s3.options.client.host_style);
	}
}

static void an_endpoint_ends_without_its_slash(void **state)
{
	(void)state;
	READ(S3_KEYS, "AWS_BUCKET=trail", "AWS_ENDPOINT_URL_S3=https://fly.storage.tigris.dev/");
	sinks_s3(&c, &s3);
	assert_string_equal(s3.options.client.endpoint, "https://fly.storage.tigris.dev");
	assert_string_equal(s3.options.client.region, "auto");
}

static void how_an_object_is_kept_is_said_as_s3_has_it(void **state)
{
	(void)state;
	READ(S3_KEYS, "AWS_BUCKET=trail", "AWS_REGION=eu-west-1", "AWS_SESSION_TOKEN=token",
	     "S3_SSE=aws:kms", "S3_SSE_KMS_KEY_ID=alias/trail", "S3_STORAGE_CLASS=STANDARD_IA");
	sinks_s3(&c, &s3);
	assert_string_equal(s3.options.client.session_token, "token");
	assert_string_equal(s3.options.put.sse, "aws:kms");
	assert_string_equal(s3.options.put.kms_key_id, "alias/trail");
	assert_string_equal(s3.options.put.storage_class, "STANDARD_IA");
	READ(S3_KEYS, "AWS_BUCKET=trail", "AWS_REGION=eu-west-1");
	sinks_s3(&c, &s3);
	assert_string_equal(s3.options.put.sse, "");
	assert_string_equal(s3.options.put.kms_key_id, "");
	assert_string_equal(s3.options.put.storage_class, "");
}

static void a_key_of_kms_is_for_kms_alone(void **state)
{
	static const char *const bad[] = {"S3_SSE=", "S3_SSE=AES256", "S3_SSE=aws:kmsx",
					  "S3_SSE=aws:km"};

	(void)state;
	READ(S3_KEYS, "AWS_BUCKET=trail", "AWS_REGION=eu-west-1", "S3_SSE=aws:kms");
	READ(S3_KEYS, "AWS_BUCKET=trail", "AWS_REGION=eu-west-1", "S3_SSE=AES256");
	READ(S3_KEYS, "AWS_BUCKET=trail", "AWS_REGION=eu-west-1", "S3_SSE=aws:kms:dsse",
	     "S3_SSE_KMS_KEY_ID=alias/trail");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		READ_WHAT_IS_WRONG(S3_KEYS, "AWS_BUCKET=trail", "AWS_REGION=eu-west-1", bad[i],
				   "S3_SSE_KMS_KEY_ID=alias/trail");
		assert_is_said(CONFIG_BAD, "S3_SSE: must be aws:kms where");
	}
}

static const struct s3_lock_terms *lock(void)
{
	sinks_s3(&c, &s3);
	return &s3.options.put.lock;
}

static void events_are_locked_where_asked_for_and_lines_by_their_own_setting(void **state)
{
	(void)state;
	READ(S3_KEYS, "AWS_BUCKET=trail", "AWS_REGION=us-east-1");
	assert_int_equal(lock()->mode, S3_LOCK_OFF);
	READ(S3_KEYS, "AWS_BUCKET=trail", "AWS_REGION=us-east-1", "FLYTRAIL_S3_LOCK=governance");
	assert_int_equal(lock()->mode, S3_LOCK_GOVERNANCE);
	assert_int_equal(lock()->days[ARCHIVE_LINES], 0);
	assert_int_equal(lock()->days[ARCHIVE_SECURITY], 395);
	assert_int_equal(lock()->days[ARCHIVE_OPERATIONS], 92);
	assert_int_equal(lock()->days[ARCHIVE_INDEX], 395);
	READ(S3_KEYS, "AWS_BUCKET=trail", "AWS_REGION=us-east-1", "FLYTRAIL_S3_LOCK=compliance",
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
		cmocka_unit_test(of_two_names_that_differ_the_shippers_counts),
		cmocka_unit_test(s3_is_off_without_keys_a_bucket_and_a_way_to_it),
		cmocka_unit_test(without_an_endpoint_it_is_amazons_own),
		cmocka_unit_test(the_buckets_name_stands_before_the_host_of_who_wants_that),
		cmocka_unit_test(an_endpoint_ends_without_its_slash),
		cmocka_unit_test(how_an_object_is_kept_is_said_as_s3_has_it),
		cmocka_unit_test(a_key_of_kms_is_for_kms_alone),
		cmocka_unit_test(events_are_locked_where_asked_for_and_lines_by_their_own_setting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
