#ifndef SERVE_STATUS_PAGE_H
#define SERVE_STATUS_PAGE_H

/*
 * status_page: what /health and /metrics know, for people: plain text that fits a
 * terminal of STATUS_PAGE_COLUMNS and reads the same in a browser.
 *
 * The checks come first, those that are not green with their limit and what to do;
 * then the lags, what was counted at each hand-over, and the gaps. A byte that
 * is not printable ASCII, as a server's message may have, is shown as ?, so
 * that nothing reaches a terminal that it would obey.
 *
 * Ownership: the caller owns out.
 * Threads:   any; reads only.
 */

#include "serve/health.h"

enum { STATUS_PAGE_COLUMNS = 80, STATUS_PAGE_BYTES_MAX = 16 * 1024 };

/* Appends the page; health is what /health says. out's buf_check() tells if there was memory. */
void status_page_write(const struct look *l, const struct health *health, struct buf *out);

#endif
