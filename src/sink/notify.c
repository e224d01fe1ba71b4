#include "sink/notify.h"

#include "base/hash.h"
#include "base/http_client.h"
#include "base/time.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { ANSWER_BYTES_MAX = 64 * 1024, SIGNED_BYTES_MAX = 16 * 1024 * 1024 };

struct notify {
	enum notify_kind kind;
	char *url, *key;
	struct http_client *client;
};

const char *notify_name(enum notify_kind kind)
{
	static const char *const names[] = {[NOTIFY_SLACK] = "slack", [NOTIFY_WEBHOOK] = "webhook"};

	REQUIRE(kind < NOTIFY_COUNT);
	return names[kind];
}

/* --- open and close --- */

void notify_close(struct notify *n)
{
	if (!n)
		return;
	http_client_free(n->client);
	secret_free(n->url);
	secret_free(n->key);
	free(n);
}

enum err_kind notify_open(struct notify **ret, const struct notify_options *options,
			  struct err *err)
{
	const struct http_client_options client = {
		.ca_file = options->ca_file, .cut = options->cut, .proxies = true};
	struct notify *n = calloc(1, sizeof(*n));
	enum err_kind rc = ERR_NONE;

	if (n) {
		n->kind = options->kind;
		n->url = span_copy(span_text(options->url));
		n->key = span_copy(span_text(options->key ? options->key : ""));
	}
	if (!n || !n->url || !n->key)
		rc = err_set(err, ERR_FATAL, "out of memory for %s", notify_name(options->kind));
	if (!rc)
		rc = http_client_new(&n->client, &client, err);
	if (rc)
		notify_close(n);
	else
		*ret = n;
	return rc;
}

/* --- the request --- */

enum err_kind notify_sign(struct span key, struct span body, int64_t now_ns,
			  char ret[NOTIFY_SIGNATURE_BYTES], struct err *err)
{
	uint8_t mac[HASH_BYTES];
	char hex[HASH_HEX_BYTES];
	struct buf text;
	enum err_kind rc;

	buf_init(&text, SIGNED_BYTES_MAX);
	buf_fmt(&text, "%" PRId64 ".", now_ns / NS_PER_S);
	buf_span(&text, body);
	rc = buf_check(&text, err);
	if (!rc)
		rc = hash_hmac(key, span_of(text.data, text.len), mac, err);
	buf_release(&text);
	if (!rc)
		(void)snprintf(ret, NOTIFY_SIGNATURE_BYTES,
			       "X-Flytrail-Signature: t=%" PRId64 ",v1=%s", now_ns / NS_PER_S,
			       hash_hex(mac, hex));
	return rc;
}

static enum err_kind post(struct notify *n, struct span body, struct http_answer *ret,
			  struct err *err)
{
	char signature[NOTIFY_SIGNATURE_BYTES];
	const char *headers[] = {"Content-Type: application/json", NULL, NULL};
	enum err_kind rc = ERR_NONE;

	if (n->kind == NOTIFY_WEBHOOK) {
		headers[1] = signature;
		rc = notify_sign(span_text(n->key), body, time_now_ns(), signature, err);
	}
	if (!rc)
		rc = http_client_send(n->client,
				      &(struct http_request){
					      .method = "POST",
					      .url = n->url,
					      .named = n->kind == NOTIFY_SLACK
							       ? "to SLACK_WEBHOOK_URL"
							       : "to FLYTRAIL_WEBHOOK_URL",
					      .headers = headers,
					      .body = body,
					      .body_max = ANSWER_BYTES_MAX,
					      .seconds = NOTIFY_SECONDS,
					      .once = true,
				      },
				      ret, err);
	return rc;
}

/* --- the answer --- */

static enum err_kind kind_of(unsigned status)
{
	switch (status) {
	case 400:
	case 413:
	case 422: return ERR_REJECT;
	case 408:
	case 425:
	case 429: return ERR_RETRY;
	default: break;
	}
	if (status >= 200 && status < 300)
		return ERR_NONE;
	return status >= 500 ? ERR_RETRY : ERR_CONFIG;
}

/* Of Slack's words those that tell an operator more than the status does; "": none of them. */
static const char *slacks_word(struct span said)
{
	static const char *const words[] = {
		"action_prohibited",
		"channel_is_archived",
		"channel_not_found",
		"invalid_payload",
		"invalid_token",
		"no_active_hooks",
		"no_service",
		"no_service_id",
		"no_team",
		"no_text",
		"posting_to_general_channel_denied",
		"rate_limited",
		"rollup_error",
		"team_disabled",
		"too_many_attachments",
		"user_not_found",
	};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (span_is(said, words[i]))
			return words[i];
	return "";
}

static enum err_kind explain(const struct notify *n, const struct http_answer *answer,
			     struct err *err)
{
	bool is_slack = n->kind == NOTIFY_SLACK;
	const char *word = is_slack ? slacks_word(answer->body) : "";
	enum err_kind kind = kind_of(answer->status);
	const char *advice = "";

	if (kind == ERR_CONFIG)
		advice = is_slack ? "; see whether the webhook and its channel are still there, "
				    "and set SLACK_WEBHOOK_URL to one that is"
				  : "; check FLYTRAIL_WEBHOOK_URL, and that its receiver has "
				    "FLYTRAIL_WEBHOOK_KEY";
	return err_set(err, kind, "%s answers %u%s%s%s",
		       is_slack ? "Slack" : "FLYTRAIL_WEBHOOK_URL", answer->status,
		       word[0] != '\0' ? " " : "", word, advice);
}

enum err_kind notify_send(struct notify *n, struct span body, unsigned *ret_wait_seconds,
			  struct err *err)
{
	struct http_answer answer;
	enum err_kind rc = post(n, body, &answer, err);

	*ret_wait_seconds = 0;
	if (rc)
		return rc;
	if (kind_of(answer.status) == ERR_NONE)
		return ERR_NONE;
	if (kind_of(answer.status) == ERR_RETRY)
		*ret_wait_seconds = answer.retry_after_seconds;
	return explain(n, &answer, err);
}
