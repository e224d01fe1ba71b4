#include "watch/tell.h"

#include "base/utf8.h"

#include <inttypes.h>
#include <stdio.h>

enum { FLY_AHEAD_SECONDS = 60 };

enum err_kind teller_init(struct teller *t, struct err *err)
{
	*t = (struct teller){.hasher = NULL};
	buf_init(&t->attributes, TELL_ATTRIBUTES_BYTES_MAX);
	return hasher_new(&t->hasher, err);
}

void teller_release(struct teller *t)
{
	hasher_free(t->hasher);
	buf_release(&t->attributes);
}

static struct span or_else(struct span first, struct span second)
{
	return first.len > 0 ? first : second;
}

static void begin_attributes(struct teller *t)
{
	buf_reset(&t->attributes);
	buf_u8(&t->attributes, '{');
}

static void write_member(struct buf *out, const char *key, struct span text)
{
	if (text.len == 0)
		return;
	json_write_key(out, key);
	json_write_text(out, text);
}

/* The first so many fields; 0: all. */
static void write_fields(const struct listing_shape *shape, size_t count, const struct item *item,
			 const char *key, struct buf *out)
{
	size_t end = count > 0 && count < shape->field_count ? count : shape->field_count;

	if (!item)
		return;
	json_write_key(out, key);
	buf_u8(out, '{');
	for (size_t i = 0; i < end; i++)
		write_member(out, shape->fields[i], item->values[i]);
	buf_u8(out, '}');
}

struct what {
	const struct watch_resource *resource;
	const struct watch_ask *ask;
	struct span key;
	int64_t fly_ns, from_ns; /* the second where there is no first */
};

/* The attributes are part of it: two different facts are never one. */
static enum err_kind make_id(struct teller *t, enum action action, const struct what *what,
			     struct id *ret, struct err *err)
{
	bool is_flys = what->fly_ns != LISTING_NO_TIME;
	char time[ID_NUMBER_BYTES];
	const struct span parts[] = {
		SPAN("watch"),
		span_text(what->resource->name),
		span_text(what->ask->app),
		span_text(what->ask->item),
		span_text(action_name(action)),
		what->key,
		is_flys ? SPAN("fly") : SPAN("snapshot"),
		id_number(is_flys ? what->fly_ns : what->from_ns, time),
		span_of(t->attributes.data, t->attributes.len),
	};

	return id_event(t->hasher, parts, ARRAY_LEN(parts), ret, err);
}

/*
 * Whether it touches flytrail: the audited must not end the audit unseen. What happens there each
 * day (a snapshot of a volume, a start) and harms nobody does not.
 */
static bool touches_own(const struct teller *t, const struct event *e)
{
	static const enum line_class always[] = {CLASS_deploy,      CLASS_secret_change,
						 CLASS_ssh_session, CLASS_access,
						 CLASS_restart,     CLASS_exit};
	bool own = span_equal(e->app, t->own_app) || span_equal(e->app, t->store_app);

	if (e->trust != TRUST_API || e->app.len == 0 || !own)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(always); i++)
		if (e->class == always[i])
			return true;
	return action_severity(e->action) > SEVERITY_INFO;
}

static enum err_kind send(struct teller *t, struct event *e, const struct what *what,
			  struct err *err)
{
	enum err_kind rc;

	buf_u8(&t->attributes, '}');
	rc = buf_check(&t->attributes, err);
	if (!rc)
		rc = make_id(t, e->action, what, &e->id, err);
	if (rc)
		return rc;
	e->org = t->org;
	e->class = action_class(e->action);
	e->observed_ns = what->ask->answered_ns;
	e->source = SOURCE_WATCH;
	e->rule = SPAN("watch");
	e->attributes = span_of(t->attributes.data, t->attributes.len);
	if (e->severity == SEVERITY_UNKNOWN)
		e->severity = action_severity(e->action);
	if (touches_own(t, e))
		e->severity = SEVERITY_FATAL;
	return t->tell(t->arg, e, err);
}

