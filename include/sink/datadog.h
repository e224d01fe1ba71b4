#ifndef SINK_DATADOG_H
#define SINK_DATADOG_H

/*
 * datadog: the sink that sends records, as sink/datadog_log.h writes them, to Datadog's
 * intake of logs, version 2.
 *
 *	POST URL/api/v2/logs	a JSON array, gzip	-> 202
 *
 * A delivery is several requests, each within Datadog's limits. It is a function of its
 * range and of the options: what is left out for its age is in it, too, and is looked at
 * when it is sent, because it may age while Datadog is away. So which records are skipped
 * is not the same when a delivery is made again, and nothing else depends on it.
 *
 * How far a delivery has come is in memory alone. Called again, deliver() goes on behind
 * the last request that was accepted; after a crash all of it is sent again. And a request
 * without an answer may have arrived. So each record is there at least once; event_id tells
 * which are the same. That 202 is a receipt, and no proof that it can be found, is Datadog's.
 *
 * What an answer means:
 *	200, 202            accepted; 200 is what relays say
 *	400, 413            the request is halved, down to the one record that is not taken:
 *	                    that is ERR_REJECT, and the next deliver() goes on without it
 *	408, 429, 5xx, none ERR_RETRY
 *	any other           ERR_CONFIG: of 401 and 403 the key is at fault, else the address
 *
 * Where DATADOG_REFUSALS_MAX records are refused and none is accepted between them, it may be
 * the address that is at fault. Who goes on by itself has that suspected: ERR_CONFIG, nothing is
 * refused by that call, and DATADOG_REFUSALS_MAX more may be refused after it. So what answers
 * 400 to everything makes dead letters of everything, but slowly: with the forwarder's waits, of
 * half a minute to a minute, 16 to 32 a minute until an operator acts. To hold them all would be
 * to stand still where it is the records that are at fault.
 *
 * Datadog takes what is older than DATADOG_LATE_SECONDS for now's, or drops it.
 *
 * Sources: Datadog's API reference, "Send logs": limits, codes and age.
 *
 * Ownership: datadog_open() copies the options' texts; cut and late_count are lent until
 *            close().
 * Threads:   see sink/sink.h; *cut may be set and *late_count read by any.
 * Limits:    a request of DATADOG_REQUEST_BYTES_MAX of JSON and DATADOG_REQUEST_LOGS_MAX
 *            logs; a delivery of DATADOG_REQUESTS_MAX requests and DATADOG_BYTES_MAX of
 *            JSON; DATADOG_SECONDS for an answer.
 * Errors:    as above; ERR_REJECT also of a payload that is none. ERR_FATAL: no memory.
 *            Texts hold neither the key nor a byte of an answer.
 */

#include "sink/datadog_log.h"
#include "sink/sink.h"

#include <stdatomic.h>

enum {
	DATADOG_REQUEST_BYTES_MAX = 5 * 1000 * 1000,
	DATADOG_REQUEST_LOGS_MAX = 1000,
	DATADOG_REQUESTS_MAX = 8,
	DATADOG_BYTES_MAX = 8 * 1024 * 1024,
	DATADOG_REFUSALS_MAX = 16,
	DATADOG_LATE_SECONDS = 18 * 3600,
	DATADOG_SECONDS = 60,
	DATADOG_GATHER_SECONDS = 5, /* see sink/sink.h: people look at Datadog live */
};

enum datadog_send { DATADOG_ALL, DATADOG_EVENTS };
enum datadog_late { DATADOG_LATE_SKIP, DATADOG_LATE_SEND };

struct datadog_options {
	const char *url; /* of the intake: http(s)://host[:port], without a slash at its end */
	const char *api_key;
	enum datadog_send send;
	enum datadog_late late;
	const char *ca_file;          /* for tests: see base/http_client.h */
	const _Atomic bool *cut;      /* set: a request under way ends, as ERR_RETRY; or NULL */
	bool suspects;                /* the address, where all is refused */
	_Atomic uint64_t *late_count; /* of records that were skipped for their age; or NULL */
};

NODISCARD enum err_kind datadog_open(struct sink *ret, const struct datadog_options *options,
				     struct err *err);

#endif
