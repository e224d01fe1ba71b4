#include "run/leased_jobs.h"

#include "run/mirror.h"
#include "run/notifier.h"
#include "run/retainer.h"
#include "run/sinks.h"
#include "run/watcher.h"
#include "run/worker.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

struct job {
	const char *name; /* what tools show: at most 15 characters */
	void (*run)(const struct leased_options *options);
	bool (*is_wanted)(const struct config *c); /* NULL: always */
};

static const struct job jobs[] = {
	{"recovery", worker_run, NULL},
	{"watch", watcher_run, NULL},
	{"retention", retainer_run, NULL},
	{"mirror", mirror_run, sinks_has_any},
	{"notify slack", notifier_run_slack, notifier_wants_slack},
	{"notify webhook", notifier_run_webhook, notifier_wants_webhook},
};

struct one {
	const struct job *job;
	struct leased_jobs *all;
	pthread_t thread;
	bool running;
};

struct leased_jobs {
	struct leased_options o; /* const after leased_jobs_start() */
	struct one ones[ARRAY_LEN(jobs)];
	_Atomic unsigned left; /* of the threads, and one more while they are being started */
};

static void one_has_ended(struct leased_jobs *j)
{
	if (atomic_fetch_sub(&j->left, 1) > 1)
		return;
	atomic_store(&j->o.life->jobs_done, true);
	life_wake(j->o.life);
}

static void *job_main(void *arg)
{
	struct one *one = arg;

	one->job->run(&one->all->o);
	one_has_ended(one->all);
	return NULL;
}

static enum err_kind start(struct one *one, struct err *err)
{
	int rc;

	atomic_fetch_add(&one->all->left, 1);
	rc = pthread_create(&one->thread, NULL, job_main, one);
	if (rc != 0) {
		one_has_ended(one->all);
		errno = rc;
		return err_errno(err, ERR_FATAL, "no thread could be made");
	}
	(void)pthread_setname_np(one->thread, one->job->name);
	one->running = true;
	return ERR_NONE;
}

enum err_kind leased_jobs_start(struct leased_jobs **ret, const struct leased_options *options,
				struct err *err)
{
	struct leased_jobs *j = calloc(1, sizeof(*j));
	enum err_kind rc = ERR_NONE;

	if (!j)
		return err_set(err, ERR_FATAL, "out of memory for threads");
	j->o = *options;
	atomic_store(&j->left, 1);
	for (size_t i = 0; i < ARRAY_LEN(jobs) && !rc; i++) {
		j->ones[i].job = &jobs[i];
		j->ones[i].all = j;
		if (!jobs[i].is_wanted || jobs[i].is_wanted(options->config))
			rc = start(&j->ones[i], err);
	}
	one_has_ended(j);
	*ret = j;
	return rc;
}

void leased_jobs_free(struct leased_jobs *j)
{
	if (!j)
		return;
	for (size_t i = 0; i < ARRAY_LEN(jobs); i++)
		if (j->ones[i].running)
			MUST0(pthread_join(j->ones[i].thread, NULL));
	free(j);
}
