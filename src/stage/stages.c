#include "stage/stages.h"

#include "base/time.h"
#include "base/utf8.h"
#include "stage/classify.h"
#include "stage/decode.h"
#include "stage/hits.h"
#include "stage/redact.h"

#include <stdlib.h>
#include <string.h>

struct stages {
	struct decode_context decode;
	struct arena arena;
	struct redactor *redactor;
	struct hasher *hasher;
	struct span own_app, store_app;
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
	s->store_app = options->store_app;
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

/* Whether the row will say the line's own time, or only a part of one that was not taken. */
static bool keeps_time(const struct record *r)
{
	unsigned digits;
	int64_t ns;

	if (!r->foreign_time)
		return true;
	for (size_t i = 0; i < r->attr_count; i++)
		if (span_is(r->attrs[i].key, "claimed_time"))
			return time_parse(r->attrs[i].text, true, &ns, &digits) &&
			       ns == r->claimed_ns;
	return false;
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
		.beyond_row = by_raw || text.len > RECORD_TEXT_BYTES_MAX || !keeps_time(r),
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

/* What ends the audit, or could: somebody is in there, something else runs, or nothing does. */
static bool is_grave(enum action a)
{
	static const enum action stops[] = {
		ACTION_restart_suppressed,
		ACTION_restart_gave_up,
		ACTION_exit_vm_stopping,
		ACTION_exit_vm_abrupt,
		ACTION_exit_vm_suspended,
		ACTION_exit_kernel_panic,
		ACTION_autoscale_stopping,
		ACTION_autoscale_suspending,
		ACTION_oom_main_child,
		ACTION_deploy_machine_started,
		ACTION_deploy_machine_left_stopped,
	};
	enum line_class class = action_class(a);

	if (class == CLASS_ssh_session || class == CLASS_secret_change || class == CLASS_access)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(stops); i++)
		if (a == stops[i])
			return true;
	return false;
}

static bool is_of(const struct record *r, struct span app)
{
	return r->app.len > 0 && span_equal(r->app, app);
}

/*
 * Whether flytrail itself may have printed it: what it prints about an event must not become an
 * event. The platform writes outside the machine; and no rule takes a line of JSON, such as
 * flytrail's, for one of the SSH server's.
 */
static bool is_own_print(const struct record *r)
{
	static const char session[] = "New SSH session";

	if (span_is(r->provider, "runner") || span_is(r->provider, "proxy") ||
	    span_is(r->provider, "health"))
		return false;
	return !memmem(r->message.data, r->message.len, session, sizeof(session) - 1);
}

/* What is told of flytrail's own machines and its Postgres's: the audited must not end the audit.
 */
static void judge(const struct stages *s, struct record *r)
{
	if ((is_of(r, s->own_app) || is_of(r, s->store_app)) && is_grave(r->action))
		r->finding.severity = SEVERITY_FATAL;
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
	if (!is_of(ret, s->own_app) || !is_own_print(ret)) {
		classify(&s->arena, ret);
		judge(s, ret);
	}
	return ERR_NONE;
}

bool stages_redacted(const struct stages *s)
{
	return s->redacted;
}
