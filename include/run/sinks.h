#ifndef RUN_SINKS_H
#define RUN_SINKS_H

/*
 * sinks: which sinks the configuration switches on, and with which options.
 *
 * A sink is on where its credentials are there, under the names that fly-log-shipper's
 * users have. Each command that speaks to one gets its options here.
 *
 * Ownership: what is filled in points into the configuration and into ret.
 * Threads:   pure functions.
 */

#include "base/config.h"
#include "sink/datadog.h"
#include "sink/s3.h"

enum { SINKS_ENDPOINT_BYTES = 576 };

bool sinks_has_s3(const struct config *c);
bool sinks_has_datadog(const struct config *c);
bool sinks_has_any(const struct config *c);

/* Adds what is wrong with them, or half there, to the report. */
void sinks_check(const struct config *c, struct config_report *report);

struct sinks_s3 {
	char endpoint[SINKS_ENDPOINT_BYTES];
	struct s3_sink_options
		options; /* archive.stream, client.cut, folder and index_each are the caller's */
};

/* sinks_has_s3(c) is true. */
void sinks_s3(const struct config *c, struct sinks_s3 *ret);

struct sinks_datadog {
	char url[SINKS_ENDPOINT_BYTES];
	char api_url[SINKS_ENDPOINT_BYTES]; /* for sink/datadog_key.h */
	struct datadog_options options;     /* cut, suspects and late_count are the caller's */
};

/* sinks_has_datadog(c) is true. */
void sinks_datadog(const struct config *c, struct sinks_datadog *ret);

#endif
