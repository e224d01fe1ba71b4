/* Of `flytrail doctor`: where records are forwarded to, what a bucket really does, and who is told.
 */

#include "cmd/doctor.h"

#include "run/notifier.h"
#include "run/sinks.h"
#include "sink/datadog_key.h"
#include "sink/s3_probe.h"

#include <inttypes.h>
#include <stdlib.h>

/* --- S3 --- */

static void tell_reading(struct doctor *d, const struct s3_probe *p)
{
	static const char why[] = "without it nobody could tell after a crash what was put";

	if (p->reads == S3_YES)
		doctor_tell(d, OK, "s3: %s was put and read back%s", p->key,
			    p->removed ? ", and is removed" : "; it stays");
	else
		doctor_tell(d, FAIL, "s3: what is put cannot be read back: allow s3:GetObject; %s",
			    why);
	if (p->lists != S3_YES)
		doctor_tell(d, FAIL,
			    "s3: what is not there cannot be told from what is forbidden: allow "
			    "s3:ListBucket; %s",
			    why);
}

static void tell_encryption(struct doctor *d, const struct s3_probe *p)
{
	const char *sse = d->config.s3_sse;

	if (p->encrypted == S3_NO)
		doctor_tell(d, FAIL,
			    "s3: S3 does not say that it encrypted what was put, with %s as S3_SSE "
			    "asks",
			    sse);
	else if (p->encrypted == S3_YES)
		doctor_tell(d, OK, "s3: encrypted with %s", sse);
}

static void tell_lock(struct doctor *d, const struct s3_probe *p, bool is_wanted)
{
	char date[S3_LOCK_DATE_BYTES];

	if (is_wanted && p->lock.mode != S3_LOCK_OFF)
		doctor_tell(d, OK, "s3: locked: in %s until %s, as S3 says; the probe for a day",
			    s3_lock_mode_name(p->lock.mode), s3_lock_date(p->lock.until_ns, date));
	else if (p->versioned == S3_NO)
		doctor_tell(d, WARN,
			    "s3: the bucket keeps no versions, so what is deleted there is gone; "
			    "switch its versioning on, or take one that has Object Lock and set "
			    "FLYTRAIL_S3_LOCK");
	else
		doctor_tell(d, OK, "s3: FLYTRAIL_S3_LOCK is off; the bucket %s",
			    p->has_lock == S3_YES    ? "could lock"
			    : p->versioned == S3_YES ? "keeps versions"
						     : "does not say whether it keeps versions");
}

static void tell_harm(struct doctor *d, const struct s3_probe *p)
{
	char harm[S3_PROBE_HARM_BYTES];

	if (s3_probe_can_harm(p))
		doctor_tell(d, WARN,
			    "s3: whoever has these credentials can %s; to put, read and list is "
			    "all that flytrail needs",
			    s3_probe_harm(p, harm));
	else if (p->deletes == S3_NO)
		doctor_tell(d, OK,
			    "s3: these credentials can put and read; to delete they were refused");
	else
		doctor_tell(d, WARN, "s3: S3 does not say whether these credentials can delete");
}

void doctor_check_s3(struct doctor *d)
{
	struct sinks_s3 s3;
	struct s3_probe probe;
	struct err err;

	if (!sinks_has_s3(&d->config)) {
		doctor_tell(d, OK,
			    "s3: off: it takes AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and "
			    "AWS_BUCKET");
		return;
	}
	sinks_s3(&d->config, &s3);
	doctor_tell(d, OK, "s3: on: bucket %s at %s, keys begin with \"%s\"",
		    s3.options.client.bucket, s3.endpoint, s3.options.archive.prefix);
	if (s3_probe(&s3.options, &probe, &err)) {
		doctor_tell(d, FAIL, "s3: %s", err.text);
		return;
	}
	tell_reading(d, &probe);
	tell_encryption(d, &probe);
	tell_lock(d, &probe, s3.options.put.lock.mode != S3_LOCK_OFF);
	tell_harm(d, &probe);
}

/* --- Datadog --- */

void doctor_check_datadog(struct doctor *d)
{
	struct sinks_datadog datadog;
	struct err err;
	enum err_kind rc;

	if (!sinks_has_datadog(&d->config)) {
		doctor_tell(d, OK, "datadog: off: it takes DATADOG_API_KEY");
		return;
	}
	sinks_datadog(&d->config, &datadog);
	doctor_tell(d, OK, "datadog: on: at %s", datadog.options.url);
	rc = datadog_key_check(datadog.api_url, datadog.options.api_key, &err);
	if (!rc)
		doctor_tell(d, OK, "datadog: the key is valid, says %s", datadog.api_url);
	else if (rc == ERR_CONFIG)
		doctor_tell(d, FAIL, "datadog: %s: %s", datadog.api_url, err.text);
	else
		doctor_tell(d, WARN, "datadog: whether the key is valid is not known: %s: %s",
			    datadog.api_url, err.text);
}

