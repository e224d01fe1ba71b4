#ifndef SPOOL_FRAME_H
#define SPOOL_FRAME_H

/*
 * frame: the bytes of a spool segment, format version 1. All integers are
 * little-endian; tests/data/segment-v1.bin stands for this format for ever.
 *
 *	segment header, 128 bytes, at offset 0
 *	0    8   "FLYSPOOL"
 *	8    4   format version; the place of the CRC is the same in all versions
 *	12   4   length of this header, 128
 *	16   16  stream uuid
 *	32   8   stream epoch
 *	40   8   sequence number of the first frame
 *	48   8   observed_ns of the first frame
 *	56   16  salt, random for each segment
 *	72   52  zero
 *	124  4   CRC-32 of bytes 0..123
 *
 *	frame
 *	0    8   magic: derived from the salt
 *	8    3   length n of the payload
 *	11   1   kind: 1 a record's payload, 2 a commit
 *	12   8   sequence number; of a commit: of the last frame before it
 *	20   8   observed_ns; of a commit: of the last frame before it
 *	28   4   CRC-32 of bytes 0..27, seeded with the salt
 *	32   n   payload
 *	32+n 4   CRC-32 of the payload, seeded with the salt
 *
 *	payload of a commit
 *	0    8   offset in the segment where its group of frames begins
 *	8    8   offset in the segment where this commit frame ends
 *	16   8   count of frames in the group
 *
 * The rest of a segment is zero. What an application prints cannot be taken for
 * a frame: it knows no salt. A commit holds nothing that does not follow from
 * the frames before it, so that one with a rotten bit can be told from a torn one.
 *
 * Ownership: frame_decode() lends: the payload points into the caller's bytes.
 * Threads:   pure functions.
 * Limits:    a payload of 1..RECORD_PAYLOAD_BYTES_MAX.
 */

#include "model/record.h"

enum {
	SEGMENT_FORMAT_VERSION = 1,
	SEGMENT_HEADER_BYTES = 128,
	FRAME_SALT_BYTES = 16,
	FRAME_MAGIC_BYTES = 8,
	FRAME_HEADER_BYTES = 32,
	FRAME_OVERHEAD_BYTES = FRAME_HEADER_BYTES + 4,
	FRAME_BYTES_MAX = FRAME_OVERHEAD_BYTES + RECORD_PAYLOAD_BYTES_MAX,
	COMMIT_PAYLOAD_BYTES = 24,
	COMMIT_FRAME_BYTES = FRAME_OVERHEAD_BYTES + COMMIT_PAYLOAD_BYTES,
};

struct segment_header {
	uint32_t version; /* set by decode; encode writes SEGMENT_FORMAT_VERSION */
	struct id uuid;
	uint64_t epoch;
	uint64_t first_seq;
	int64_t first_ns;
	uint8_t salt[FRAME_SALT_BYTES];
};

void segment_header_encode(const struct segment_header *h, uint8_t out[SEGMENT_HEADER_BYTES]);

/* False: magic or CRC is wrong. Of another version only the version is to be believed. */
NODISCARD bool segment_header_decode(const uint8_t bytes[SEGMENT_HEADER_BYTES],
				     struct segment_header *ret);

/* What a salt makes of magic and CRCs. */
struct frame_keys {
	uint8_t magic[FRAME_MAGIC_BYTES];
	uint32_t seed;
};

struct frame_keys frame_keys_from(const uint8_t salt[FRAME_SALT_BYTES]);

enum frame_kind { FRAME_RECORD = 1, FRAME_COMMIT = 2 };

struct frame {
	enum frame_kind kind;
	uint64_t seq;
	int64_t observed_ns;
	struct span payload;
	uint64_t mark; /* set by decode: both CRCs, header's first; another frame has another */
};

struct commit {
	uint64_t start;
	uint64_t end;
	uint64_t count;
};

/* Writes FRAME_OVERHEAD_BYTES + payload.len bytes to out. */
void frame_encode(const struct frame_keys *k, const struct frame *f, uint8_t *out);

/* Writes COMMIT_FRAME_BYTES. seq and observed_ns are the last frame's. */
void commit_encode(const struct frame_keys *k, const struct commit *c, uint64_t seq,
		   int64_t observed_ns, uint8_t out[COMMIT_FRAME_BYTES]);

enum frame_state {
	FRAME_WHOLE,
	FRAME_SHORT, /* what is there is right; *ret_bytes are needed to say more */
	FRAME_BAD,   /* no frame of this salt, or one that fails its check */
};

/* Reads the frame at bytes. *ret_bytes: its length, or what is needed to go on. */
enum frame_state frame_decode(const struct frame_keys *k, const uint8_t *bytes, size_t len,
			      struct frame *ret, size_t *ret_bytes);

/* Reads a frame of kind FRAME_COMMIT. */
struct commit commit_decode(const struct frame *f);

#endif
