#ifndef BASE_HASH_H
#define BASE_HASH_H

/*
 * hash: SHA-256 over pieces, and HMAC with it, by OpenSSL's libcrypto, which is met here alone.
 *
 * Ownership: the caller owns a struct hasher; it is reused for every digest,
 *            because fetching an algorithm costs more than hashing a line.
 * Threads:   a hasher belongs to one thread; hash_hex() and hash_hex_copy() are pure.
 * Errors:    ERR_FATAL when libcrypto has no SHA-256 or no memory.
 */

#include "base/err.h"
#include "base/span.h"

enum { HASH_BYTES = 32, HASH_HEX_BYTES = 2 * HASH_BYTES + 1 };

struct hasher;

NODISCARD enum err_kind hasher_new(struct hasher **ret, struct err *err);
void hasher_free(struct hasher *h); /* NULL is fine */

/* A digest in one go ... */
NODISCARD enum err_kind hasher_digest(struct hasher *h, struct span bytes, uint8_t ret[HASH_BYTES],
				      struct err *err);

/* ... or piece by piece: begin, add as often as wanted, end. */
NODISCARD enum err_kind hasher_begin(struct hasher *h, struct err *err);
void hasher_add(struct hasher *h, const void *bytes, size_t len); /* sticky: end tells */
NODISCARD enum err_kind hasher_end(struct hasher *h, uint8_t ret[HASH_BYTES], struct err *err);

/* HMAC-SHA-256, for what must not be told but has to be compared. Once in a while, not for lines.
 */
NODISCARD enum err_kind hash_hmac(struct span key, struct span bytes, uint8_t ret[HASH_BYTES],
				  struct err *err);

/* For the header Content-MD5, and nothing that anybody should trust. False: libcrypto has none. */
enum { HASH_MD5_BYTES = 16 };
NODISCARD bool hash_md5(struct span bytes, uint8_t ret[HASH_MD5_BYTES]);

/* Lower-case hexadecimal and a NUL. Returns text. */
const char *hash_hex(const uint8_t digest[HASH_BYTES], char text[HASH_HEX_BYTES]);

/* A text from elsewhere that hash_hex() could have made, and a NUL. False: it is none. */
NODISCARD bool hash_hex_copy(struct span text, char ret[HASH_HEX_BYTES]);

/* len random bytes from the system. */
NODISCARD enum err_kind hash_random(void *ret, size_t len, struct err *err);

const char *hash_library_version(void); /* of libcrypto */

#endif
