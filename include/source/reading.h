#ifndef SOURCE_READING_H
#define SOURCE_READING_H

/*
 * reading: how far an application was read from Fly's HTTP logs API.
 *
 * It is read twice: as far as there is anything, and, what was young then, once
 * more when nothing comes late any more. late_ns is how long that takes; it is
 * the same in all calls.
 *
 * What is vouched for is a bound that only moves up: all that was printed before
 * it was read, late lines too. Each answer moves it, that of an idle application
 * as well: where nothing is newer than what was read, nothing was printed until
 * late_ns before the question.
 *
 * Threads: pure. Times are on the wall clock; asked_ns is from before the request,
 *          because the answer may take a while.
 */

#include "source/logs_api.h"

struct reading {
	int64_t head_ns;    /* read up to here, once */
	int64_t sure_ns;    /* and up to here when nothing came late any more */
	int64_t checked_ns; /* when it was asked and there was nothing newer; 0: never */
	int64_t until_ns;   /* of the second reading under way; 0: none is */
};

/* A page from head_ns on. */
void reading_first(struct reading *r, const struct logs_page *page, int64_t asked_ns,
		   int64_t late_ns);

/* Begins a second reading, from sure_ns on. False: there is nothing to read a second time now. */
bool reading_begin_second(struct reading *r, int64_t now_ns, int64_t late_ns);

/* A page from sure_ns on. The second reading is over when until_ns is 0 afterwards. */
void reading_second(struct reading *r, const struct logs_page *page);

int64_t reading_vouched_ns(const struct reading *r, int64_t late_ns);

/* What is to be written down of checked_ns: it goes with sure_ns, not with head_ns. */
int64_t reading_checked_ns(const struct reading *r);

#endif