/* --- who is told --- */

static void tell_receiver(struct doctor *d, enum notify_kind kind, const char *url,
			  const char *option)
{
	const char *name = notify_name(kind);

	if (url[0] == '\0')
		doctor_tell(d, OK, "%s: off: it takes %s", name, option);
	else
		doctor_tell(d, OK,
			    "%s: on: severity %" PRIu64 " or more is told, in %" PRIu64
			    " messages a minute at most; doctor sends none: to try it, open an SSH "
			    "session, which is to be there within 15 s",
			    name, d->config.notify_severity, d->config.notify_per_minute);
}

void doctor_check_notify(struct doctor *d)
{
	const struct config *c = &d->config;

	tell_receiver(d, NOTIFY_SLACK, c->slack_webhook_url, "SLACK_WEBHOOK_URL");
	tell_receiver(d, NOTIFY_WEBHOOK, c->webhook_url,
		      "FLYTRAIL_WEBHOOK_URL and FLYTRAIL_WEBHOOK_KEY");
	if (c->ping_url[0] == '\0')
		doctor_tell(d, OK,
			    "ping: off: nobody notices when flytrail itself is gone; let "
			    "FLYTRAIL_PING_URL name a service that expects to be requested each "
			    "minute");
	else
		doctor_tell(d, OK, "ping: on: each minute while /health is green");
	if (c->notify_severity > SEVERITY_MEDIUM &&
	    (notifier_wants_slack(c) || notifier_wants_webhook(c)))
		doctor_tell(d, WARN,
			    "notify: FLYTRAIL_NOTIFY_SEVERITY is above 3, so SSH sessions and "
			    "changes of secrets and access are not told, but for flytrail's own");
}

/* --- what fly-log-shipper has and flytrail has not --- */

/* Every variable, of any version, that switches a sink of it on, or tells it where to. */
static const char *const shippers[] = {
	"APPSIGNAL_PUSH_API_KEY",
	"AXIOM_DATASET",
	"AXIOM_TOKEN",
	"BASELIME_API_KEY",
	"BASELIME_DATASET",
	"BETTER_STACK_INGESTING_HOST",
	"BETTER_STACK_SOURCE_TOKEN",
	"BETTER_STACK_URI",
	"CLOUDWATCH_LOG_GROUP_NAME",
	"ERASEARCH_AUTH",
	"ERASEARCH_INDEX",
	"ERASEARCH_URL",
	"GRAVWELL_TAG",
	"GRAVWELL_TOKEN",
	"GRAVWELL_URL",
	"HIGHLIGHT_PROJECT_ID",
	"HONEYBADGER_API_KEY",
	"HONEYCOMB_API_KEY",
	"HONEYCOMB_DATASET",
	"HTTP_TOKEN",
	"HTTP_URL",
	"HUMIO_ENDPOINT",
	"HUMIO_TOKEN",
	"HYPERDX_API_KEY",
	"LOGDNA_API_KEY",
	"LOGFLARE_API_KEY",
	"LOGFLARE_SOURCE_TOKEN",
	"LOGTAIL_TOKEN",
	"LOKI_PASSWORD",
	"LOKI_URL",
	"LOKI_USERNAME",
	"MEZMO_API_KEY",
	"NEW_RELIC_ACCOUNT_ID",
	"NEW_RELIC_INSERT_KEY",
	"NEW_RELIC_LICENSE_KEY",
	"NEW_RELIC_REGION",
	"OPENOBSERVE_PASSWORD",
	"OPENOBSERVE_URI",
	"OPENOBSERVE_USER",
	"OPSVERSE_LOGS_ENDPOINT",
	"OPSVERSE_PASSWORD",
	"OPSVERSE_USERNAME",
	"PAPERTRAIL_ENCODING_CODEC",
	"PAPERTRAIL_ENDPOINT",
	"QUICKWIT_URL",
	"SEMATEXT_REGION",
	"SEMATEXT_TOKEN",
	"SIGNOZ_INGESTION_KEY",
	"SIGNOZ_URI",
	"SLACK_ALERT_KEYWORDS",
	"UPTRACE_API_KEY",
	"UPTRACE_PROJECT",
	"UPTRACE_SINK_ENCODING",
	"UPTRACE_SINK_INPUT",
};

void doctor_check_shippers(struct doctor *d)
{
	for (size_t i = 0; i < ARRAY_LEN(shippers); i++) {
		const char *value = getenv(shippers[i]);

		if (value && value[0] != '\0')
			doctor_tell(d, WARN, "sinks: %s: not forwarded by flytrail", shippers[i]);
	}
}
