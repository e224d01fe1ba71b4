#ifndef SPOOL_SEGMENT_H
#define SPOOL_SEGMENT_H

/*
 * segment: the files of a spool's folder.
 *
 *	lock                          held by the process that has the spool open
 *	stream                        whose the records are: uuid and epoch (spool/identity.c)
 *	00000000000000000001.seg      a segment, named by its first sequence number
 *	next                          the segment to come: room on disk, and nothing in it
 *	quarantine/                   segments whose bytes failed their check
 *
 * A segment gets its name when its header and first group are synced, so one
 * with a name always had both. What is called `next` holds nothing accepted.
 *
 * Ownership: the caller owns descriptors.
 * Threads:   no state.
 * Errors:    as base/file.h says; ERR_CORRUPT where a header fails its check.
 */

#include "base/file.h"
#include "spool/frame.h"
#include "spool/spool.h"

#include <limits.h>

struct segment_path {
	char text[PATH_MAX];
};

/* Where a segment lies; a folder's path was checked to leave room for names. */
struct segment_path segment_path(const char *folder, uint64_t first_seq);

/* True: name is a segment's. */
NODISCARD bool segment_parse_name(const char *name, uint64_t *ret_first_seq);

/* Makes `next` with all its room on disk, in place of an older one. */
NODISCARD enum err_kind segment_prepare(const char *folder, int *ret_fd, struct err *err);

/* Gives `next`, written and synced, its name. */
NODISCARD enum err_kind segment_publish(const char *folder, uint64_t first_seq, struct err *err);

/* Where segments lie, and whose they have to be. */
struct segment_home {
	const char *folder;
	const struct spool_stream *stream;
	uint64_t adopted_seq; /* a segment that begins up to here was adopted, whose ever it was */
};

/*
 * Opens a segment and reads its header. ERR_CORRUPT: the header fails its
 * check. ERR_CONFIG: it is another stream's, or of another version.
 */
NODISCARD enum err_kind segment_open(const struct segment_home *home, uint64_t first_seq,
				     enum file_mode mode, int *ret_fd,
				     struct segment_header *ret_header, struct err *err);

/* The header alone, whatever its stream. */
NODISCARD enum err_kind segment_read_header(int fd, uint64_t first_seq, struct segment_header *ret,
					    struct err *err);

NODISCARD enum err_kind segment_remove(const char *folder, uint64_t first_seq, struct err *err);

/*
 * Puts a copy into quarantine/, or moves the file there. Does nothing where
 * there is a copy already; a copy is not made past SPOOL_QUARANTINE_FILES_MAX.
 */
NODISCARD enum err_kind segment_quarantine_copy(const char *folder, uint64_t first_seq,
						struct err *err);
NODISCARD enum err_kind segment_quarantine_move(const char *folder, uint64_t first_seq,
						struct err *err);
size_t segment_quarantine_count(const char *folder);

#endif
