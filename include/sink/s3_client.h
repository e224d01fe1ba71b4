#ifndef SINK_S3_CLIENT_H
#define SINK_S3_CLIENT_H

/*
 * s3_client: one request to a bucket, signed, and what its answer means.
 *
 * It speaks to Amazon S3, Tigris, R2, MinIO and Ceph alike. The bucket's name goes
 * into the path or before the endpoint's host, as s3_client_new() is told. Every
 * header that is given is sent and signed, beside those that every request has.
 *
 * An answer is told by what is to be done:
 *	ERR_NONE    2xx; and 404 of a key, 412: the caller sees the status
 *	ERR_RETRY   no answer, 408, 409, 429, 5xx, and what Amazon says is passing
 *	ERR_CONFIG  401, 403, a bucket that is not there, another region, a redirect: somebody
 *	            must act; the text says what S3 calls it, and what to do
 *	ERR_REJECT  any other refusal: this request can never work
 *
 * Sources: Amazon S3 API Reference, "Error responses".
 *
 * Ownership: s3_client_new() copies the options. An answer's body is lent until the next
 *            request.
 * Threads:   a client belongs to one thread; *cut may be set by any.
 * Limits:    S3_SECONDS a request; S3_ANSWER_BYTES_MAX unless the request says more.
 * Errors:    as above, and ERR_FATAL: no memory. Texts hold no key and no byte of an
 *            answer but S3's own code, and the region where it says the bucket is: letters,
 *            digits and dashes.
 */

#include "base/http_client.h"
#include "sink/sigv4.h"

enum {
	S3_SECONDS = 60,
	S3_ANSWER_BYTES_MAX = 64 * 1024,
	S3_CODE_BYTES = 64,
	S3_SKEW_SECONDS = 15 * 60, /* of two clocks: Amazon refuses what differs by more */
};

struct s3_client;

struct s3_options {
	const char *endpoint; /* http(s)://host[:port], without a slash at its end */
	const char *bucket, *region;
	const char *access_key, *secret_key;
	const char *session_token; /* "": none */
	bool host_style;           /* https://bucket.host/key, and not https://host/bucket/key */
	const char *ca_file;       /* for tests: see base/http_client.h */
	const _Atomic bool *cut;   /* set: a request under way ends, as ERR_RETRY; or NULL */
};

NODISCARD enum err_kind s3_client_new(struct s3_client **ret, const struct s3_options *options,
				      struct err *err);
void s3_client_free(struct s3_client *c); /* NULL is fine */

struct s3_request {
	const char *method;
	struct span key; /* as it is, not encoded; empty: the bucket */
	const struct sigv4_pair *query, *headers;
	size_t query_count, header_count;
	struct span body;
	const char *body_sha256; /* in hexadecimal, where the caller has it; NULL: it is made */
	size_t body_max;         /* of the answer; 0: S3_ANSWER_BYTES_MAX */
};

struct s3_answer {
	unsigned status;
	struct span body;
	char code[S3_CODE_BYTES];     /* of a refusal, as S3 calls it; "": it says none */
	unsigned retry_after_seconds; /* 0: it says none */
};

/* Also of a refusal *ret is set; not where there was no answer. */
NODISCARD enum err_kind s3_client_send(struct s3_client *c, const struct s3_request *request,
				       struct s3_answer *ret, struct err *err);

/* A header of the newest answer; see base/http_client.h. */
bool s3_client_header(const struct s3_client *c, const char *name, struct span *ret);

#endif
