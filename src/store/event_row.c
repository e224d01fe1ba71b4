#include "store/event_row.h"

#include "base/time.h"

#include <stdlib.h>

struct row {
	const PGresult *rows;
	int row, first;
};

static bool is_null(const struct row *r, enum event_column column)
{
	return PQgetisnull(r->rows, r->row, r->first + (int)column) != 0;
}

/* Empty where there is none. */
static struct span text_at(const struct row *r, enum event_column column)
{
	int at = r->first + (int)column;

	return span_of(PQgetvalue(r->rows, r->row, at), (size_t)PQgetlength(r->rows, r->row, at));
}

static int64_t number_at(const struct row *r, enum event_column column)
{
	return strtoll(PQgetvalue(r->rows, r->row, r->first + (int)column), NULL, 10);
}

static int64_t time_at(const struct row *r, enum event_column column)
{
	return number_at(r, column) * NS_PER_US;
}

/* What stands for nothing in a column that is never null. */
static struct span known_at(const struct row *r, enum event_column column)
{
	struct span text = text_at(r, column);

	return span_is(text, "unknown") ? SPAN("") : text;
}

/* --- words --- */

/* count: no value has this name. */
static unsigned find_name(struct span name, unsigned count, const char *(*name_of)(unsigned value))
{
	unsigned value = 0;

	while (value < count && !span_is(name, name_of(value)))
		value++;
	return value;
}

static const char *name_of_class(unsigned v)
{
	return class_name((enum line_class)v);
}

static const char *name_of_source(unsigned v)
{
	return source_name((enum record_source)v);
}

static const char *name_of_action(unsigned v)
{
	return action_name((enum action)v);
}

static const char *name_of_actor_type(unsigned v)
{
	return actor_type_name((enum actor_type)v);
}

static const char *name_of_trust(unsigned v)
{
	return trust_name((enum trust)v);
}

static const char *name_of_basis(unsigned v)
{
	return time_basis_name((enum time_basis)v);
}

bool event_row_class(struct span word, enum line_class *ret)
{
	*ret = (enum line_class)find_name(word, CLASS_COUNT, name_of_class);
	return *ret < CLASS_COUNT;
}

bool event_row_action(struct span word, enum action *ret)
{
	*ret = (enum action)find_name(word, ACTION_COUNT, name_of_action);
	return *ret < ACTION_COUNT;
}

bool event_row_source(struct span word, enum record_source *ret)
{
	*ret = (enum record_source)find_name(word, SOURCE_COUNT, name_of_source);
	return *ret < SOURCE_COUNT;
}

void event_row_words(struct buf *out)
{
	static const struct {
		const char *column;
		unsigned count;
		const char *(*name_of)(unsigned value);
	} kinds[] = {
		{"class", CLASS_COUNT, name_of_class},
		{"source", SOURCE_COUNT, name_of_source},
		{"actor_type", ACTOR_TYPE_COUNT, name_of_actor_type},
		{"trust", TRUST_COUNT, name_of_trust},
		{"time_basis", TIME_BASIS_COUNT, name_of_basis},
	};
	const char *before = "{";

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		for (unsigned v = 0; v < kinds[i].count; v++) {
			if (kinds[i].name_of == name_of_class && v == CLASS_app_log)
				continue;
			buf_fmt(out, "%s%s.%s", before, kinds[i].column, kinds[i].name_of(v));
			before = ",";
		}
	buf_str(out, "}");
}

static bool read_words(const struct row *r, struct event *ret)
{
	ret->actor_type = (enum actor_type)find_name(text_at(r, EVENT_ROW_event_actor_type),
						     ACTOR_TYPE_COUNT, name_of_actor_type);
	ret->trust = (enum trust)find_name(text_at(r, EVENT_ROW_event_trust), TRUST_COUNT,
					   name_of_trust);
	ret->time_basis = (enum time_basis)find_name(text_at(r, EVENT_ROW_event_time_basis),
						     TIME_BASIS_COUNT, name_of_basis);
	return event_row_class(text_at(r, EVENT_ROW_event_class), &ret->class) &&
	       ret->class != CLASS_app_log &&
	       event_row_action(text_at(r, EVENT_ROW_event_action), &ret->action) &&
	       event_row_source(text_at(r, EVENT_ROW_event_source), &ret->source) &&
	       ret->actor_type < ACTOR_TYPE_COUNT && ret->trust < TRUST_COUNT &&
	       ret->time_basis < TIME_BASIS_COUNT;
}

static enum severity severity_at(const struct row *r)
{
	int64_t severity = number_at(r, EVENT_ROW_event_severity);

	return severity >= 0 && severity <= SEVERITY_FATAL ? (enum severity)severity
							   : SEVERITY_UNKNOWN;
}

/* --- the row --- */

/* What it gives fits where it came from. */
static struct span without_blanks(char *json, size_t len)
{
	bool in_text = false, escaped = false;
	size_t kept = 0;

	for (size_t i = 0; i < len; i++) {
		char c = json[i];

		if (!in_text && c == ' ')
			continue;
		if (c == '"' && !escaped)
			in_text = !in_text;
		escaped = in_text && c == '\\' && !escaped;
		json[kept++] = c;
	}
	return span_of(json, kept);
}

struct span event_row_attributes(const PGresult *rows, int row, int column)
{
	return without_blanks(PQgetvalue(rows, row, column),
			      (size_t)PQgetlength(rows, row, column));
}

bool event_row_read(const PGresult *rows, int row, int first, struct event *ret)
{
	const struct row r = {.rows = rows, .row = row, .first = first};

	*ret = (struct event){.severity = severity_at(&r)};
	if (!read_words(&r, ret) || !id_parse(text_at(&r, EVENT_ROW_event_id), &ret->id))
		return false;
	ret->occurred_ns = time_at(&r, EVENT_ROW_event_occurred_us);
	ret->not_after_ns = is_null(&r, EVENT_ROW_event_not_after_us)
				    ? EVENT_NO_TIME
				    : time_at(&r, EVENT_ROW_event_not_after_us);
	ret->observed_ns = time_at(&r, EVENT_ROW_event_observed_us);
	ret->org = text_at(&r, EVENT_ROW_event_org);
	ret->app = text_at(&r, EVENT_ROW_event_app);
	ret->region = text_at(&r, EVENT_ROW_event_region);
	ret->machine_id = text_at(&r, EVENT_ROW_event_machine_id);
	ret->correlation_id = text_at(&r, EVENT_ROW_event_correlation_id);
	ret->actor = known_at(&r, EVENT_ROW_event_actor);
	ret->actor_reason = text_at(&r, EVENT_ROW_event_actor_reason);
	ret->target_type = text_at(&r, EVENT_ROW_event_target_type);
	ret->target = text_at(&r, EVENT_ROW_event_target);
	ret->origin = text_at(&r, EVENT_ROW_event_origin);
	ret->outcome = known_at(&r, EVENT_ROW_event_outcome);
	ret->rule = text_at(&r, EVENT_ROW_event_rule);
	ret->summary = text_at(&r, EVENT_ROW_event_summary);
	ret->message = text_at(&r, EVENT_ROW_event_message);
	ret->attributes = event_row_attributes(rows, row, first + (int)EVENT_ROW_event_attributes);
	return true;
}
