#include "stage/classify.h"

#include "base/utf8.h"
#include "stage/rules.h"

#include <inttypes.h>
#include <stdio.h>

enum {
	SUMMARY_BYTES_MAX = 400,
	DECIMAL_BYTES_MAX = 32, /* an int64_t of nanoseconds as seconds, and a NUL */
	US_DIGITS = 6,
	NS_DIGITS = 9,
};

static const struct span digest_mark = {"@sha256:", 8};

/* What the record says of who wrote it, as rule_from bits. */
static unsigned record_from(const struct record *r)
{
	unsigned from = FROM_UNKNOWN;

	if (span_is(r->provider, "app"))
		from = FROM_APP;
	else if (span_is(r->provider, "runner"))
		from = FROM_RUNNER;
	else if (span_is(r->provider, "proxy"))
		from = FROM_PROXY;
	else if (span_is(r->provider, "health"))
		from = FROM_HEALTH;
	if (r->level.len == 0 && (from & (FROM_APP | FROM_UNKNOWN)))
		from |= FROM_NOT_INFO;
	if (r->level.len > 0 && !span_is(r->level, "info"))
		from |= FROM_NOT_INFO;
	return from;
}

/* The proxy's code decides the action, by its second letter. */
static enum action code_action(struct span code)
{
	if (span_is(code, "PT05") || span_is(code, "PT06"))
		return ACTION_cert_missing;
	switch (code.data[1]) {
	case 'P': return ACTION_proxy_error_internal;
	case 'U': return ACTION_proxy_error_upstream;
	case 'C': return ACTION_proxy_error_connection;
	case 'T': return ACTION_proxy_error_tls;
	case 'M': return ACTION_proxy_error_machine;
	case 'A': return ACTION_proxy_error_replay;
	case 'E': return ACTION_proxy_error_edge;
	case 'R': return ACTION_proxy_error_routing;
	case 'L': return ACTION_proxy_error_limit;
	default: return ACTION_proxy_error_other;
	}
}

/* A value of a Go log line without its quotes. */
static struct span unquote(struct span s)
{
	if (s.len >= 2 && s.data[0] == '"')
		return span_of(s.data + 1, s.len - 2);
	return s;
}

static struct span field_text(const struct field *f)
{
	return utf8_cut(f->kind == FIELD_VALUE ? unquote(f->value) : f->value,
			RECORD_FIELD_BYTES_MAX);
}

/* scaled / 10^digits as a JSON number in the arena; its data is NULL when there is no room. */
static struct span decimal_text(struct arena *arena, int64_t scaled, int digits)
{
	char text[DECIMAL_BYTES_MAX];
	int64_t one = digits == NS_DIGITS ? NS_PER_S : NS_PER_S / 1000;
	int n = snprintf(text, sizeof(text), "%" PRId64 ".%0*" PRId64, scaled / one, digits,
			 scaled % one);

	while (n > 1 && text[n - 1] == '0')
		n--;
	if (text[n - 1] == '.')
		n--;
	return arena_copy(arena, span_of(text, (size_t)n));
}

/* What a rule finds wins. False: no memory to put what the line has under this key aside. */
static bool make_way(struct arena *arena, struct record *r, struct span key)
{
	return record_attr_aside(r, arena, r->attr_count, key);
}

static void add_text(struct arena *arena, struct record *r, struct span key, struct span text)
{
	if (make_way(arena, r, key))
		record_attr_text(r, key, text);
}

static void add_decimal(struct arena *arena, struct record *r, struct span key, int64_t scaled,
			int digits)
{
	struct span text = decimal_text(arena, scaled, digits);

	if (text.data && make_way(arena, r, key))
		record_attr_json(r, key, text);
}

/* A field of kind FIELD_INTEGER: at most 18 digits, so no overflow. */
static int64_t integer_value(struct span s)
{
	bool negative = s.data[0] == '-';
	int64_t v = 0;

	for (size_t i = negative; i < s.len; i++)
		v = v * 10 + (s.data[i] - '0');
	return negative ? -v : v;
}

