#include "run/lifecycle.h"

#include "base/log.h"
#include "base/queue.h"
#include "base/time.h"
#include "base/version.h"
#include "run/committer.h"
#include "run/consumer.h"
#include "run/forwarders.h"
#include "run/housekeeper.h"
#include "run/intake.h"
#include "run/last_live.h"
#include "run/leased_jobs.h"
#include "run/life.h"
#include "run/open_spool.h"
#include "run/pipeline.h"
#include "run/process.h"
#include "store/url.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum {
	PROGRESS_MS = 500,
	FORWARDED_MS = 50,
	HOST_BYTES = 256,
};

/* A thread that was started is joined once. */
struct job {
	pthread_t thread;
	bool running;
};

struct run {
	const struct run_options *o;
	struct life life;
	char host[HOST_BYTES];
	char store_app[URL_APP_BYTES];
	int signal_fd;
	struct spool *spool;
	struct trail *trail;
	struct committer *committer;
	struct pipeline *pipeline;
	struct consumer *consumer;
	struct forwarders *forwarders;
	struct intake intake;
	int64_t deadline_ns; /* of the drain; INT64_MAX: none */
	struct leased_jobs *leased_jobs;
	struct job source_job, pipeline_job, store_job, house_job;
};

/* --- threads --- */

static void *ended(struct run *r, _Atomic bool *done)
{
	atomic_store(done, true);
	life_wake(&r->life);
	return NULL;
}

static void *source_main(void *arg)
{
	struct run *r = arg;

	intake_run(&r->intake);
	return NULL;
}

static void post_fact(struct run *r, enum action action)
{
	struct fact fact = {.action = action,
			    .noticed_ns = time_now_ns(),
			    .from_files = !r->intake.source.ops->live};

	trail_post(r->trail, &fact);
}

/* Input that ends by itself is forwarded while what the sinks have to tell of it can be told. */
static enum err_kind await_forwarded(struct run *r, struct err *err)
{
	enum err_kind rc = ERR_NONE;
	struct err why;

	atomic_store(&r->life.lines_done, true);
	while (!rc && !atomic_load(&r->life.cut) && !life_failure(&r->life, &why)) {
		rc = pipeline_take_facts(r->pipeline, err);
		if (!forwarders_are_behind(r->forwarders))
			break;
		life_wait(&r->life, FORWARDED_MS * NS_PER_MS);
	}
	return rc;
}

static void *pipeline_main(void *arg)
{
	struct run *r = arg;
	struct err err;
	enum err_kind rc;

	rc = pipeline_run(r->pipeline, &err);
	if (!rc && !r->intake.source.ops->live)
		rc = await_forwarded(r, &err);
	if (rc == ERR_NONE || rc == ERR_FULL) {
		post_fact(r, ACTION_trail_stopped);
		rc = pipeline_take_facts(r->pipeline, &err);
	}
	if (rc != ERR_NONE && rc != ERR_FULL)
		life_fail(&r->life, &err);
	return ended(r, &r->life.pipeline_done);
}

static void *store_main(void *arg)
{
	struct run *r = arg;

	consumer_run(r->consumer);
	return NULL;
}

static void *house_main(void *arg)
{
	struct run *r = arg;
	const struct housekeeper_options options = {
		.life = &r->life,
		.database_url = r->o->config->database_url,
		.replica = r->host,
		.stream = spool_stream(r->spool),
	};

	housekeeper_run(&options);
	return ended(r, &r->life.house_done);
}

/* name is what tools show: at most 15 characters. */
static enum err_kind start(struct run *r, struct job *w, const char *name, void *(*body)(void *),
			   struct err *err)
{
	int rc = pthread_create(&w->thread, NULL, body, r);

	if (rc != 0) {
		errno = rc;
		return err_errno(err, ERR_FATAL, "no thread could be made");
	}
	(void)pthread_setname_np(w->thread, name);
	w->running = true;
	return ERR_NONE;
}

static void join(struct job *w)
{
	if (w->running)
		MUST0(pthread_join(w->thread, NULL));
	w->running = false;
}

/* --- start --- */

