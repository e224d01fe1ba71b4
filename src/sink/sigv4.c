#include "sink/sigv4.h"

#include "base/hash.h"
#include "base/time.h"

#include <stdio.h>

enum {
	CANONICAL_BYTES_MAX = 64 * 1024,
	SECRET_BYTES_MAX = 1024,
	DAY_CHARS = 8,
	KEY_BEGIN_BYTES = 4,
};

static const char ALGORITHM[] = "AWS4-HMAC-SHA256";
static const struct span KEY_BEGIN = {"AWS4", KEY_BEGIN_BYTES};
static const char KEY_END[] = "aws4_request";

static bool is_plain(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '.' || c == '_' || c == '~';
}

void sigv4_encode(struct span bytes, enum sigv4_slash slash, struct buf *out)
{
	for (size_t i = 0; i < bytes.len; i++) {
		char c = bytes.data[i];

		if (is_plain(c) || (c == '/' && slash == SIGV4_SLASH_STAYS))
			buf_add(out, &c, 1);
		else
			buf_fmt(out, "%%%02X", (unsigned)(unsigned char)c);
	}
}

/* Sorted by name, as both lists are signed. No name is given twice. */
static void sort(const struct sigv4_pair *pairs, size_t count,
		 const struct sigv4_pair *ret[SIGV4_PAIRS_MAX])
{
	REQUIRE(count <= SIGV4_PAIRS_MAX);
	for (size_t i = 0; i < count; i++) {
		size_t at = i;

		for (; at > 0 && strcmp(ret[at - 1]->name, pairs[i].name) > 0; at--)
			ret[at] = ret[at - 1];
		ret[at] = &pairs[i];
	}
}

void sigv4_query(const struct sigv4_pair *query, size_t count, struct buf *out)
{
	const struct sigv4_pair *sorted[SIGV4_PAIRS_MAX];

	sort(query, count, sorted);
	for (size_t i = 0; i < count; i++) {
		buf_str(out, i > 0 ? "&" : "");
		sigv4_encode(span_text(sorted[i]->name), SIGV4_SLASH_TOO, out);
		buf_str(out, "=");
		sigv4_encode(sorted[i]->value, SIGV4_SLASH_TOO, out);
	}
}

const char *sigv4_time(int64_t now_ns, char text[SIGV4_TIME_BYTES])
{
	char full[TIME_TEXT_BYTES]; /* 2013-05-24T00:00:00... */

	(void)time_format(now_ns, full);
	(void)snprintf(text, SIGV4_TIME_BYTES, "%.4s%.2s%.2sT%.2s%.2s%.2sZ", full, full + 5,
		       full + 8, full + 11, full + 14, full + 17);
	return text;
}

/* Without spaces around it, and one for each row of them within. */
static void add_value(struct span value, struct buf *out)
{
	bool space = false, begun = false;

	for (size_t i = 0; i < value.len; i++) {
		if (value.data[i] == ' ') {
			space = begun;
			continue;
		}
		buf_str(out, space ? " " : "");
		buf_add(out, &value.data[i], 1);
		space = false;
		begun = true;
	}
}

static void add_names(const struct sigv4_pair *const *sorted, size_t count, struct buf *out)
{
	for (size_t i = 0; i < count; i++) {
		buf_str(out, i > 0 ? ";" : "");
		buf_str(out, sorted[i]->name);
	}
}

static void add_canonical(const struct sigv4_request *r, const struct sigv4_pair *const *headers,
			  struct buf *out)
{
	buf_str(out, r->method);
	buf_str(out, "\n");
	buf_span(out, r->path);
	buf_str(out, "\n");
	sigv4_query(r->query, r->query_count, out);
	buf_str(out, "\n");
	for (size_t i = 0; i < r->header_count; i++) {
		buf_str(out, headers[i]->name);
		buf_str(out, ":");
		add_value(headers[i]->value, out);
		buf_str(out, "\n");
	}
	buf_str(out, "\n");
	add_names(headers, r->header_count, out);
	buf_str(out, "\n");
	buf_str(out, r->payload_sha256);
}

