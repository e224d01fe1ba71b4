#ifndef RUN_FOREIGN_H
#define RUN_FOREIGN_H

/*
 * foreign: the file in the spool's folder that remembers that Postgres had
 * records of this stream which are not of this spool.
 *
 * Then the volume is a copy, or an older state, of another one. The file names
 * the stream, so that it says nothing about what the spool is once it was
 * adopted; one that names none is about any.
 *
 * Threads: no state.
 * Errors:  as base/file.h says. A file that cannot be read counts as one that is
 *          about this stream.
 */

#include "spool/spool.h"

#define FOREIGN_NAME "store-foreign"

/* Whether what lies in folder is marked as no spool of this stream's. */
NODISCARD bool foreign_is_marked(const char *folder, const struct spool_stream *stream);

NODISCARD enum err_kind foreign_mark(const char *folder, const struct spool_stream *stream,
				     struct err *err);

/* Takes the file away; none there is fine. */
NODISCARD enum err_kind foreign_clear(const char *folder, struct err *err);

#endif
