#ifndef SINK_S3_HOLD_H
#define SINK_S3_HOLD_H

/*
 * s3_hold: S3's legal hold of one version of an object.
 *
 * While it is on, nobody deletes that version or puts another in its place, and it has no term:
 * it goes when somebody takes it off who may do that, s3:PutObjectLegalHold. It is beside a
 * lock (sink/s3_lock.h) and as independent of it as can be. It takes a bucket with Object Lock.
 *
 * Like a lock it is asked for, and then read back: what counts is what S3 says that it has.
 *
 * Source: Amazon S3 API Reference, "PutObjectLegalHold" and "GetObjectLegalHold".
 *
 * Threads: those of the client.
 * Errors:  those of sink/s3_client.h. ERR_CONFIG: the bucket has no Object Lock and it is to be on,
 *          or the credentials may not do it; the text says which. ERR_REJECT: there is no such
 *          version any more.
 */

#include "base/hash.h"
#include "sink/s3_client.h"

struct s3_hold_target {
	struct span key, version; /* version "": the newest */
};

/* *ret: whether it is on. */
NODISCARD enum err_kind s3_hold_get(struct s3_client *c, const struct s3_hold_target *target,
				    bool *ret, struct err *err);

/* Puts it on or takes it off, and reads it back. *ret_changed: it was otherwise before. */
NODISCARD enum err_kind s3_hold_set(struct s3_client *c, struct hasher *h,
				    const struct s3_hold_target *target, bool on, bool *ret_changed,
				    struct err *err);

#endif
