#ifndef STAGE_DRAFT_H
#define STAGE_DRAFT_H

/*
 * draft: what the readers of the three forms hand to decode().
 *
 * A reader fills in what a line has; decode() makes the record of it, the same
 * way for every form.
 *
 * Ownership: every span is lent, by the line or the arena.
 * Threads:   as decode.h.
 */

#include "stage/decode.h"

struct draft {
	const struct decode_context *ctx;
	struct record *record; /* readers append attributes only */
	struct span line;
	enum raw_form form;
	/* As the line has them; data NULL: it has none. */
	struct span app, region, machine_id, host, provider, level, message, time;
	bool text_time; /* of `fly logs` text: the zone may be missing, whole seconds are coarse */
	bool in_raw;    /* not everything fits into fields: raw must have the whole line */
	enum undecoded undecoded;
};

/*
 * Attributes from the line itself, made valid UTF-8. What does not fit sets
 * in_raw.
 */
void draft_attr_text(struct draft *d, struct span key, struct span text);
void draft_attr_number(struct draft *d, struct span key, int64_t number);
void draft_attr_bool(struct draft *d, struct span key, bool value);
void draft_attr_json(struct draft *d, struct span key, struct span json); /* a constant */

/* s as a column other than message holds it, but not yet cut. May set in_raw. */
struct span draft_field(struct draft *d, struct span s);

/*
 * s as a text that Postgres can hold: s itself where it is valid UTF-8 without
 * NUL, else a copy with U+FFFD for each byte that is not. *changed is set, never
 * cleared. Without memory: the longest start of s that is fine.
 */
struct span draft_hold(struct arena *arena, struct span s, bool *changed);

/*
 * Reads a line of exactly the shape that Fly's NATS stream has: compact, keys
 * sorted, nothing more. Unescapes the message in place, but only a line that
 * is good to its end. False: not that shape; line and draft are untouched.
 */
NODISCARD bool scan_nats(struct draft *d, char *line, size_t len);

/*
 * The same for a line of exactly the shape that Fly's HTTP logs API has, with its keys in any
 * order but that `meta` follows what it says once more, and nothing about HTTP or an error.
 */
NODISCARD bool scan_fly(struct draft *d, char *line, size_t len);

/* Any JSON object of either JSON form, by base/json.h. */
void read_json(struct draft *d);

/* A line as `fly logs` prints it. */
void read_text(struct draft *d);

#endif
