#ifndef RUN_RETAINER_H
#define RUN_RETAINER_H

/*
 * retainer: the thread that applies retention: once a day, and at the start, by the replica that
 * holds the lease `retention`. Two that believe to have it do nothing twice: run/retention.h.
 *
 * Where there is an archive in S3, it is asked (run/archive_agrees.h), and S3's legal hold follows
 * the trail's holds there (run/legal_hold.h), daily as well.
 *
 * What it did is in the log (retention_*), and what went is on record in Postgres. Why a partition
 * that is past its term stays is a fact trail.retention_waits, once for a partition and a reason.
 * Why not all is done, S3's legal hold too, is in status.retention_why and in the log.
 *
 * Ownership: the caller owns what the options name.
 * Threads:   retainer_run() is one thread's.
 * Limits:    a fact for which the mailbox has no room is told with the next day's.
 */

#include "run/leased.h"

enum {
	RETAINER_DAY_SECONDS = 86400,
	RETAINER_LOOK_SECONDS = 300, /* for the lease, and after a failure */
	RETAINER_LEASE_SECONDS = 3 * RETAINER_LOOK_SECONDS,
};

/* Until life is DRAINING. */
void retainer_run(const struct leased_options *options);

#endif
