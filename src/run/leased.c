#include "run/leased.h"

#include "run/notifier.h"
#include "run/retainer.h"
#include "run/watcher.h"
#include "run/worker.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

/* name is what tools show: at most 15 characters. */
static const struct job {
	const char *name;
	void (*run)(const struct leased_options *options);
	bool (*is_wanted)(const struct config *c); /* NULL: always */
} jobs[] = {
	{"recovery", worker_run, NULL},
	{"watch", watcher_run, NULL},
	{"retention", retainer_run, NULL},
	{"notify", notifier_run, notifier_is_wanted},
};

struct thread {
	struct leased *all;
	const struct job *job;
	pthread_t thread;
	bool running;
};

struct leased {
	struct leased_options o; /* const after leased_start() */
	struct thread threads[ARRAY_LEN(jobs)];
	_Atomic unsigned left; /* of the threads */
};

static void one_has_ended(struct leased *l)
{
	if (atomic_fetch_sub(&l->left, 1) > 1)
		return;
	atomic_store(&l->o.life->leased_done, true);
	life_wake(l->o.life);
}

static void *thread_main(void *arg)
{
	struct thread *t = arg;

	t->job->run(&t->all->o);
	one_has_ended(t->all);
	return NULL;
}

static enum err_kind start(struct leased *l, struct thread *t, struct err *err)
{
	int rc;

	atomic_fetch_add(&l->left, 1);
	rc = pthread_create(&t->thread, NULL, thread_main, t);
	if (rc != 0) {
		one_has_ended(l);
		errno = rc;
		return err_errno(err, ERR_FATAL, "no thread could be made");
	}
	(void)pthread_setname_np(t->thread, t->job->name);
	t->running = true;
	return ERR_NONE;
}

enum err_kind leased_start(struct leased **ret, const struct leased_options *options,
			   struct err *err)
{
	struct leased *l = calloc(1, sizeof(*l));
	enum err_kind rc = ERR_NONE;

	if (!l)
		return err_set(err, ERR_FATAL, "out of memory for the threads");
	l->o = *options;
	*ret = l;
	/* Before any of them can end: until all are started, they have not all ended. */
	atomic_store(&l->left, 1);
	for (size_t i = 0; i < ARRAY_LEN(jobs) && !rc; i++) {
		l->threads[i] = (struct thread){.all = l, .job = &jobs[i]};
		if (!jobs[i].is_wanted || jobs[i].is_wanted(options->config))
			rc = start(l, &l->threads[i], err);
	}
	one_has_ended(l);
	return rc;
}

void leased_join(struct leased *l)
{
	if (!l)
		return;
	for (size_t i = 0; i < ARRAY_LEN(jobs); i++)
		if (l->threads[i].running)
			MUST0(pthread_join(l->threads[i].thread, NULL));
	free(l);
}