static enum err_kind make_parts(struct run *r, struct err *err)
{
	const struct config *c = r->o->config;
	bool is_whole = config_by_http(c) || strcmp(c->subject, "logs.>") == 0;
	const struct trail_self self = {
		.org = span_text(c->org),
		.app = span_text(c->fly_app_name),
		.region = span_text(c->fly_region),
		.machine = span_text(c->fly_machine_id),
		.subject = span_text(is_whole ? "" : c->subject),
		.stream = spool_stream(r->spool),
	};
	struct consumer_options consumer = {
		.spool = r->spool,
		.status = r->o->status,
		.life = &r->life,
		.database_url = c->database_url,
		.replica = r->host,
		.folder = c->spool_dir,
		.finite = !r->intake.source.ops->live,
	};
	struct pipeline_options pipeline = {
		.spool = r->spool,
		.status = r->o->status,
		.life = &r->life,
		.org = self.org,
		.app = r->o->app,
		.own_app = self.app,
		.keeps = r->intake.source.ops->keeps,
	};
	enum err_kind rc;

	url_app(c->database_url, r->store_app);
	pipeline.store_app = span_text(r->store_app);
	rc = trail_new(&r->trail, &self, err);
	if (rc == ERR_NONE)
		rc = intake_make_batches(&r->intake, err);
	if (rc)
		return rc;
	consumer.trail = r->trail;
	pipeline.trail = r->trail;
	pipeline.filled = r->intake.filled;
	pipeline.pool = r->intake.pool;
	rc = pipeline_new(&r->pipeline, &pipeline, err);
	if (rc == ERR_NONE)
		rc = consumer_new(&r->consumer, &consumer, err);
	return rc;
}

static enum err_kind start_forwarders(struct run *r, struct err *err)
{
	const struct forwarders_options options = {
		.config = r->o->config,
		.spool = r->spool,
		.life = &r->life,
		.status = r->o->status,
		.trail = r->trail,
		.finite = !r->intake.source.ops->live,
	};

	return forwarders_start(&r->forwarders, &options, err);
}

static enum err_kind start_leased_jobs(struct run *r, struct err *err)
{
	const struct leased_options options = {
		.config = r->o->config,
		.spool = r->spool,
		.trail = r->trail,
		.status = r->o->status,
		.life = &r->life,
		.pool = r->intake.pool,
		.filled = r->intake.filled,
		.replica = r->host,
		.store_app = span_text(r->store_app),
	};

	return leased_jobs_start(&r->leased_jobs, &options, err);
}

static void on_committer_failed(void *arg, const struct err *why)
{
	struct run *r = arg;

	life_fail(&r->life, why);
}

static enum err_kind start_all(struct run *r, struct err *err)
{
	const struct committer_options committer = {
		.spool = r->spool, .fatal = on_committer_failed, .arg = r};
	enum err_kind rc;

	rc = committer_start(&r->committer, &committer, err);
	if (rc)
		return rc;
	life_advance(&r->life, LIFE_RUNNING);
	/* Before the threads are there, whose own lines would else come first. */
	log_info(started, LOG_TEXT("version", FLYTRAIL_VERSION),
		 LOG_TEXT("spool", r->o->config->spool_dir),
		 LOG_TEXT("source", r->intake.source.ops->name));
	post_fact(r, ACTION_trail_started);
	rc = start_forwarders(r, err);
	if (rc == ERR_NONE)
		rc = start(r, &r->pipeline_job, "pipeline", pipeline_main, err);
	if (rc == ERR_NONE)
		rc = start(r, &r->source_job, "source", source_main, err);
	if (rc == ERR_NONE)
		rc = start(r, &r->store_job, "store", store_main, err);
	if (rc == ERR_NONE)
		rc = start(r, &r->house_job, "house", house_main, err);
	if (rc == ERR_NONE && r->o->live)
		rc = start_leased_jobs(r, err);
	return rc;
}

static enum err_kind set_up(struct run *r, struct err *err)
{
	int64_t last_live_ns = 0;
	sigset_t set;
	enum err_kind rc;

	process_ending_signals(&set);
	r->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (r->signal_fd < 0)
		return err_errno(err, ERR_FATAL, "no signalfd");
	rc = open_spool(&r->spool, r->o->config, r->o->status, err);
	if (rc == ERR_NONE && r->o->live)
		rc = last_live_find(r->spool, &last_live_ns, err);
	if (rc == ERR_NONE)
		rc = r->o->open_source(r->o->arg, last_live_ns, &r->life.ending, &r->intake.source,
				       err);
	if (rc == ERR_NONE)
		rc = make_parts(r, err);
	if (rc == ERR_NONE)
		rc = start_all(r, err);
	return rc;
}

