#include "run/sinks.h"

#include <stdio.h>
#include <string.h>

static bool is_set(const char *value)
{
	return value[0] != '\0';
}

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), end_len = strlen(end);

	return len > end_len && strcmp(text + len - end_len, end) == 0;
}

static const char *first_set(const char *one, const char *other)
{
	return is_set(one) ? one : other;
}

/* --- S3 --- */

static const char *bucket(const struct config *c)
{
	return first_set(c->aws_bucket, c->bucket_name);
}

static const char *given_endpoint(const struct config *c)
{
	return first_set(c->s3_endpoint, c->aws_endpoint_url_s3);
}

/* Amazon has no region of this name: without an endpoint there is no way to a bucket. */
static bool is_anywhere(const struct config *c)
{
	return strcmp(c->aws_region, "auto") == 0;
}

bool sinks_has_s3(const struct config *c)
{
	return is_set(c->aws_access_key_id) && is_set(c->aws_secret_access_key) &&
	       is_set(bucket(c)) && (is_set(given_endpoint(c)) || !is_anywhere(c));
}

/* Who takes the bucket's name before the host, with a certificate for it, and asks for that. */
static bool is_host_style(const struct config *c, const char *endpoint)
{
	static const char *const hosts[] = {".amazonaws.com", ".amazonaws.com.cn", ".tigris.dev",
					    ".storage.dev" /* Tigris, too */,
					    ".r2.cloudflarestorage.com"};

	if (strcmp(c->s3_style, "auto") != 0)
		return strcmp(c->s3_style, "host") == 0;
	if (strchr(bucket(c), '.') != NULL) /* a certificate's * is one part of a name */
		return false;
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++)
		if (ends_with(endpoint, hosts[i]))
			return true;
	return false;
}

static uint64_t longest_days(const struct config *c)
{
	uint64_t events = c->s3_lock_security_days > c->s3_lock_operations_days
				  ? c->s3_lock_security_days
				  : c->s3_lock_operations_days;

	return c->s3_lock_lines_days > events ? c->s3_lock_lines_days : events;
}

/* An index is locked as long as the longest of what it names. */
static struct s3_lock_terms lock_terms(const struct config *c)
{
	return (struct s3_lock_terms){
		.mode = strcmp(c->s3_lock, "governance") == 0   ? S3_LOCK_GOVERNANCE
			: strcmp(c->s3_lock, "compliance") == 0 ? S3_LOCK_COMPLIANCE
								: S3_LOCK_OFF,
		.days =
			{
				[ARCHIVE_LINES] = (unsigned)c->s3_lock_lines_days,
				[ARCHIVE_SECURITY] = (unsigned)c->s3_lock_security_days,
				[ARCHIVE_OPERATIONS] = (unsigned)c->s3_lock_operations_days,
				[ARCHIVE_INDEX] = (unsigned)longest_days(c),
			},
	};
}

void sinks_s3(const struct config *c, struct sinks_s3 *ret)
{
	const char *given = given_endpoint(c);
	size_t len = strlen(given);

	if (is_set(given))
		(void)snprintf(ret->endpoint, sizeof(ret->endpoint), "%.*s",
			       (int)(given[len - 1] == '/' ? len - 1 : len), given);
	else
		(void)snprintf(ret->endpoint, sizeof(ret->endpoint),
			       "https://s3.%s.amazonaws.com%s", c->aws_region,
			       strncmp(c->aws_region, "cn-", 3) == 0 ? ".cn" : "");
	ret->options = (struct s3_sink_options){
		.client =
			{
				.endpoint = ret->endpoint,
				.bucket = bucket(c),
				.region = c->aws_region,
				.access_key = c->aws_access_key_id,
				.secret_key = c->aws_secret_access_key,
				.session_token = c->aws_session_token,
				.host_style = is_host_style(c, ret->endpoint),
			},
		.archive =
			{
				.prefix = c->s3_prefix,
				.send = strcmp(c->s3_send, "events") == 0 ? ARCHIVE_EVENTS
									  : ARCHIVE_ALL,
			},
		.put =
			{
				.sse = c->s3_sse,
				.kms_key_id = c->s3_sse_kms_key_id,
				.storage_class = c->s3_storage_class,
				.lock = lock_terms(c),
			},
		.gather_seconds = (unsigned)c->s3_gather_seconds,
	};
}

