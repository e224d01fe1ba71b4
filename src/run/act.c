#include "run/act.h"

#include "base/json.h"
#include "base/time.h"
#include "model/event.h"

#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <unistd.h>

enum {
	USER_BYTES = 64,
	HOST_BYTES = 65,
	PASSWD_BYTES = 1024, /* an entry that is longer is told by its number alone */
	REASON_BYTES = 256,
	PAYLOAD_BYTES_MAX = ACT_ATTRIBUTES_BYTES_MAX + 4096, /* its other texts are short */
};

/* "root (uid 0)", or the number alone where the system has no name for it. */
static void find_user(char text[USER_BYTES])
{
	char room[PASSWD_BYTES];
	struct passwd entry, *found = NULL;
	uid_t uid = geteuid();

	if (getpwuid_r(uid, &entry, room, sizeof(room), &found) == 0 && found)
		(void)snprintf(text, USER_BYTES, "%.32s (uid %u)", found->pw_name, uid);
	else
		(void)snprintf(text, USER_BYTES, "uid %u", uid);
}

/* Fly's name of the machine, or elsewhere what it calls itself. */
static const char *find_machine(const struct config *c, char text[HOST_BYTES])
{
	if (c->fly_machine_id[0] != '\0')
		return c->fly_machine_id;
	if (gethostname(text, HOST_BYTES) != 0)
		text[0] = '\0';
	text[HOST_BYTES - 1] = '\0';
	return text;
}

static void write_text(struct buf *out, const char *key, const char *text)
{
	json_write_key(out, key);
	json_write_text(out, span_text(text));
}

static void write_number(struct buf *out, const char *key, uint64_t n)
{
	json_write_key(out, key);
	buf_fmt(out, "%" PRIu64, n);
}

static void write_range(const struct act *act, struct buf *out)
{
	char stream[ID_TEXT_BYTES];

	write_text(out, "stream", id_format(&act->stream, stream));
	write_number(out, "epoch", act->epoch);
	write_number(out, "first_seq", act->first_seq);
	write_number(out, "last_seq", act->last_seq);
}

static void write_attributes(const struct act *act, const char *user, struct buf *out)
{
	buf_u8(out, '{');
	write_text(out, "command", act->command);
	write_text(out, "ran_as", user);
	write_text(out, act->target_type, act->target);
	if (act->epoch > 0)
		write_range(act, out);
	for (size_t i = 0; i < act->text_count; i++)
		if (act->texts[i].text.len > 0) {
			json_write_key(out, act->texts[i].name);
			json_write_text(out, act->texts[i].text);
		}
	for (size_t i = 0; i < act->number_count; i++)
		write_number(out, act->numbers[i].name, act->numbers[i].value);
	if (act->why[0] != '\0')
		write_text(out, "why", act->why);
	buf_u8(out, '}');
}

/* Each time that it is done is a fact of its own. */
static enum err_kind make_id(const struct act *act, int64_t now_ns, struct span attributes,
			     struct hasher *hasher, struct id *ret, struct err *err)
{
	char time[ID_NUMBER_BYTES];
	const struct span parts[] = {SPAN("act"), span_text(action_name(act->action)),
				     id_number(now_ns, time), attributes};

	return id_event(hasher, parts, ARRAY_LEN(parts), ret, err);
}

enum err_kind act_encode(const struct config *c, const struct act *act, struct hasher *hasher,
			 struct buf *out, struct err *err)
{
	char user[USER_BYTES], host[HOST_BYTES], reason[REASON_BYTES];
	const char *machine = find_machine(c, host);
	struct event e = {
		.class = CLASS_trail,
		.action = act->action,
		.occurred_ns = act->at_ns != 0 ? act->at_ns : time_now_ns(),
		.not_after_ns = EVENT_NO_TIME,
		.time_basis = TIME_OBSERVED,
		.org = span_text(c->org),
		.app = span_text(c->fly_app_name),
		.region = span_text(c->fly_region),
		.machine_id = span_text(c->fly_machine_id),
		.actor_type = ACTOR_UNKNOWN,
		.target_type = span_text(act->target_type),
		.target = span_text(act->target),
		.origin = span_text(machine),
		.severity = action_severity(act->action),
		.trust = TRUST_SELF,
		.source = SOURCE_TRAIL,
		.rule = SPAN("trail"),
		.summary = span_text(action_doc(act->action)),
	};
	struct buf attributes;
	enum err_kind rc;

	REQUIRE(action_class(act->action) == CLASS_trail);
	find_user(user);
	(void)snprintf(reason, sizeof(reason),
		       "`flytrail %s` was run as %s on %s, and does not know by whom", act->command,
		       user, machine);
	buf_init(&attributes, ACT_ATTRIBUTES_BYTES_MAX);
	write_attributes(act, user, &attributes);
	rc = buf_check(&attributes, err);
	e.observed_ns = e.occurred_ns;
	e.actor_reason = span_text(reason);
	e.attributes = span_of(attributes.data, attributes.len);
	if (!rc)
		rc = make_id(act, e.occurred_ns, e.attributes, hasher, &e.id, err);
	if (!rc) {
		event_encode(&e, out);
		rc = buf_check(out, err);
	}
	buf_release(&attributes);
	return rc;
}

enum err_kind act_add(struct apart *a, const struct config *c, const struct act *act,
		      struct err *err)
{
	struct apart_row row = {.stream = act->stream};
	struct hasher *hasher = NULL;
	struct buf payload;
	enum err_kind rc = hasher_new(&hasher, err);

	buf_init(&payload, PAYLOAD_BYTES_MAX);
	if (!rc)
		rc = act_encode(c, act, hasher, &payload, err);
	row.payload = span_of(payload.data, payload.len);
	if (!rc)
		rc = apart_add(a, &row, err);
	buf_release(&payload);
	hasher_free(hasher);
	return rc;
}
