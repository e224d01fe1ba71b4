#include "run/forwarders.h"

#include "base/log.h"
#include "base/time.h"
#include "run/sinks.h"
#include "sink/s3_probe.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

struct one {
	enum sink_id id;
	bool is_on;
	struct forwarder *forwarder;
	pthread_t thread;
	bool running;
	struct forwarders *all;
};

struct forwarders {
	struct forwarders_options o; /* const after forwarders_start() */
	struct one ones[SINK_COUNT];
	_Atomic unsigned left; /* of the threads */
};

static void one_has_ended(struct forwarders *f)
{
	if (atomic_fetch_sub(&f->left, 1) > 1)
		return;
	atomic_store(&f->o.life->sinks_done, true);
	life_wake(f->o.life);
}

static void s3_options(struct forwarders *f, struct sinks_s3 *ret)
{
	sinks_s3(f->o.config, ret);
	ret->options.archive.stream = spool_stream(f->o.spool);
	ret->options.client.cut = &f->o.life->cut;
	ret->options.folder = f->o.config->spool_dir;
}

static enum err_kind open_s3(void *arg, struct sink *ret, struct err *err)
{
	struct sinks_s3 s3;

	s3_options(arg, &s3);
	return s3_open(ret, &s3.options, err);
}

static enum err_kind prove_s3(void *arg, struct buf *found, struct err *err)
{
	struct sinks_s3 s3;
	struct s3_probe probe;
	enum err_kind rc;

	s3_options(arg, &s3);
	rc = s3_probe(&s3.options, &probe, err);
	if (!rc)
		s3_probe_json(&probe, found);
	return rc;
}

static enum err_kind open_datadog(void *arg, struct sink *ret, struct err *err)
{
	struct forwarders *f = arg;
	struct sinks_datadog datadog;

	sinks_datadog(f->o.config, &datadog);
	datadog.options.cut = &f->o.life->cut;
	datadog.options.suspects = true;
	datadog.options.late_count = &f->o.status->sinks[SINK_DATADOG].late;
	return datadog_open(ret, &datadog.options, err);
}

static enum err_kind make_forwarder(struct one *one, struct err *err)
{
	struct forwarders *f = one->all;
	const struct forwarder_options options = {
		.name = sink_name(one->id),
		.spool = f->o.spool,
		.life = f->o.life,
		.status = &f->o.status->sinks[one->id],
		.trail = f->o.trail,
		.folder = f->o.config->spool_dir,
		.finite = f->o.finite,
		.open = one->id == SINK_S3 ? open_s3 : open_datadog,
		.prove = one->id == SINK_S3 ? prove_s3 : NULL,
		.arg = f,
	};

	return forwarder_new(&one->forwarder, &options, err);
}

static void *one_main(void *arg)
{
	struct one *one = arg;

	forwarder_run(one->forwarder);
	one_has_ended(one->all);
	return NULL;
}

/* It is made here, before the store passes anything, so that the spool keeps that for it. */
static enum err_kind start_one(struct forwarders *f, enum sink_id id, struct err *err)
{
	struct one *one = &f->ones[id];
	int rc;

	*one = (struct one){.all = f, .id = id, .is_on = true};
	if (make_forwarder(one, err))
		return err->kind;
	atomic_fetch_add(&f->left, 1);
	rc = pthread_create(&one->thread, NULL, one_main, one);
	if (rc != 0) {
		one_has_ended(f);
		errno = rc;
		return err_errno(err, ERR_FATAL, "no thread could be made");
	}
	one->running = true;
	(void)pthread_setname_np(one->thread, sink_name(id));
	return ERR_NONE;
}

enum err_kind forwarders_start(struct forwarders **ret, const struct forwarders_options *options,
			       struct err *err)
{
	struct forwarders *f = calloc(1, sizeof(*f));
	enum err_kind rc = ERR_NONE;

	if (!f)
		return err_set(err, ERR_FATAL, "out of memory for the sinks");
	f->o = *options;
	*ret = f;
	/* Before any of them can end: until all are started, they have not all ended. */
	atomic_store(&f->left, 1);
	if (sinks_has_s3(options->config))
		rc = start_one(f, SINK_S3, err);
	if (!rc && sinks_has_datadog(options->config))
		rc = start_one(f, SINK_DATADOG, err);
	one_has_ended(f);
	return rc;
}

bool forwarders_are_behind(const struct forwarders *f)
{
	struct spool_stats stats;

	if (!f)
		return false;
	spool_stats(f->o.spool, &stats);
	for (size_t i = 0; i < SINK_COUNT; i++)
		if (f->ones[i].is_on &&
		    atomic_load(&f->o.status->sinks[i].delivered_seq) < stats.appended_seq)
			return true;
	return false;
}

bool forwarders_tell_end(struct status *status, uint64_t accepted_seq)
{
	bool have_all = true;

	for (size_t i = 0; i < SINK_COUNT; i++) {
		struct sink_status *s = &status->sinks[i];
		uint64_t seq = atomic_load(&s->delivered_seq);

		if (atomic_load(&s->state) == SINK_OFF)
			continue;
		log_info(sink_stopped, LOG_TEXT("sink", sink_name((enum sink_id)i)),
			 LOG_NUMBER("left_in_spool", accepted_seq > seq ? accepted_seq - seq : 0),
			 LOG_NUMBER("records", atomic_load(&s->records)));
		have_all = have_all && seq >= accepted_seq;
	}
	return have_all;
}

void forwarders_free(struct forwarders *f)
{
	if (!f)
		return;
	for (size_t i = 0; i < SINK_COUNT; i++) {
		if (f->ones[i].running)
			MUST0(pthread_join(f->ones[i].thread, NULL));
		forwarder_free(f->ones[i].forwarder);
	}
	free(f);
}
