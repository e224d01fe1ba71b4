#include "base/fly_client.h"

#include "base/backoff.h"
#include "base/http_client.h"
#include "base/time.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	PACE_QUICKENS = 16, /* a good answer takes so many parts of the pace away, one of them */
	STATUS_GOOD = 200,
	STATUS_REDIRECT = 300,
	STATUS_REFUSED = 400,
	STATUS_UNAUTHORIZED = 401,
	STATUS_FORBIDDEN = 403,
	STATUS_NOT_FOUND = 404,
	STATUS_TIMEOUT = 408,
	STATUS_TOO_MANY = 429,
};

struct fly_client {
	/* const after fly_client_new() */
	char *authorization; /* the header */
	unsigned seconds;
	const _Atomic bool *cut;

	struct http_client *client;
	int64_t not_before_ns; /* on the monotonic clock: the next request */
	int64_t pace_ns;       /* between two requests; 0: none */
	unsigned failures;     /* in a row */
	unsigned refusals;     /* of the token, in a row */
	bool refused;          /* the newest request */
};

static bool is_macaroon(struct span part)
{
	return span_starts(part, SPAN("fm2_")) || span_starts(part, SPAN("fm1r_")) ||
	       span_starts(part, SPAN("fm1a_"));
}

/* By any of its comma-separated parts, as Fly's own client does. */
static const char *scheme_of(struct span token)
{
	while (token.len > 0) {
		const char *comma = memchr(token.data, ',', token.len);
		size_t len = comma ? (size_t)(comma - token.data) : token.len;

		if (is_macaroon(span_of(token.data, len)))
			return "FlyV1";
		token = span_after(token, comma ? len + 1 : len);
	}
	return "Bearer";
}

static char *make_authorization(const char *token)
{
	const char *scheme = scheme_of(span_text(token));
	size_t room = sizeof("Authorization: FlyV1! ") + strlen(token);
	char *text = malloc(room);

	if (text)
		(void)snprintf(text, room, "Authorization: %s %s", scheme, token);
	return text;
}

void fly_client_free(struct fly_client *c)
{
	if (!c)
		return;
	http_client_free(c->client);
	secret_free(c->authorization);
	free(c);
}

enum err_kind fly_client_new(struct fly_client **ret, const struct fly_client_options *options,
			     struct err *err)
{
	const struct http_client_options client = {.ca_file = options->ca_file,
						   .cut = options->cut};
	struct fly_client *c = calloc(1, sizeof(*c));
	enum err_kind rc;

	if (!c)
		return err_set(err, ERR_FATAL, "out of memory for Fly's API");
	c->cut = options->cut;
	c->seconds = options->seconds > 0 ? options->seconds : FLY_CLIENT_SECONDS;
	c->authorization = make_authorization(options->token);
	if (c->authorization)
		rc = http_client_new(&c->client, &client, err);
	else
		rc = err_set(err, ERR_FATAL, "out of memory for Fly's API");
	if (rc)
		fly_client_free(c);
	else
		*ret = c;
	return rc;
}

