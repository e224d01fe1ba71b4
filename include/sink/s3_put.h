#ifndef SINK_S3_PUT_H
#define SINK_S3_PUT_H

/*
 * s3_put: one object into a bucket, once.
 *
 * It is put with `If-None-Match: *`, and with its own checksums, which S3 holds against
 * what came. Where it is not known whether an earlier put arrived, the object is looked
 * at first: x-amz-meta-content-sha256 says what is compressed in it. The same: it is
 * there. Another: nothing is overwritten, and an operator must act. One that says the hash
 * of the very bytes that would be put, x-amz-meta-sha256, and has not as many of them, is
 * not there either, whoever put it.
 *
 * Where a lock is asked for, it is put with that, and then S3 is asked what it has: the
 * content, as many bytes as were sent, and a lock as strong as was asked for. What is
 * there already with less of a lock is given it. An object is there when S3 has said
 * all of that.
 *
 * Ownership: s3_put_new() copies the options.
 * Threads:   one s3_put, one thread.
 * Errors:    those of sink/s3_client.h; ERR_CONFIG: another object has its name, or it
 *            is not locked as was asked for; ERR_REJECT: S3 refuses the request, which
 *            is about no record.
 */

#include "sink/archive.h"
#include "sink/s3_client.h"
#include "sink/s3_lock.h"

struct s3_put;

struct s3_put_options {
	const char *sse, *kms_key_id, *storage_class; /* as S3's headers have them; "": not sent */
	struct s3_lock_terms lock;
};

NODISCARD enum err_kind s3_put_new(struct s3_put **ret, const struct s3_options *client,
				   const struct s3_put_options *options, struct err *err);
void s3_put_free(struct s3_put *p); /* NULL is fine */

/* What is in the bucket: with equal content, other bytes may be there, another compressor's. */
struct s3_stored {
	uint64_t bytes;
	char sha256[HASH_HEX_BYTES];
};

/* For what is read of the bucket; lent until s3_put_free(). */
struct s3_client *s3_put_client(struct s3_put *p);

/*
 * *in_doubt: it may be there already. It is set before the first byte is sent, and reset when the
 * object is there, which is ERR_NONE.
 */
NODISCARD enum err_kind s3_put_once(struct s3_put *p, const struct archive_object *o,
				    bool *in_doubt, struct s3_stored *ret,
				    struct s3_answer *ret_answer, struct err *err);

/* Whether the newest s3_put_once() has found another object under that name. */
bool s3_put_met_another(const struct s3_put *p);

#endif
