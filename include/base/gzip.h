#ifndef BASE_GZIP_H
#define BASE_GZIP_H

/* gzip: what zlib does for us; zlib is met here alone. Today: gzip's CRC-32. */

#include <stddef.h>
#include <stdint.h>

/* The CRC-32 of bytes, going on from crc (0 to begin). Pure. */
uint32_t gzip_crc32(uint32_t crc, const void *bytes, size_t len);

const char *gzip_library_version(void); /* of zlib */

#endif
