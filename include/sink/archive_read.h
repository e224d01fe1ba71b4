#ifndef SINK_ARCHIVE_READ_H
#define SINK_ARCHIVE_READ_H

/*
 * archive_read: an object of the archive (sink/archive.h), held against what is known of it.
 *
 * Who can write into a bucket can put anything there, so nothing of it is believed: a key
 * has the layout's form, byte for byte; what is stored has the length and the hash that the
 * index says; it is one gzip member, which is inflated no further than the index says that
 * its content is long; and that has its hash and its count of lines.
 *
 * A line of an index, which stands under PREFIX/index/date=2026-11-26/ by the day on which
 * its objects were delivered, is
 *
 *	{"key":KEY,"bytes":N,"sha256":HEX,"content_sha256":HEX,"content_bytes":N,"records":N,
 *	 "first_seq":"N","last_seq":"N"}
 *
 * where bytes and sha256 are of what is stored, and content is what is compressed in it.
 * Further members are not looked at. An object that no index names yet is held against what
 * its own metadata says: whoever wrote it wrote that as well, so damage is noticed, not malice.
 *
 * Ownership: the caller's buffers and structs.
 * Threads:   pure functions, but for the client's.
 * Limits:    ARCHIVE_OBJECT_BYTES_MAX stored, ARCHIVE_OBJECT_CONTENT_BYTES_MAX inflated; of an
 *            index, INDEX_BYTES_MAX.
 * Errors:    ERR_CORRUPT: it is not what it should be. ERR_REJECT: there is no such object.
 *            ERR_FATAL: no memory. Else those of sink/s3_client.h. Texts name the key, which
 *            is of the layout's form, and no byte more of what was read.
 */

#include "sink/archive.h"
#include "sink/s3_client.h"

/* What a key says. */
struct archive_name {
	enum archive_kind kind;
	int64_t from_ns, until_ns; /* an hour of lines, a day of events, a day of deliveries */
	struct id stream;
	uint64_t epoch, first_seq, last_seq;
};

/* False: the key is none of an archive with this prefix ("": none). */
NODISCARD bool archive_name_parse(const char *prefix, struct span key, struct archive_name *ret);

struct archive_entry {
	char key[ARCHIVE_KEY_BYTES];
	struct archive_name name;
	uint64_t bytes, content_bytes, records;
	char sha256[HASH_HEX_BYTES]; /* "": not known, for no index names it */
	char content_sha256[HASH_HEX_BYTES];
};

/* Of a line of an index, without its end. */
NODISCARD enum err_kind archive_index_parse(const char *prefix, struct span line,
					    struct archive_entry *ret, struct err *err);

/* Puts into content, emptied before and bounded anew, what the stored bytes hold. On failure it
 * holds a part. */
NODISCARD enum err_kind archive_check(const struct archive_entry *entry, struct span stored,
				      struct buf *content, struct err *err);

/* Gets the object and checks it. */
NODISCARD enum err_kind archive_read_object(struct s3_client *client,
					    const struct archive_entry *entry, struct buf *content,
					    struct err *err);

/* The same of one that no index names: what its metadata says makes the entry. */
NODISCARD enum err_kind archive_read_unindexed(struct s3_client *client, const char *prefix,
					       struct span key, struct archive_entry *ret,
					       struct buf *content, struct err *err);

/* An index itself, which nothing vouches for but its form. *content: its lines. */
NODISCARD enum err_kind archive_read_index(struct s3_client *client, struct span key,
					   struct buf *content, struct err *err);

#endif
