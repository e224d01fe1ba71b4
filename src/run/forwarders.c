#include "run/forwarders.h"

#include "run/sinks.h"
#include "sink/s3_probe.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

struct one {
	struct forwarder *forwarder; /* NULL: its sink is off */
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

static void *one_main(void *arg)
{
	struct one *one = arg;

	forwarder_run(one->forwarder);
	one_has_ended(one->all);
	return NULL;
}

static void s3_options(struct forwarders *f, struct sinks_s3 *ret)
{
	sinks_s3(f->o.config, ret);
	ret->options.archive.stream = spool_stream(f->o.spool);
	ret->options.client.cut = &f->o.life->cut;
	ret->options.folder = f->o.config->spool_dir;
}

static enum err_kind open_s3(struct forwarders *f, struct sink *ret, struct err *err)
{
	struct sinks_s3 s3;

	s3_options(f, &s3);
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

static enum err_kind open_datadog(struct forwarders *f, struct sink *ret, struct err *err)
{
	struct sinks_datadog datadog;

	sinks_datadog(f->o.config, &datadog);
	datadog.options.cut = &f->o.life->cut;
	datadog.options.suspects = true;
	datadog.options.late_count = &f->o.status->sinks[SINK_DATADOG].late;
	return datadog_open(ret, &datadog.options, err);
}

static enum err_kind
open_one(struct forwarders *f, enum sink_id id,
	 enum err_kind (*open)(struct forwarders *, struct sink *, struct err *), struct err *err)
{
	const struct forwarder_options options = {
		.spool = f->o.spool,
		.life = f->o.life,
		.status = &f->o.status->sinks[id],
		.trail = f->o.trail,
		.folder = f->o.config->spool_dir,
		.finite = f->o.finite,
		.prove = id == SINK_S3 ? prove_s3 : NULL,
		.arg = f,
	};
	struct sink sink;
	enum err_kind rc = open(f, &sink, err);

	REQUIRE(rc || strcmp(sink.ops->name, sink_name(id)) == 0);
	return rc ? rc : forwarder_new(&f->ones[id].forwarder, sink, &options, err);
}

static enum err_kind start_one(struct forwarders *f, enum sink_id id, struct err *err)
{
	struct one *one = &f->ones[id];
	int rc;

	one->all = f;
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
		rc = open_one(f, SINK_S3, open_s3, err);
	if (!rc && sinks_has_datadog(options->config))
		rc = open_one(f, SINK_DATADOG, open_datadog, err);
	for (size_t i = 0; i < SINK_COUNT && !rc; i++)
		if (f->ones[i].forwarder)
			rc = start_one(f, (enum sink_id)i, err);
	one_has_ended(f);
	return rc;
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
