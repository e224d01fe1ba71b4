#ifndef SERVE_METRICS_H
#define SERVE_METRICS_H

/*
 * metrics: struct status in Prometheus' text format 0.0.4.
 *
 * serve/metrics.def is the table, and serve/sink_metrics.def that of the sinks. Beside them
 * there are
 *
 *	flytrail_build_info{version="..."} 1
 *	flytrail_check_ok{check="store"} 1      for each check of /health
 *
 * Units are seconds and bytes; numbers are written from integers, so none is
 * rounded. Counters begin at 0 with the process. run/status.h says which sums
 * hold between them.
 *
 * Ownership: the caller owns out.
 * Threads:   any; reads only.
 */

#include "serve/health.h"

/* Twice what it is with every number at its longest. */
enum { METRICS_BODY_BYTES_MAX = 64 * 1024 };

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* Appends the page; health is what /health says. out's buf_check() tells if there was memory. */
void metrics_write(const struct look *l, const struct health *health, struct buf *out);

#endif
