#include "run/delivery.h"

#include "base/backoff.h"
#include "base/time.h"
#include "run/sinks.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

enum { CUT_BYTES_MAX = 128 * 1024 };

struct delivery {
	struct sink sink;
	uint64_t records; /* of the range */
	struct buf cut;   /* not kept: a command that is broken off is called again by somebody */
};

/* --- which sink --- */

static enum err_kind open_s3(const struct config *c, const struct spool_stream *stream,
			     struct sink *ret, struct err *err)
{
	struct sinks_s3 s3;

	sinks_s3(c, &s3);
	s3.options.archive.stream = *stream;
	return s3_open(ret, &s3.options, err);
}

static const struct {
	const char *name;
	bool (*is_on)(const struct config *c);
	enum err_kind (*open)(const struct config *c, const struct spool_stream *stream,
			      struct sink *ret, struct err *err);
} sinks[] = {
	{"s3", sinks_has_s3, open_s3},
};

enum err_kind delivery_open(struct delivery **ret, const struct config *c, const char *sink,
			    const struct spool_stream *stream, struct err *err)
{
	struct delivery *d;
	size_t i = 0;
	enum err_kind rc;

	while (i < ARRAY_LEN(sinks) && strcmp(sinks[i].name, sink) != 0)
		i++;
	if (i == ARRAY_LEN(sinks))
		return err_set(err, ERR_CONFIG, "%s is no sink", sink);
	if (!sinks[i].is_on(c))
		return err_set(err, ERR_CONFIG,
			       "%s is not configured here: `flytrail config` shows what is", sink);
	d = calloc(1, sizeof(*d));
	if (!d)
		return err_set(err, ERR_FATAL, "out of memory for a delivery to %s", sink);
	buf_init(&d->cut, CUT_BYTES_MAX);
	rc = sinks[i].open(c, stream, &d->sink, err);
	if (rc)
		free(d);
	else
		*ret = d;
	return rc;
}

void delivery_close(struct delivery *d)
{
	if (!d)
		return;
	d->sink.ops->close(d->sink.ctx);
	buf_release(&d->cut);
	free(d);
}

/* --- a range --- */

void delivery_begin(struct delivery *d, uint64_t first_seq)
{
	buf_reset(&d->cut);
	d->records = 0;
	d->sink.ops->begin(d->sink.ctx, first_seq, true);
}

enum err_kind delivery_add(struct delivery *d, uint64_t seq, struct span payload, struct err *err)
{
	enum err_kind rc = d->sink.ops->add(d->sink.ctx, seq, payload, err);

	d->records += !rc;
	return rc;
}

static void wait_before(unsigned attempt, unsigned wait_seconds)
{
	int64_t ms = backoff_random_ms(attempt);
	struct timespec left;

	if (wait_seconds > DELIVERY_WAIT_SECONDS_MAX)
		wait_seconds = DELIVERY_WAIT_SECONDS_MAX;
	if (ms < (int64_t)wait_seconds * 1000)
		ms = (int64_t)wait_seconds * 1000;
	left = (struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * NS_PER_MS};
	while (nanosleep(&left, &left) != 0 && errno == EINTR)
		continue;
}

enum err_kind delivery_end(struct delivery *d, uint64_t last_seq, uint64_t *ret_refused,
			   struct err *err)
{
	unsigned failures = 0;
	enum err_kind rc = d->sink.ops->seal(d->sink.ctx, last_seq, &d->cut, err);

	*ret_refused = 0;
	if (rc)
		return rc;
	for (;;) {
		struct sink_answer answer = {.wait_seconds = 0};

		rc = d->sink.ops->deliver(d->sink.ctx, &answer, err);
		/* The delivery goes on without that one, so there are at most as many as records.
		 */
		if (rc == ERR_REJECT && *ret_refused < d->records) {
			++*ret_refused;
			continue;
		}
		if (rc != ERR_RETRY || ++failures == DELIVERY_TRIES_MAX)
			return rc;
		wait_before(failures, answer.wait_seconds);
	}
}
