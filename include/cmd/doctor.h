#ifndef CMD_DOCTOR_H
#define CMD_DOCTOR_H

/*
 * doctor: what the files of `flytrail doctor` share: what it has found out so
 * far, and how it tells.
 *
 *	src/cmd/doctor.c          configuration, Postgres, port, spool
 *	src/cmd/doctor_source.c   where lines come from: NATS, its heartbeat, Fly's HTTP logs API
 *	src/cmd/doctor_watch.c    what the token may read of what is watched
 *	src/cmd/doctor_retention.c  how long rows are kept, and what stands against that
 *	src/cmd/doctor_sinks.c    where records are forwarded to
 *
 * Threads: one.
 */

#include "cmd/cmd.h"
#include "store/inspect.h"

enum verdict { OK, WARN, FAIL };

struct doctor {
	struct config config;
	struct config_report report;
	struct spool_look spool; /* before Postgres was asked about it */
	struct inspection store;
	bool store_inspected;
	bool failed;
};

/* Prints a line; FAIL is the command's exit status. */
void doctor_tell(struct doctor *d, enum verdict verdict, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Nothing where lines come by HTTP. */
void doctor_check_nats(struct doctor *d);
void doctor_check_heartbeat(struct doctor *d);

/* A failure where lines come by HTTP; else what it is needed for is filling gaps. */
void doctor_check_api(struct doctor *d);

/*
 * A line for each resource that is watched; a failure where the token may not list the
 * applications. The requests are the resources' own.
 */
void doctor_check_watch(struct doctor *d);

/*
 * The terms of each kind, the partitions against the server's lock table, and what is neither in
 * the trail nor gone; a failure where S3 locks for longer than rows may be kept. After Postgres
 * was looked at.
 */
void doctor_check_retention(struct doctor *d);

/* What a bucket really does; see sink/s3_probe.h. A failure where nothing could be kept there. */
void doctor_check_s3(struct doctor *d);

/* Whether it is on, and a failure where the key is refused; no log is sent. */
void doctor_check_datadog(struct doctor *d);

/* Who is told of what happens, and how to try it: nothing is sent. */
void doctor_check_notify(struct doctor *d);

/* The variables of fly-log-shipper that flytrail does not honour, by name alone. */
void doctor_check_shippers(struct doctor *d);

#endif
