#ifndef SINK_ARCHIVE_H
#define SINK_ARCHIVE_H

/*
 * archive: a range of the spool as objects of a bucket.
 *
 *	PREFIX/lines/date=2026-11-26/hour=07/STREAM.EPOCH-FIRST-LAST.ndjson.gz
 *	PREFIX/events/class=security/date=2026-11-26/STREAM.EPOCH-FIRST-LAST.ndjson.gz
 *
 * Each is one gzip member of NDJSON, as model/ndjson.h writes it, whole records in the
 * order of the spool. A line stands where its own UTC hour is, an event where its
 * retention class and day are; a line that is an event is both, as in Postgres. FIRST
 * and LAST are those of the whole range, in twenty digits, so that names sort as the
 * ranges do, and whoever lists a bucket sees whether one is missing.
 *
 * What comes out is a function of the range, its records and the options, so that after
 * a crash the same range makes the same objects again: equal content always, equal bytes
 * while ISA-L and the kind of processor are the same.
 *
 * Ownership: archive_new() copies the prefix. Objects are lent until the next begin.
 * Threads:   one archive, one thread.
 * Limits:    ARCHIVE_OBJECTS_MAX objects of a range, ARCHIVE_BYTES_MAX of all together,
 *            made of ARCHIVE_CONTENT_BYTES_MAX, and one record more, so that who reads an
 *            object knows how large it can be; a compressor takes 370 kB and is kept.
 * Errors:    ERR_FULL from archive_add(): the range ends before this record. ERR_REJECT:
 *            the payload is none, and nothing of it is in an object. ERR_FATAL: no memory.
 */

#include "base/hash.h"
#include "model/record.h"
#include "spool/spool.h"

enum {
	ARCHIVE_OBJECTS_MAX = 64,
	ARCHIVE_BYTES_MAX = 8 * 1024 * 1024,
	ARCHIVE_CONTENT_BYTES_MAX = 64 * 1024 * 1024,
	/* Of one object, which the last record may have made longer than all were to be. */
	ARCHIVE_OBJECT_BYTES_MAX = ARCHIVE_BYTES_MAX + 2 * RECORD_PAYLOAD_BYTES_MAX,
	ARCHIVE_OBJECT_CONTENT_BYTES_MAX = ARCHIVE_CONTENT_BYTES_MAX + 8 * RECORD_PAYLOAD_BYTES_MAX,
	ARCHIVE_PREFIX_BYTES_MAX = 512, /* S3 takes keys of 1024 bytes */
	ARCHIVE_KEY_BYTES = 1024,
};

#define ARCHIVE_DAY_NS TIME_DAY_NS

struct archive;

enum archive_send { ARCHIVE_ALL, ARCHIVE_EVENTS };

/* What an object holds: lines, events of a retention class, or names of objects. */
enum archive_kind { ARCHIVE_LINES, ARCHIVE_SECURITY, ARCHIVE_OPERATIONS, ARCHIVE_INDEX };
enum { ARCHIVE_KINDS = ARCHIVE_INDEX + 1 };

struct archive_options {
	const char *prefix; /* "": none; else without a slash at its ends */
	struct spool_stream stream;
	enum archive_send send;
};

struct archive_object {
	char key[ARCHIVE_KEY_BYTES];
	struct span bytes;                   /* compressed */
	char content_sha256[HASH_HEX_BYTES]; /* of what is compressed */
	uint64_t records, content_bytes;
	uint64_t first_seq, last_seq; /* of the range */
	enum archive_kind kind;
	/*
	 * The end of the UTC day that the key names: from here terms of retention count. Where that
	 * day is not over a day after the first record was observed, that one's: what a record
	 * claims of its time does not keep it for ever.
	 */
	int64_t day_end_ns;
};

NODISCARD enum err_kind archive_new(struct archive **ret, const struct archive_options *options,
				    struct err *err);
void archive_free(struct archive *a); /* NULL is fine */

/* first_seq is the range's first number, whether or not there is such a record. */
void archive_begin(struct archive *a, uint64_t first_seq);
/* *ret_taken false: the options leave it out. */
NODISCARD enum err_kind archive_add(struct archive *a, struct span payload, bool *ret_taken,
				    struct err *err);

/* Ends the range at last_seq: from now on the objects are there. */
NODISCARD enum err_kind archive_end(struct archive *a, uint64_t last_seq, struct err *err);
size_t archive_count(const struct archive *a);
const struct archive_object *archive_object(const struct archive *a, size_t idx);

#endif
