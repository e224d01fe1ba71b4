#ifndef SINK_S3_H
#define SINK_S3_H

/*
 * s3: the sink that keeps the archive (sink/archive.h) in a bucket.
 *
 * Each object is put once: with `If-None-Match: *`, and with its own checksums, which
 * S3 holds against what came. Where it is not known whether a put arrived, the object
 * is looked at first: x-amz-meta-content-sha256 says what is compressed in it. The same:
 * it is there. Another: nothing is overwritten, and an operator must act; whoever can
 * write into the bucket has written under a name of this trail's.
 *
 * Ownership: s3_open() copies the options. close() of the sink ends it.
 * Threads:   see sink/sink.h.
 * Limits:    those of sink/archive.h.
 * Errors:    those of sink/s3_client.h; ERR_REJECT of a request is ERR_CONFIG here, for
 *            it is about no record.
 */

#include "sink/archive.h"
#include "sink/s3_client.h"
#include "sink/sink.h"

struct s3_sink_options {
	struct s3_options client;
	struct archive_options archive;
	const char *sse, *kms_key_id, *storage_class; /* as S3's headers have them; "": not sent */
	unsigned gather_seconds;                      /* see sink/sink.h */
};

NODISCARD enum err_kind s3_open(struct sink *ret, const struct s3_sink_options *options,
				struct err *err);

#endif
