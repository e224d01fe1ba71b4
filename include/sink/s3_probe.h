#ifndef SINK_S3_PROBE_H
#define SINK_S3_PROBE_H

/*
 * s3_probe: what a bucket really does, found out before anything is trusted to it.
 *
 * A small object, PREFIX/probe/TIME-RANDOM.gz, is put as those of the archive are, locked
 * for a day where locks are asked for, and read back. Then it is tried what whoever stole
 * these credentials could do to it: delete it, delete what hides it, lower its lock.
 *
 * To put, to read and to list is all that flytrail needs: s3:PutObject, s3:GetObject and
 * s3:ListBucket, and with locks s3:PutObjectRetention and s3:GetObjectRetention. So the
 * best answers are refusals: such a probe stays, some hundred bytes for each, which a
 * lifecycle rule of the bucket for PREFIX/probe/ clears away. What can be removed is.
 * Without s3:ListBucket S3 says of what is not there that it is forbidden to look, and
 * after a crash nobody could tell whether an object was put.
 *
 * Sources: Amazon S3 API Reference, "HeadObject" (Permissions), "DeleteObject",
 *          "PutObjectRetention", "GetObjectLockConfiguration".
 *
 * Threads: none shared; it takes a dozen requests.
 * Errors:  those of sink/s3_client.h, for where nothing can be put, or where no lock holds
 *          that is asked for, or other bytes come back: ERR_CONFIG. A refusal of anything
 *          else is an answer.
 */

#include "sink/s3.h"

enum s3_known { S3_UNKNOWN, S3_NO, S3_YES };

struct s3_probe {
	char key[ARCHIVE_KEY_BYTES];
	struct s3_lock lock; /* as S3 said it when it was put */
	bool removed;        /* the probe is no more */
	/* What these credentials need. */
	enum s3_known reads;     /* it came back as it was put */
	enum s3_known lists;     /* S3 says of what is not there that it is not */
	enum s3_known encrypted; /* as is asked for; unknown: nothing is */
	/* The bucket. */
	enum s3_known versioned, has_lock;
	/* What these credentials could do, and should not. */
	enum s3_known deletes;          /* an object; where the bucket is versioned: hide it */
	enum s3_known deletes_versions; /* for ever, of what is not locked */
	enum s3_known lowers_lock;      /* unknown: there was none */
	enum s3_known bypasses_lock;    /* in governance mode; unknown: there was none */
};

NODISCARD enum err_kind s3_probe(const struct s3_sink_options *options, struct s3_probe *ret,
				 struct err *err);

/* They could destroy or hide what is in the bucket. */
bool s3_probe_can_harm(const struct s3_probe *p);

/* What they could do, in words, like "delete objects, lower locks"; "" where it is nothing. */
enum { S3_PROBE_HARM_BYTES = 160 };
const char *s3_probe_harm(const struct s3_probe *p, char text[S3_PROBE_HARM_BYTES]);

/* Appends {"key":...,"lock":...,"reads":"yes",...}, all of it, for the attributes of a fact. */
void s3_probe_json(const struct s3_probe *p, struct buf *out);

#endif
