#include "base/log.h"

#include "base/lock.h"
#include "base/time.h"
#include "base/utf8.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

enum {
	LINE_END_BYTES = 3, /* kept free for what ends a line: a quote, a brace, a newline */
	LINE_BODY_BYTES = LOG_LINE_BYTES_MAX - LINE_END_BYTES,
};

struct line {
	char bytes[LOG_LINE_BYTES_MAX];
	size_t len;
};

/* When an event was last printed with a cause, and how often it was held back since. */
struct repeat {
	bool printed;
	uint64_t cause; /* a hash of its error */
	int64_t printed_ns;
	uint64_t held_back;
	uint64_t troubles; /* that had been printed by then */
};

static struct {
	struct lock lock;
	/* guarded by lock */
	struct repeat repeats[LOG_EVENT_COUNT][LOG_CAUSES_MAX];
	uint64_t troubles; /* warns and errors that were printed */
} state = {
	.lock = {.mutex = PTHREAD_MUTEX_INITIALIZER, .rank = LOCK_RANK_log},
};

static bool add(struct line *l, const char *bytes, size_t len)
{
	if (l->len + len > LINE_BODY_BYTES)
		return false;
	memcpy(l->bytes + l->len, bytes, len);
	l->len += len;
	return true;
}

static bool add_char(struct line *l, struct span character)
{
	unsigned char c = (unsigned char)character.data[0];
	char escaped[sizeof("\\u0000")];

	if (c == '"' || c == '\\')
		return add(l, (const char[]){'\\', (char)c}, 2);
	if (c >= 0x20 && c != 0x7f)
		return add(l, character.data, character.len);
	(void)snprintf(escaped, sizeof(escaped), "\\u%04x", c);
	return add(l, escaped, sizeof(escaped) - 1);
}

/* As much of the text as there is room for; room for the closing quote is kept. */
static void add_text(struct line *l, struct span text)
{
	while (text.len > 0) {
		size_t len = utf8_char(text);
		struct span c = len > 0 ? span_of(text.data, len) : SPAN(UTF8_REPLACEMENT);

		if (!add_char(l, c))
			break;
		text = span_after(text, len > 0 ? len : 1);
	}
	l->bytes[l->len++] = '"';
}

static void add_field(struct line *l, const struct log_field *field)
{
	char head[64]; /* keys are ours, and short */
	int len;

	if (!field->text) {
		len = snprintf(head, sizeof(head), ",\"%s\":%" PRId64, field->key, field->number);
		REQUIRE(len > 0 && (size_t)len < sizeof(head));
		(void)add(l, head, (size_t)len);
		return;
	}
	len = snprintf(head, sizeof(head), ",\"%s\":\"", field->key);
	REQUIRE(len > 0 && (size_t)len < sizeof(head));
	if (add(l, head, (size_t)len))
		add_text(l, span_text(field->text));
}

static const char *level_name(enum log_level level)
{
	switch (level) {
	case LOG_INFO: return "info";
	case LOG_WARN: return "warn";
	case LOG_ERROR: break;
	}
	return "error";
}

/* FNV-1a, of the field "error"; events without one have one cause. */
static uint64_t cause_of(const struct log_field *fields, size_t count)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < count; i++) {
		if (!fields[i].text || strcmp(fields[i].key, "error") != 0)
			continue;
		for (const char *c = fields[i].text; *c != '\0'; c++)
			hash = (hash ^ (uint8_t)*c) * UINT64_C(0x100000001b3);
	}
	return hash;
}

/* The cause's own place, or else the one that was printed longest ago. */
static struct repeat *find_repeat(enum log_event event, uint64_t cause)
{
	struct repeat *oldest = &state.repeats[event][0];

	for (size_t i = 0; i < LOG_CAUSES_MAX; i++) {
		struct repeat *r = &state.repeats[event][i];

		if (!r->printed || r->cause == cause)
			return r;
		if (r->printed_ns < oldest->printed_ns)
			oldest = r;
	}
	return oldest;
}

/* Whether this one is printed; *ret_repeated: how many were not since the last that was. */
static bool is_due(enum log_level level, enum log_event event, uint64_t cause,
		   uint64_t *ret_repeated)
{
	int64_t now_ns = time_monotonic_ns();
	struct repeat *r;
	bool due;

	lock_take(&state.lock);
	r = find_repeat(event, cause);
	due = !r->printed || now_ns - r->printed_ns >= LOG_REPEAT_SECONDS * NS_PER_S ||
	      (level == LOG_INFO && r->troubles < state.troubles);
	if (due) {
		*ret_repeated = r->held_back;
		state.troubles += level != LOG_INFO;
		*r = (struct repeat){.printed = true,
				     .cause = cause,
				     .printed_ns = now_ns,
				     .troubles = state.troubles};
	} else {
		r->held_back++;
	}
	lock_drop(&state.lock);
	return due;
}

void log_write(enum log_level level, enum log_event event, const struct log_field *fields,
	       size_t count)
{
	struct line line = {.len = 0};
	char ts[TIME_TEXT_BYTES];
	uint64_t repeated;
	int len;

	REQUIRE(event < LOG_EVENT_COUNT && count <= LOG_FIELDS_MAX);
	if (!is_due(level, event, cause_of(fields, count), &repeated))
		return;
	len = snprintf(line.bytes, sizeof(line.bytes),
		       "{\"ts\":\"%s\",\"level\":\"%s\",\"event\":\"%s\"",
		       time_format(time_now_ns(), ts), level_name(level), log_event_name(event));
	REQUIRE(len > 0 && len < LINE_BODY_BYTES);
	line.len = (size_t)len;
	if (repeated > 0)
		add_field(&line, &LOG_NUMBER("repeated", repeated));
	for (size_t i = 0; i < count; i++)
		add_field(&line, &fields[i]);
	line.bytes[line.len++] = '}';
	line.bytes[line.len++] = '\n';
	/* There is nobody to tell that stderr is gone. */
	if (write(STDERR_FILENO, line.bytes, line.len) < 0)
		return;
}

const char *log_event_name(enum log_event event)
{
	static const char *const names[] = {
#define LOG_EVENT(name, doc) #name,
#include "base/log_events.def"
#undef LOG_EVENT
	};

	REQUIRE(event < LOG_EVENT_COUNT);
	return names[event];
}
