#ifndef RUN_OPEN_SPOOL_H
#define RUN_OPEN_SPOOL_H

/*
 * open_spool: the spool as the configuration wants it: its folder is made, its bound is a share of
 * the volume where none is named, and what had to be mended is told.
 *
 * The image has a file OPEN_SPOOL_NO_VOLUME at the place of the volume, which one that is mounted
 * there hides. Where it is seen, on the disk of /, the spool does not outlive a restart: that is
 * said at the start, and /health is red by it. A volume that Docker made a copy of the place for
 * is another disk. Outside of the image nothing is known of what is behind a folder.
 *
 * Ownership: *ret is the caller's to spool_close(), after status_set_spool(status, NULL).
 * Threads:   the main thread's, before there are others.
 * Errors:    file.h's and spool.h's; ERR_CONFIG where the volume is too small.
 */

#include "base/config.h"
#include "run/status.h"

#define OPEN_SPOOL_NO_VOLUME "NO-VOLUME"

NODISCARD enum err_kind open_spool(struct spool **ret, const struct config *config,
				   struct status *status, struct err *err);

#endif
