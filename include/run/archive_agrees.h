#ifndef RUN_ARCHIVE_AGREES_H
#define RUN_ARCHIVE_AGREES_H

/*
 * archive_agrees: does the archive hold every row of a table that is to go?
 *
 * All objects of the table's kind and time are read and checked (sink/archive_days.h), of
 * whichever replica; their ids go into a temporary table, and Postgres compares
 * (store/archive_rows.h). Rows that are in none of them are looked for in the objects of the days
 * that they claim. What the archive has of the table is then told as the rows that were found,
 * with the digest that flytrail.digest_of_ids() makes of their ids: it is the table's own, or the
 * archive does not agree. Rows that came by no spool (run/mirror.h) are counted where they are
 * found, and keep nothing from going where they are not.
 *
 * Where the options send events alone, nothing is said of lines: they have no archive.
 *
 * Objects that are not as they should be count as not there. So one that was lost or changed is
 * why a table stays, unless another replica's has its rows, too.
 *
 * Ownership: what the options and the part name is lent for the call.
 * Threads:   one.
 * Limits:    those of sink/archive_days.h and store/archive_rows.h: nothing here grows with rows
 *            or objects.
 * Errors:    ERR_REJECT: how many rows are not in the archive, and what is wrong with it, if
 *            anything is. ERR_FULL: is_over() says so. Else those of sink/s3_client.h and of the
 *            session.
 */

#include "run/retention.h"
#include "run/sinks.h"

struct archive_agrees_options {
	const struct sinks_s3 *s3;
	bool (*is_over)(void *arg); /* asked before each object */
	void *arg;
};

/* For struct retention_calls; options is a struct archive_agrees_options. */
NODISCARD enum err_kind archive_agrees(void *options, struct retention *db,
				       const struct retention_part *part,
				       struct retention_archive *ret, struct err *err);

#endif
