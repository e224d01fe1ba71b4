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

static const char clear_line[] = "\r\033[K";

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
	uint64_t others[LOG_EVENT_COUNT]; /* held back, of causes that have no place any more */
	bool progress_shown;
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

/* Lines that differ in none of these are repeats. */
static bool is_of_cause(const struct log_field *field)
{
	return field->text && (strcmp(field->key, "error") == 0 || strcmp(field->key, "sink") == 0);
}

/* FNV-1a, of the fields "error" and "sink"; events without any have one cause. */
static uint64_t cause_of(const struct log_field *fields, size_t count)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < count; i++) {
		if (!is_of_cause(&fields[i]))
			continue;
		for (const char *c = fields[i].text; *c != '\0'; c++)
			hash = (hash ^ (uint8_t)*c) * UINT64_C(0x100000001b3);
	}
	return hash;
}

static bool is_over(const struct repeat *r, int64_t now_ns)
{
	return now_ns - r->printed_ns >= LOG_REPEAT_SECONDS * NS_PER_S;
}

/*
 * The cause's own place, or an empty one, or that of the cause that was printed longest ago, if its
 * time is over. NULL: as many causes as there are places were printed lately.
 */
static struct repeat *find_repeat(enum log_event event, uint64_t cause, int64_t now_ns)
{
	struct repeat *oldest = &state.repeats[event][0];

	for (size_t i = 0; i < LOG_CAUSES_MAX; i++) {
		struct repeat *r = &state.repeats[event][i];

		if (!r->printed || r->cause == cause)
			return r;
		if (r->printed_ns < oldest->printed_ns)
			oldest = r;
	}
	return is_over(oldest, now_ns) ? oldest : NULL;
}

/* What was held back since the event was printed last. */
struct held_back {
	uint64_t repeated; /* of the same cause */
	uint64_t others;
};

/* Whether this one is printed, and then what it has to tell of those that were not. */
static bool is_due(enum log_level level, enum log_event event, uint64_t cause,
		   struct held_back *ret)
{
	int64_t now_ns = time_monotonic_ns();
	struct repeat *r;
	bool due;

	lock_take(&state.lock);
	r = find_repeat(event, cause, now_ns);
	due = r && (!r->printed || is_over(r, now_ns) ||
		    (level == LOG_INFO && r->troubles < state.troubles));
	if (due) {
		if (r->cause != cause) {
			state.others[event] += r->held_back;
			r->held_back = 0;
		}
		*ret = (struct held_back){.repeated = r->held_back, .others = state.others[event]};
		state.others[event] = 0;
		state.troubles += level != LOG_INFO;
		*r = (struct repeat){.printed = true,
				     .cause = cause,
				     .printed_ns = now_ns,
				     .troubles = state.troubles};
	} else if (r) {
		r->held_back++;
	} else {
		state.others[event]++;
	}
	lock_drop(&state.lock);
	return due;
}

/* There is nobody to tell that stderr is gone. */
static void put(const char *bytes, size_t len)
{
	if (write(STDERR_FILENO, bytes, len) < 0)
		return;
}

void log_write(enum log_level level, enum log_event event, const struct log_field *fields,
	       size_t count)
{
	struct line line = {.len = 0};
	char ts[TIME_TEXT_BYTES];
	struct held_back held;
	int len;

	REQUIRE(event < LOG_EVENT_COUNT && count <= LOG_FIELDS_MAX);
	if (!is_due(level, event, cause_of(fields, count), &held))
		return;
	len = snprintf(line.bytes, sizeof(line.bytes),
		       "{\"ts\":\"%s\",\"level\":\"%s\",\"event\":\"%s\"",
		       time_format(time_now_ns(), ts), level_name(level), log_event_name(event));
	REQUIRE(len > 0 && len < LINE_BODY_BYTES);
	line.len = (size_t)len;
	if (held.repeated > 0)
		add_field(&line, &LOG_NUMBER("repeated", held.repeated));
	if (held.others > 0)
		add_field(&line, &LOG_NUMBER("others", held.others));
	for (size_t i = 0; i < count; i++)
		add_field(&line, &fields[i]);
	line.bytes[line.len++] = '}';
	line.bytes[line.len++] = '\n';
	lock_take(&state.lock);
	if (state.progress_shown)
		put(clear_line, sizeof(clear_line) - 1);
	state.progress_shown = false;
	put(line.bytes, line.len);
	lock_drop(&state.lock);
}

void log_progress(const char *text)
{
	struct line line = {.len = 0};

	(void)add(&line, clear_line, sizeof(clear_line) - 1);
	(void)add(&line, text, strlen(text));
	lock_take(&state.lock);
	if (text[0] != '\0' || state.progress_shown)
		put(line.bytes, line.len);
	state.progress_shown = text[0] != '\0';
	lock_drop(&state.lock);
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
