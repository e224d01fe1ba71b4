#include "run/delivery.h"

#include "base/backoff.h"
#include "run/sinks.h"
#include "sink/archive_index.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { CUT_BYTES_MAX = 128 * 1024 };

static const char FOLDER[] = "flytrail-delivery-XXXXXX";

struct delivery {
	struct sink sink;
	const char *send_option;
	uint64_t records; /* of the range */
	struct buf cut;   /* not kept: a command that is broken off is called again by somebody */
	_Atomic uint64_t late;
	char folder[PATH_MAX]; /* of the index's journal; "": none was made */
};

/* --- which sink --- */

/* The image has no /tmp, and other machines no spool. */
static bool make_folder(struct delivery *d, const char *parent)
{
	int len = snprintf(d->folder, sizeof(d->folder), "%s/%s", parent, FOLDER);

	if (len > 0 && (size_t)len < sizeof(d->folder) && mkdtemp(d->folder))
		return true;
	d->folder[0] = '\0';
	return false;
}

static enum err_kind open_s3(struct delivery *d, const struct config *c,
			     const struct spool_stream *stream, struct err *err)
{
	struct sinks_s3 s3;

	if (!make_folder(d, c->spool_dir) && !make_folder(d, "/tmp"))
		return err_errno(err, ERR_RETRY, "cannot make a folder in %s, nor in /tmp",
				 c->spool_dir);
	sinks_s3(c, &s3);
	s3.options.archive.stream = *stream;
	s3.options.folder = d->folder;
	s3.options.index_each = true;
	return s3_open(&d->sink, &s3.options, err);
}

/* What a delivery that was broken off has left is of no use: it is made again whole. */
static void remove_folder(struct delivery *d)
{
	char path[PATH_MAX + sizeof(INDEX_JOURNAL_NAME) + 1];

	if (d->folder[0] == '\0')
		return;
	(void)snprintf(path, sizeof(path), "%s/%s", d->folder, INDEX_JOURNAL_NAME);
	(void)unlink(path);
	(void)rmdir(d->folder);
}

static enum err_kind open_datadog(struct delivery *d, const struct config *c,
				  const struct spool_stream *stream, struct err *err)
{
	struct sinks_datadog datadog;

	/* Its logs have ids, and no range. Who gave the command sees what is refused. */
	(void)stream;
	sinks_datadog(c, &datadog);
	datadog.options.late_count = &d->late;
	return datadog_open(&d->sink, &datadog.options, err);
}

static const struct {
	const char *name, *send_option;
	bool (*is_on)(const struct config *c);
	enum err_kind (*open)(struct delivery *d, const struct config *c,
			      const struct spool_stream *stream, struct err *err);
} sinks[] = {
	{"s3", "FLYTRAIL_S3_SEND", sinks_has_s3, open_s3},
	{"datadog", "FLYTRAIL_DATADOG_SEND", sinks_has_datadog, open_datadog},
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
	d->send_option = sinks[i].send_option;
	buf_init(&d->cut, CUT_BYTES_MAX);
	rc = sinks[i].open(d, c, stream, err);
	if (rc) {
		remove_folder(d);
		free(d);
		return rc;
	}
	*ret = d;
	return ERR_NONE;
}

void delivery_close(struct delivery *d)
{
	if (!d)
		return;
	d->sink.ops->close(d->sink.ctx);
	remove_folder(d);
	buf_release(&d->cut);
	free(d);
}

/* --- a range --- */

void delivery_begin(struct delivery *d, uint64_t first_seq)
{
	buf_reset(&d->cut);
	d->records = 0;
	atomic_store(&d->late, 0);
	d->sink.ops->begin(d->sink.ctx, first_seq, true);
}

enum err_kind delivery_add(struct delivery *d, uint64_t seq, struct span payload, bool *ret_taken,
			   struct err *err)
{
	enum err_kind rc = d->sink.ops->add(d->sink.ctx, seq, payload, ret_taken, err);

	d->records += *ret_taken && !rc;
	return rc;
}

const char *delivery_send_option(const struct delivery *d)
{
	return d->send_option;
}

static enum err_kind deliver(struct delivery *d, struct delivery_result *ret, struct err *err)
{
	unsigned failures = 0;

	for (;;) {
		struct sink_answer answer = {.wait_seconds = 0};
		enum err_kind rc = d->sink.ops->deliver(d->sink.ctx, &answer, err);

		ret->is_begun = answer.is_begun;
		ret->is_its_own = answer.is_its_own;
		/* The delivery goes on without that one, so there are at most as many as records.
		 */
		if (rc == ERR_REJECT && ret->refused < d->records) {
			if (ret->refused < ARRAY_LEN(ret->refused_seqs))
				ret->refused_seqs[ret->refused] = answer.refused_seq;
			ret->refused++;
			ret->why = *err;
			continue;
		}
		if (rc != ERR_RETRY || ++failures == DELIVERY_TRIES_MAX)
			return rc;
		backoff_wait(failures, answer.wait_seconds < DELIVERY_WAIT_SECONDS_MAX
					       ? answer.wait_seconds
					       : DELIVERY_WAIT_SECONDS_MAX);
	}
}

enum err_kind delivery_end(struct delivery *d, uint64_t last_seq, struct delivery_result *ret,
			   struct err *err)
{
	enum err_kind rc = d->sink.ops->seal(d->sink.ctx, last_seq, &d->cut, err);

	*ret = (struct delivery_result){.refused = 0};
	if (!rc)
		rc = deliver(d, ret, err);
	ret->late = atomic_load(&d->late);
	return rc;
}
