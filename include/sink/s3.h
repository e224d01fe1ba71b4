#ifndef SINK_S3_H
#define SINK_S3_H

/*
 * s3: the sink that keeps the archive (sink/archive.h) in a bucket.
 *
 * Before the first delivery of a day, the index of the one before is put, too
 * (sink/archive_index.h). Where a command delivers, each delivery has an index of its own,
 * which is put behind its objects: no other comes after it. Where that one's name is taken, by
 * a delivery of that day with the same ends and other objects, nothing is put, for no index
 * would name it.
 *
 * Each object is put once (sink/s3_put.h). One that is there already and is another:
 * an operator must act; whoever can write into the bucket has written under a name of
 * this trail's.
 *
 * Ownership: s3_open() copies the options. close() of the sink ends it.
 * Threads:   see sink/sink.h.
 * Limits:    those of sink/archive.h.
 * Errors:    those of sink/s3_client.h and of the journal; ERR_REJECT of a request is ERR_CONFIG
 * here, for it is about no record.
 */

#include "sink/archive.h"
#include "sink/s3_put.h"
#include "sink/sink.h"

struct s3_sink_options {
	struct s3_options client;
	struct archive_options archive;
	struct s3_put_options put;
	const char *folder;      /* the spool's, where the index's journal is; NULL: no index */
	bool index_each;         /* for a command, whose folder is another */
	unsigned gather_seconds; /* see sink/sink.h */
};

NODISCARD enum err_kind s3_open(struct sink *ret, const struct s3_sink_options *options,
				struct err *err);

#endif
