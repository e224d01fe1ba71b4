#ifndef SOURCE_LOGS_PAGE_H
#define SOURCE_LOGS_PAGE_H

/*
 * logs_page: a page of Fly's HTTP logs API, from its bytes into a batch.
 *
 *	{"data":[{"id":"...-NANOSECONDS","attributes":{"timestamp":...}}],
 *	 "meta":{"next_token":"NANOSECONDS"}}
 *
 * Each entry's attributes go into the batch as they came, byte for byte. Only
 * what is around them must be as it should; a line that is no JSON within
 * bounds is decode()'s to mark, and holds up nothing that follows. An entry of
 * another shape becomes a line as a whole.
 *
 * Entries are put in the order of their times, whatever order they came in. An
 * entry's time is its timestamp, else the end of its id, else it has none. One
 * that is ahead of now says nothing about where the next page begins: a clock
 * that is ahead must not hide what others print meanwhile.
 *
 * What has no exact time of its own would get another id at each reading, so
 * the time that the entry is known by goes along as if Fly's copy was a file.
 *
 * Ownership: spans lend from the body, which the caller keeps meanwhile.
 * Threads:   pure, but for the batch and the hasher.
 * Limits:    LOGS_API_PAGE_LINES_MAX entries. What the batch has no room for is
 *            left for the next page.
 * Errors:    ERR_RETRY: it is no page, or ends too early, or is not what was asked
 *            for. ERR_FATAL: no memory. After either the batch is empty.
 */

#include "source/logs_api.h"

#define LOGS_PAGE_ROUNDED_NS NS_PER_S /* a server may round the time that it is asked for */

struct logs_page_question {
	const char *app;
	int64_t after_ns;
	int64_t now_ns; /* on the wall clock, when the answer came */
	struct hasher *hasher;
};

NODISCARD enum err_kind logs_page_read(struct span body, const struct logs_page_question *q,
				       struct batch *batch, struct logs_page *ret, struct err *err);

#endif
