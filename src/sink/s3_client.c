#include "sink/s3_client.h"

#include "base/hash.h"
#include "base/time.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
	TEXT_BYTES_MAX = 64 * 1024, /* of an address, of a header, of all headers */
	HEADERS_OWN = 4,
	KEY_SHOWN_BYTES = 120,
	ADVICE_BYTES = 96,
	REGION_BYTES = 32,
};

struct s3_client {
	struct http_client *client;
	struct hasher *hasher;
	char *region, *access_key, *secret_key, *session_token;
	char *scheme, *host;     /* "https://"; with the bucket before it, where it stands there */
	char *bucket;            /* where it stands in the path; else "" */
	struct buf url, headers; /* of the present request */
};

/* --- the client --- */

static bool copy_keys(struct s3_client *c, const struct s3_options *o)
{
	c->region = span_copy(span_text(o->region));
	c->access_key = span_copy(span_text(o->access_key));
	c->secret_key = span_copy(span_text(o->secret_key));
	c->session_token = span_copy(span_text(o->session_token));
	return c->region && c->access_key && c->secret_key && c->session_token;
}

/* Where the bucket's name stands. */
static bool place(struct s3_client *c, const struct s3_options *o)
{
	const char *end = strstr(o->endpoint, "://");
	struct span scheme = span_of(o->endpoint, end ? (size_t)(end + 3 - o->endpoint) : 0);
	struct buf host;

	buf_init(&host, TEXT_BYTES_MAX);
	if (o->host_style)
		buf_fmt(&host, "%s.", o->bucket);
	buf_str(&host, o->endpoint + scheme.len);
	if (!host.failed)
		c->host = span_copy(span_of(host.data, host.len));
	buf_release(&host);
	c->scheme = span_copy(scheme);
	c->bucket = span_copy(span_text(o->host_style ? "" : o->bucket));
	return c->host && c->scheme && c->bucket;
}

enum err_kind s3_client_new(struct s3_client **ret, const struct s3_options *o, struct err *err)
{
	const struct http_client_options client = {
		.ca_file = o->ca_file, .cut = o->cut, .proxies = true};
	struct s3_client *c = calloc(1, sizeof(*c));
	enum err_kind rc = ERR_NONE;

	if (!c)
		return err_set(err, ERR_FATAL, "out of memory for S3");
	buf_init(&c->url, TEXT_BYTES_MAX);
	buf_init(&c->headers, TEXT_BYTES_MAX);
	if (!copy_keys(c, o) || !place(c, o))
		rc = err_set(err, ERR_FATAL, "out of memory for S3");
	if (!rc)
		rc = hasher_new(&c->hasher, err);
	if (!rc)
		rc = http_client_new(&c->client, &client, err);
	if (rc)
		s3_client_free(c);
	else
		*ret = c;
	return rc;
}

void s3_client_free(struct s3_client *c)
{
	if (!c)
		return;
	http_client_free(c->client);
	hasher_free(c->hasher);
	free(c->region);
	secret_free(c->access_key);
	secret_free(c->secret_key);
	secret_free(c->session_token);
	free(c->scheme);
	free(c->host);
	free(c->bucket);
	buf_release(&c->url);
	buf_release(&c->headers);
	free(c);
}

/* --- the request --- */

/* What is signed, and lives as long as that takes. */
struct signing {
	struct sigv4_pair headers[SIGV4_PAIRS_MAX];
	size_t count;
	char time[SIGV4_TIME_BYTES], sha256[HASH_HEX_BYTES];
	struct buf path, authorization;
};

static enum err_kind hash_body(struct s3_client *c, const struct s3_request *r,
			       char ret[HASH_HEX_BYTES], struct err *err)
{
	uint8_t digest[HASH_BYTES];
	enum err_kind rc;

	if (r->body_sha256) {
		REQUIRE(strlen(r->body_sha256) == HASH_HEX_BYTES - 1);
		memcpy(ret, r->body_sha256, HASH_HEX_BYTES);
		return ERR_NONE;
	}
	rc = hasher_digest(c->hasher, r->body.data ? r->body : SPAN(""), digest, err);
	if (!rc)
		(void)hash_hex(digest, ret);
	return rc;
}

