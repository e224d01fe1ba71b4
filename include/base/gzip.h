#ifndef BASE_GZIP_H
#define BASE_GZIP_H

/*
 * gzip: compressing and the CRC by ISA-L, decompressing by zlib; both are met here
 * alone (deploy/decisions/009).
 *
 * A writer makes one member, whose bytes are a function of what is added, of ISA-L's
 * version and of the processor's kind: it names neither a time nor a file. Reading
 * takes one member, as a writer makes it, and never more bytes out of it than the
 * caller has room for.
 *
 * Ownership: a writer is its maker's; it is reused, because its tables take 370 kB.
 * Threads:   a writer belongs to one thread; the functions without one are pure.
 * Limits:    the ceiling of the buffer that is written to.
 * Errors:    ERR_FULL: that ceiling. ERR_REJECT: no such member. ERR_FATAL: no memory.
 */

#include "base/buf.h"

#include <stdint.h>

/* The CRC-32 of bytes, going on from crc (0 to begin). Pure. */
uint32_t gzip_crc32(uint32_t crc, const void *bytes, size_t len);

struct gzip_writer;

NODISCARD enum err_kind gzip_writer_new(struct gzip_writer **ret, struct err *err);
void gzip_writer_free(struct gzip_writer *w); /* NULL is fine */

/* Begins a member, at the end of what is in out, whose owner lends it until the end. */
void gzip_writer_begin(struct gzip_writer *w, struct buf *out);
void gzip_writer_add(struct gzip_writer *w, struct span bytes); /* sticky: the end tells */
NODISCARD enum err_kind gzip_writer_end(struct gzip_writer *w, struct err *err);

/* Appends to out what the one member holds that is all of bytes. On failure out holds a part. */
NODISCARD enum err_kind gzip_read(struct span bytes, struct buf *out, struct err *err);

const char *gzip_reader_library_version(void); /* of zlib */
const char *gzip_writer_library_version(void); /* of ISA-L, as it was built with */

#endif
