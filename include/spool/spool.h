#ifndef SPOOL_SPOOL_H
#define SPOOL_SPOOL_H

/*
 * spool: the only hand-over between intake and delivery: an append-only,
 * checksummed, segmented log on disk. What a commit has synced is accepted;
 * from there on no crash of this program or of what it delivers to loses it.
 *
 *	pipeline thread    spool_append() ...                       into one of two blocks
 *	committer thread   spool_commit()                           write, sync, publish the end
 *	consumer threads   spool_reader_read(), spool_reader_pass() what is accepted
 *
 * Sequence numbers count frames from 1 and never repeat within a stream; a
 * stream is (uuid, epoch). A reader's position is the last sequence it has
 * delivered: start_seq, usually 0, is before the first.
 *
 * A folder that was copied, or put back from an older copy, is another stream
 * than the one that it names: its numbers do not stand for the same records any
 * more. spool_adopt() makes it one of its own.
 *
 * On disk (spool/frame.h draws the bytes, spool/segment.h names the files):
 * segments of SPOOL_SEGMENT_BYTES. One that all consumers have passed stays for
 * keep_ns, so that a consumer can go back to it, or until its space is needed. A
 * consumer that yields is waited for over half of max_bytes and no longer.
 * The newest is never dropped: it knows how far the numbers have come.
 *
 * Ownership: the spool owns its folder: one process at a time (a lock file).
 * Threads:   one appender, one committer, any number of readers (each its own
 *            struct spool_reader). spool_append() may wait for the committer, so
 *            the two are never the same thread but in tests that append little.
 * Limits:    max_bytes on disk, of which SPOOL_TRAIL_RESERVE_BYTES are kept for
 *            the trail's own facts; a payload of 1..RECORD_PAYLOAD_BYTES_MAX;
 *            beside max_bytes SPOOL_QUARANTINE_FILES_MAX copies of damaged segments.
 * Errors:    ERR_FULL at the bound or on a full disk; ERR_FATAL when a write or
 *            a sync fails; ERR_CONFIG from spool_open() when another process has
 *            the folder or it holds another stream's segments; ERR_CORRUPT from
 *            there when it is no spool. Damage found later is told as a struct
 *            spool_damage.
 */

#include "base/histogram.h"
#include "model/record.h"

enum {
	SPOOL_SEGMENT_BYTES = 16 * 1024 * 1024,
	SPOOL_TRAIL_RESERVE_BYTES = 1024 * 1024,
	SPOOL_COMMIT_MS = 50, /* accepted at the latest so long after it was appended */
	SPOOL_CONSUMERS_MAX = 8,
	SPOOL_CONSUMER_NAME_BYTES = 32,
	SPOOL_SEGMENTS_MIN = 4, /* of max_bytes: one written, one ready, room to go on */
	SPOOL_QUARANTINE_FILES_MAX = 8,
};

struct spool;
struct spool_reader;

struct spool_options {
	const char *folder;
	uint64_t max_bytes; /* at least SPOOL_SEGMENTS_MIN segments */
	int64_t keep_ns;    /* a segment that all have passed stays so long, if there is room */
	struct histogram *commits; /* how long a write with its sync takes; NULL: not measured */
};

struct spool_stream {
	struct id uuid;
	uint64_t epoch;     /* 1, and one more each time that it was adopted */
	uint64_t start_seq; /* numbers up to this one are another stream's */
};

/* Frames that were accepted and cannot be read any more. */
struct spool_damage {
	uint64_t first_seq, last_seq;
	int64_t from_ns, to_ns; /* observed_ns of their neighbours; 0 when unknown */
};

struct spool_stats {
	uint64_t appended_seq; /* the newest in a block */
	uint64_t accepted_seq; /* the newest that is synced */
	uint64_t opened_seq;   /* accepted_seq as spool_open() found it */
	uint64_t oldest_seq;   /* the oldest still on disk */
	int64_t oldest_ns;     /* its observed_ns; 0: there is none */
	uint64_t bytes;        /* on disk */
	uint64_t held_bytes; /* of these, what cannot go: a consumer that does not yield needs it */
	uint64_t max_bytes;
	bool full;             /* ordinary records are refused at present */
	uint64_t damage_count; /* segments whose bytes failed their check, since spool_open() */
	uint64_t torn_bytes;   /* never accepted, cut off by spool_open() */
};

NODISCARD enum err_kind spool_open(struct spool **ret, const struct spool_options *options,
				   struct err *err);
void spool_close(struct spool *s); /* commits nothing: what is not accepted is lost */
struct spool_stream spool_stream(const struct spool *s);
void spool_stats(struct spool *s, struct spool_stats *ret);

/* What lies in a folder that this process has not opened, and another one may have. */
struct spool_look {
	bool found; /* there is a spool */
	struct spool_stream stream;
	bool end_known;   /* false: what the newest segment holds cannot be told */
	uint64_t end_seq; /* as spool_open() would find accepted_seq */
};

/* Changes nothing. ERR_CORRUPT: there is something, and it is no spool's. */
NODISCARD enum err_kind spool_look(const char *folder, struct spool_look *ret, struct err *err);

struct spool_adopted {
	struct spool_stream before, now;
	uint64_t end_seq; /* of its records; the oldest is after now.start_seq */
};

/*
 * Makes what a folder holds, which nobody has open, a stream with a name that no
 * other copy has, none of whose records was ever delivered. It is done at once
 * or not at all, and every record stays as it is. ERR_CONFIG: there is no spool,
 * or another process has it open.
 */
