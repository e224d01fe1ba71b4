/* Of `flytrail doctor`: whether lines can come. */

#include "cmd/doctor.h"

#include "base/time.h"
#include "source/heartbeat.h"
#include "source/logs_api.h"
#include "source/nats.h"

#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	CONNECT_SECONDS = 5,
	CONNECT_MS = CONNECT_SECONDS * 1000,
	HOST_BYTES = 512,
	API_TRIES = 2,
};

/* ---- the log stream ---- */

/* nats://HOST:PORT or nats://[ADDRESS]:PORT, as the configuration lets through. */
static void split_url(const char *url, char host[HOST_BYTES], const char **ret_port)
{
	const char *start = url + strlen("nats://");
	const char *end;

	if (*start == '[') {
		start++;
		end = start + strcspn(start, "]");
		*ret_port = end[0] == ']' && end[1] == ':' ? end + 2 : "4222";
	} else {
		end = start + strcspn(start, ":");
		*ret_port = *end == ':' ? end + 1 : "4222";
	}
	(void)snprintf(host, HOST_BYTES, "%.*s", (int)(end - start), start);
}

static bool can_connect(const struct addrinfo *a, const char **ret_why)
{
	int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	int error = 0;
	socklen_t len = sizeof(error);

	if (fd < 0) {
		*ret_why = strerror(errno);
		return false;
	}
	if (connect(fd, a->ai_addr, a->ai_addrlen) != 0)
		error = errno;
	if (error == EINPROGRESS) {
		error = poll(&p, 1, CONNECT_MS) == 1 ? 0 : ETIMEDOUT;
		if (error == 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
			error = errno;
	}
	(void)close(fd);
	if (error != 0)
		*ret_why = strerror(error);
	return error == 0;
}

/* The way to the server alone, because the NATS library does not tell its obstacles apart. */
static bool check_route(struct doctor *d)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	const char *url = d->config.nats_url;
	struct addrinfo *found = NULL;
	char host[HOST_BYTES];
	const char *port;
	const char *why = "no address";
	bool good = false;
	int rc;

	split_url(url, host, &port);
	rc = getaddrinfo(host, port, &hints, &found);
	if (rc != 0) {
		doctor_tell(
			d, FAIL,
			"nats: DNS: %s: %s; check NATS_URL, and that this machine uses the private "
			"network's resolver",
			url, gai_strerror(rc));
		return false;
	}
	for (struct addrinfo *a = found; a != NULL && !good; a = a->ai_next)
		good = can_connect(a, &why);
	freeaddrinfo(found);
	if (!good)
		doctor_tell(
			d, FAIL,
			"nats: %s: %s; check NATS_URL or NETWORK, and that this machine is in the "
			"organisation's private network (6PN or WireGuard)",
			url, why);
	return good;
}

/* Reads, and throws away, until the server has the subscription or says why not. */
static bool await_connection(struct source *source, struct batch *batch, const char **ret_why,
			     struct err *err)
{
	int64_t deadline_ns = time_monotonic_ns() + CONNECT_SECONDS * NS_PER_S;

	do {
		batch_reset(batch);
		if (source->ops->read(source->ctx, batch, err)) {
			*ret_why = err->text;
			return false;
		}
		if (source->ops->connected(source->ctx, ret_why))
			return true;
	} while (time_monotonic_ns() < deadline_ns);
	return false;
}

void doctor_check_nats(struct doctor *d)
{
	const struct config *c = &d->config;
	/* Never in the queue group: it would take lines from the replicas that run. */
	const struct nats_options options = {.url = c->nats_url,
					     .user = c->org,
					     .password = c->access_token,
					     .subject = c->subject};
	int64_t start_ns = time_monotonic_ns();
	struct source source = {0};
	struct batch *batch = NULL;
	const char *why = NULL;
	struct err err = {0};

	if (config_by_http(&d->config) || !check_route(d))
		return;
	if (batch_new(&batch, &err) || nats_open(&source, &options, &err)) {
		doctor_tell(d, FAIL, "nats: %s", err.text);
		goto out;
	}
	if (await_connection(&source, batch, &why, &err))
		doctor_tell(d, OK, "nats: subscribed to %s at %s as %s in %" PRId64 " ms",
			    c->subject, c->nats_url, c->org,
			    (time_monotonic_ns() - start_ns) / NS_PER_MS);
	else
		doctor_tell(d, FAIL, "nats: %s: %s", c->nats_url, why);
	source.ops->close(source.ctx);
out:
	batch_free(batch);
}

