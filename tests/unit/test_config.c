/* The environment is read by the table, within its bounds, and no value is ever told. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct config c;
static struct config_report report;

/* Copies, because an environment is writable. */
static void read_env(const char *const *env)
{
	enum { ENTRIES_MAX = 128 };
	char *copies[ENTRIES_MAX] = {0};
	size_t count = 0;

	for (; env[count] != NULL; count++) {
		assert_true(count < ENTRIES_MAX - 1);
		copies[count] = strdup(env[count]);
		assert_non_null(copies[count]);
	}
	config_read(&c, &report, copies);
	for (size_t i = 0; i < count; i++)
		free(copies[i]);
}

#define READ(...) read_env((const char *const[]){__VA_ARGS__, NULL})

static bool found(enum config_finding_kind kind, const char *start)
{
	for (size_t i = 0; i < report.count; i++)
		if (report.findings[i].kind == kind &&
		    strncmp(report.findings[i].text, start, strlen(start)) == 0)
			return true;
	return false;
}

static void nothing_set_gives_the_defaults(void **state)
{
	(void)state;
	read_env((const char *const[]){NULL});
	assert_int_equal(report.count, 0);
	assert_string_equal(c.org, "");
	assert_string_equal(c.subject, "logs.>");
	assert_string_equal(c.nats_url, "nats://[fdaa::3]:4223");
	assert_string_equal(c.spool_dir, "/data/spool");
	assert_int_equal(c.spool_max_bytes, 0);
	assert_int_equal(c.spool_keep_seconds, 3600);
	assert_int_equal(c.drain_seconds, 20);
	assert_string_equal(c.listen, "[::]:8080");
	assert_string_equal(c.writer_role, "flytrail_writer");
}

static void an_empty_value_counts_as_not_set(void **state)
{
	(void)state;
	READ("SUBJECT=", "FLYTRAIL_DRAIN_SECONDS=", "QUEUE=");
	assert_int_equal(report.count, 0);
	assert_string_equal(c.subject, "logs.>");
	assert_int_equal(c.drain_seconds, 20);
}

static void a_name_that_only_begins_like_an_option_is_not_it(void **state)
{
	(void)state;
	READ("ORGANISATION=a", "ORG_=b", "OR=c", "ORG");
	assert_string_equal(c.org, "");
	assert_int_equal(report.count, 0);
}

static void the_network_makes_the_address(void **state)
{
	(void)state;
	READ("NETWORK=fdaa:0:1");
	assert_string_equal(c.nats_url, "nats://[fdaa:0:1::3]:4223");
	READ("NETWORK=fdaa:0:1", "NATS_URL=nats://127.0.0.1:4222");
	assert_string_equal(c.nats_url, "nats://127.0.0.1:4222");
	READ("NETWORK=fdaa]@evil");
	assert_true(found(CONFIG_BAD, "NETWORK: "));
}

static void credentials_in_the_address_are_refused(void **state)
{
	(void)state;
	READ("NATS_URL=nats://user:made-up-pass@127.0.0.1:4222");
	assert_true(found(CONFIG_BAD, "NATS_URL: must not hold credentials"));
	assert_string_equal(c.nats_url, "nats://[fdaa::3]:4223");
	READ("NATS_URL=tls://127.0.0.1:4222");
	assert_int_equal(report.bad_count, 1);
	READ("NATS_URL=nats://127.0.0.1:4222,nats://127.0.0.2:4222");
	assert_int_equal(report.bad_count, 1);
	READ("NATS_URL=nats://");
	assert_int_equal(report.bad_count, 1);
}