static enum err_kind collect(struct s3_client *c, const struct s3_request *r, struct signing *s,
			     struct err *err)
{
	enum err_kind rc = hash_body(c, r, s->sha256, err);

	REQUIRE(HEADERS_OWN + r->header_count <= SIGV4_PAIRS_MAX);
	if (rc)
		return rc;
	(void)sigv4_time(time_now_ns(), s->time);
	s->headers[s->count++] = (struct sigv4_pair){"host", span_text(c->host)};
	s->headers[s->count++] = (struct sigv4_pair){"x-amz-date", span_text(s->time)};
	s->headers[s->count++] = (struct sigv4_pair){"x-amz-content-sha256", span_text(s->sha256)};
	if (c->session_token[0] != '\0')
		s->headers[s->count++] =
			(struct sigv4_pair){"x-amz-security-token", span_text(c->session_token)};
	for (size_t i = 0; i < r->header_count; i++)
		s->headers[s->count++] = r->headers[i];
	buf_str(&s->path, "/");
	buf_str(&s->path, c->bucket);
	if (c->bucket[0] != '\0' && r->key.len > 0)
		buf_str(&s->path, "/");
	sigv4_encode(r->key, SIGV4_SLASH_STAYS, &s->path);
	return buf_check(&s->path, err);
}

static enum err_kind sign(struct s3_client *c, const struct s3_request *r, struct signing *s,
			  struct err *err)
{
	const struct sigv4_key key = {
		.access_key = span_text(c->access_key),
		.secret_key = span_text(c->secret_key),
		.region = span_text(c->region),
		.service = SPAN("s3"),
	};
	const struct sigv4_request request = {
		.method = r->method,
		.path = span_of(s->path.data, s->path.len),
		.query = r->query,
		.query_count = r->query_count,
		.headers = s->headers,
		.header_count = s->count,
		.time = s->time,
		.payload_sha256 = s->sha256,
	};

	return sigv4_sign(&key, &request, &s->authorization, err);
}

static enum err_kind make_url(struct s3_client *c, const struct s3_request *r,
			      const struct signing *s, struct err *err)
{
	buf_reset(&c->url);
	buf_str(&c->url, c->scheme);
	buf_str(&c->url, c->host);
	buf_add(&c->url, s->path.data, s->path.len);
	buf_str(&c->url, r->query_count > 0 ? "?" : "");
	sigv4_query(r->query, r->query_count, &c->url);
	return buf_check(&c->url, err);
}

/* "name: value" one after the other, each with its NUL; then where each begins. */
static enum err_kind write_headers(struct s3_client *c, const struct signing *s,
				   const char *ret[HTTP_CLIENT_HEADERS_MAX + 1], struct err *err)
{
	size_t starts[SIGV4_PAIRS_MAX + 1], count = 0;
	enum err_kind rc;

	buf_reset(&c->headers);
	for (; count < s->count; count++) {
		starts[count] = c->headers.len;
		buf_fmt(&c->headers, "%s: ", s->headers[count].name);
		buf_span(&c->headers, s->headers[count].value);
		buf_u8(&c->headers, 0);
	}
	starts[count++] = c->headers.len;
	buf_str(&c->headers, "authorization: ");
	buf_add(&c->headers, s->authorization.data, s->authorization.len);
	buf_u8(&c->headers, 0);
	rc = buf_check(&c->headers, err);
	for (size_t i = 0; i < count && !rc; i++)
		ret[i] = (const char *)c->headers.data + starts[i];
	ret[count] = NULL;
	return rc;
}

/* --- what an answer means --- */