/* --- waiting, in the main thread --- */

static bool signal_came(struct run *r)
{
	struct signalfd_siginfo info;

	return read(r->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info);
}

/* Sleeps until a signal, a wake or the deadline. True: a signal to end has come. */
static bool sleep_main(struct run *r, int64_t deadline_ns)
{
	struct pollfd fds[] = {{.fd = r->signal_fd, .events = POLLIN},
			       {.fd = r->life.wake_fd, .events = POLLIN}};
	int64_t rest_ns = deadline_ns - time_monotonic_ns();
	int64_t longest_ns = (r->o->progress ? PROGRESS_MS : 60 * 1000) * NS_PER_MS;
	uint64_t wakes;

	if (rest_ns > longest_ns)
		rest_ns = longest_ns;
	if (rest_ns > 0)
		(void)poll(fds, ARRAY_LEN(fds), (int)(rest_ns / NS_PER_MS) + 1);
	if (read(r->life.wake_fd, &wakes, sizeof(wakes)) < 0)
		wakes = 0;
	if (r->o->progress)
		r->o->progress(r->o->arg);
	return signal_came(r);
}

static int64_t drain_ns(const struct run *r)
{
	return (int64_t)r->o->config->drain_seconds * NS_PER_S;
}

/*
 * Until flag is set, or the deadline, which cuts the drain. Finite input has no
 * deadline; there a signal sets the ordinary one, and a failure (the store is
 * parked) ends it at once.
 */
static bool await(struct run *r, _Atomic bool *flag)
{
	while (!atomic_load(flag)) {
		bool signalled = sleep_main(r, r->deadline_ns);
		bool unlimited = r->deadline_ns == INT64_MAX;
		int64_t now_ns = time_monotonic_ns();
		struct err why;

		if (unlimited && life_failure(&r->life, &why))
			r->deadline_ns = now_ns;
		else if (signalled)
			r->deadline_ns = unlimited ? now_ns + drain_ns(r) : now_ns;
		if (now_ns >= r->deadline_ns) {
			life_cut(&r->life);
			spool_wake(r->spool);
			return false;
		}
	}
	return true;
}

/* Until a signal, a failure or the end of the input; sets how long the drain may take. */
static void work_on(struct run *r)
{
	bool finite = !r->intake.source.ops->live;
	bool signalled = false, ended = false;
	struct err why;

	while (!signalled && !ended && life_failure(&r->life, &why) == ERR_NONE) {
		signalled = sleep_main(r, INT64_MAX);
		ended = finite && atomic_load(&r->life.input_ended);
	}
	r->deadline_ns = finite && !signalled ? INT64_MAX : time_monotonic_ns() + drain_ns(r);
}

/* --- end --- */

/* After a cut: a thread that hangs in a library is not waited for. */
static bool leave(struct run *r, struct job *w, _Atomic bool *done)
{
	r->deadline_ns = time_monotonic_ns() + LIFECYCLE_LEAVE_SECONDS * NS_PER_S;
	if (w->running && !await(r, done))
		return false;
	join(w);
	return true;
}

static bool leave_forwarders(struct run *r)
{
	r->deadline_ns = time_monotonic_ns() + LIFECYCLE_LEAVE_SECONDS * NS_PER_S;
	if (r->forwarders && !await(r, &r->life.sinks_done))
		return false;
	forwarders_free(r->forwarders);
	r->forwarders = NULL;
	return true;
}

static bool leave_leased_jobs(struct run *r)
{
	r->deadline_ns = time_monotonic_ns() + LIFECYCLE_LEAVE_SECONDS * NS_PER_S;
	if (r->leased_jobs && !await(r, &r->life.jobs_done))
		return false;
	leased_jobs_free(r->leased_jobs);
	r->leased_jobs = NULL;
	return true;
}

