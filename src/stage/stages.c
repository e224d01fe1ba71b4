#include "stage/stages.h"

#include "base/utf8.h"
#include "stage/classify.h"
#include "stage/decode.h"
#include "stage/hits.h"
#include "stage/redact.h"

#include <stdlib.h>

struct stages {
	struct decode_context decode;
	struct arena arena;
	struct redactor *redactor;
	struct hasher *hasher;
	struct span own_app;
	bool redacted;
};

enum err_kind stages_new(struct stages **ret, const struct stages_options *options, struct err *err)
{
	struct stages *s = calloc(1, sizeof(*s));
	enum err_kind rc;

	if (s == NULL)
		return err_set(err, ERR_FATAL, "out of memory for the stages");
	arena_init(&s->arena, STAGES_ARENA_BYTES_MAX);
	s->decode = (struct decode_context){
		.arena = &s->arena,
		.org = options->org,
		.app = options->app,
		.any_time = options->any_time,
	};
	s->own_app = options->own_app;
	rc = redactor_new(&s->redactor, err);
	if (rc == ERR_NONE)
		rc = hasher_new(&s->hasher, err);
	if (rc) {
		stages_free(s);
		return rc;
	}
	*ret = s;
	return ERR_NONE;
}

void stages_free(struct stages *s)
{
	if (s == NULL)
		return;
	hasher_free(s->hasher);
	redactor_free(s->redactor);
	arena_release(&s->arena);
	free(s);
}

void stages_begin_batch(struct stages *s)
{
	arena_reset(&s->arena);
	redactor_begin_batch(s->redactor);
}

static enum err_kind make_id(struct stages *s, const struct raw *raw, struct record *r,
			     struct err *err)
{
	/* Fly's copies of a line may differ in more than the message. A redacted raw says less. */
	bool by_raw = r->raw.data && !r->raw_is_line && !secret_is_marker(r->raw);
	struct span text = by_raw ? r->raw : r->message;
	struct id_extra extra = {
		.source = span_text(source_name(r->source)),
		.raw = text,
		.ordinal = raw->ordinal,
		.file = raw->file.number,
	};
	bool own_time = r->exact_time && r->decoded;
	struct id_parts line = {
		.app = r->app,
		.instance = r->machine_id,
		.message = text,
		.occurred_ns = r->claimed_ns,
		.extra = own_time ? NULL : &extra,
	};

	return id_line(s->hasher, &line, &r->id, err);
}

/* Keys that had secrets in them may be the same without. */
static enum err_kind part_keys(struct stages *s, struct record *r, struct err *err)
{
	for (size_t i = 1; s->redacted && i < r->attr_count; i++) {
		if (!record_attr_aside(r, &s->arena, i, r->attrs[i].key))
			return err_set(err, ERR_FATAL,
				       "out of memory for the attributes of a line");
	}
	return ERR_NONE;
}

/* The SHA-256 of text in hex, in the arena. */
static enum err_kind hex_digest(struct stages *s, struct span text, struct span *ret,
				struct err *err)
{
	uint8_t digest[HASH_BYTES];
	char *room = arena_alloc(&s->arena, HASH_HEX_BYTES);
	enum err_kind rc;

	if (room == NULL)
		return err_set(err, ERR_FATAL, "out of memory for a line of %zu bytes", text.len);
	rc = hasher_digest(s->hasher, text, digest, err);
	if (rc)
		return rc;
	*ret = span_of(hash_hex(digest, room), HASH_HEX_BYTES - 1);
	return ERR_NONE;
}

static enum err_kind cut_message(struct stages *s, struct record *r, struct err *err)
{
	struct span hex = SPAN("");
	enum err_kind rc;

	if (r->message.len <= RECORD_TEXT_BYTES_MAX)
		return ERR_NONE;
	rc = hex_digest(s, r->message, &hex, err);
	if (rc)
		return rc;
	record_attr_number(r, SPAN("message_bytes"), (int64_t)r->message.len);
	record_attr_text(r, SPAN("message_sha256"), hex);
	r->message = utf8_cut(r->message, RECORD_TEXT_BYTES_MAX);
	return ERR_NONE;
}

static enum err_kind cut_raw(struct stages *s, struct record *r, struct err *err)
{
	struct span hex = SPAN("");
	enum err_kind rc;

	if (r->raw.data == NULL || r->raw.len <= RECORD_TEXT_BYTES_MAX)
		return ERR_NONE;
	rc = hex_digest(s, r->raw, &hex, err);
	if (rc)
		return rc;
	record_attr_number(r, SPAN("raw_bytes"), (int64_t)r->raw.len);
	record_attr_text(r, SPAN("raw_sha256"), hex);
	r->raw.len = RECORD_TEXT_BYTES_MAX;
	return ERR_NONE;
}

enum err_kind stages_take(struct stages *s, struct batch *batch, const struct raw *raw,
			  struct record *ret, struct err *err)
{
	size_t attrs_before;
	enum err_kind rc;

	decode(&s->decode, batch, raw, ret);
	attrs_before = ret->attr_count;
	redact(s->redactor, &s->arena, ret);
	s->redacted = ret->attr_count > attrs_before;
	rc = part_keys(s, ret, err);
	if (rc == ERR_NONE)
		rc = make_id(s, raw, ret, err);
	if (rc == ERR_NONE)
		rc = cut_message(s, ret, err);
	if (rc == ERR_NONE)
		rc = cut_raw(s, ret, err);
	if (rc)
		return rc;
	ret->class = CLASS_app_log;
	ret->action = ACTION_none;
	/* What flytrail prints about an event must not become an event. */
	if (s->own_app.len == 0 || !span_equal(ret->app, s->own_app))
		classify(&s->arena, ret);
	return ERR_NONE;
}

bool stages_redacted(const struct stages *s)
{
	return s->redacted;
}
