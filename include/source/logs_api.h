#ifndef SOURCE_LOGS_API_H
#define SOURCE_LOGS_API_H

/*
 * logs_api: Fly's HTTP logs API, a page at a time: the second copy of the log
 * stream, about LOGS_API_DAYS back. What `fly logs` polls; not an official API.
 *
 *	GET {url}/api/v1/apps/APP/logs?next_token=NANOSECONDS
 *	GET {machines_url}/v1/apps?org_slug=ORG
 *
 * A page is what was printed after a time, oldest first; source/logs_page.h says
 * how it is read. The boundary's own nanosecond may be cut in two (it is not
 * known whether Fly's `after` is strict), so the next page is asked for from a
 * nanosecond before the last entry, and its lines come again: ids make them one.
 *
 * Requests are paced, and refusals taken, as base/fly_client.h says: none should
 * be made while logs_api_wait_ns() is not 0.
 *
 * Ownership: logs_api_new() copies the options.
 * Threads:   a struct logs_api belongs to one thread.
 * Limits:    LOGS_API_PAGE_BYTES_MAX of an answer; the options' seconds for all of it.
 *            How many pages there are is the caller's to bound: new lines come for ever.
 * Errors:    as base/fly_client.h; ERR_RETRY also for an answer that is no page.
 *            ERR_REJECT: there is no such application (any more).
 */

#include "model/record.h"

#include <stdatomic.h>

enum {
	LOGS_API_DAYS = 7,
	LOGS_API_PAGE_LINES = 100, /* what Fly puts into a page */
	LOGS_API_PAGE_LINES_MAX = 1000,
	LOGS_API_PAGE_BYTES_MAX = 8 * 1024 * 1024,
	LOGS_API_APPS_MAX = 4096,
	LOGS_API_APP_BYTES = RECORD_APP_BYTES_MAX + 1,
};

struct logs_api;

struct logs_api_options {
	const char *url, *machines_url; /* of base/config.h's type api */
	const char *token;              /* without its scheme, which its form decides */
	const char *org;                /* slug; empty: logs_api_apps() is ERR_CONFIG */
	const _Atomic bool *cut;        /* set: a request under way ends, as ERR_RETRY; or NULL */
	unsigned seconds;               /* for a request; 0: FLY_CLIENT_SECONDS */
	const char *ca_file;            /* for tests: see base/http_client.h */
};

NODISCARD enum err_kind logs_api_new(struct logs_api **ret, const struct logs_api_options *options,
				     struct err *err);
void logs_api_free(struct logs_api *a); /* NULL is fine */

struct logs_page {
	size_t count;    /* entries that are in the batch */
	int64_t last_ns; /* their latest time that is not ahead of now; 0: none */
	int64_t next_ns; /* to ask for the page after this one */
	bool end;        /* nothing was newer */
	bool ahead;      /* all of it is of a time to come, so that it hides what there is */
	bool tie_cut;    /* more lines of the nanosecond last_ns than a page holds: some of them
			 cannot be reached, and next_ns steps over them */
};

/*
 * The page after after_ns. Appends its entries to the batch, which must be empty, as lines of
 * the form RAW_FLY_JSON with the subject `logs.APP`; batch->source becomes SOURCE_HTTP.
 * A page whose entries are not in order or whose token does not advance is read all the same:
 * next_ns advances, or end is true. After a failure the batch is empty.
 */
NODISCARD enum err_kind logs_api_page(struct logs_api *a, const char *app, int64_t after_ns,
				      struct batch *batch, struct logs_page *ret, struct err *err);

/* How long to wait before the next request; 0: none. */
int64_t logs_api_wait_ns(const struct logs_api *a);

struct logs_api_apps {
	char (*names)[LOGS_API_APP_BYTES];
	size_t count;
	bool more; /* there are more than LOGS_API_APPS_MAX: those are not in here */
};

/* The organisation's applications, by name. *ret is the caller's to release. */
NODISCARD enum err_kind logs_api_apps(struct logs_api *a, struct logs_api_apps *ret,
				      struct err *err);
void logs_api_apps_release(struct logs_api_apps *apps);

#endif