static struct span day_of(const struct sigv4_request *r)
{
	return span_of(r->time, DAY_CHARS);
}

static void add_scope(const struct sigv4_key *key, const struct sigv4_request *r, struct buf *out)
{
	buf_span(out, day_of(r));
	buf_str(out, "/");
	buf_span(out, key->region);
	buf_str(out, "/");
	buf_span(out, key->service);
	buf_str(out, "/");
	buf_str(out, KEY_END);
}

/* The key of one day, region and service; it signs nothing else. */
static enum err_kind derive(const struct sigv4_key *key, const struct sigv4_request *r,
			    uint8_t ret[HASH_BYTES], struct err *err)
{
	const struct span steps[] = {day_of(r), key->region, key->service, span_text(KEY_END)};
	struct span secret = key->secret_key;
	char first[KEY_BEGIN_BYTES + SECRET_BYTES_MAX];
	size_t len = KEY_BEGIN.len + secret.len;
	enum err_kind rc = ERR_NONE;

	if (secret.len > SECRET_BYTES_MAX)
		return err_set(err, ERR_CONFIG, "the secret key is longer than %d bytes",
			       SECRET_BYTES_MAX);
	memcpy(first, KEY_BEGIN.data, KEY_BEGIN.len);
	memcpy(first + KEY_BEGIN.len, secret.data, secret.len);
	for (size_t i = 0; i < ARRAY_LEN(steps) && !rc; i++) {
		uint8_t before[HASH_BYTES];

		memcpy(before, ret, sizeof(before));
		rc = hash_hmac(i == 0 ? span_of(first, len) : span_of(before, sizeof(before)),
			       steps[i], ret, err);
	}
	return rc;
}

/* The text that the signature is made of: the time, the scope, and what is asked for. */
static enum err_kind make_text(const struct sigv4_key *key, const struct sigv4_request *r,
			       const struct sigv4_pair *const *headers, struct buf *text,
			       struct err *err)
{
	struct hasher *hasher = NULL;
	uint8_t digest[HASH_BYTES];
	char hex[HASH_HEX_BYTES];
	enum err_kind rc;

	add_canonical(r, headers, text);
	rc = buf_check(text, err);
	if (!rc)
		rc = hasher_new(&hasher, err);
	if (!rc)
		rc = hasher_digest(hasher, span_of(text->data, text->len), digest, err);
	hasher_free(hasher);
	if (rc)
		return rc;
	buf_reset(text);
	buf_fmt(text, "%s\n%s\n", ALGORITHM, r->time);
	add_scope(key, r, text);
	buf_fmt(text, "\n%s", hash_hex(digest, hex));
	return buf_check(text, err);
}

enum err_kind sigv4_sign(const struct sigv4_key *key, const struct sigv4_request *r,
			 struct buf *out, struct err *err)
{
	const struct sigv4_pair *headers[SIGV4_PAIRS_MAX];
	uint8_t day_key[HASH_BYTES] = {0}, signature[HASH_BYTES];
	char hex[HASH_HEX_BYTES];
	struct buf text;
	enum err_kind rc;

	REQUIRE(strlen(r->time) == SIGV4_TIME_BYTES - 1);
	sort(r->headers, r->header_count, headers);
	buf_init(&text, CANONICAL_BYTES_MAX);
	rc = make_text(key, r, headers, &text, err);
	if (!rc)
		rc = derive(key, r, day_key, err);
	if (!rc)
		rc = hash_hmac(span_of(day_key, sizeof(day_key)), span_of(text.data, text.len),
			       signature, err);
	buf_release(&text);
	if (rc)
		return rc;
	buf_fmt(out, "%s Credential=", ALGORITHM);
	buf_span(out, key->access_key);
	buf_str(out, "/");
	add_scope(key, r, out);
	buf_str(out, ",SignedHeaders=");
	add_names(headers, r->header_count, out);
	buf_fmt(out, ",Signature=%s", hash_hex(signature, hex));
	return buf_check(out, err);
}