/* Of a time that Fly says and that cannot be, nothing is believed. */
static int64_t good_time(const struct change *c, int64_t fly_ns)
{
	return fly_ns > 0 && fly_ns <= c->to_ns + FLY_AHEAD_SECONDS * NS_PER_S ? fly_ns
									       : LISTING_NO_TIME;
}

/* Names were cut by bytes where there was no room, perhaps within a character. */
static void keep_characters(char *text)
{
	struct span rest = span_text(text);

	while (rest.len > 0) {
		size_t len = utf8_char(rest);

		memmove(text, rest.data, len);
		text += len;
		rest = span_after(rest, len > 0 ? len : 1);
	}
	*text = '\0';
}

static enum err_kind tell_fact(struct teller *t, const struct what *what, const struct change *c,
			       const struct watch_fact *fact, struct err *err)
{
	bool is_flys = what->fly_ns != LISTING_NO_TIME;
	struct event e = {
		.action = fact->action,
		.occurred_ns = is_flys ? what->fly_ns : what->from_ns,
		.not_after_ns = is_flys ? EVENT_NO_TIME : c->to_ns,
		.time_basis = is_flys ? TIME_SOURCE : TIME_INTERVAL,
		.app = or_else(fact->app, span_text(what->ask->app)),
		.region = fact->region,
		.machine_id = fact->machine,
		.correlation_id = fact->correlation,
		.actor = span_text(fact->actor),
		.actor_type = fact->actor_type,
		.actor_reason = span_text(fact->actor_reason ? fact->actor_reason : ""),
		.target_type = span_text(fact->target_type),
		.target = or_else(fact->target, c->item->key),
		.outcome = fact->outcome,
		.severity = fact->severity,
		.trust = TRUST_API,
		.summary = span_text(fact->summary),
	};

	begin_attributes(t);
	write_fields(&what->resource->shape, fact->field_count, c->before, "before",
		     &t->attributes);
	write_fields(&what->resource->shape, fact->field_count, c->after, "after", &t->attributes);
	if (t->attributes.failed == ERR_FULL) {
		begin_attributes(t);
		write_member(&t->attributes, "fields", SPAN("too long to be kept"));
	}
	return send(t, &e, what, err);
}

enum err_kind teller_change(struct teller *t, const struct watch_resource *resource,
			    const struct watch_ask *ask, const struct change *change,
			    struct err *err)
{
	enum err_kind rc = ERR_NONE;

	for (unsigned nth = 0; !rc && resource->describe; nth++) {
		struct watch_fact fact = WATCH_NO_FACT;
		struct what what = {.resource = resource,
				    .ask = ask,
				    .key = change->item->key,
				    .from_ns = change->from_ns};

		if (!resource->describe(change, ask, nth, &fact))
			break;
		keep_characters(fact.summary);
		what.fly_ns = good_time(change, fact.fly_ns);
		if (fact.since_ns < change->to_ns)
			what.from_ns = time_later(change->from_ns, fact.since_ns);
		rc = tell_fact(t, &what, change, &fact, err);
	}
	return rc;
}

/* --- of itself --- */

/* "secrets of web-1", "certificate of web-1 for example.com" */
static void name_what(const struct watch_resource *resource, const struct watch_ask *ask,
		      char ret[WATCH_SUMMARY_BYTES])
{
	(void)snprintf(ret, WATCH_SUMMARY_BYTES, "%s%s%s%s%s", resource->name,
		       ask->app[0] != '\0' ? " of " : "", ask->app,
		       ask->item[0] != '\0' ? " for " : "", ask->item);
}

