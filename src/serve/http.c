#include "serve/http.h"

#include "serve/metrics.h"
#include "serve/status_page.h"
#include "serve/token.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 64, HOST_BYTES = 64, PORT_BYTES = 6, ERROR_BODY_BYTES_MAX = 256 };

struct http {
	struct MHD_Daemon *daemon;
	struct http_options o; /* const after http_start() */
	/* the library's thread's */
	int fds[HTTP_CONNECTIONS_MAX]; /* of the connections, the oldest first */
	size_t fd_count;
	size_t hung_up; /* so many of the oldest; the library is about to close them */
};

/* A page returns its code. */
static unsigned fill_ready(const struct look *l, struct buf *body)
{
	struct health health;

	health_ready(l, &health);
	health_write(&health, l, body);
	return health.state == HEALTH_OK ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE;
}

static unsigned fill_health(const struct look *l, struct buf *body)
{
	struct health health;

	health_health(l, &health);
	health_write(&health, l, body);
	return health.state == HEALTH_OK ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE;
}

static unsigned fill_metrics(const struct look *l, struct buf *body)
{
	struct health health;

	health_health(l, &health);
	metrics_write(l, &health, body);
	return MHD_HTTP_OK;
}

static unsigned fill_status(const struct look *l, struct buf *body)
{
	struct health health;

	health_health(l, &health);
	status_page_write(l, &health, body);
	return MHD_HTTP_OK;
}

struct page {
	const char *path;
	unsigned (*fill)(const struct look *l, struct buf *body);
	size_t bytes_max;
	const char *type;
	bool asks_token;
};

static const char json_type[] = "application/json";
static const char text_type[] = "text/plain; charset=utf-8";

static const struct page pages[] = {
	{"/ready", fill_ready, HEALTH_BODY_BYTES_MAX, json_type, false},
	{"/health", fill_health, HEALTH_BODY_BYTES_MAX, json_type, false},
	{"/metrics", fill_metrics, METRICS_BODY_BYTES_MAX, METRICS_CONTENT_TYPE, false},
	{"/status", fill_status, STATUS_PAGE_BYTES_MAX, text_type, true},
};

static const struct page *find_page(const char *path)
{
	for (size_t i = 0; i < ARRAY_LEN(pages); i++)
		if (strcmp(path, pages[i].path) == 0)
			return &pages[i];
	return NULL;
}

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned code, const char *type,
			      struct buf *body)
{
	struct MHD_Response *response;
	enum MHD_Result result;
	struct err err;

	if (buf_check(body, &err))
		return MHD_NO; /* out of memory: hang up */
	response = MHD_create_response_from_buffer(body->len, body->data, MHD_RESPMEM_MUST_COPY);
	if (response == NULL)
		return MHD_NO;
	(void)MHD_add_response_header(response, "Content-Type", type);
	(void)MHD_add_response_header(response, "Cache-Control", "no-store");
	if (code == MHD_HTTP_METHOD_NOT_ALLOWED)
		(void)MHD_add_response_header(response, "Allow", "GET, HEAD");
	if (code == MHD_HTTP_UNAUTHORIZED)
		(void)MHD_add_response_header(response, "WWW-Authenticate",
					      "Bearer realm=\"flytrail\"");
	result = MHD_queue_response(connection, code, response);
	MHD_destroy_response(response);
	return result;
}

/* A code that is an error's, with its body; 0: the page may be shown. */
static unsigned refuse(const struct http *h, struct MHD_Connection *connection,
		       const struct page *page, const char *method, struct buf *body)
{
	if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
		buf_str(body, "{\"error\":\"only GET and HEAD\"}\n");
		return MHD_HTTP_METHOD_NOT_ALLOWED;
	}
	if (page == NULL) {
		buf_str(body, "{\"error\":\"there are /ready, /health, /metrics and /status\"}\n");
		return MHD_HTTP_NOT_FOUND;
	}
	if (page->asks_token &&
	    !token_admits(
		    h->o.status_token,
		    MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Authorization"))) {
		buf_str(body, "{\"error\":\"it takes Authorization: Bearer, with the token of "
			      "FLYTRAIL_STATUS_TOKEN\"}\n");
		return MHD_HTTP_UNAUTHORIZED;
	}
	return 0;
}

/* Answers at the first call for a request, so that no body is ever read. The eight are the
 * library's. */
/* NOLINTNEXTLINE(readability-function-size) */
static enum MHD_Result handle(void *cls, struct MHD_Connection *connection, const char *path,
			      const char *method, const char *version, const char *upload,
			      size_t *upload_len, void **request)
{
	const struct page *page = find_page(path);
	const struct http *h = cls;
	enum MHD_Result result;
	struct look look;
	struct buf body;
	unsigned code;

	(void)version;
	(void)upload;
	(void)upload_len;
	(void)request;
	buf_init(&body, page == NULL ? ERROR_BODY_BYTES_MAX : page->bytes_max);
	code = refuse(h, connection, page, method, &body);
	if (code == 0) {
		look_take(&look, h->o.status, h->o.heartbeat_seconds, h->o.by_http);
		code = page->fill(&look, &body);
		result = answer(connection, code, page->type, &body);
	} else {
		result = answer(connection, code, json_type, &body);
	}
	buf_release(&body);
	return result;
}