/* ---- the heartbeat ---- */

void doctor_check_heartbeat(struct doctor *d)
{
	static const char lost[] = "a log stream that is connected and brings nothing is not "
				   "noticed, and no gap is opened for it";
	const struct config *c = &d->config;
	struct heartbeat h;

	if (config_by_http(c))
		return;
	heartbeat_init(&h, (int64_t)c->heartbeat_seconds * NS_PER_S, c->fly_app_name,
		       c->fly_machine_id);
	if (heartbeat_is_on(&h))
		doctor_tell(d, OK, "heartbeat: every %" PRIu64 " s, to come back as %s",
			    c->heartbeat_seconds, h.subject);
	else if (c->heartbeat_seconds == 0)
		doctor_tell(d, WARN, "heartbeat: switched off by FLYTRAIL_HEARTBEAT_SECONDS: %s",
			    lost);
	else
		doctor_tell(
			d, WARN,
			"heartbeat: none, because this is no machine of Fly's (FLY_APP_NAME and "
			"FLY_MACHINE_ID are not set): %s",
			lost);
}

/* ---- the HTTP logs API ---- */

static void wait_for_api(const struct logs_api *api)
{
	int64_t wait_ms = logs_api_wait_ns(api) / NS_PER_MS + 1;

	(void)poll(NULL, 0, (int)(wait_ms < CONNECT_MS ? wait_ms : CONNECT_MS));
}

/* Once more after a while, because a lone refusal is passing. */
static enum err_kind list_apps(struct logs_api *api, struct logs_api_apps *ret, struct err *err)
{
	enum err_kind rc = ERR_RETRY;

	for (int i = 0; i < API_TRIES && rc == ERR_RETRY; i++) {
		wait_for_api(api);
		rc = logs_api_apps(api, ret, err);
	}
	return rc;
}

/* A page of any application: that of the last minute of the first that there is still. */
static enum err_kind read_some_page(struct logs_api *api, const struct logs_api_apps *apps,
				    struct batch *batch, struct err *err)
{
	int64_t after_ns = time_now_ns() - 60 * NS_PER_S;
	enum err_kind rc = ERR_NONE;
	struct logs_page page;

	for (size_t i = 0; i < apps->count && i < API_TRIES; i++) {
		batch_reset(batch);
		rc = logs_api_page(api, apps->names[i], after_ns, batch, &page, err);
		if (rc == ERR_NONE)
			return ERR_NONE;
		wait_for_api(api);
	}
	return rc;
}

static enum err_kind ask_api(struct doctor *d, struct logs_api *api, struct batch *batch,
			     struct err *err)
{
	const struct config *c = &d->config;
	int64_t start_ns = time_monotonic_ns();
	struct logs_api_apps apps = {.count = 0};
	enum err_kind rc = list_apps(api, &apps, err);

	if (rc == ERR_NONE)
		rc = read_some_page(api, &apps, batch, err);
	if (rc == ERR_NONE && apps.count == 0)
		doctor_tell(d, WARN,
			    "api: %s lists no application of %s; check ORG, and that the token may "
			    "read the organisation",
			    c->machines_url, c->org);
	else if (rc == ERR_NONE)
		doctor_tell(d, OK, "api: %zu applications of %s, logs from %s, in %" PRId64 " ms",
			    apps.count, c->org, c->api_url,
			    (time_monotonic_ns() - start_ns) / NS_PER_MS);
	logs_api_apps_release(&apps);
	return rc;
}

void doctor_check_api(struct doctor *d)
{
	const struct config *c = &d->config;
	const struct logs_api_options options = {
		.url = c->api_url,
		.machines_url = c->machines_url,
		.token = c->access_token,
		.org = c->org,
		.seconds = CONNECT_SECONDS,
	};
	struct logs_api *api = NULL;
	struct batch *batch = NULL;
	struct err err = {0};
	enum err_kind rc;

	rc = batch_new(&batch, &err);
	if (rc == ERR_NONE)
		rc = logs_api_new(&api, &options, &err);
	if (rc == ERR_NONE)
		rc = ask_api(d, api, batch, &err);
	if (rc)
		doctor_tell(d, config_by_http(&d->config) ? FAIL : WARN,
			    "api: %s; check ACCESS_TOKEN, FLYTRAIL_API_URL and "
			    "FLYTRAIL_MACHINES_URL%s",
			    err.text,
			    config_by_http(&d->config) ? "" : ": without it gaps are not filled");
	logs_api_free(api);
	batch_free(batch);
}
