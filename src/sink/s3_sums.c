#include "sink/s3_sums.h"

enum { TEXT_BYTES_MAX = 128 };

static enum err_kind base64_text(const void *bytes, size_t len, char *ret, size_t room,
				 struct err *err)
{
	struct buf text;
	enum err_kind rc;

	buf_init(&text, TEXT_BYTES_MAX);
	base64_write(&text, span_of(bytes, len));
	rc = buf_check(&text, err);
	REQUIRE(rc || text.len < room);
	if (!rc)
		memcpy(ret, text.data, text.len + 1);
	buf_release(&text);
	return rc;
}

enum err_kind s3_sums(struct hasher *h, struct span body, struct s3_sums *ret, struct err *err)
{
	uint8_t md5[HASH_MD5_BYTES], sha256[HASH_BYTES];
	enum err_kind rc = hasher_digest(h, body, sha256, err);

	ret->md5[0] = '\0';
	if (!rc)
		(void)hash_hex(sha256, ret->sha256_hex);
	if (!rc)
		rc = base64_text(sha256, sizeof(sha256), ret->sha256, sizeof(ret->sha256), err);
	if (!rc && hash_md5(body, md5))
		rc = base64_text(md5, sizeof(md5), ret->md5, sizeof(ret->md5), err);
	return rc;
}