static const struct meaning {
	const char *code;
	enum err_kind kind;
	const char *advice;
} meanings[] = {
	{"SignatureDoesNotMatch", ERR_CONFIG,
	 "AWS_SECRET_ACCESS_KEY is not that of AWS_ACCESS_KEY_ID"},
	{"InvalidAccessKeyId", ERR_CONFIG, "AWS_ACCESS_KEY_ID is not known there"},
	{"ExpiredToken", ERR_CONFIG, "AWS_SESSION_TOKEN has expired"},
	{"InvalidToken", ERR_CONFIG, "AWS_SESSION_TOKEN is not taken"},
	{"AccessDenied", ERR_CONFIG, "the credentials do not allow it"},
	{"NoSuchBucket", ERR_CONFIG, "check AWS_BUCKET and the endpoint"},
	{"AuthorizationHeaderMalformed", ERR_CONFIG, "AWS_REGION is not the bucket's"},
	{"PermanentRedirect", ERR_CONFIG, "AWS_REGION or the endpoint is not the bucket's"},
	{"RequestTimeTooSkewed", ERR_CONFIG, "this machine's clock is wrong"},
	{"NotImplemented", ERR_CONFIG, "that server has no such thing: see what is set of S3's"},
	{"RequestTimeout", ERR_RETRY, NULL},
	{"RequestExpired", ERR_RETRY, NULL},
	{"ThrottlingException", ERR_RETRY, NULL},
	{"IncompleteBody", ERR_RETRY, NULL},
	{"BadDigest", ERR_RETRY, NULL}, /* it was sent by us as it was hashed: changed on the way */
	{"XAmzContentSHA256Mismatch", ERR_RETRY, NULL},
};

static bool is_word(struct span text, size_t room)
{
	if (text.len >= room)
		return false;
	for (size_t i = 0; i < text.len; i++)
		if (!((text.data[i] >= 'A' && text.data[i] <= 'Z') ||
		      (text.data[i] >= 'a' && text.data[i] <= 'z') ||
		      (text.data[i] >= '0' && text.data[i] <= '9') || text.data[i] == '-'))
			return false;
	return true;
}

/* What stands between begin and end, where that is a word; else "". */
static void find_word(struct span body, const char *begin, const char *end, char *ret, size_t room)
{
	const char *from = body.len > 0 ? memmem(body.data, body.len, begin, strlen(begin)) : NULL;
	const char *to;
	struct span found;

	ret[0] = '\0';
	if (!from)
		return;
	from += strlen(begin);
	to = memmem(from, body.len - (size_t)(from - body.data), end, strlen(end));
	found = span_of(from, to ? (size_t)(to - from) : 0);
	if (!is_word(found, room))
		return;
	memcpy(ret, found.data, found.len);
	ret[found.len] = '\0';
}

static const struct meaning *meaning_of(const char *code)
{
	for (size_t i = 0; i < ARRAY_LEN(meanings); i++)
		if (strcmp(code, meanings[i].code) == 0)
			return &meanings[i];
	return NULL;
}

static enum err_kind kind_of(unsigned status, const struct meaning *meaning)
{
	if (meaning)
		return meaning->kind;
	if (status == 408 || status == 409 || status == 429 || status >= 500)
		return ERR_RETRY;
	if (status == 401 || status == 403 || (status >= 300 && status < 400))
		return ERR_CONFIG;
	return ERR_REJECT;
}

/* A clock that is wrong is why, whatever S3 calls it. False: it is not. */
static bool advise_of_clock(const struct http_answer *answer, char ret[ADVICE_BYTES])
{
	int64_t skew = answer->date_ns == 0 ? 0 : (time_now_ns() - answer->date_ns) / NS_PER_S;

	if (skew <= S3_SKEW_SECONDS && skew >= -S3_SKEW_SECONDS)
		return false;
	(void)snprintf(ret, ADVICE_BYTES,
		       "this machine's clock is %" PRId64 " seconds %s S3's: set it",
		       skew < 0 ? -skew : skew, skew < 0 ? "behind" : "before");
	return true;
}

/* Other refusals name a region, too, of servers to which it means nothing; to HEAD there is no
 * code. */
static bool is_of_region(unsigned status, const char *code)
{
	return strcmp(code, "AuthorizationHeaderMalformed") == 0 ||
	       strcmp(code, "PermanentRedirect") == 0 ||
	       (code[0] == '\0' && (status == 301 || status == 400));
}

