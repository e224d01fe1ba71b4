#include "s3_kit.h"

#include "model/event.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { PAYLOAD_BYTES = 4096, CUT_BYTES = 4096, START_BYTES = 256 };

void s3_kit_answer(struct s3_kit_script *s, unsigned status, const char *headers, const char *body)
{
	assert_true(s->count < S3_KIT_ANSWERS_MAX);
	s->answers[s->count] = tiny_http_answer(s->texts[s->count], sizeof(s->texts[s->count]),
						status, headers, body);
	s->answers[++s->count] = NULL;
}

struct s3_options s3_kit_options(const char *endpoint)
{
	return (struct s3_options){
		.endpoint = endpoint,
		.bucket = "trail",
		.region = "us-east-1",
		.access_key = "AKIAEXAMPLEEXAMPLE00",
		.secret_key = "an-example-of-a-secret-key",
		.session_token = "",
	};
}

struct s3_sink_options s3_kit_sink_options(void)
{
	return (struct s3_sink_options){
		.client = s3_kit_options(NULL),
		.archive = {.prefix = "audit", .stream = {.epoch = 1}},
		.put = {.sse = "aws:kms", .kms_key_id = "an-example", .storage_class = ""},
	};
}

void s3_kit_make(struct s3_kit *k)
{
	memset(k, 0, sizeof(*k));
	buf_init(&k->payload, PAYLOAD_BYTES);
	buf_init(&k->cut, CUT_BYTES);
	s3_kit_have_event(k, 0);
}

void s3_kit_remove(struct s3_kit *k)
{
	k->sink.ops->close(k->sink.ctx);
	tiny_http_stop(&k->server);
	buf_release(&k->payload);
	buf_release(&k->cut);
}

void s3_kit_have_event(struct s3_kit *k, int64_t ns)
{
	const struct event event = {.class = CLASS_exit,
				    .action = ACTION_exit_crashed,
				    .occurred_ns = ns,
				    .not_after_ns = EVENT_NO_TIME,
				    .observed_ns = ns};

	buf_reset(&k->payload);
	event_encode(&event, &k->payload);
}

void s3_kit_serve(struct s3_kit *k)
{
	tiny_http_start(&k->server, k->script.answers);
}

void s3_kit_open(struct s3_kit *k, const struct s3_sink_options *options)
{
	struct s3_sink_options o = *options;

	o.client.endpoint = k->server.url;
	assert_int_equal(s3_open(&k->sink, &o, &k->err), ERR_NONE);
}

void s3_kit_seal(struct s3_kit *k, uint64_t seq, bool again)
{
	struct sink *s = &k->sink;
	bool taken;

	buf_reset(&k->cut);
	s->ops->begin(s->ctx, seq, again);
	assert_int_equal(
		s->ops->add(s->ctx, seq, span_of(k->payload.data, k->payload.len), &taken, &k->err),
		ERR_NONE);
	assert_int_equal(s->ops->seal(s->ctx, seq, &k->cut, &k->err), ERR_NONE);
}

enum err_kind s3_kit_deliver(struct s3_kit *k)
{
	struct sink_answer answer = {.wait_seconds = 0};
	enum err_kind rc = k->sink.ops->deliver(k->sink.ctx, &answer, &k->err);

	assert_int_equal(answer.wait_seconds, rc == ERR_RETRY ? S3_KIT_RETRY_SECONDS : 0);
	return rc;
}

void s3_kit_assert_asked(const struct s3_kit *k, size_t idx, const char *method, const char *place)
{
	char start[START_BYTES];

	(void)snprintf(start, sizeof(start), "%s /trail/audit/%s", method, place);
	assert_true(idx < atomic_load(&k->server.count));
	assert_ptr_equal(strstr(k->server.requests[idx], start), k->server.requests[idx]);
}
