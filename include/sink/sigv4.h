#ifndef SINK_SIGV4_H
#define SINK_SIGV4_H

/*
 * sigv4: AWS Signature Version 4 of one request, in its header Authorization.
 *
 * What is signed is the whole request: method, path, query, every header that is
 * given here, and the SHA-256 of the body. So the caller gives all headers that it
 * sends but those that a proxy may change, among them host, x-amz-date,
 * x-amz-content-sha256 and, with a session token, x-amz-security-token.
 *
 * Source: the rules and examples of "Authenticating Requests (AWS Signature
 * Version 4)" in the Amazon S3 API Reference. libcurl 7.88 has a signer, too, and
 * signs keys that hold `=` or `:`, SSE-KMS with a key id, and queries without a
 * value wrongly.
 *
 * Ownership: nothing is kept; results go into the caller's buffers.
 * Threads:   pure functions.
 * Limits:    SIGV4_PAIRS_MAX headers, and as many parts of the query.
 * Errors:    ERR_FATAL: no memory, or libcrypto fails. ERR_FULL: a buffer's bound.
 */

#include "base/buf.h"

#include <stdint.h>

enum {
	SIGV4_PAIRS_MAX = 32,
	SIGV4_TIME_BYTES = 17, /* 20130524T000000Z and a NUL */
};

struct sigv4_pair {
	const char *name; /* of a header: in lower case */
	struct span value;
};

struct sigv4_key {
	struct span access_key, secret_key;
	struct span region, service;
};

struct sigv4_request {
	const char *method;
	struct span path;                         /* as it stands in the URL, by sigv4_encode() */
	const struct sigv4_pair *query, *headers; /* in any order; as they are, not encoded */
	size_t query_count, header_count;
	const char *time;           /* as in x-amz-date */
	const char *payload_sha256; /* in hexadecimal, as in x-amz-content-sha256 */
};

enum sigv4_slash { SIGV4_SLASH_STAYS, SIGV4_SLASH_TOO }; /* of a path; of what stands in one */

/* Appends bytes so that they stand for themselves in a URL: %XX for all but A-Z a-z 0-9 - . _ ~ */
void sigv4_encode(struct span bytes, enum sigv4_slash slash, struct buf *out);

/* Appends name=value&..., encoded and in the order in which it is signed. */
void sigv4_query(const struct sigv4_pair *query, size_t count, struct buf *out);

/* The time of a request as it is signed. Returns text. */
const char *sigv4_time(int64_t now_ns, char text[SIGV4_TIME_BYTES]);

/* Appends the value of the header Authorization. */
NODISCARD enum err_kind sigv4_sign(const struct sigv4_key *key, const struct sigv4_request *request,
				   struct buf *out, struct err *err);

#endif
