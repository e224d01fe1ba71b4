#ifndef SINK_S3_SUMS_H
#define SINK_S3_SUMS_H

/*
 * s3_sums: the checksums of a body, as S3's headers have them.
 *
 * S3 holds them against what came, and takes no lock without one. A libcrypto that is
 * made for FIPS has no MD5; Amazon takes SHA-256 alone.
 *
 * Threads: those of the hasher.
 * Errors:  those of base/hash.h.
 */

#include "base/base64.h"
#include "base/hash.h"

struct s3_sums {
	char md5[BASE64_BYTES(HASH_MD5_BYTES) + 1]; /* content-md5; "": there is none */
	char sha256[BASE64_BYTES(HASH_BYTES) + 1];  /* x-amz-checksum-sha256 */
	char sha256_hex[HASH_HEX_BYTES];            /* for our own words */
};

NODISCARD enum err_kind s3_sums(struct hasher *h, struct span body, struct s3_sums *ret,
				struct err *err);

#endif
