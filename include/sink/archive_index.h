#ifndef SINK_ARCHIVE_INDEX_H
#define SINK_ARCHIVE_INDEX_H

/*
 * archive_index: which objects an archive (sink/archive.h) holds, day by day.
 *
 *	PREFIX/index/date=2026-11-26/STREAM.EPOCH-FIRST-LAST.ndjson.gz
 *
 * One gzip member of NDJSON, a line an object, those of a range in the order of their keys:
 *
 *	{"key":KEY,"bytes":N,"sha256":HEX,"content_sha256":HEX,"content_bytes":N,"records":N,
 *	 "first_seq":"N","last_seq":"N"}
 *
 * where bytes and sha256 are of what is stored, and content is what is compressed in it. The
 * date is the UTC day on which the objects were delivered, and not of their records. FIRST and
 * LAST are of all ranges of the index, with those that made no object: so FIRST is one more
 * than the LAST of the index before of that stream and epoch, and whoever lists a bucket sees
 * whether one is missing. An index may be empty. A day may have several of a stream.
 *
 * Until it is put, an index is a journal in the spool's folder, INDEX_JOURNAL_NAME:
 *
 *	{"stream":UUID,"epoch":"1","date":"2026-11-26","prefix":"flytrail",
 *	 "place":"https://s3.example.com BUCKET","first_seq":"1"}		(one line)
 *	{"key":...}						objects of a range
 *	{"first_seq":"1","last_seq":"99"}			the range is in it
 *
 * synced after each range. A range without its last line was torn by a crash, and is made
 * again, as its cursor says. One that is whole and is made again, for the cursor had not moved,
 * may have objects that the first time had not: FLYTRAIL_S3_SEND was another. Those are a
 * range of the same numbers. The journal is closed, which is to say that the index is put and
 * the journal removed, by the first range that is not its own: of a later day, of another
 * stream or epoch (an adopted spool), under another prefix, one that does not follow on it, or
 * one more than INDEX_ENTRIES_MAX lines allow. So the objects since the last close are in no
 * index yet.
 *
 * A journal of another place, which is what the options named before, can be put there alone,
 * where its objects are, and there the options lead no more. So it is put aside, as
 * INDEX_JOURNAL_NAME.HEX, of the place's hash, and keeps their names. It is taken up again, and
 * its index put, when the options name its place again. Until then its objects are in no index,
 * which is what `flytrail archive verify` says in their bucket.
 *
 *	archive_index_due(i, now, range, &object, err)		object: put it, then
 *	archive_index_closed(i, err)
 *	... the objects of the range are put ...
 *	archive_index_add(i, now, range, entries, count, err)
 *
 * Ownership: archive_index_open() copies its options. An index is lent until the next call.
 * Threads:   one index, one thread.
 * Limits:    INDEX_ENTRIES_MAX lines, INDEX_BYTES_MAX of a journal.
 * Errors:    those of base/file.h. ERR_CORRUPT: the journal is none that this version writes.
 *            ERR_CONFIG: two journals are of one place, or a name is too long.
 */

#include "sink/archive.h"

#define INDEX_JOURNAL_NAME "s3.index"

enum { INDEX_ENTRIES_MAX = 4096, INDEX_BYTES_MAX = 8 * 1024 * 1024 };

struct archive_index;

struct archive_range {
	uint64_t first_seq, last_seq;
};

struct archive_index_entry {
	const struct archive_object *object;
	uint64_t bytes; /* as they are stored */
	const char *sha256;
};

/* Of options, the prefix and the stream are what is delivered from now on; place: see sink.h. */
NODISCARD enum err_kind archive_index_open(struct archive_index **ret, const char *folder,
					   const char *place, const struct archive_options *options,
					   struct err *err);
void archive_index_free(struct archive_index *i); /* NULL is fine */

/* *ret: the index that is to be put before any object of the range; NULL: none. */
NODISCARD enum err_kind archive_index_due(struct archive_index *i, int64_t now_ns,
					  struct archive_range range,
					  const struct archive_object **ret, struct err *err);
/* The name that an index of this range alone has, if its objects are delivered now. */
void archive_index_name(const struct archive_index *i, int64_t now_ns, struct archive_range range,
			char ret[ARCHIVE_KEY_BYTES]);
NODISCARD enum err_kind archive_index_closed(struct archive_index *i, struct err *err);

/* All objects of the range are there. What of it is in the journal already is not doubled. */
NODISCARD enum err_kind archive_index_add(struct archive_index *i, int64_t now_ns,
					  struct archive_range range,
					  const struct archive_index_entry *entries, size_t count,
					  struct err *err);

#endif
