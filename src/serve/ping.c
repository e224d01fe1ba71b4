#include "serve/ping.h"

#include "base/http_client.h"
#include "base/log.h"
#include "base/time.h"
#include "serve/health.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

enum { ANSWER_BYTES_MAX = 256 * 1024 };

struct ping {
	struct ping_options o; /* const after ping_start() */
	struct http_client *client;
	pthread_t thread;
	_Atomic bool ending;

	/* guarded by lock */
	struct lock lock;
	pthread_cond_t changed;

	/* the thread's */
	int64_t last_ns; /* of the newest request, on the monotonic clock; 0: none */
	bool failed;     /* that one */
};

static bool is_green(const struct ping *p)
{
	struct health health;
	struct look look;

	look_take(&look, p->o.status, p->o.heartbeat_seconds, p->o.by_http);
	health_health(&look, &health);
	return health.state == HEALTH_OK;
}

static enum err_kind request(struct ping *p, struct err *err)
{
	struct http_answer answer;
	enum err_kind rc = http_client_send(p->client,
					    &(struct http_request){
						    .url = p->o.url,
						    .named = "FLYTRAIL_PING_URL",
						    .body_max = ANSWER_BYTES_MAX,
						    .seconds = PING_ANSWER_SECONDS,
					    },
					    &answer, err);

	if (!rc && (answer.status < 200 || answer.status >= 300))
		rc = err_set(err, ERR_RETRY, "FLYTRAIL_PING_URL answers %u", answer.status);
	return rc;
}

static void look(struct ping *p)
{
	int64_t now_ns = time_monotonic_ns();
	struct err err;
	enum err_kind rc;

	if ((p->last_ns != 0 && now_ns - p->last_ns < PING_SECONDS * NS_PER_S) || !is_green(p))
		return;
	p->last_ns = now_ns;
	rc = request(p, &err);
	if (atomic_load(&p->ending))
		return;
	if (rc && !p->failed)
		log_warn(ping_failed, LOG_TEXT("error", err.text));
	else if (!rc)
		atomic_store(&p->o.status->pinged_ns, time_now_ns());
	p->failed = rc != ERR_NONE;
}

static void *ping_main(void *arg)
{
	struct ping *p = arg;

	while (!atomic_load(&p->ending)) {
		int64_t until_ns = time_monotonic_ns() + PING_LOOK_MS * NS_PER_MS;

		look(p);
		lock_take(&p->lock);
		while (!atomic_load(&p->ending) &&
		       lock_wait_until(&p->lock, &p->changed, until_ns)) {
		}
		lock_drop(&p->lock);
	}
	return NULL;
}

static void release(struct ping *p)
{
	http_client_free(p->client);
	MUST0(pthread_cond_destroy(&p->changed));
	lock_destroy(&p->lock);
	free(p);
}

enum err_kind ping_start(struct ping **ret, const struct ping_options *options, struct err *err)
{
	struct ping *p = calloc(1, sizeof(*p));
	struct http_client_options client = {.ca_file = options->ca_file, .proxies = true};
	enum err_kind rc;
	int failed;

	if (!p)
		return err_set(err, ERR_FATAL, "out of memory for FLYTRAIL_PING_URL");
	p->o = *options;
	lock_init(&p->lock, LOCK_RANK_ping);
	lock_cond_init(&p->changed);
	client.cut = &p->ending;
	rc = http_client_new(&p->client, &client, err);
	failed = rc ? 0 : pthread_create(&p->thread, NULL, ping_main, p);
	if (failed != 0) {
		errno = failed;
		rc = err_errno(err, ERR_FATAL, "no thread could be made");
	}
	if (rc) {
		release(p);
		return rc;
	}
	(void)pthread_setname_np(p->thread, "ping");
	*ret = p;
	return ERR_NONE;
}

void ping_stop(struct ping *p)
{
	if (!p)
		return;
	lock_take(&p->lock);
	atomic_store(&p->ending, true);
	MUST0(pthread_cond_broadcast(&p->changed));
	lock_drop(&p->lock);
	MUST0(pthread_join(p->thread, NULL));
	release(p);
}
