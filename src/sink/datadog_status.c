#include "sink/datadog_status.h"

#include "base/json_scan.h"

#include <strings.h>

/* By the numbers of syslog, RFC 5424. */
static const char *const of_syslog[] = {"emerg",   "alert",  "critical", "error",
					"warning", "notice", "info",     "debug"};

/* Trace, debug, info, warn, error, fatal: 10, 20, ... 60. */
static const char *const of_pino[] = {"debug", "debug", "info", "warning", "error", "emerg"};

static const struct name {
	const char *name, *status;
} names[] = {
	{"info", "info"},
	{"error", "error"},
	{"warn", "warning"},
	{"warning", "warning"},
	{"debug", "debug"},
	{"notice", "notice"},
	{"trace", "debug"},
	{"verbose", "debug"},
	{"fatal", "emerg"},
	{"critical", "critical"},
	{"err", "error"},
	{"crit", "critical"},
	{"alert", "alert"},
	{"emerg", "emerg"},
	{"emergency", "emerg"},
	{"panic", "emerg"},
	{"dpanic", "critical"},
	{"severe", "error"},
	{"information", "info"},
	{"informational", "info"},
	{"default", "info"},
	{"silly", "debug"},
	{"ok", "ok"},
	{"success", "ok"},
};

static const char *of_name(struct span name)
{
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strlen(names[i].name) == name.len &&
		    strncasecmp(names[i].name, name.data, name.len) == 0)
			return names[i].status;
	return "";
}

static const char *of_number(struct span digits)
{
	size_t n = 0;

	if (digits.len == 0 || digits.len > 2)
		return "";
	for (size_t i = 0; i < digits.len; i++) {
		if (digits.data[i] < '0' || digits.data[i] > '9')
			return "";
		n = 10 * n + (size_t)(digits.data[i] - '0');
	}
	if (n < ARRAY_LEN(of_syslog))
		return of_syslog[n];
	return n >= 10 && n <= 60 ? of_pino[n / 10 - 1] : "";
}

const char *datadog_status_of_level(struct span level)
{
	const char *status = of_name(level);

	return status[0] != '\0' ? status : of_number(level);
}

/* A status that is a number is one of HTTP's. */
static const struct own {
	const char *key;
	bool numbers;
} own[] = {{"level", true}, {"severity", true}, {"status", false}};

static const char *of_value(const struct own *o, struct span value)
{
	struct span plain = json_scan_plain(value);

	if (plain.data)
		return o->numbers ? datadog_status_of_level(plain) : of_name(plain);
	return o->numbers ? of_number(value) : "";
}

const char *datadog_status_of_message(struct span message)
{
	const char *found[ARRAY_LEN(own)] = {"", "", ""};
	struct json_scan s;
	struct span key, value;

	if (!json_scan_begin(&s, message, '{'))
		return "";
	while (json_scan_next(&s, &key, &value))
		for (size_t i = 0; i < ARRAY_LEN(own); i++)
			if (span_is(key, own[i].key))
				found[i] = of_value(&own[i], value);
	for (size_t i = 0; i < ARRAY_LEN(own) && s.ended && json_scan_is_all(&s); i++)
		if (found[i][0] != '\0')
			return found[i];
	return "";
}

const char *datadog_status_of_severity(enum severity s)
{
	switch (s) {
	case SEVERITY_UNKNOWN: return "";
	case SEVERITY_INFO: return "info";
	case SEVERITY_LOW: return "notice";
	case SEVERITY_MEDIUM: return "warning";
	case SEVERITY_HIGH: return "error";
	case SEVERITY_CRITICAL: return "critical";
	case SEVERITY_FATAL: return "emerg";
	}
	return "";
}
