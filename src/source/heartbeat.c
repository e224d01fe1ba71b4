#include "source/heartbeat.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { NONCE_DIGITS = 16, COUNT_DIGITS_MAX = 19 };

static const struct span HEAD = {"flytrail heartbeat machine=", 27};
static const struct span NONCE = {" nonce=", 7};
static const struct span COUNT = {" count=", 7};

static const char WHY_DENIED[] = "the token may not read flytrail's own lines on the log stream";
static const char WHY_BLOCKED[] =
	"flytrail's standard output cannot be written: it is closed, or nobody reads it";
static const char WHY_SILENT[] = "flytrail's own lines do not come back by the log stream";

/* One part of a subject, and no wildcard, which would be another subscription than meant. */
static bool is_subject_part(const char *name)
{
	size_t len = name ? strlen(name) : 0;

	return len > 0 && len < HEARTBEAT_NAME_BYTES && strcspn(name, ".*> \t") == len;
}

void heartbeat_init(struct heartbeat *h, int64_t every_ns, const char *app, const char *machine)
{
	memset(h, 0, sizeof(*h));
	if (!is_subject_part(app) || !is_subject_part(machine))
		return;
	h->every_ns = every_ns;
	(void)snprintf(h->machine, sizeof(h->machine), "%s", machine);
	(void)snprintf(h->subject, sizeof(h->subject), "logs.%s.*.%s", app, machine);
}

bool heartbeat_is_on(const struct heartbeat *h)
{
	return h->every_ns > 0;
}

static void count_from(struct heartbeat *h, int64_t wall_ns, int64_t steady_ns)
{
	h->tried = 0;
	h->base_ns = steady_ns;
	h->sure_ns = wall_ns;
}

void heartbeat_watch(struct heartbeat *h, int64_t wall_ns, int64_t steady_ns)
{
	h->watching = true;
	h->due_ns = steady_ns;
	count_from(h, wall_ns, steady_ns);
}

void heartbeat_unwatch(struct heartbeat *h)
{
	h->watching = false;
	h->denied = false;
}

void heartbeat_deny(struct heartbeat *h)
{
	h->watching = false;
	h->denied = true;
}

bool heartbeat_due(const struct heartbeat *h, int64_t steady_ns)
{
	return h->watching && steady_ns >= h->due_ns;
}

void heartbeat_make(struct heartbeat *h, uint64_t nonce, int64_t wall_ns, int64_t steady_ns,
		    char text[HEARTBEAT_TEXT_BYTES])
{
	h->next = (struct beat){.nonce = nonce, .count = h->next.count + 1, .made_ns = wall_ns};
	h->due_ns = steady_ns + h->every_ns;
	(void)snprintf(text, HEARTBEAT_TEXT_BYTES, "%s%s%s%016" PRIx64 "%s%" PRIu64 "\n", HEAD.data,
		       h->machine, NONCE.data, nonce, COUNT.data, h->next.count);
}

static void forget_oldest(struct heartbeat *h, size_t count)
{
	h->out_count -= count;
	memmove(h->out, h->out + count, h->out_count * sizeof(h->out[0]));
}

void heartbeat_printed(struct heartbeat *h, bool printed, int64_t wall_ns, int64_t steady_ns)
{
	h->blocked = !printed;
	if (!printed) {
		h->unsent++;
		count_from(h, wall_ns, steady_ns);
		return;
	}
	if (h->out_count == HEARTBEAT_OUT_MAX)
		forget_oldest(h, 1);
	h->out[h->out_count++] = h->next;
	h->sent++;
	h->tried++;
	h->row++;
}

/* Where what stands behind text begins; NULL data: text is not in s. */
static struct span behind(struct span s, struct span text)
{
	const char *at = s.data ? memmem(s.data, s.len, text.data, text.len) : NULL;

	if (!at)
		return (struct span){NULL, 0};
	at += text.len;
	return span_of(at, (size_t)(s.data + s.len - at));
}

