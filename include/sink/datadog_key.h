#ifndef SINK_DATADOG_KEY_H
#define SINK_DATADOG_KEY_H

/*
 * datadog_key: whether Datadog takes an API key, asked without sending it a log.
 *
 *	GET URL/api/v1/validate	DD-API-KEY	-> 200 {"valid":true}, or 403
 *
 * Datadog's API is another host than its intake of logs. Where somebody's relay stands in
 * for the intake, that one is asked; it may not know of this, and then nothing is known.
 *
 * Source: Datadog's API reference, "Validate API key".
 *
 * Threads:   any.
 * Limits:    DATADOG_KEY_SECONDS for the answer.
 * Errors:    ERR_CONFIG: the key is refused. ERR_RETRY: no answer, or one that says neither.
 *            ERR_FATAL: no memory. Texts hold neither the key nor a byte of the answer.
 */

#include "base/err.h"

enum { DATADOG_KEY_SECONDS = 15 };

/* url: http(s)://host[:port], without a slash at its end. ERR_NONE: the key is valid. */
NODISCARD enum err_kind datadog_key_check(const char *url, const char *key, struct err *err);

#endif