static void add_field(struct arena *arena, struct record *r, const struct field *f)
{
	int64_t ns;

	switch (f->kind) {
	case FIELD_TEXT:
	case FIELD_VALUE: add_text(arena, r, f->name, field_text(f)); break;
	case FIELD_INTEGER:
		if (make_way(arena, r, f->name))
			record_attr_number(r, f->name, integer_value(f->value));
		break;
	case FIELD_BOOL:
		if (make_way(arena, r, f->name))
			record_attr_bool(r, f->name, f->value.data[0] == 't');
		break;
	case FIELD_DURATION:
		if (duration_parse(f->value, &ns))
			add_decimal(arena, r, f->name, ns, NS_DIGITS);
		else
			add_text(arena, r, f->name, field_text(f));
		break;
	}
}

/* An image reference names its digest after '@'. */
static void add_digest(struct arena *arena, struct record *r, const struct field *image)
{
	for (size_t at = 0; image && at + digest_mark.len < image->value.len; at++) {
		struct span rest = span_after(image->value, at);

		if (span_starts(rest, digest_mark)) {
			add_text(arena, r, SPAN("digest"),
				 utf8_cut(span_after(rest, 1), RECORD_FIELD_BYTES_MAX));
			return;
		}
	}
}

static void add_attributes(struct arena *arena, struct record *r, const struct line *line,
			   const struct fields *fields)
{
	for (size_t i = 0; i < fields->count; i++)
		add_field(arena, r, &fields->list[i]);
	add_digest(arena, r, fields_get(fields, "image"));
	if (line->form == LINE_FIRECRACKER)
		add_text(arena, r, SPAN("machine_version"), line->version);
	if (line->form == LINE_CODE)
		add_text(arena, r, SPAN("error_code"), line->code);
	if (line->form == LINE_KERNEL)
		add_decimal(arena, r, SPAN("uptime_seconds"), line->uptime_us, US_DIGITS);
}

/* In lower case, so that one person is one actor; ASCII only, as Fly's own addresses are. */
static struct span lower_case(struct arena *arena, struct span s)
{
	char *text = arena_alloc(arena, s.len);

	if (text == NULL)
		return s;
	for (size_t i = 0; i < s.len; i++) {
		text[i] = s.data[i];
		if (text[i] >= 'A' && text[i] <= 'Z')
			text[i] = (char)(text[i] + ('a' - 'A'));
	}
	return span_of(text, s.len);
}

static void set_named_actor(struct arena *arena, struct finding *f, struct span name)
{
	f->actor = lower_case(arena, name);
	f->actor_type = actor_type_of(f->actor);
	if (f->actor_type == ACTOR_UNKNOWN)
		f->actor_reason = SPAN("the line names neither an e-mail address nor a token");
}

/* Who did it, as far as the line itself tells: few lines name anybody. */
static void set_actor(struct arena *arena, struct finding *f, enum action action,
		      const struct field *named)
{
	if (named) {
		set_named_actor(arena, f, field_text(named));
	} else if (action == ACTION_autoscale_stopping || action == ACTION_autoscale_suspending ||
		   action == ACTION_autoscale_starting) {
		f->actor = SPAN("fly-proxy");
		f->actor_type = ACTOR_PROXY;
	} else if (action_class(action) == CLASS_restart) {
		f->actor = SPAN("flyd");
		f->actor_type = ACTOR_FLYD;
	} else {
		f->actor_type = ACTOR_UNKNOWN;
		f->actor_reason = SPAN("no log line names who or what asked for it");
	}
}

static void set_target(struct finding *f, const struct record *r, const struct fields *fields)
{
	const struct field *volume = fields_get(fields, "volume_name");
	const struct field *machine = fields_get(fields, "machine");

	if (volume) {
		f->target_type = SPAN("volume");
		f->target = field_text(volume);
		return;
	}
	f->target = machine ? field_text(machine) : r->machine_id;
	if (f->target.len > 0)
		f->target_type = SPAN("machine");
}

