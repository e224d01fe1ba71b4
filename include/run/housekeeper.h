#ifndef RUN_HOUSEKEEPER_H
#define RUN_HOUSEKEEPER_H

/*
 * housekeeper: makes Postgres's partitions ahead of time, and looks whether the
 * schema is what it was, at the start and once an hour, on a connection of its
 * own. What fails is a warning, and is tried again sooner: the store makes a
 * partition on demand, too, and a look that comes late finds what an earlier one
 * would have, unless it was undone meanwhile (sql/watch.sql sees that as well).
 *
 * Threads: housekeeper_run() is one thread's.
 */

#include "run/life.h"
#include "spool/spool.h"

enum { HOUSEKEEPER_SECONDS = 3600, HOUSEKEEPER_RETRY_SECONDS = 60 };

struct housekeeper_options {
	struct life *life;
	const char *database_url;
	const char *replica;
	struct spool_stream stream;
};

/* Until life is DRAINING. */
void housekeeper_run(const struct housekeeper_options *options);

#endif
