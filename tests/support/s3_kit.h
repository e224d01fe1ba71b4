#ifndef SUPPORT_S3_KIT_H
#define SUPPORT_S3_KIT_H

/*
 * s3_kit: what the tests of S3 do all the time: answers one after the other, and the sink
 * (sink/s3.h) before a server that gives them, with deliveries of one object.
 *
 *	s3_kit_make(&k)
 *	s3_kit_answer(&k.script, 200, "", "")
 *	options = s3_kit_sink_options()
 *	s3_kit_serve(&k)
 *	s3_kit_open(&k, &options)
 *	s3_kit_seal(&k, 1, false)
 *	s3_kit_deliver(&k)		and then what k.server was asked
 *	s3_kit_remove(&k)
 *
 * Ownership: the answers' texts are the script's, whose later change is what is answered then.
 * Threads:   one, beside the server's own.
 */

#include "sink/s3.h"

#include "tiny_http.h"

enum { S3_KIT_ANSWERS_MAX = 8, S3_KIT_ANSWER_BYTES = 2048, S3_KIT_RETRY_SECONDS = 7 };

/* Empty, it is all zeros. */
struct s3_kit_script {
	char texts[S3_KIT_ANSWERS_MAX][S3_KIT_ANSWER_BYTES];
	const char *answers[S3_KIT_ANSWERS_MAX + 1]; /* for tiny_http_start() */
	size_t count;
};

void s3_kit_answer(struct s3_kit_script *s, unsigned status, const char *headers, const char *body);

/* Of a bucket `trail`. */
struct s3_options s3_kit_options(const char *endpoint);
struct s3_sink_options s3_kit_sink_options(void); /* whose endpoint is s3_kit_open()'s */

struct s3_kit {
	struct s3_kit_script script;
	struct tiny_http server;
	struct sink sink;
	struct buf payload; /* of the one record: an event of that time */
	struct buf cut;     /* of the newest delivery */
	struct err err;
};

void s3_kit_make(struct s3_kit *k); /* the event is of 1970 */
void s3_kit_remove(struct s3_kit *k);
void s3_kit_have_event(struct s3_kit *k, int64_t ns);

void s3_kit_serve(struct s3_kit *k); /* the script */
void s3_kit_open(struct s3_kit *k, const struct s3_sink_options *options);
void s3_kit_seal(struct s3_kit *k, uint64_t seq, bool again);
/* Whoever is to try again is to wait for S3_KIT_RETRY_SECONDS: a script's 503 says so. */
enum err_kind s3_kit_deliver(struct s3_kit *k);

/* That request was for what begins so, below the prefix. */
void s3_kit_assert_asked(const struct s3_kit *k, size_t idx, const char *method, const char *place);

#endif
