#ifndef RUN_MIRROR_H
#define RUN_MIRROR_H

/*
 * mirror: the thread that passes what is in Postgres alone on to the sinks: facts of commands and
 * of Postgres itself, which came by no spool (store/fresh.h). Who acts as the owner of the
 * database could erase there what tells on him; what the archive has, he cannot.
 *
 * They go into this replica's spool as they are, under their ids, and from there to all sinks. In
 * Postgres, which has them, each stays one row with the stream and the number that it had: by
 * these nothing is passed on a second time that came back by the spool. They count as taken when
 * the spool has accepted them. So after a crash some may be there twice, under their ids, and none
 * is missing.
 *
 * Of the first look, that is all that there are, however old. Later ones are passed on within
 * MIRROR_SECONDS and what the sink takes to gather a delivery.
 *
 * Only one replica at a time does it: who holds the lease `mirror`. It does no harm twice.
 *
 * Ownership: the caller owns what the options name.
 * Threads:   mirror_run() is one thread's. While Postgres is away it waits; why is in
 *            status.mirror_why and in the log.
 * Limits:    a fact larger than EVENT_FEED_BYTES_MAX stays in Postgres alone, which the log says.
 */

#include "run/leased.h"

enum { MIRROR_SECONDS = 10 }; /* between looks */

/* Until life is DRAINING. */
void mirror_run(const struct leased_options *options);

#endif