/* Amazon says where the bucket is in a header, others in the body. False: nobody says so. */
static bool advise_of_region(const struct s3_client *c, const struct http_answer *answer,
			     char ret[ADVICE_BYTES])
{
	char region[REGION_BYTES];
	struct span told;

	find_word(answer->body, "<Region>", "</Region>", region, sizeof(region));
	if (http_client_header(c->client, "x-amz-bucket-region", &told) &&
	    is_word(told, sizeof(region)))
		(void)snprintf(region, sizeof(region), "%.*s", (int)told.len, told.data);
	if (region[0] == '\0' || strcmp(region, c->region) == 0)
		return false;
	(void)snprintf(ret, ADVICE_BYTES, "AWS_REGION is not the bucket's: set it to %s", region);
	return true;
}

static enum err_kind explain(const struct s3_client *c, const struct s3_request *r,
			     const struct http_answer *answer, const char *code, struct err *err)
{
	const struct meaning *meaning = meaning_of(code);
	enum err_kind kind = kind_of(answer->status, meaning);
	const char *advice = meaning ? meaning->advice : NULL;
	struct span key = r->key.len > 0 ? r->key : SPAN("the bucket");
	char made[ADVICE_BYTES];

	if (key.len > KEY_SHOWN_BYTES)
		key.len = KEY_SHOWN_BYTES;
	if (is_of_region(answer->status, code) && advise_of_region(c, answer, made)) {
		kind = ERR_CONFIG;
		advice = made;
	} else if (kind == ERR_CONFIG && advise_of_clock(answer, made)) {
		advice = made;
	}
	return err_set(err, kind, "%s %.*s: S3 answers %u%s%s%s%s", r->method, (int)key.len,
		       key.data, answer->status, code[0] != '\0' ? " " : "", code,
		       advice ? ": " : "", advice ? advice : "");
}

/* The caller asked for it: there is no such key, or there is one already. */
static bool is_an_answer(const struct s3_request *r, unsigned status, const char *code)
{
	if (status >= 200 && status < 300)
		return true;
	return status == 412 ||
	       (status == 404 && r->key.len > 0 && strcmp(code, "NoSuchBucket") != 0);
}

enum err_kind s3_client_send(struct s3_client *c, const struct s3_request *r, struct s3_answer *ret,
			     struct err *err)
{
	const char *headers[HTTP_CLIENT_HEADERS_MAX + 1];
	struct signing s = {.count = 0};
	struct http_answer answer;
	enum err_kind rc;

	buf_init(&s.path, TEXT_BYTES_MAX);
	buf_init(&s.authorization, TEXT_BYTES_MAX);
	rc = collect(c, r, &s, err);
	if (!rc)
		rc = sign(c, r, &s, err);
	if (!rc)
		rc = make_url(c, r, &s, err);
	if (!rc)
		rc = write_headers(c, &s, headers, err);
	buf_release(&s.path);
	buf_release(&s.authorization);
	if (rc)
		return rc;
	rc = http_client_send(
		c->client,
		&(struct http_request){
			.method = r->method,
			.url = (const char *)c->url.data,
			.headers = headers,
			.body = r->body,
			.body_max = r->body_max > 0 ? r->body_max : S3_ANSWER_BYTES_MAX,
			.seconds = S3_SECONDS,
			.once = strcmp(r->method, "PUT") == 0, /* the caller looks first */
		},
		&answer, err);
	if (rc)
		return rc;
	*ret = (struct s3_answer){
		.status = answer.status,
		.body = answer.body,
		.retry_after_seconds = answer.retry_after_seconds,
	};
	if (answer.status >= 300)
		find_word(answer.body, "<Code>", "</Code>", ret->code, sizeof(ret->code));
	return is_an_answer(r, answer.status, ret->code) ? ERR_NONE
							 : explain(c, r, &answer, ret->code, err);
}

bool s3_client_header(const struct s3_client *c, const char *name, struct span *ret)
{
	return http_client_header(c->client, name, ret);
}