static void an_address_that_cannot_be_one_is_refused(void **state)
{
	static const char *const good[] = {"NATS_URL=nats://nats.example.com:4222",
					   "NATS_URL=nats://127.0.0.1:65535",
					   "NATS_URL=nats://[fdaa:0:1::3]:4223",
					   "NATS_URL=nats://localhost",
					   "NATS_URL=nats://[::1]",
					   "NETWORK=fdaa:0:1:2:3:4"};
	static const char *const bad[] = {
		"NATS_URL=nats://h:abc",
		"NATS_URL=nats://h:",
		"NATS_URL=nats://:4222",
		"NATS_URL=nats://127.0.0.1:99999",
		"NATS_URL=nats://127.0.0.1:0",
		"NATS_URL=nats://127.0.0.999:4222",
		"NATS_URL=nats://h:1:2",
		"NATS_URL=nats://[::1",
		"NATS_URL=nats://[::1]4222",
		"NATS_URL=nats://[::1]:",
		"NATS_URL=nats://[::1]]:4222",
		"NATS_URL=nats://[fdaa:::3]:4223",
		"NATS_URL=nats://[h]:4222",
		"NATS_URL=nats://::1:4222",
		"NATS_URL=nats://h%41:4222",
		"NETWORK=fdaa:::",
		"NETWORK=fdaa:",
		"NETWORK=fdaa::",
		"NETWORK=:",
		"NETWORK=fdaaa",
		"NETWORK=1:2:3:4:5:6:7:8",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		READ(good[i]);
		assert_int_equal(report.count, 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		READ(bad[i]);
		if (report.bad_count != 1)
			fail_msg("%s is taken", bad[i]);
		assert_string_equal(c.nats_url, "nats://[fdaa::3]:4223");
	}
}

static void the_api_is_reached_by_tls_or_where_nobody_listens_in(void **state)
{
	static const char *const good[] = {"FLYTRAIL_API_URL=https://api.fly.io",
					   "FLYTRAIL_API_URL=https://api.example.com:8443",
					   "FLYTRAIL_API_URL=http://_api.internal:4280",
					   "FLYTRAIL_API_URL=http://127.0.0.1:8000",
					   "FLYTRAIL_API_URL=http://[::1]:8000"};
	static const char *const bad[] = {
		"FLYTRAIL_API_URL=api.fly.io",
		"FLYTRAIL_API_URL=http://api.fly.io",
		"FLYTRAIL_API_URL=http://127.0.0.2:80",
		"FLYTRAIL_API_URL=https://api.fly.io/v1",
		"FLYTRAIL_API_URL=https://user:made-up-pass@api.example.com",
		"FLYTRAIL_API_URL=https://",
		"FLYTRAIL_API_URL=https://h:99999",
		"FLYTRAIL_API_URL=ftp://api.fly.io",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		READ(good[i]);
		assert_int_equal(report.bad_count, 0);
		assert_string_equal(c.api_url, good[i] + sizeof("FLYTRAIL_API_URL=") - 1);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		READ(bad[i]);
		assert_int_equal(report.bad_count, 1);
		assert_string_equal(c.api_url, "https://api.fly.io");
		assert_null(strstr(report.findings[0].text, "made-up-pass"));
	}
}

static void the_machines_api_is_the_near_one(void **state)
{
	(void)state;
	READ("FLYTRAIL_SOURCE=http");
	assert_string_equal(c.source, "http");
	assert_string_equal(c.machines_url, "https://api.machines.dev");
	READ("FLY_APP_NAME=flytrail");
	assert_string_equal(c.machines_url, "http://_api.internal:4280");
	READ("FLY_APP_NAME=flytrail", "FLYTRAIL_MACHINES_URL=https://machines.example.com");
	assert_string_equal(c.machines_url, "https://machines.example.com");
	READ("FLYTRAIL_SOURCE=both");
	assert_int_equal(report.bad_count, 1);
	assert_string_equal(c.source, "nats");
	READ("FLYTRAIL_RECONCILE_PAGES_PER_HOUR=0", "FLYTRAIL_HEARTBEAT_SECONDS=0");
	assert_int_equal(report.bad_count, 0);
	assert_int_equal(c.reconcile_pages, 0);
	assert_int_equal(c.heartbeat_seconds, 0);
}

static void a_subject_that_fly_never_uses_is_a_warning(void **state)
{
	static const char *const good[] = {"SUBJECT=logs.>",     "SUBJECT=>",
					   "SUBJECT=*.web-1.>",  "SUBJECT=logs.web-1.*.*",
					   "SUBJECT=logs.*.*.>", "SUBJECT=logs.web-1.ams.0e28"};
	static const char *const odd[] = {"SUBJECT=logs", "SUBJECT=log.>", "SUBJECT=logs.web-1",
					  "SUBJECT=logs.a.b.c.>", "SUBJECT=*"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		READ(good[i]);
		assert_int_equal(report.count, 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
		READ(odd[i]);
		assert_int_equal(report.count, 1);
		assert_true(found(CONFIG_WARNING, "SUBJECT: "));
		assert_string_equal(c.subject, strchr(odd[i], '=') + 1);
	}
}

static void findings_say_what_to_write_instead(void **state)
{
	(void)state;
	READ("FLYTRAIL_ORG=a", "FLYTRAIL_ORGS=a", "FLYTRAIL_SPOOL_MAX_BYTES=1",
	     "FLY_REGION=aaaaaaaaaaaaaaaaa", "FLYTRAIL_SPOOL_DIR=/data/spool ");
	assert_true(found(CONFIG_UNKNOWN, "FLYTRAIL_ORG: is no option; ORG is"));
	assert_true(
		found(CONFIG_UNKNOWN, "FLYTRAIL_ORGS: is no option; `flytrail help` lists them"));
	assert_true(found(CONFIG_BAD,
			  "FLYTRAIL_SPOOL_MAX_BYTES: must be a whole number of bytes, or of KiB, "
			  "MiB or GiB, from 64 MiB to 16384 GiB, or 0"));
	assert_true(found(CONFIG_BAD, "FLY_REGION: has 17 bytes; must have at most 16"));
	assert_true(found(CONFIG_BAD, "FLYTRAIL_SPOOL_DIR: must not end with a blank"));
	config_require(&c, CONFIG_FOR_NATS, &report);
	assert_true(found(CONFIG_BAD, "ORG: is not set (slug of the organisation: "));
}

static void a_subject_has_natss_form(void **state)
{
	static const char *const good[] = {"SUBJECT=logs.>", "SUBJECT=>", "SUBJECT=logs.web-1.*.*",
					   "SUBJECT=logs.*.ams.>"};
	static const char *const bad[] = {
		"SUBJECT=logs..x", "SUBJECT=logs.>.x", "SUBJECT=logs.",
		"SUBJECT=.logs",   "SUBJECT=.",        "SUBJECT=logs.web*",
		"SUBJECT=logs.x>", "SUBJECT=logs.>>",  "SUBJECT=logs.**"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		READ(good[i]);
		assert_int_equal(report.count, 0);
		assert_string_equal(c.subject, strchr(good[i], '=') + 1);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		READ(bad[i]);
		if (!found(CONFIG_BAD, "SUBJECT: must"))
			fail_msg("%s is taken", bad[i]);
		assert_string_equal(c.subject, "logs.>");
	}
}

static void a_scheme_in_front_of_the_token_is_taken_off(void **state)
{
	(void)state;
	READ("ACCESS_TOKEN=FlyV1 fm2_made,fm2_up");
	assert_string_equal(c.access_token, "fm2_made,fm2_up");
	READ("ACCESS_TOKEN=bearer FLYV1 fm2_made");
	assert_string_equal(c.access_token, "fm2_made");
	READ("ACCESS_TOKEN=FlyV1");
	assert_string_equal(c.access_token, "FlyV1");
	READ("ACCESS_TOKEN=FlyV1 ");
	assert_string_equal(c.access_token, "");
}

static void credentials_may_not_break_out_of_the_protocol(void **state)
{
	static const char *const bad[] = {"ORG=a\"b",          "ORG=a\\b",   "ORG=a b",
					  "ORG=a\nb",          "ORG=a\x80",  "ACCESS_TOKEN=a\"",
					  "ACCESS_TOKEN=a\\n", "SUBJECT=a b"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		READ(bad[i]);
		assert_int_equal(report.bad_count, 1);
		assert_string_equal(c.org, "");
		assert_string_equal(c.access_token, "");
	}
}

static void sizes_have_units_and_bounds(void **state)
{
	static const struct {
		const char *env;
		uint64_t bytes;
	} good[] = {
		{"FLYTRAIL_SPOOL_MAX_BYTES=0", 0},
		{"FLYTRAIL_SPOOL_MAX_BYTES=67108864", 64u << 20},
		{"FLYTRAIL_SPOOL_MAX_BYTES=67108864B", 64u << 20},
		{"FLYTRAIL_SPOOL_MAX_BYTES=65536KiB", 64u << 20},
		{"FLYTRAIL_SPOOL_MAX_BYTES=64 MiB", 64u << 20},
		{"FLYTRAIL_SPOOL_MAX_BYTES=16384GiB", UINT64_C(16) << 40},
	};
	static const char *const bad[] = {
		"FLYTRAIL_SPOOL_MAX_BYTES=67108863",
		"FLYTRAIL_SPOOL_MAX_BYTES=1",
		"FLYTRAIL_SPOOL_MAX_BYTES=16385GiB",
		"FLYTRAIL_SPOOL_MAX_BYTES=64M",
		"FLYTRAIL_SPOOL_MAX_BYTES=64MB",
		"FLYTRAIL_SPOOL_MAX_BYTES=-1",
		"FLYTRAIL_SPOOL_MAX_BYTES=+64MiB",
		"FLYTRAIL_SPOOL_MAX_BYTES= 64MiB",
		"FLYTRAIL_SPOOL_MAX_BYTES=0x4000000",
		"FLYTRAIL_SPOOL_MAX_BYTES=1.5GiB",
		"FLYTRAIL_SPOOL_MAX_BYTES=MiB",
		"FLYTRAIL_SPOOL_MAX_BYTES=18446744073709551616",
		"FLYTRAIL_SPOOL_MAX_BYTES=18446744073709551615GiB",
		"FLYTRAIL_SPOOL_MAX_BYTES=99999999999999999999999999",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		READ(good[i].env);
		assert_int_equal(report.count, 0);
		assert_int_equal(c.spool_max_bytes, good[i].bytes);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		READ(bad[i]);
		assert_true(found(CONFIG_BAD, "FLYTRAIL_SPOOL_MAX_BYTES: must be a whole number"));
		assert_int_equal(c.spool_max_bytes, 0);
	}
}

static void seconds_are_whole_and_bounded(void **state)
{
	static const char *const bad[] = {"FLYTRAIL_DRAIN_SECONDS=291",
					  "FLYTRAIL_DRAIN_SECONDS=20s", "FLYTRAIL_DRAIN_SECONDS=-1",
					  "FLYTRAIL_DRAIN_SECONDS=1KiB",
					  "FLYTRAIL_DRAIN_SECONDS=2.5"};

	(void)state;
	READ("FLYTRAIL_DRAIN_SECONDS=0");
	assert_int_equal(c.drain_seconds, 0);
	READ("FLYTRAIL_DRAIN_SECONDS=290");
	assert_int_equal(c.drain_seconds, 290);
	assert_int_equal(report.count, 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		READ(bad[i]);
		assert_int_equal(report.bad_count, 1);
		assert_int_equal(c.drain_seconds, 20);
	}
}

static void addresses_are_numeric_and_have_a_port(void **state)
{
	static const char *const good[] = {
		"FLYTRAIL_LISTEN=[::]:8080", "FLYTRAIL_LISTEN=127.0.0.1:1",
		"FLYTRAIL_LISTEN=0.0.0.0:65535", "FLYTRAIL_LISTEN=[fdaa:0:1::3]:8080"};
	static const char *const bad[] = {
		"FLYTRAIL_LISTEN=8080",         "FLYTRAIL_LISTEN=:8080",
		"FLYTRAIL_LISTEN=[]:8080",      "FLYTRAIL_LISTEN=localhost:8080",
		"FLYTRAIL_LISTEN=[::]",         "FLYTRAIL_LISTEN=[::]:0",
		"FLYTRAIL_LISTEN=[::]:65536",   "FLYTRAIL_LISTEN=[::]:80a",
		"FLYTRAIL_LISTEN=[::]:999999",  "FLYTRAIL_LISTEN=[::]8080",
		"FLYTRAIL_LISTEN=::1]:8080",    "FLYTRAIL_LISTEN=[::1:8080",
		"FLYTRAIL_LISTEN=[::1]]:8080",  "FLYTRAIL_LISTEN=[:::]:8080",
		"FLYTRAIL_LISTEN=999.0.0.1:80", "FLYTRAIL_LISTEN=1.2.3:80",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		READ(good[i]);
		assert_int_equal(report.count, 0);
		assert_string_equal(c.listen, strchr(good[i], '=') + 1);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		READ(bad[i]);
		assert_int_equal(report.bad_count, 1);
		assert_string_equal(c.listen, "[::]:8080");
	}
}

static void roles_and_folders_have_a_form(void **state)
{
	(void)state;
	READ("FLYTRAIL_WRITER_ROLE=fly_writer2", "FLYTRAIL_SPOOL_DIR=/var/spool/flytrail");
	assert_int_equal(report.count, 0);
	assert_string_equal(c.writer_role, "fly_writer2");
	READ("FLYTRAIL_WRITER_ROLE=2writer", "FLYTRAIL_OWNER_ROLE=a;drop", "FLYTRAIL_READER_ROLE=A",
	     "FLYTRAIL_SPOOL_DIR=spool");
	assert_int_equal(report.bad_count, 4);
}

static void all_that_is_wrong_is_told_at_once(void **state)
{
	(void)state;
	READ("FLYTRAIL_LISTEN=nowhere", "FLYTRAIL_DRAIN_SECONDS=soon", "FLYTRAIL_DRAIN=1",
	     "FLYTRAIL_SPOOL=2", "NATS_URL=http://x", "QUEUE=shipper");
	assert_int_equal(report.bad_count, 3);
	assert_int_equal(report.unknown_count, 2);
	assert_int_equal(report.warning_count, 1);
	assert_int_equal(report.count, 6);
	assert_true(found(CONFIG_UNKNOWN, "FLYTRAIL_DRAIN: "));
	assert_true(found(CONFIG_UNKNOWN, "FLYTRAIL_SPOOL: "));
	assert_true(found(CONFIG_WARNING, "QUEUE: is not honoured"));
}

static void what_is_of_the_log_stream_does_nothing_by_http(void **state)
{
	(void)state;
	READ("FLYTRAIL_SOURCE=http", "SUBJECT=logs.web-1.>");
	assert_int_equal(report.warning_count, 1);
	assert_true(found(CONFIG_WARNING, "SUBJECT, FLYTRAIL_QUEUE: "));
	READ("FLYTRAIL_SOURCE=http", "FLYTRAIL_QUEUE=q");
	assert_int_equal(report.warning_count, 1);
	READ("FLYTRAIL_SOURCE=http");
	assert_int_equal(report.warning_count, 0);
	READ("SUBJECT=logs.web-1.>", "FLYTRAIL_QUEUE=q");
	assert_int_equal(report.warning_count, 0);
}

static void more_findings_than_are_kept_are_counted(void **state)
{
	enum { NAMES = CONFIG_FINDINGS_MAX + 10, NAME_BYTES = 32 };
	static char names[NAMES][NAME_BYTES];
	static const char *env[NAMES + 1];
	char text[512];

	(void)state;
	for (size_t i = 0; i < NAMES; i++) {
		(void)snprintf(names[i], NAME_BYTES, "FLYTRAIL_NO_%zu=x", i);
		env[i] = names[i];
	}
	read_env(env);
	assert_int_equal(report.count, CONFIG_FINDINGS_MAX);
	assert_int_equal(report.unknown_count, NAMES);
	config_report_text(&report, CONFIG_UNKNOWN, text, sizeof(text));
	assert_non_null(strstr(text, " more"));
	assert_true(strlen(text) < sizeof(text));
	assert_string_equal(config_report_text(&report, CONFIG_BAD, text, sizeof(text)), "");
}

static void what_is_needed_and_missing_is_told_once(void **state)
{
	(void)state;
	READ("ORG=a b", "ACCESS_TOKEN=made-up");
	config_require(&c, CONFIG_FOR_NATS | CONFIG_FOR_STORE, &report);
	assert_int_equal(report.bad_count, 2);
	assert_true(found(CONFIG_BAD, "ORG: must be printable"));
	assert_true(found(CONFIG_BAD, "FLYTRAIL_DATABASE_URL: is not set"));
	assert_false(found(CONFIG_BAD, "FLYTRAIL_ADMIN_DATABASE_URL"));
}

static void the_admins_address_is_for_migrate_alone(void **state)
{
	(void)state;
	READ("FLYTRAIL_ADMIN_DATABASE_URL=postgres://a@127.0.0.1/x");
	config_require(&c, CONFIG_FOR_MIGRATE, &report);
	assert_int_equal(report.count, 0);
	config_require(&c, CONFIG_FOR_NATS, &report);
	assert_true(found(CONFIG_WARNING, "FLYTRAIL_ADMIN_DATABASE_URL: "));
}

#define MARK "MADE-UP-SECRET-VALUE"

static void no_finding_and_no_shown_secret_holds_a_value(void **state)
{
	char text[CONFIG_VALUE_BYTES];

	(void)state;
	for (size_t i = 0; i < config_option_count(); i++) {
		char env[CONFIG_FINDING_BYTES];
		bool secret = config_option(i)->flags & CONFIG_SECRET;

		bool hook = strcmp(config_option(i)->type, "hook") == 0;

		/* Bad for every type but text and token, which take it as it is, and a hook. */
		(void)snprintf(env, sizeof(env), "%s=%s%s%s", config_option(i)->name,
			       hook ? "https://hooks.example.com/" : "", MARK, secret ? "" : " \n");
		READ(env, "FLYTRAIL_NONE " MARK "=1", "QUEUE=" MARK);
		config_require(&c, ~0u, &report);
		assert_int_equal(report.unknown_count, 1);
		for (size_t f = 0; f < report.count; f++)
			assert_null(strstr(report.findings[f].text, MARK));
		for (size_t o = 0; o < config_option_count(); o++)
			assert_null(strstr(config_value(&c, o, text), MARK));
		assert_string_equal(config_value(&c, i, text), secret ? "***"
							       : config_option(i)->def[0] == '\0'
								       ? text
								       : config_option(i)->def);
	}
}

static void a_secret_that_is_not_set_shows_as_empty(void **state)
{
	char text[CONFIG_VALUE_BYTES];

	(void)state;
	read_env((const char *const[]){NULL});
	for (size_t i = 0; i < config_option_count(); i++)
		if (config_option(i)->flags & CONFIG_SECRET)
			assert_string_equal(config_value(&c, i, text), "");
}

static void every_text_fits_at_its_longest(void **state)
{
	enum { ENV_BYTES = 20000 };
	char **env = calloc(config_option_count() + 1, sizeof(*env));
	char text[CONFIG_VALUE_BYTES];

	(void)state;
	assert_non_null(env);
	for (size_t i = 0; i < config_option_count(); i++) {
		const struct config_option *o = config_option(i);
		size_t len = (size_t)(o->max < ENV_BYTES ? o->max : 1);
		int at;

		env[i] = calloc(1, ENV_BYTES + 64);
		assert_non_null(env[i]);
		at = snprintf(env[i], ENV_BYTES, "%s=", o->name);
		memset(env[i] + at, strcmp(o->type, "folder") == 0 ? '/' : 'a', len);
	}
	read_env((const char *const *)env);
	config_require(&c, ~0u, &report);
	for (size_t i = 0; i < config_option_count(); i++)
		(void)config_value(&c, i, text);
	assert_int_equal(strlen(c.access_token), 16384);
	assert_int_equal(strlen(c.database_url), 4096);
	assert_int_equal(strlen(c.spool_dir), 1024);
	for (size_t i = 0; i < config_option_count(); i++)
		free(env[i]);
	free(env);
}

static void one_byte_too_long_is_refused(void **state)
{
	char env[256] = "FLYTRAIL_QUEUE=";
	size_t at = strlen(env);

	(void)state;
	memset(env + at, 'q', 65);
	READ(env);
	assert_true(found(CONFIG_BAD, "FLYTRAIL_QUEUE: has 65 bytes"));
	env[at + 64] = '\0';
	READ(env);
	assert_int_equal(report.count, 0);
}

static void wiping_leaves_no_secret_in_the_environment(void **state)
{
	enum { PLACES = 3 };
	static const char *const names[PLACES] = {"ACCESS_TOKEN", "FLYTRAIL_DATABASE_URL",
						  "FLYTRAIL_ADMIN_DATABASE_URL"};
	char *places[PLACES];

	(void)state;
	for (size_t i = 0; i < PLACES; i++) {
		assert_int_equal(setenv(names[i], MARK, 1), 0);
		places[i] = getenv(names[i]);
		assert_non_null(places[i]);
	}
	assert_int_equal(setenv("SUBJECT", "logs.web-1.>", 1), 0);
	config_read(&c, &report, environ);
	config_wipe(environ);
	assert_string_equal(c.access_token, MARK);
	for (size_t i = 0; i < PLACES; i++) {
		assert_null(getenv(names[i]));
		assert_null(strstr(places[i], MARK));
		assert_int_equal(places[i][0], '\0');
	}
	assert_string_equal(getenv("SUBJECT"), "logs.web-1.>");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_api_is_reached_by_tls_or_where_nobody_listens_in),
		cmocka_unit_test(the_machines_api_is_the_near_one),
		cmocka_unit_test(nothing_set_gives_the_defaults),
		cmocka_unit_test(an_empty_value_counts_as_not_set),
		cmocka_unit_test(a_name_that_only_begins_like_an_option_is_not_it),
		cmocka_unit_test(the_network_makes_the_address),
		cmocka_unit_test(credentials_in_the_address_are_refused),
		cmocka_unit_test(an_address_that_cannot_be_one_is_refused),
		cmocka_unit_test(a_subject_has_natss_form),
		cmocka_unit_test(a_subject_that_fly_never_uses_is_a_warning),
		cmocka_unit_test(findings_say_what_to_write_instead),
		cmocka_unit_test(a_scheme_in_front_of_the_token_is_taken_off),
		cmocka_unit_test(credentials_may_not_break_out_of_the_protocol),
		cmocka_unit_test(sizes_have_units_and_bounds),
		cmocka_unit_test(seconds_are_whole_and_bounded),
		cmocka_unit_test(addresses_are_numeric_and_have_a_port),
		cmocka_unit_test(roles_and_folders_have_a_form),
		cmocka_unit_test(all_that_is_wrong_is_told_at_once),
		cmocka_unit_test(what_is_of_the_log_stream_does_nothing_by_http),
		cmocka_unit_test(more_findings_than_are_kept_are_counted),
		cmocka_unit_test(what_is_needed_and_missing_is_told_once),
		cmocka_unit_test(the_admins_address_is_for_migrate_alone),
		cmocka_unit_test(no_finding_and_no_shown_secret_holds_a_value),
		cmocka_unit_test(a_secret_that_is_not_set_shows_as_empty),
		cmocka_unit_test(every_text_fits_at_its_longest),
		cmocka_unit_test(one_byte_too_long_is_refused),
		cmocka_unit_test(wiping_leaves_no_secret_in_the_environment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
