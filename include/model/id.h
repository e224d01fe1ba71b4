#ifndef MODEL_ID_H
#define MODEL_ID_H

/*
 * id: one line, one id; one fact, one id.
 *
 * A line's id is an RFC 9562 UUID version 8: the first 16 bytes, version and
 * variant bits set, of SHA-256 over
 *
 *	"flytrail line 1\n"
 *	u32be length, app
 *	u32be length, instance (the machine)
 *	u32be length, message (redacted)
 *	i64be nanoseconds since 1970
 *
 * so the same line by NATS, by HTTP, by a second replica or after a restart is
 * one row. Lines whose time is coarser than a millisecond, or that did not
 * decode, go on with
 *
 *	u32be length, source
 *	u32be length, raw bytes (redacted)
 *	u64be ordinal in the source or file
 *	u64be number of the file on its volume; nothing where it is none
 *
 * and never merge with another source or file. SHA-256, because an application must
 * not be able to make a line disappear by colliding with it.
 *
 * One bit of the id says whether whoever has the row can make its id again: the digit
 * behind the third dash is 8 or 9 where the row's app, machine_id, message and time are
 * all that it is made from, and a or b where it is made from more. So nothing of the
 * second kind, whose id cannot be checked, takes the place of a line of the first.
 *
 * Threads: a hasher belongs to one thread; the text functions are pure.
 */

#include "base/hash.h"

enum { ID_BYTES = 16, ID_TEXT_BYTES = 37 };

struct id {
	uint8_t bytes[ID_BYTES];
};

/* What sets a line without an exact time of its own apart. */
struct id_extra {
	struct span source;
	struct span raw;
	uint64_t ordinal;
	uint64_t file; /* 0: none */
};

/* What a line's id is made from. */
struct id_parts {
	struct span app, instance, message;
	int64_t occurred_ns;
	const struct id_extra *extra; /* NULL for lines with an exact time */
	bool beyond_row; /* the row does not keep all of this; with extra it never does */
};

NODISCARD enum err_kind id_line(struct hasher *h, const struct id_parts *line, struct id *ret,
				struct err *err);

/* The id of a fact that is no line: SHA-256 over "flytrail event 1\n" and its parts, each as
 * u32be length and bytes; beyond its row. */
NODISCARD enum err_kind id_event(struct hasher *h, const struct span *parts, size_t count,
				 struct id *ret, struct err *err);

/* False: whoever has the row can make the id again. */
bool id_is_beyond_row(const struct id *id);

enum { ID_NUMBER_BYTES = 24 };

/* A number as a part of an event's id. */
struct span id_number(int64_t n, char text[ID_NUMBER_BYTES]);

/* A random UUID version 4, for streams. */
NODISCARD enum err_kind id_random(struct id *ret, struct err *err);

/* "4718f5dc-5f98-830a-888b-c53ebf1e1bf5" and a NUL. Returns text. */
const char *id_format(const struct id *id, char text[ID_TEXT_BYTES]);
NODISCARD bool id_parse(struct span text, struct id *ret);
int id_compare(const struct id *a, const struct id *b);

#endif
