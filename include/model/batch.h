#ifndef MODEL_BATCH_H
#define MODEL_BATCH_H

/*
 * batch: raw lines on their way from a source to the stages, and events that are
 * encoded already on their way to the spool.
 *
 * A source fills one, run/ carries it to the pipeline, the stages read it and
 * may unescape in place, and the pool takes it back.
 *
 * Ownership: a batch owns its bytes. What the stages lend points into them and
 *            dies at batch_reset().
 * Threads:   one owner at a time; it changes hands through a queue.
 * Limits:    BATCH_RECORDS_MAX lines; full at BATCH_BYTES_FULL; one line of at
 *            most RAW_BYTES_MAX always fits an empty batch.
 */

#include "base/file.h"
#include "base/hash.h"

enum {
	BATCH_RECORDS_MAX = 4096,
	BATCH_BYTES_FULL = 1024 * 1024,  /* a batch with this much takes no further line */
	RAW_BYTES_MAX = 4 * 1024 * 1024, /* of a line; what is beyond is counted and hashed */
	BATCH_GAPS_MAX = 16,
	BATCH_EVENTS_MAX = 256,
	BATCH_LISTENED_MAX = 2,             /* one that a gap ended, one that goes on */
	BATCH_KEEP_BYTES = 2 * 1024 * 1024, /* more memory than this is given back at reset */
};

/* Where a line came from: the column `source`. */
enum record_source {
	SOURCE_NATS,
	SOURCE_HTTP,
	SOURCE_FILE, /* files and stdin */
	SOURCE_REPLAY,
	SOURCE_WATCH, /* events only */
	SOURCE_TRAIL, /* events only */
	SOURCE_COUNT
};

const char *source_name(enum record_source s); /* "nats", ... */

enum raw_form {
	RAW_NATS_JSON, /* one object of the NATS shape               */
	RAW_FLY_JSON,  /* one object as `fly logs --json` prints it  */
	RAW_FLY_TEXT,  /* one line as `fly logs` prints it           */
};

struct raw {
	size_t offset; /* of the line in the batch's bytes */
	size_t len;
	size_t subject_len; /* the NATS subject stands right before the line */
	enum raw_form form;
	int64_t received_ns;
	struct file_stamp file;          /* that it stands in; number 0: none, or none that stays */
	uint64_t ordinal;                /* counts the lines of this source or file from 1 */
	uint64_t full_len;               /* of the line as it came; more than len when it was cut */
	uint8_t full_sha256[HASH_BYTES]; /* of all of it; meaningful when it was cut */
};

/* Why lines may be missing; the names stand in the view `gaps`. */
enum gap_reason {
#define GAP_REASON(name, doc) GAP_##name,
#include "model/gap_reasons.def"
#undef GAP_REASON
	GAP_REASON_COUNT
};

const char *gap_reason_name(enum gap_reason r);

struct gap {
	enum gap_reason reason;
	int64_t start_ns;
	int64_t end_ns;      /* INT64_MAX: not over yet */
	uint64_t lines_lost; /* 0: not known */
	bool known;          /* told before, with the same reason and start: this is its progress */
};

/* A time without a gap: all that was published in it and came is in this batch or one before. */
struct listened {
	int64_t since_ns, until_ns;
};

/* An event that no line shows, as its payload, encoded. */
struct batch_event {
	size_t offset, len; /* in the batch's bytes */
	int64_t observed_ns;
};

struct batch {
	enum record_source source;
	struct buf bytes;
	struct raw raws[BATCH_RECORDS_MAX];
	size_t count;
	struct gap gaps[BATCH_GAPS_MAX]; /* what the source knows it missed, before these lines */
	size_t gap_count;
	struct listened listened[BATCH_LISTENED_MAX]; /* told behind these lines */
	size_t listened_count;
	struct batch_event events[BATCH_EVENTS_MAX];
	size_t event_count;
	bool shared; /* in what was listened, others took lines of the stream, too: a queue group */
	bool last;   /* the source has ended: nothing follows */
	bool recovered; /* lines that the live source did not bring: they are counted apart */
};

NODISCARD enum err_kind batch_new(struct batch **ret, struct err *err);
void batch_free(struct batch *b); /* NULL is fine */
void batch_reset(struct batch *b);

/* No room for a further line of ordinary length. */
bool batch_is_full(const struct batch *b);

/* Appends a line with its subject (may be empty). The new raw is returned to be completed;
 * NULL: no room or memory. */
struct raw *batch_add(struct batch *b, struct span subject, struct span line);

/* False: there are BATCH_GAPS_MAX already; the last one was widened instead. */
bool batch_add_gap(struct batch *b, const struct gap *gap);

/* False: there are BATCH_LISTENED_MAX already. */
bool batch_add_listened(struct batch *b, const struct listened *listened);

/* False: there are BATCH_EVENTS_MAX already, or no room or memory. */
bool batch_add_event(struct batch *b, struct span payload, int64_t observed_ns);

struct span batch_line(const struct batch *b, const struct raw *raw);
struct span batch_subject(const struct batch *b, const struct raw *raw);
struct span batch_event(const struct batch *b, size_t idx);

#endif