/* False: something hangs in a library and is left behind. */
static bool drain(struct run *r)
{
	if (r->deadline_ns == INT64_MAX)
		log_info(draining, LOG_TEXT("until", "all is stored"));
	else
		log_info(draining, LOG_NUMBER("seconds_max", r->o->config->drain_seconds));
	life_advance(&r->life, LIFE_DRAINING);
	atomic_store(&r->intake.close, true);
	if (r->source_job.running)
		(void)await(r, &r->life.source_done);
	join(&r->source_job);
	queue_close(r->intake.filled);
	if (r->pipeline_job.running)
		(void)await(r, &r->life.pipeline_done);
	join(&r->pipeline_job);
	committer_stop(r->committer);
	r->committer = NULL;
	atomic_store(&r->life.intake_done, true);
	spool_wake(r->spool);
	if (r->store_job.running)
		(void)await(r, &r->life.store_done);
	if (r->forwarders)
		(void)await(r, &r->life.sinks_done);
	life_cut(&r->life);
	spool_wake(r->spool);
	return leave(r, &r->store_job, &r->life.store_done) && leave_forwarders(r) &&
	       leave(r, &r->house_job, &r->life.house_done) && leave_leased_jobs(r);
}

static void release(struct run *r)
{
	forwarders_free(r->forwarders);
	consumer_free(r->consumer);
	pipeline_free(r->pipeline);
	committer_stop(r->committer);
	if (r->intake.source.ops)
		r->intake.source.ops->close(r->intake.source.ctx);
	intake_free_batches(&r->intake);
	trail_free(r->trail);
	status_set_spool(r->o->status, NULL);
	if (r->spool)
		spool_close(r->spool);
	if (r->signal_fd >= 0)
		(void)close(r->signal_fd);
	life_release(&r->life);
}

/* The last lines of the log, and the exit status. */
static int tell_end(struct run *r)
{
	struct spool_stats stats = {0};
	uint64_t stored = atomic_load(&r->o->status->stored_seq);
	struct err why;
	int status = RUN_DONE;

	if (r->spool)
		spool_stats(r->spool, &stats);
	if (life_failure(&r->life, &why)) {
		log_error(fatal, LOG_TEXT("error", why.text));
		status = RUN_FAILED;
	} else if (!r->intake.source.ops->live && !atomic_load(&r->life.input_ended)) {
		log_warn(input_unread,
			 LOG_TEXT("do", "run it again on the same input: what is stored already is "
					"not stored twice, but for lines without a time of their "
					"own, where they came by stdin or their file was written "
					"to since"));
		status = RUN_FAILED;
	}
	if (!forwarders_tell_end(r->o->status, stats.accepted_seq) && !r->intake.source.ops->live)
		status = RUN_FAILED;
	log_info(stopped,
		 LOG_NUMBER("left_in_spool",
			    stats.accepted_seq > stored ? stats.accepted_seq - stored : 0),
		 LOG_NUMBER("lines_stored", atomic_load(&r->o->status->lines_stored)),
		 LOG_NUMBER("duplicates", atomic_load(&r->o->status->duplicates)));
	return status;
}

int lifecycle_run(const struct run_options *options)
{
	struct run r = {
		.o = options,
		.signal_fd = -1,
		.intake = {.status = options->status, .life = &r.life},
	};
	struct err err;
	int status;
	enum err_kind rc;

	rc = life_init(&r.life, &err);
	if (rc) {
		log_error(fatal, LOG_TEXT("error", err.text));
		return RUN_FAILED;
	}
	if (options->config->fly_machine_id[0] != '\0')
		(void)snprintf(r.host, sizeof(r.host), "%s", options->config->fly_machine_id);
	else if (gethostname(r.host, sizeof(r.host) - 1) != 0)
		(void)snprintf(r.host, sizeof(r.host), "unknown");
	rc = set_up(&r, &err);
	if (rc && r.committer == NULL) {
		log_error(fatal, LOG_TEXT("error", err.text));
		release(&r);
		return rc == ERR_CONFIG ? RUN_CONFIG : RUN_FAILED;
	}
	if (rc)
		life_fail(&r.life, &err);
	work_on(&r);
	if (!drain(&r)) {
		/* It waits for a server that does not answer. All that was accepted is synced. */
		status = tell_end(&r);
		_exit(status);
	}
	life_advance(&r.life, LIFE_STOPPED);
	status = tell_end(&r);
	release(&r);
	return status;
}