static enum err_kind tell_self(struct teller *t, const struct what *what, struct event *e,
			       struct err *err)
{
	e->occurred_ns = what->from_ns;
	e->time_basis = e->not_after_ns == EVENT_NO_TIME ? TIME_OBSERVED : TIME_INTERVAL;
	e->app = span_text(what->ask->app);
	e->actor = SPAN("flytrail");
	e->actor_type = ACTOR_SELF;
	e->target_type = SPAN("resource");
	e->target = span_text(what->resource->name);
	e->trust = TRUST_SELF;
	write_member(&t->attributes, "resource", span_text(what->resource->name));
	write_member(&t->attributes, "item", span_text(what->ask->item));
	return send(t, e, what, err);
}

static struct what what_now(const struct watch_resource *resource, const struct watch_ask *ask,
			    int64_t from_ns)
{
	return (struct what){.resource = resource,
			     .ask = ask,
			     .key = SPAN(""),
			     .fly_ns = LISTING_NO_TIME,
			     .from_ns = from_ns};
}

enum err_kind teller_baseline(struct teller *t, const struct watch_resource *resource,
			      const struct watch_ask *ask, size_t count, struct err *err)
{
	const struct what what = what_now(resource, ask, ask->now_ns);
	char name[WATCH_SUMMARY_BYTES], summary[WATCH_SUMMARY_BYTES];
	struct event e = {.action = ACTION_trail_baseline, .not_after_ns = EVENT_NO_TIME};

	name_what(resource, ask, name);
	(void)snprintf(summary, sizeof(summary), "%zu of %.400s when flytrail first looked", count,
		       name);
	e.summary = span_text(summary);
	begin_attributes(t);
	json_write_key(&t->attributes, "count");
	buf_fmt(&t->attributes, "%zu", count);
	return tell_self(t, &what, &e, err);
}

enum err_kind teller_sight(struct teller *t, const struct watch_resource *resource,
			   const struct watch_ask *ask, const char *why, struct err *err)
{
	const struct what what = what_now(resource, ask, ask->now_ns);
	char name[WATCH_SUMMARY_BYTES], summary[WATCH_SUMMARY_BYTES];
	struct event e = {.action = why ? ACTION_trail_unobserved : ACTION_trail_observed,
			  .not_after_ns = EVENT_NO_TIME};

	name_what(resource, ask, name);
	(void)snprintf(summary, sizeof(summary), "%.400s can%s be looked at%s", name,
		       why ? "not" : "", why ? "" : " again");
	e.summary = span_text(summary);
	begin_attributes(t);
	write_member(&t->attributes, "why", span_text(why ? why : ""));
	return tell_self(t, &what, &e, err);
}

enum err_kind teller_absence(struct teller *t, const struct watch_resource *resource,
			     const struct watch_ask *ask, int64_t from_ns, struct err *err)
{
	const struct what what = what_now(resource, ask, from_ns);
	char summary[WATCH_SUMMARY_BYTES];
	struct event e = {.action = ACTION_trail_unobserved, .not_after_ns = EVENT_NO_TIME};
	enum err_kind rc;

	(void)snprintf(summary, sizeof(summary),
		       "%s: not looked at for %" PRId64 " minutes, and so perhaps nothing else",
		       resource->name, (ask->now_ns - from_ns) / (60 * NS_PER_S));
	e.summary = span_text(summary);
	begin_attributes(t);
	write_member(&t->attributes, "why", SPAN("not looked at, and so perhaps nothing else"));
	rc = tell_self(t, &what, &e, err);
	return rc ? rc : teller_sight(t, resource, ask, NULL, err);
}

enum err_kind teller_overrun(struct teller *t, const struct watch_resource *resource,
			     const struct watch_ask *ask, int64_t from_ns, struct err *err)
{
	const struct what what = what_now(resource, ask, from_ns);
	char name[WATCH_SUMMARY_BYTES], summary[WATCH_SUMMARY_BYTES];
	struct event e = {.action = ACTION_trail_overrun, .not_after_ns = ask->answered_ns};

	name_what(resource, ask, name);
	(void)snprintf(summary, sizeof(summary),
		       "%.400s: more happened than Fly's answer shows, and is not here", name);
	e.summary = span_text(summary);
	begin_attributes(t);
	return tell_self(t, &what, &e, err);
}
