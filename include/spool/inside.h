#ifndef SPOOL_INSIDE_H
#define SPOOL_INSIDE_H

/*
 * inside: what the files of src/spool/ share about one open spool. Nobody else
 * includes this.
 *
 *	spool.c    appends: fills blocks, rolls to the next segment, says when full
 *	commit.c   the committer: writes blocks, drops segments, prepares the next
 *	reader.c   consumers
 *	recover.c  what a crash left
 *	identity.c which stream it is
 *
 * A block is one group of frames of one segment, as it will lie on disk. There
 * are two: one is filled while the other is written.
 *
 *	FREE -> FILLING (the appender's) -> READY -> WRITING (the committer's) -> FREE
 *	                        `---- due, the committer takes it ----^
 *
 * Locks: block_lock guards the blocks and where the next frame goes; lock guards
 * what is accepted, the list of segments and the consumers. Never both at once.
 */

#include "base/lock.h"
#include "spool/segment.h"
#include "spool/walk.h"

enum {
	BLOCK_COUNT = 2,
	BLOCK_BYTES = 4 * 1024 * 1024,
	/* Half of SPOOL_COMMIT_MS: the other half is left for the disk. */
	BLOCK_GATHER_MS = SPOOL_COMMIT_MS / 2,
};

enum block_state { BLOCK_FREE, BLOCK_FILLING, BLOCK_READY, BLOCK_WRITING };

struct block {
	enum block_state state; /* guarded by block_lock */
	/* the owner's, as the state says; a FILLING block that holds frames is the lock's */
	uint8_t *data;
	size_t cap;
	size_t len;
	int64_t due_ns;     /* to be committed from then on, on the monotonic clock */
	uint64_t segment;   /* its first sequence number */
	int64_t segment_ns; /* first_ns of its header; known when fresh */
	bool fresh;         /* begins with the header of a new segment */
	uint64_t start;     /* offset in the segment */
	uint64_t last_seq;
	int64_t last_ns;
	uint64_t count;
	struct frame_keys keys;
};

/* Where the next frame goes. */
struct tail {
	uint64_t segment;
	uint64_t offset; /* of the next block; 0: in a segment that is to begin */
	uint8_t salt[FRAME_SALT_BYTES];
	struct frame_keys keys;
};

struct segment_info {
	uint64_t first_seq;
	int64_t first_ns;
	int64_t passed_ns; /* since when all consumers have passed it, monotonic; 0: they have not
			    */
	bool damaged;      /* seen to be: counted, and copied into quarantine */
};

struct consumer {
	bool used;
	bool yields; /* what is more than half of max_bytes behind is not kept for it */
	char name[SPOOL_CONSUMER_NAME_BYTES];
	uint64_t passed;
};

struct spool {
	/* const after open */
	char folder[PATH_MAX];
	uint64_t max_bytes;
	int64_t keep_ns;
	struct spool_stream stream;
	uint64_t adopted_seq; /* the newest that was there when it was adopted; 0: it never was */
	int lock_fd;
	uint64_t torn_bytes;
	size_t segments_max;
	uint64_t opened_seq;
	struct histogram *commits; /* NULL: not measured */

	/* guarded by block_lock */
	struct lock block_lock;
	pthread_cond_t work; /* for the committer */
	pthread_cond_t room; /* for the appender */
	struct block blocks[BLOCK_COUNT];
	struct tail tail;
	uint64_t appended_seq;
	bool next_ready; /* `next` has its room on disk and waits for its first frame */
	uint8_t next_salt[FRAME_SALT_BYTES];
	bool room_wanted;   /* the appender has no place for its frame, or something was passed */
	bool no_room;       /* the disk or the bound refused what the committer wanted last */
	bool preparing;     /* the committer finds out anew whether `next` has room */
	bool block_refused; /* the disk has no room for a block's bytes */
	bool refused;       /* the last ordinary append had no room */
	bool ended;         /* spool_end_appends() */
	bool failed;        /* nothing can be accepted any more */
	uint64_t room_wakes;

	/* guarded by lock */
	struct lock lock;
	pthread_cond_t accepted;
	uint64_t accepted_seq;
	uint64_t accepted_end;         /* offset in the newest segment */
	struct segment_info *segments; /* oldest first */
	size_t segment_count;
	struct consumer consumers[SPOOL_CONSUMERS_MAX];
	uint64_t damage_count;
	uint64_t read_wakes;

	/* the committer's, and spool_open()'s */
	int tail_fd;           /* the newest segment; -1: none yet */
	int next_fd;           /* `next`; -1: to be prepared */
	struct block *pending; /* taken, not written yet */
	bool pending_blocked;  /* the disk was full at the last try */
	int64_t prepare_after_ns;
};

/* recover.c: finds or makes the stream, the segments and their end. */
NODISCARD enum err_kind recover_spool(struct spool *s, struct err *err);

/* recover.c: the same for a folder that is only looked at; s is one that nobody opened. */
NODISCARD enum err_kind recover_look(struct spool *s, struct spool_look *ret, struct err *err);

/* recover.c: *ret: the folder holds what recover_spool() can make a spool of. Changes nothing. */
NODISCARD enum err_kind recover_find(struct spool *s, bool *ret, struct err *err);

/* identity.c: reads the file `stream`. ERR_CORRUPT: there is one, and it fails its check. */
NODISCARD enum err_kind identity_read(struct spool *s, bool *ret_found, struct err *err);

/* identity.c: writes it, with the numbers that are used up to appended_seq. */
NODISCARD enum err_kind identity_write(const struct spool *s, struct err *err);

/* identity.c: reads it, finds it again in the segments, which are listed, or makes it. */
NODISCARD enum err_kind identity_find(struct spool *s, struct err *err);

/* identity.c: makes a recovered spool, all that is in it, another stream. */
NODISCARD enum err_kind identity_adopt(struct spool *s, struct err *err);

/* Where this spool's segments lie, and whose they have to be. */
static inline struct segment_home spool_home(const struct spool *s)
{
	return (struct segment_home){
		.folder = s->folder, .stream = &s->stream, .adopted_seq = s->adopted_seq};
}

/* commit.c: drops what is in the way and prepares `next`; a full disk is not an error. */
NODISCARD enum err_kind commit_upkeep(struct spool *s, struct err *err);

/* spool.c: closes a block that holds frames; what is appended next begins another. */
void spool_hand_over(struct spool *s, struct block *b, enum block_state state);

/* Up to where a consumer needs nothing more; under `lock`. */
uint64_t spool_passed(const struct spool *s, const struct consumer *c);

/* For spool_reader_behind(); under `lock`. */
void spool_look_behind(const struct spool *s, const struct consumer *c, struct spool_behind *ret);

/* recover.c: bytes of a segment failed their check: counted, and copied into quarantine, once. */
void spool_note_damage(struct spool *s, uint64_t segment);

#endif