static void forget(struct http *h, int fd)
{
	for (size_t i = 0; i < h->fd_count; i++) {
		if (h->fds[i] != fd)
			continue;
		h->fd_count--;
		memmove(h->fds + i, h->fds + i + 1, (h->fd_count - i) * sizeof(h->fds[0]));
		h->hung_up -= i < h->hung_up;
		return;
	}
}

/*
 * The library has a limit, at which all wait, and one for each address, at which it hangs
 * up on the newest. A check is the newest, and is answered at once; so the oldest has to go.
 */
static void on_connection(void *cls, struct MHD_Connection *connection, void **context,
			  enum MHD_ConnectionNotificationCode code)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct http *h = cls;

	(void)context;
	if (info == NULL)
		return;
	if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
		forget(h, info->connect_fd);
		return;
	}
	if (h->fd_count == ARRAY_LEN(h->fds))
		return;
	h->fds[h->fd_count++] = info->connect_fd;
	if (h->fd_count - h->hung_up > HTTP_CONNECTIONS_HELD)
		(void)shutdown(h->fds[h->hung_up++], SHUT_RDWR);
}

/* The configuration has checked the form: HOST:PORT or [ADDRESS]:PORT. */
static enum err_kind split_address(const char *address, char host[HOST_BYTES],
				   char port[PORT_BYTES], struct err *err)
{
	const char *colon = strrchr(address, ':');
	const char *start = address[0] == '[' ? address + 1 : address;
	size_t host_len, port_len;

	if (colon == NULL || colon <= start)
		return err_set(err, ERR_CONFIG, "%s is not HOST:PORT", address);
	host_len = (size_t)(colon - start) - (address[0] == '[' ? 1 : 0);
	port_len = strlen(colon + 1);
	if (host_len == 0 || host_len >= HOST_BYTES || port_len == 0 || port_len >= PORT_BYTES)
		return err_set(err, ERR_CONFIG, "%s is not HOST:PORT", address);
	memcpy(host, start, host_len);
	host[host_len] = '\0';
	memcpy(port, colon + 1, port_len + 1);
	return ERR_NONE;
}

static enum err_kind listen_on(int *ret_fd, const struct addrinfo *a, const char *address,
			       bool *ret_taken, struct err *err)
{
	int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int on = 1;
	int off = 0;
	bool good = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0;

	if (good && a->ai_family == AF_INET6)
		good = setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) == 0;
	good = good && bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0;
	if (good) {
		*ret_fd = fd;
		return ERR_NONE;
	}
	*ret_taken = errno == EADDRINUSE;
	err_errno(err, ERR_CONFIG, "FLYTRAIL_LISTEN: cannot listen on %s", address);
	if (fd >= 0)
		(void)close(fd);
	return ERR_CONFIG;
}

static enum err_kind listen_at(int *ret_fd, const char *address, bool *ret_taken, struct err *err)
{
	const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
				       .ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;
	char host[HOST_BYTES], port[PORT_BYTES];
	enum err_kind rc;

	rc = split_address(address, host, port, err);
	if (rc)
		return rc;
	if (getaddrinfo(host, port, &hints, &found) != 0)
		return err_set(err, ERR_CONFIG, "%s is no numeric address; correct FLYTRAIL_LISTEN",
			       address);
	rc = listen_on(ret_fd, found, address, ret_taken, err);
	freeaddrinfo(found);
	return rc;
}

enum err_kind http_start(struct http **ret, const struct http_options *options, struct err *err)
{
	struct http *h = calloc(1, sizeof(*h));
	enum err_kind rc;
	bool taken;
	int fd = -1;

	if (h == NULL)
		return err_set(err, ERR_FATAL, "out of memory for the HTTP server");
	h->o = *options;
	rc = listen_at(&fd, options->listen, &taken, err);
	if (rc)
		goto out;
	h->daemon = MHD_start_daemon(
		MHD_USE_AUTO_INTERNAL_THREAD, 0, NULL, NULL, handle, h, MHD_OPTION_LISTEN_SOCKET,
		fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned)HTTP_CONNECTIONS_MAX,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, h, MHD_OPTION_CONNECTION_TIMEOUT,
		(unsigned)HTTP_IDLE_SECONDS, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		(size_t)HTTP_REQUEST_BYTES_MAX, MHD_OPTION_END);
	if (h->daemon == NULL) {
		rc = err_set(err, ERR_FATAL, "the HTTP server on %s does not start",
			     options->listen);
		goto out;
	}
	*ret = h;
	h = NULL;
	fd = -1; /* the library's now */
out:
	if (fd >= 0)
		(void)close(fd);
	free(h);
	return rc;
}

enum err_kind http_try(const char *listen_address, bool *ret_taken, struct err *err)
{
	enum err_kind rc;
	int fd = -1;

	*ret_taken = false;
	rc = listen_at(&fd, listen_address, ret_taken, err);
	if (!rc)
		(void)close(fd);
	return rc;
}

void http_stop(struct http *h)
{
	if (h == NULL)
		return;
	MHD_stop_daemon(h->daemon);
	free(h);
}

const char *http_library_version(void)
{
	return MHD_get_version();
}
