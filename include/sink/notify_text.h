#ifndef SINK_NOTIFY_TEXT_H
#define SINK_NOTIFY_TEXT_H

/*
 * notify_text: many facts as one message for people, in Slack's mrkdwn.
 *
 *	*flytrail* `example-org`: 3 facts
 *	*ssh_session.opened* medium, `shop`
 *	• 2026-11-26 22:58:03 UTC, by `mara.lind@example.com`, machine `0e286551c30586` `ams`: `…`
 *	*secret_change.updated* medium, `shop`, 2 times, 22:57:01 to 22:58:03 UTC
 *	• …
 *
 * Facts of one action and one application are a group, the most severe first. Of a group
 * NOTIFY_TEXT_SAMPLES_MAX facts are shown that differ in more than their time, the first of each;
 * the rest is counted. Of groups NOTIFY_TEXT_GROUPS_MAX are, where there are more the least severe
 * are counted together. So each fact that was added is in a number, and nobody hides one behind
 * many others that weigh less.
 *
 * All that a line or Fly's API said stands as code, by sink/notify_plain.h. What the machine itself
 * could have written (trust `guest`) says so.
 *
 * Ownership: the caller owns the struct; nothing of a fact that was added is kept but copies.
 * Threads:   none shared.
 * Limits:    as below; the text has at most NOTIFY_TEXT_BYTES_MAX, of which Slack takes 40,000.
 * Errors:    ERR_FATAL: no memory.
 */

#include "model/event.h"

enum {
	NOTIFY_TEXT_GROUPS_MAX = 20,
	NOTIFY_TEXT_SAMPLES_MAX = 5,
	NOTIFY_TEXT_SAMPLE_BYTES_MAX = 1280, /* of which each part has a bound of its own */
	NOTIFY_TEXT_BYTES_MAX = 32 * 1024,
	NOTIFY_TEXT_SHOWN_BYTES_MAX = 12 * 1024, /* beyond it groups are only counted */
};

struct notify_group {
	enum action action;
	char app[RECORD_FIELD_BYTES_MAX + 1];
	size_t app_len;
	enum severity severity; /* the highest of it */
	uint64_t count;
	int64_t first_ns, last_ns;
	struct {
		int64_t occurred_ns, not_after_ns;
		char text[NOTIFY_TEXT_SAMPLE_BYTES_MAX + 1]; /* without the time */
	} samples[NOTIFY_TEXT_SAMPLES_MAX];
	size_t sample_count;
	uint64_t sampled; /* facts that are one of the samples, but for the time */
};

struct notify_text {
	struct notify_group groups[NOTIFY_TEXT_GROUPS_MAX];
	size_t group_count;
	uint64_t count;  /* all that was added */
	uint64_t others; /* of which no group is shown */
	struct buf one;
};

void notify_text_init(struct notify_text *t);
void notify_text_release(struct notify_text *t);
void notify_text_begin(struct notify_text *t); /* of the next message: nothing is added */

void notify_text_add(struct notify_text *t, const struct event *e);

/* Appends the text to out. */
NODISCARD enum err_kind notify_text_write(struct notify_text *t, struct span org, struct buf *out,
					  struct err *err);

/* Appends the body that Slack takes: {"text":…} */
void notify_text_body(struct span text, struct buf *out);

#endif
