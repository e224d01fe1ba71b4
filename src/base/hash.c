#include "base/hash.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <sys/random.h>

struct hasher {
	EVP_MD *sha256;
	EVP_MD_CTX *ctx;
	bool failed;
};

enum err_kind hasher_new(struct hasher **ret, struct err *err)
{
	struct hasher *h = calloc(1, sizeof(*h));

	if (!h)
		return err_set(err, ERR_FATAL, "out of memory for a hasher");
	h->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	h->ctx = EVP_MD_CTX_new();
	if (!h->sha256 || !h->ctx) {
		hasher_free(h);
		return err_set(err, ERR_FATAL,
			       "libcrypto gives no SHA-256: check its configuration");
	}
	*ret = h;
	return ERR_NONE;
}

void hasher_free(struct hasher *h)
{
	if (!h)
		return;
	EVP_MD_CTX_free(h->ctx);
	EVP_MD_free(h->sha256);
	free(h);
}

enum err_kind hasher_begin(struct hasher *h, struct err *err)
{
	h->failed = EVP_DigestInit_ex2(h->ctx, h->sha256, NULL) != 1;
	if (h->failed)
		return err_set(err, ERR_FATAL, "libcrypto cannot begin a SHA-256");
	return ERR_NONE;
}

void hasher_add(struct hasher *h, const void *bytes, size_t len)
{
	if (len > 0 && !h->failed)
		h->failed = EVP_DigestUpdate(h->ctx, bytes, len) != 1;
}

enum err_kind hasher_end(struct hasher *h, uint8_t ret[HASH_BYTES], struct err *err)
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	if (h->failed || EVP_DigestFinal_ex(h->ctx, digest, &len) != 1 || len != HASH_BYTES)
		return err_set(err, ERR_FATAL, "libcrypto cannot finish a SHA-256");
	memcpy(ret, digest, HASH_BYTES);
	return ERR_NONE;
}

enum err_kind hasher_digest(struct hasher *h, struct span bytes, uint8_t ret[HASH_BYTES],
			    struct err *err)
{
	enum err_kind rc = hasher_begin(h, err);

	if (rc)
		return rc;
	hasher_add(h, bytes.data, bytes.len);
	return hasher_end(h, ret, err);
}

enum err_kind hash_hmac(struct span key, struct span bytes, uint8_t ret[HASH_BYTES],
			struct err *err)
{
	size_t len = 0;

	if (EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, key.data, key.len,
		      (const unsigned char *)bytes.data, bytes.len, ret, HASH_BYTES,
		      &len) != NULL &&
	    len == HASH_BYTES)
		return ERR_NONE;
	return err_set(err, ERR_FATAL, "libcrypto cannot make an HMAC");
}

bool hash_md5(struct span bytes, uint8_t ret[HASH_MD5_BYTES])
{
	size_t len = 0;

	return EVP_Q_digest(NULL, "MD5", NULL, bytes.data, bytes.len, ret, &len) == 1 &&
	       len == HASH_MD5_BYTES;
}

const char *hash_hex(const uint8_t digest[HASH_BYTES], char text[HASH_HEX_BYTES])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < HASH_BYTES; i++) {
		text[2 * i] = digits[digest[i] >> 4];
		text[2 * i + 1] = digits[digest[i] & 0x0f];
	}
	text[HASH_HEX_BYTES - 1] = '\0';
	return text;
}

bool hash_hex_copy(struct span text, char ret[HASH_HEX_BYTES])
{
	if (text.len != HASH_HEX_BYTES - 1)
		return false;
	for (size_t i = 0; i < text.len; i++)
		if (!((text.data[i] >= '0' && text.data[i] <= '9') ||
		      (text.data[i] >= 'a' && text.data[i] <= 'f')))
			return false;
	memcpy(ret, text.data, text.len);
	ret[text.len] = '\0';
	return true;
}

enum err_kind hash_random(void *ret, size_t len, struct err *err)
{
	uint8_t *at = ret;
	size_t done = 0;

	while (done < len) {
		ssize_t got = getrandom(at + done, len - done, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return err_errno(err, ERR_FATAL, "the system gives no random bytes");
		done += (size_t)got;
	}
	return ERR_NONE;
}

const char *hash_library_version(void)
{
	return OpenSSL_version(OPENSSL_VERSION_STRING);
}