bool fly_client_is_name(struct span name)
{
	static const char bytes[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
	bool good = name.len > 0 && name.len <= FLY_CLIENT_NAME_BYTES_MAX;

	for (size_t i = 0; i < name.len && good; i++)
		good = memchr(bytes, name.data[i], sizeof(bytes) - 1) != NULL;
	return good;
}

int64_t fly_client_wait_ns(const struct fly_client *c)
{
	int64_t wait_ns = c->not_before_ns - time_monotonic_ns();

	return wait_ns > 0 ? wait_ns : 0;
}

static void wait_for(struct fly_client *c, int64_t wait_ns)
{
	c->not_before_ns = time_monotonic_ns() + wait_ns;
}

static enum err_kind after_failure(struct fly_client *c, enum err_kind kind)
{
	if (c->cut && atomic_load(c->cut))
		return kind;
	c->failures++;
	wait_for(c, backoff_random_ms(c->failures) * NS_PER_MS);
	return kind;
}

static void after_success(struct fly_client *c)
{
	c->failures = 0;
	c->refusals = 0;
	c->pace_ns -= c->pace_ns / PACE_QUICKENS;
	if (c->pace_ns < FLY_CLIENT_PACE_MS_MIN * NS_PER_MS / PACE_QUICKENS)
		c->pace_ns = 0;
	wait_for(c, c->pace_ns);
}

static enum err_kind slow_down(struct fly_client *c, unsigned retry_after_seconds, struct err *err)
{
	int64_t asked_ns = (int64_t)retry_after_seconds * NS_PER_S;

	c->pace_ns *= 2;
	if (c->pace_ns < FLY_CLIENT_PACE_MS_MIN * NS_PER_MS)
		c->pace_ns = FLY_CLIENT_PACE_MS_MIN * NS_PER_MS;
	if (c->pace_ns > FLY_CLIENT_PACE_MS_MAX * NS_PER_MS)
		c->pace_ns = FLY_CLIENT_PACE_MS_MAX * NS_PER_MS;
	wait_for(c, asked_ns > c->pace_ns ? asked_ns : c->pace_ns);
	return err_set(err, ERR_RETRY, "asked too often (status 429)");
}

/* It says nothing of how much Fly has to do: others are not slowed down by it. */
static enum err_kind after_refusal(struct fly_client *c, enum err_kind kind)
{
	wait_for(c, backoff_random_ms(1) * NS_PER_MS);
	return kind;
}

/* 401 and 403. */
static enum err_kind take_refusal(struct fly_client *c, unsigned status, struct err *err)
{
	if (c->refusals < FLY_CLIENT_REFUSALS_MAX)
		c->refusals++;
	if (c->refusals < FLY_CLIENT_REFUSALS_MAX)
		return after_refusal(c, err_set(err, ERR_RETRY, "status %u", status));
	(void)err_set(err, ERR_CONFIG,
		      "the token is refused (status %u): check ACCESS_TOKEN, that it has not "
		      "expired, and that it may read this organisation",
		      status);
	return after_refusal(c, ERR_CONFIG);
}

/* Any status that is not good. */
static enum err_kind take_status(struct fly_client *c, const struct http_answer *answer,
				 struct err *err)
{
	unsigned status = answer->status;

	if (status == STATUS_TOO_MANY)
		return slow_down(c, answer->retry_after_seconds, err);
	if (status == STATUS_UNAUTHORIZED || status == STATUS_FORBIDDEN)
		return take_refusal(c, status, err);
	if (status == STATUS_NOT_FOUND) {
		after_success(c);
		return err_set(err, ERR_REJECT, "status 404");
	}
	if (status / 100 == STATUS_REDIRECT / 100)
		(void)err_set(err, ERR_RETRY, "status %u: a redirect, which is not followed",
			      status);
	else
		(void)err_set(err, ERR_RETRY, "status %u", status);
	return after_failure(c, ERR_RETRY);
}

static enum err_kind send(struct fly_client *c, const struct http_request *what,
			  struct span *ret_body, struct err *err)
{
	const char *const headers[] = {c->authorization, "Accept: application/json",
				       what->body.data ? "Content-Type: application/json" : NULL,
				       NULL};
	struct http_request request = *what;
	struct http_answer answer;
	enum err_kind rc;

	c->refused = false;
	request.headers = headers;
	request.seconds = c->seconds;
	rc = http_client_send(c->client, &request, &answer, err);
	if (rc)
		return after_failure(c, rc);
	*ret_body = answer.body;
	c->refused = answer.status / 100 == STATUS_REFUSED / 100 &&
		     answer.status != STATUS_TIMEOUT && answer.status != STATUS_TOO_MANY;
	return answer.status == STATUS_GOOD ? ERR_NONE : take_status(c, &answer, err);
}

enum err_kind fly_client_get(struct fly_client *c, const char *url, size_t body_max,
			     struct span *ret_body, struct err *err)
{
	const struct http_request request = {.url = url, .body_max = body_max};

	return send(c, &request, ret_body, err);
}

enum err_kind fly_client_post(struct fly_client *c, const char *url, struct span json,
			      size_t body_max, struct span *ret_body, struct err *err)
{
	const struct http_request request = {
		.method = "POST", .url = url, .body = json, .body_max = body_max};

	return send(c, &request, ret_body, err);
}

bool fly_client_refused(const struct fly_client *c)
{
	return c->refused;
}

enum err_kind fly_client_done(struct fly_client *c, enum err_kind rc)
{
	if (rc)
		return after_failure(c, rc);
	after_success(c);
	return ERR_NONE;
}