static bool read_nonce(struct span s, uint64_t *ret)
{
	static const char digits[] = "0123456789abcdef";
	uint64_t n = 0;

	if (s.len < NONCE_DIGITS)
		return false;
	for (size_t i = 0; i < NONCE_DIGITS; i++) {
		const char *digit = memchr(digits, s.data[i], sizeof(digits) - 1);

		if (!digit)
			return false;
		n = n << 4 | (uint64_t)(digit - digits);
	}
	*ret = n;
	return true;
}

static bool read_count(struct span s, uint64_t *ret)
{
	uint64_t n = 0;
	size_t i;

	for (i = 0; i < s.len && s.data[i] >= '0' && s.data[i] <= '9'; i++) {
		if (i == COUNT_DIGITS_MAX)
			return false;
		n = n * 10 + (uint64_t)(s.data[i] - '0');
	}
	*ret = n;
	return i > 0;
}

/* Whatever is around it: Fly puts the line into JSON, which leaves these characters as they are. */
static bool read_beat(struct span message, struct beat *ret)
{
	struct span s = message;

	if (s.len > HEARTBEAT_MESSAGE_BYTES_MAX)
		s.len = HEARTBEAT_MESSAGE_BYTES_MAX;
	s = behind(behind(s, HEAD), NONCE);
	if (!s.data || !read_nonce(s, &ret->nonce))
		return false;
	s = span_after(s, NONCE_DIGITS);
	return span_starts(s, COUNT) && read_count(span_after(s, COUNT.len), &ret->count);
}

bool heartbeat_take(struct heartbeat *h, struct span message, int64_t wall_ns, int64_t steady_ns)
{
	struct beat got;
	size_t i;

	if (!read_beat(message, &got))
		return false;
	/* Numbers are compared, and all of each: how long that takes tells nothing of the nonce. */
	for (i = 0; i < h->out_count; i++)
		if (((h->out[i].nonce ^ got.nonce) | (h->out[i].count ^ got.count)) == 0)
			break;
	if (i == h->out_count)
		return false;
	/* One that was printed before this subscription stood proves nothing older than that. */
	if (h->out[i].made_ns > h->sure_ns)
		h->sure_ns = h->out[i].made_ns;
	forget_oldest(h, i + 1);
	h->tried = (unsigned)h->out_count;
	h->row = (unsigned)h->out_count;
	h->base_ns = steady_ns;
	h->returned++;
	h->returned_ns = wall_ns;
	h->silent = false;
	return true;
}

bool heartbeat_is_missed(const struct heartbeat *h, int64_t steady_ns)
{
	return h->watching && h->tried >= HEARTBEAT_MISSES &&
	       steady_ns - h->base_ns >= HEARTBEAT_MISSES * h->every_ns;
}

void heartbeat_silent(struct heartbeat *h)
{
	h->silent = true;
	h->watching = false;
}

void heartbeat_clock_set(struct heartbeat *h, int64_t wall_ns)
{
	if (h->sure_ns > wall_ns)
		h->sure_ns = wall_ns;
	for (size_t i = 0; i < h->out_count; i++)
		if (h->out[i].made_ns > wall_ns)
			h->out[i].made_ns = wall_ns;
}

int64_t heartbeat_sure_ns(const struct heartbeat *h)
{
	return heartbeat_is_on(h) && !h->denied ? h->sure_ns : INT64_MAX;
}

/* How many in a row had their time and did not come back. */
static unsigned missed(const struct heartbeat *h)
{
	/* The newest still has time, unless it is known already that they do not come. */
	return h->silent || h->row == 0 ? h->row : h->row - 1;
}

static const char *why(const struct heartbeat *h)
{
	if (h->silent)
		return WHY_SILENT;
	if (h->denied)
		return WHY_DENIED;
	return h->blocked ? WHY_BLOCKED : NULL;
}

void heartbeat_pulse(const struct heartbeat *h, struct source_pulse *ret)
{
	*ret = (struct source_pulse){
		.on = heartbeat_is_on(h),
		.why = why(h),
		.missed = missed(h),
		.sent = h->sent,
		.returned = h->returned,
		.unsent = h->unsent,
		.returned_ns = h->returned_ns,
	};
}
