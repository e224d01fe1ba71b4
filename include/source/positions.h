#ifndef SOURCE_POSITIONS_H
#define SOURCE_POSITIONS_H

/*
 * positions: how far the HTTP source has come with each application, in the file
 * http-positions of the spool's folder.
 *
 *	flytrail http positions 1
 *	began NANOSECONDS
 *	listened NANOSECONDS
 *	app NAME NANOSECONDS NANOSECONDS
 *
 * It is replaced whole, so after a crash it is the old one or the new one. A
 * file that is something else counts as none.
 *
 * Ownership: positions_release() frees the list.
 * Threads:   none shared.
 * Limits:    LOGS_API_APPS_MAX applications.
 * Errors:    as base/file.h; ERR_FATAL: no memory.
 */

#include "source/logs_api.h"

#define POSITIONS_NAME "http-positions"

struct position {
	char app[LOGS_API_APP_BYTES];
	int64_t sure_ns;    /* every line up to here was accepted */
	int64_t checked_ns; /* on the wall clock: when there was nothing newer; 0: never */
};

struct positions {
	int64_t began_ns;    /* when flytrail began to listen; 0: there was no file */
	int64_t listened_ns; /* up to here the trail was told what was listened to, or lost */
	struct position *apps;
	size_t count;
};

NODISCARD enum err_kind positions_read(const char *folder, struct positions *ret, struct err *err);
NODISCARD enum err_kind positions_write(const char *folder, const struct positions *p,
					struct err *err);
void positions_release(struct positions *p);

#endif