/* With one layer of encryption by that key, or with two. */
static bool is_by_kms(const char *sse)
{
	return strcmp(sse, "aws:kms") == 0 || strcmp(sse, "aws:kms:dsse") == 0;
}

static void check_s3(const struct config *c, struct config_report *report)
{
	bool has_keys = is_set(c->aws_access_key_id) && is_set(c->aws_secret_access_key);

	if (is_set(c->aws_access_key_id) != is_set(c->aws_secret_access_key))
		config_add_bad(report,
			       is_set(c->aws_access_key_id) ? "AWS_SECRET_ACCESS_KEY"
							    : "AWS_ACCESS_KEY_ID",
			       "is not set, and the other half of the key is: S3 takes both");
	else if (has_keys && !is_set(bucket(c)))
		config_add_warning(report, "AWS_BUCKET",
				   "is not set, so nothing is kept in S3, although there are keys");
	else if (is_set(bucket(c)) && !has_keys)
		config_add_warning(report, "AWS_ACCESS_KEY_ID",
				   "is not set, so nothing is kept in S3, although there is a "
				   "bucket");
	else if (has_keys && !sinks_has_s3(c))
		config_add_bad(report, "AWS_REGION",
			       "must be the bucket's region, for Amazon; for others set "
			       "S3_ENDPOINT");
	if (is_set(c->s3_sse_kms_key_id) && !is_by_kms(c->s3_sse))
		config_add_bad(report, "S3_SSE",
			       "must be aws:kms where S3_SSE_KMS_KEY_ID names a key");
	if (c->s3_lock_lines_days > 0 && strcmp(c->s3_lock, "off") == 0)
		config_add_bad(report, "FLYTRAIL_S3_LOCK_LINES_DAYS",
			       "is set, and FLYTRAIL_S3_LOCK is off: set that to governance or "
			       "compliance");
}

/* --- Datadog --- */

static const char *datadog_key(const struct config *c)
{
	return first_set(c->datadog_api_key, c->dd_api_key);
}

bool sinks_has_datadog(const struct config *c)
{
	return is_set(datadog_key(c));
}

bool sinks_has_any(const struct config *c)
{
	return sinks_has_s3(c) || sinks_has_datadog(c);
}

void sinks_datadog(const struct config *c, struct sinks_datadog *ret)
{
	const char *site = first_set(first_set(c->datadog_site, c->dd_site), "datadoghq.com");

	if (is_set(c->datadog_url)) {
		(void)snprintf(ret->url, sizeof(ret->url), "%s", c->datadog_url);
		(void)snprintf(ret->api_url, sizeof(ret->api_url), "%s", c->datadog_url);
	} else {
		(void)snprintf(ret->url, sizeof(ret->url), "https://http-intake.logs.%s", site);
		(void)snprintf(ret->api_url, sizeof(ret->api_url), "https://api.%s", site);
	}
	ret->options = (struct datadog_options){
		.url = ret->url,
		.api_key = datadog_key(c),
		.send = strcmp(c->datadog_send, "events") == 0 ? DATADOG_EVENTS : DATADOG_ALL,
		.late = strcmp(c->datadog_late, "send") == 0 ? DATADOG_LATE_SEND
							     : DATADOG_LATE_SKIP,
	};
}

static void check_webhook(const struct config *c, struct config_report *report)
{
	if (is_set(c->webhook_url) && !is_set(c->webhook_key))
		config_add_bad(report, "FLYTRAIL_WEBHOOK_KEY",
			       "is not set: what FLYTRAIL_WEBHOOK_URL gets is signed with it");
}

void sinks_check(const struct config *c, struct config_report *report)
{
	check_s3(c, report);
	check_webhook(c, report);
}
