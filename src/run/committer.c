#include "run/committer.h"

#include "base/log.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

enum {
	COMMIT_WAIT_MS = 500,   /* a step without work: how often kept segments are looked at */
	COMMIT_AGAIN_MS = 100,  /* between tries of what went wrong */
	COMMIT_LAST_TRIES = 50, /* at the end of the program: about five seconds */
};

struct committer {
	struct committer_options options;
	pthread_t thread;
	_Atomic bool stopping;
};

static void wait_a_little(void)
{
	const struct timespec again = {.tv_nsec = COMMIT_AGAIN_MS * NS_PER_MS};

	(void)nanosleep(&again, NULL);
}

static void *commit_all(void *arg)
{
	struct committer *c = arg;
	unsigned last_tries = 0;
	struct err err = {0};
	bool done = false;

	while (!done && last_tries < COMMIT_LAST_TRIES) {
		enum err_kind rc =
			spool_commit(c->options.spool, COMMIT_WAIT_MS * NS_PER_MS, &done, &err);

		if (rc == ERR_FATAL) {
			c->options.fatal(c->options.arg, &err);
			return NULL;
		}
		if (!rc)
			continue;
		log_warn(commit_retry, LOG_TEXT("error", err.text));
		if (atomic_load(&c->stopping))
			last_tries++;
		wait_a_little();
	}
	if (!done)
		log_error(commit_gave_up, LOG_TEXT("error", err.text));
	return NULL;
}

enum err_kind committer_start(struct committer **ret, const struct committer_options *options,
			      struct err *err)
{
	struct committer *c = calloc(1, sizeof(*c));

	if (!c)
		return err_set(err, ERR_FATAL, "no memory for the committer");
	c->options = *options;
	atomic_init(&c->stopping, false);
	if (pthread_create(&c->thread, NULL, commit_all, c) != 0) {
		free(c);
		return err_set(err, ERR_FATAL, "cannot start the committer's thread");
	}
	(void)pthread_setname_np(c->thread, "committer");
	*ret = c;
	return ERR_NONE;
}

void committer_stop(struct committer *c)
{
	if (!c)
		return;
	atomic_store(&c->stopping, true);
	spool_end_appends(c->options.spool);
	MUST0(pthread_join(c->thread, NULL));
	free(c);
}
