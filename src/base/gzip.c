#include "base/gzip.h"

#include <zlib.h>

uint32_t gzip_crc32(uint32_t crc, const void *bytes, size_t len)
{
	return len > 0 ? (uint32_t)crc32_z(crc, bytes, len) : crc;
}

const char *gzip_library_version(void)
{
	return zlibVersion();
}