static struct span outcome_text(const struct rule *rule, const struct fields *fields)
{
	const struct field *f;

	switch (rule->outcome) {
	case OUTCOME_SUCCESS: return SPAN("success");
	case OUTCOME_FAILURE: return SPAN("failure");
	case OUTCOME_BY_EXIT_CODE:
		f = fields_get(fields, "exit_code");
		return f && integer_value(f->value) == 0 ? SPAN("success") : SPAN("failure");
	case OUTCOME_BY_VERIFIED:
		f = fields_get(fields, "verified");
		return f && span_is(f->value, "true") ? SPAN("success") : SPAN("unknown");
	case OUTCOME_UNKNOWN: break;
	}
	return SPAN("unknown");
}

/* What stands for {name} in a summary: a field, or what the prefix told. */
static struct span summary_value(struct arena *arena, const struct line *line,
				 const struct fields *fields, struct span name)
{
	int64_t ns;

	if (span_is(name, "machine_version"))
		return line->version;
	for (size_t i = 0; i < fields->count; i++) {
		const struct field *f = &fields->list[i];

		if (!span_equal(f->name, name))
			continue;
		if (f->kind == FIELD_DURATION && duration_parse(f->value, &ns))
			return decimal_text(arena, ns, NS_DIGITS);
		return field_text(f);
	}
	return SPAN("?");
}

static size_t append(char *to, size_t len, struct span s)
{
	s = utf8_cut(s, SUMMARY_BYTES_MAX - len);
	if (s.len > 0)
		memcpy(to + len, s.data, s.len);
	return len + s.len;
}

static struct span make_summary(struct arena *arena, const char *summary, const struct line *line,
				const struct fields *fields)
{
	char text[SUMMARY_BYTES_MAX];
	size_t len = 0;

	while (*summary != '\0') {
		size_t literal = strcspn(summary, "{");
		size_t name;

		len = append(text, len, span_of(summary, literal));
		summary += literal;
		if (*summary == '\0')
			break;
		name = strcspn(summary, "}");
		len = append(text, len,
			     summary_value(arena, line, fields, span_of(summary + 1, name - 1)));
		summary += name + 1;
	}
	return arena_copy(arena, span_of(text, len));
}

static struct finding make_finding(struct arena *arena, const struct record *r,
				   const struct rule *rule, const struct line *line,
				   const struct fields *fields)
{
	bool outside = (span_is(r->provider, "runner") || span_is(r->provider, "proxy") ||
			span_is(r->provider, "health")) &&
		       r->app.len <= RECORD_APP_BYTES_MAX;
	struct finding f = {
		.rule = rule->id,
		.trust = outside ? TRUST_PLATFORM : TRUST_GUEST,
		.severity = action_severity(r->action),
		.outcome = outcome_text(rule, fields),
		.correlation_id = line->version,
	};

	set_actor(arena, &f, r->action, fields_get(fields, "email"));
	set_target(&f, r, fields);
	if (*rule->summary != '\0')
		f.summary = make_summary(arena, rule->summary, line, fields);
	return f;
}

void classify(struct arena *arena, struct record *record)
{
	unsigned from = record_from(record);
	struct line line;
	NOT_CLEARED struct fields fields;
	const struct rule *rule = NULL;

	line_split(record->message, &line);
	if (record->message.len <= CLASSIFY_BYTES_MAX || !(from & (FROM_APP | FROM_UNKNOWN)))
		rule = rules_find(&line, from, &fields);
	record->class = CLASS_app_log;
	record->action = ACTION_none;
	record->finding = (struct finding){0};
	if (rule == NULL)
		return;
	record->action = line.form == LINE_CODE ? code_action(line.code) : rule->action;
	record->class = action_class(record->action);
	record->finding = make_finding(arena, record, rule, &line, &fields);
	add_attributes(arena, record, &line, &fields);
}
