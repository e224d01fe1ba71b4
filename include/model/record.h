#ifndef MODEL_RECORD_H
#define MODEL_RECORD_H

/*
 * record: a log line, decoded, redacted and classified.
 *
 * The stages fill it in; record_encode() writes it as a spool payload;
 * record_decode() reads that back for the consumers, who parse no JSON.
 *
 * attrs and attributes are the same thing on the two sides of the spool: the
 * stages append to attrs; record_encode() writes them as one JSON object; what
 * record_decode() gives has them as that text in attributes.
 *
 * Ownership: every span is lent, by the batch, by the stages' arena or by the
 *            payload.
 * Threads:   pure functions.
 * Limits:    RECORD_ATTRS_MAX attributes; message and raw RECORD_TEXT_BYTES_MAX
 *            each; every other text RECORD_FIELD_BYTES_MAX (redaction cuts).
 */

#include "base/arena.h"
#include "model/batch.h"
#include "model/class.h"
#include "model/id.h"

enum {
	RECORD_ATTRS_MAX = 64,
	RECORD_TEXT_BYTES_MAX = 1024 * 1024,
	RECORD_FIELD_BYTES_MAX = 1024,
	RECORD_APP_BYTES_MAX = 64,                  /* no application of Fly's has a longer name */
	RECORD_PAYLOAD_BYTES_MAX = 8 * 1024 * 1024, /* message, raw, and attributes all escaped */
};

enum attr_type { ATTR_TEXT, ATTR_NUMBER, ATTR_BOOL, ATTR_JSON /* made by us, known to be valid */ };

struct attr {
	struct span key; /* dotted; without NUL */
	enum attr_type type;
	struct span text;
	int64_t number;
};

enum actor_type {
	ACTOR_UNKNOWN, /* actor_reason says why */
	ACTOR_USER,    /* an e-mail address */
	ACTOR_TOKEN,   /* <uuid>@tokens.fly.io */
	ACTOR_FLYD,    /* Fly's machine runner */
	ACTOR_PROXY,   /* Fly's proxy */
	ACTOR_SELF,    /* flytrail */
	ACTOR_TYPE_COUNT
};

const char *actor_type_name(enum actor_type t);
/* By the form of a name in lower case; ACTOR_UNKNOWN: neither an address nor a token's. */
enum actor_type actor_type_of(struct span name);

/* What classification found in a line: what makes an event of it. */
struct finding {
	const char *rule; /* the rule's id; of record_decode(): lent with a NUL */
	enum trust trust;
	enum severity severity;
	enum actor_type actor_type;
	struct span actor; /* lower case; empty when unknown */
	struct span actor_reason;
	struct span target_type;
	struct span target;
	struct span outcome;        /* success | failure | unknown */
	struct span correlation_id; /* machine version, lease id, ... */
	struct span summary;        /* one sentence; empty: the message says it */
};

/* For a record that is looked at and not stored: there is no such time. */
#define RECORD_NO_TIME INT64_MIN

struct record {
	struct id id;
	int64_t occurred_ns;
	int64_t observed_ns;
	bool foreign_time; /* occurred_ns is not the line's own, but its arrival's or its file's */
	enum record_source source;
	struct span org, app, region, machine_id, host, provider, level;
	struct span message; /* valid UTF-8 without NUL */
	struct span raw;     /* data NULL: message holds all that came */
	enum line_class class;
	enum action action;
	struct finding finding; /* meaningful unless class is app_log */
	struct span attributes; /* a JSON object, or empty; of record_decode() */
	struct attr attrs[RECORD_ATTRS_MAX];
	size_t attr_count;
	/* Between decode and id; not encoded. */
	bool exact_time;    /* the line has a time of its own, to the millisecond or finer */
	bool decoded;       /* false: message is the line as it came */
	bool raw_is_line;   /* raw has the whole line, and not only what message could not hold */
	int64_t claimed_ns; /* the line's own time, also where that is not occurred_ns */
};

/* Appends an attribute; past RECORD_ATTRS_MAX - 1 the last says "attributes_dropped": count. */
void record_attr_text(struct record *r, struct span key, struct span text);
void record_attr_number(struct record *r, struct span key, int64_t number);
void record_attr_bool(struct record *r, struct span key, bool value);
void record_attr_json(struct record *r, struct span key, struct span json);

/*
 * What the line itself has under a key that flytrail gives gets `line.` in
 * front. record_key_aside() does that to a key; record_attr_aside() to the
 * attribute, of the first count, that has it, and again where that is taken, too.
 * False: no memory, and nothing is changed.
 */
NODISCARD bool record_key_aside(struct arena *arena, struct span *key);
NODISCARD bool record_attr_aside(struct record *r, struct arena *arena, size_t count,
				 struct span key);

/* The attrs as one JSON object at the end of out; nothing where there are none. */
void record_write_attributes(const struct record *r, struct buf *out);

/* Appends the payload to out, whose buf_check() tells. */
void record_encode(const struct record *r, struct buf *out);

/* Likewise of what has its attributes as one text, as record_decode() gives it. */
void record_encode_again(const struct record *r, struct buf *out);

/* ERR_CORRUPT: the payload is none that this version writes. */
NODISCARD enum err_kind record_decode(struct span payload, struct record *ret, struct err *err);

/* What a line is sorted by, read from the payload's first bytes alone. */
struct record_key {
	struct id id;
	int64_t occurred_ns;
	enum line_class class;
};
NODISCARD enum err_kind record_decode_key(struct span payload, struct record_key *ret,
					  struct err *err);

/* What a payload holds, told by its first bytes. */
enum payload_kind { PAYLOAD_LINE = 1, PAYLOAD_EVENT = 2, PAYLOAD_UNKNOWN = 0 };
enum payload_kind payload_kind(struct span payload);

#endif
