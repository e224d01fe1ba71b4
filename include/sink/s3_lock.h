#ifndef SINK_S3_LOCK_H
#define SINK_S3_LOCK_H

/*
 * s3_lock: S3's Object Lock of one object: how it is asked for, and what S3 says that it has.
 *
 * Whoever may do so can lift a lock in governance mode; one in compliance mode no user of the
 * account can, not even its root, before its term is over. Either takes a bucket that
 * has Object Lock, which is versioned, too. A server that knows no locks may pass over the
 * headers in silence; so what counts is what it says afterwards.
 *
 * A term is a function of the object's own day and of the class's days, so that an object
 * that is put again asks for the same. A term that is over, or will be within the
 * difference that S3 allows of two clocks, is none: S3 takes no date in the past.
 *
 * Source: Amazon S3 User Guide, "Locking objects with Object Lock".
 *
 * Threads: those of the client.
 * Errors:  those of sink/s3_client.h.
 */

#include "sink/archive.h"
#include "sink/s3_client.h"

enum s3_lock_mode { S3_LOCK_OFF, S3_LOCK_GOVERNANCE, S3_LOCK_COMPLIANCE };

/* What is locked, and for how many days; 0: it is not. */
struct s3_lock_terms {
	enum s3_lock_mode mode;
	unsigned days[ARCHIVE_KINDS];
};

struct s3_lock {
	enum s3_lock_mode mode; /* S3_LOCK_OFF: there is none */
	int64_t until_ns;
};

enum { S3_LOCK_DATE_BYTES = 21 }; /* "2026-11-27T00:00:00Z" and a NUL */

struct s3_lock s3_lock_of(const struct s3_lock_terms *terms, const struct archive_object *o,
			  int64_t now_ns);

const char *s3_lock_mode_name(enum s3_lock_mode mode); /* as S3 writes it; "" for OFF */
const char *s3_lock_date(int64_t until_ns, char text[S3_LOCK_DATE_BYTES]); /* Returns text. */

/* What the newest answer says of its object. */
struct s3_lock s3_lock_read(const struct s3_client *c);

/* It is as strong as is wanted, or stronger. */
bool s3_lock_holds(const struct s3_lock *has, const struct s3_lock *wanted);

/* An object that is there, of one version; its bytes stay as they are. */
struct s3_lock_target {
	const char *key, *version; /* "": the newest */
	bool bypass;               /* asks to be let lower a lock in governance mode */
};

/* PutObjectRetention. S3 lets anybody who may do it raise a lock, and nobody lower it. */
NODISCARD enum err_kind s3_lock_set(struct s3_client *c, struct hasher *h,
				    const struct s3_lock_target *target, const struct s3_lock *lock,
				    struct s3_answer *ret_answer, struct err *err);

#endif