NODISCARD enum err_kind spool_adopt(const char *folder, struct spool_adopted *ret, struct err *err);

/* A fact about flytrail itself may use the reserve. */
enum spool_use { SPOOL_ORDINARY, SPOOL_TRAIL };

/*
 * Puts one payload into the current block; waits while both blocks are full.
 * ERR_FULL: no room on disk; try again after spool_wait_room().
 * ERR_FATAL: the committer failed for good.
 */
NODISCARD enum err_kind spool_append(struct spool *s, struct span payload, int64_t observed_ns,
				     enum spool_use use, struct err *err);

/* Waits until there may be room, at most timeout_ns. False: it has passed, or spool_wake(). */
bool spool_wait_room(struct spool *s, int64_t timeout_ns);

/* Hands the current block to the committer without waiting for it to fill. */
void spool_flush(struct spool *s);

/*
 * The committer's step: waits for a block (at most timeout_ns), writes and
 * syncs it, publishes its end, and drops segments that nobody needs.
 * *ret_done: nothing is left and spool_end_appends() was called.
 * ERR_FATAL: nothing can be accepted any more. Any other error: something of
 * the step is tried again at the next; nothing is lost; wait a little before it.
 */
NODISCARD enum err_kind spool_commit(struct spool *s, int64_t timeout_ns, bool *ret_done,
				     struct err *err);
void spool_end_appends(struct spool *s);

/* What one read gives a consumer: payloads in sequence order, lent until the next read. */
struct spool_frame {
	uint64_t seq;
	int64_t observed_ns; /* as it was appended */
	size_t offset;       /* of the payload in bytes */
	size_t len;
	uint64_t mark; /* tells it from another copy's frame of this number; 0: it is none */
};

struct spool_batch {
	struct buf bytes;
	struct spool_frame *frames; /* capacity frames_max */
	size_t count;
	size_t frames_max;
	size_t bytes_max;           /* one frame that is larger comes alone */
	bool full;                  /* it takes nothing more until it is reset */
	int64_t first_ns;           /* when the first frame came in, on the monotonic clock */
	struct spool_damage damage; /* before or among these frames; first_seq 0: none */
};

NODISCARD enum err_kind spool_batch_init(struct spool_batch *b, size_t frames_max, size_t bytes_max,
					 struct err *err);
void spool_batch_release(struct spool_batch *b);
void spool_batch_reset(struct spool_batch *b); /* empties; gives back what an oversize frame took */
struct span spool_batch_payload(const struct spool_batch *b, size_t idx);

/*
 * Registers a consumer: segments it has not passed are kept. after_seq is its
 * position; what is gone after it comes as damage of the first batch. While no
 * consumer is registered nothing is dropped.
 * ERR_CONFIG: after_seq is beyond the spool's end: the volume is an older copy.
 */
NODISCARD enum err_kind spool_reader_new(struct spool_reader **ret, struct spool *s,
					 const char *name, uint64_t after_seq, struct err *err);
void spool_reader_free(struct spool_reader *r); /* NULL is fine */

/*
 * Goes to just after after_seq, back or on; *ret_lost: what lay between and is
 * gone (first_seq 0: nothing). What the caller has read is to be thrown away.
 */
NODISCARD enum err_kind spool_reader_seek(struct spool_reader *r, uint64_t after_seq,
					  struct spool_damage *ret_lost, struct err *err);

/* Likewise, to read something again: what is kept for this consumer stays what it was. */
NODISCARD enum err_kind spool_reader_reread(struct spool_reader *r, uint64_t after_seq,
					    struct spool_damage *ret_lost, struct err *err);

/*
 * Appends accepted frames to b until it is full or, after at least one,
 * gather_ns have passed since the first. Waits at most timeout_ns for the
 * first; b may come back empty. Call it again on the same b to go on filling;
 * spool_batch_reset() begins the next. A batch tells of one damage: a second
 * one ends it, and b takes nothing more until it is reset.
 */
NODISCARD enum err_kind spool_reader_read(struct spool_reader *r, struct spool_batch *b,
					  int64_t timeout_ns, int64_t gather_ns, struct err *err);

/*
 * The mark of the frame with this number, 0 where it cannot be read or is not there. b, empty, is
 * used for that and left empty; then, or before, comes a seek.
 */
NODISCARD enum err_kind spool_reader_find_mark(struct spool_reader *r, struct spool_batch *b,
					       uint64_t seq, uint64_t *ret_mark, struct err *err);

/*
 * From now on this consumer keeps nobody from going on: what lies more than half of max_bytes
 * behind the newest may be dropped before it has passed that, and comes as damage then.
 */
void spool_reader_yield(struct spool_reader *r);

/* What of the spool a consumer has before it, in whole segments. */
struct spool_behind {
	uint64_t bytes;
	uint64_t bytes_max; /* of one that yields: what is more may be dropped */
	int64_t from_ns; /* observed_ns of the oldest record of these segments; 0: there is none */
};
void spool_reader_behind(struct spool_reader *r, struct spool_behind *ret);

/* All up to seq is delivered, for good as far as this consumer knows. */
void spool_reader_pass(struct spool_reader *r, uint64_t seq);

/* Ends the waits of this moment, for the end of the program: say so elsewhere first. */
void spool_wake(struct spool *s);

#endif
