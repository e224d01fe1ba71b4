#include "base/http_client.h"

#include "base/version.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	CONNECTIONS_KEPT = 4,
	UPLOAD_PIECE_BYTES = 512 * 1024, /* of a body, at a time: curl's own are 64 KiB */
	PATH_BYTES = 160,                /* of a path that stands in an error */
	BODY_KEEP_BYTES = 256 * 1024,    /* more memory than this is given back */
	PROXY_BYTES = 48,
};

struct http_client {
	CURL *curl;
	char *ca_file;
	const _Atomic bool *cut;
	bool proxies;
	struct buf body;
	/* of the answer to the present request */
	bool too_long;
	bool headers_came; /* to their end */
};

static bool library_works;

static void start_library(void)
{
	library_works = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *arg)
{
	struct http_client *c = arg;

	if (size * count > c->body.max - c->body.len)
		c->too_long = true;
	else
		buf_add(&c->body, bytes, size * count);
	return c->too_long || c->body.failed ? 0 : size * count;
}

/* A line of the headers; libcurl takes an answer that ends among them for a whole one. */
static size_t on_header(char *bytes, size_t size, size_t count, void *arg)
{
	struct http_client *c = arg;

	if (span_starts(span_of(bytes, size * count), SPAN("HTTP/"))) /* 100 may stand before it */
		c->headers_came = false;
	else if (bytes[0] == '\r' || bytes[0] == '\n')
		c->headers_came = true;
	return size * count;
}

/* Called at least once a second while a request is under way. */
static int on_progress(void *arg, curl_off_t to_get, curl_off_t got, curl_off_t to_put,
		       curl_off_t put)
{
	const struct http_client *c = arg;

	(void)to_get;
	(void)got;
	(void)to_put;
	(void)put;
	return c->cut && atomic_load(c->cut);
}

enum err_kind http_client_new(struct http_client **ret, const struct http_client_options *options,
			      struct err *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct http_client *c;

	MUST0(pthread_once(&once, start_library));
	if (!library_works)
		return err_set(err, ERR_FATAL, "libcurl cannot be started");
	c = calloc(1, sizeof(*c));
	if (!c)
		return err_set(err, ERR_FATAL, "out of memory for an HTTP client");
	c->cut = options->cut;
	c->proxies = options->proxies;
	buf_init(&c->body, 1);
	if (options->ca_file)
		c->ca_file = span_copy(span_text(options->ca_file));
	c->curl = curl_easy_init();
	if (!c->curl || (options->ca_file && !c->ca_file)) {
		http_client_free(c);
		return err_set(err, ERR_FATAL, "out of memory for an HTTP client");
	}
	*ret = c;
	return ERR_NONE;
}

void http_client_free(struct http_client *c)
{
	if (!c)
		return;
	curl_easy_cleanup(c->curl);
	buf_release(&c->body);
	free(c->ca_file);
	free(c);
}

/* What stands in errors for the URL: neither host nor query. */
static struct span path_of(const char *url)
{
	const char *host = strstr(url, "://");
	const char *path = host ? strchr(host + 3, '/') : NULL;
	size_t len;

	if (!path)
		return SPAN("/");
	len = strcspn(path, "?#");
	return span_of(path, len < PATH_BYTES ? len : PATH_BYTES);
}

/* What holds for every request. libcurl asks for longs. */
static CURLcode set_always(struct http_client *c)
{
	CURL *h = c->curl;
	CURLcode rc = CURLE_OK;

#define SET(option, value) rc = rc ? rc : curl_easy_setopt(h, option, value)
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	if (!c->proxies)
		SET(CURLOPT_PROXY, "");
	SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_HTTP09_ALLOWED, 0L);
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_MAXCONNECTS, (long)CONNECTIONS_KEPT);
	SET(CURLOPT_TCP_KEEPALIVE, 1L);
	SET(CURLOPT_UPLOAD_BUFFERSIZE, (long)UPLOAD_PIECE_BYTES);
	SET(CURLOPT_CONNECTTIMEOUT, (long)HTTP_CLIENT_CONNECT_SECONDS);
	SET(CURLOPT_LOW_SPEED_TIME, (long)HTTP_CLIENT_SILENT_SECONDS);
	SET(CURLOPT_LOW_SPEED_LIMIT, 1L);
	SET(CURLOPT_USERAGENT, "flytrail/" FLYTRAIL_VERSION);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, (void *)c);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, (void *)c);
	SET(CURLOPT_XFERINFOFUNCTION, on_progress);
	SET(CURLOPT_XFERINFODATA, (void *)c);
	SET(CURLOPT_NOPROGRESS, 0L);
	if (c->ca_file)
		SET(CURLOPT_CAINFO, c->ca_file);
	return rc;
}

static CURLcode set_request(struct http_client *c, const struct http_request *request,
			    struct curl_slist *headers)
{
	CURL *h = c->curl;
	CURLcode rc = set_always(c);

	SET(CURLOPT_URL, request->url);
	SET(CURLOPT_HTTPHEADER, headers);
	SET(CURLOPT_TIMEOUT, (long)request->seconds);
	SET(CURLOPT_FRESH_CONNECT, request->once ? 1L : 0L);
	if (request->body.data) {
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.len);
		SET(CURLOPT_POSTFIELDS, request->body.data);
	}
	if (request->method)
		SET(CURLOPT_CUSTOMREQUEST, request->method);
	if (request->method && strcmp(request->method, "HEAD") == 0)
		SET(CURLOPT_NOBODY, 1L);
#undef SET
	return rc;
}

static bool add_header(const char *header, struct curl_slist **ret)
{
	struct curl_slist *longer = curl_slist_append(*ret, header);

	if (longer)
		*ret = longer;
	return longer != NULL;
}

static bool make_headers(const struct http_request *request, struct curl_slist **ret)
{
	/* libcurl would wait a second for leave to send a large body, and call it a form's. */
	bool added = !request->body.data ||
		     (add_header("Expect:", ret) && add_header("Content-Type:", ret));

	for (size_t i = 0; added && request->headers && request->headers[i]; i++) {
		REQUIRE(i < HTTP_CLIENT_HEADERS_MAX);
		added = add_header(request->headers[i], ret);
	}
	return added;
}

/* Of a proxy that was asked for a way; 0: none was, or it gave one. */
static long proxy_refusal(CURL *h)
{
	long status = 0;

	if (curl_easy_getinfo(h, CURLINFO_HTTP_CONNECTCODE, &status) != CURLE_OK || status < 300)
		return 0;
	return status;
}

static enum err_kind explain(const struct http_client *c, CURLcode code,
			     const struct http_request *request, struct err *err)
{
	struct span path = request->named ? span_text(request->named) : path_of(request->url);
	const char *method = request->method ? request->method : "GET";
	const char *why = curl_easy_strerror(code);
	char of_proxy[PROXY_BYTES];
	enum err_kind kind = ERR_RETRY;

	if (code == CURLE_OUT_OF_MEMORY || c->body.failed == ERR_FATAL) {
		kind = ERR_FATAL;
		why = "out of memory";
	} else if (c->too_long) {
		why = "the answer is longer than is taken";
	} else if (code == CURLE_ABORTED_BY_CALLBACK) {
		why = "it was cut short";
	} else if (code == CURLE_PEER_FAILED_VERIFICATION) {
		why = "the certificate does not verify";
	} else if (proxy_refusal(c->curl) != 0) {
		(void)snprintf(of_proxy, sizeof(of_proxy), "the proxy answers %ld",
			       proxy_refusal(c->curl));
		why = of_proxy;
	} else if (code == CURLE_UNSUPPORTED_PROTOCOL) {
		why = "the answer is no HTTP";
	} else if (code == CURLE_URL_MALFORMAT) {
		kind = ERR_CONFIG;
		why = "no address that can be used";
	}
	return err_set(err, kind, "%s %.*s: %s", method, (int)path.len, path.data, why);
}

static unsigned retry_after(CURL *h)
{
	curl_off_t seconds = 0;

	if (curl_easy_getinfo(h, CURLINFO_RETRY_AFTER, &seconds) != CURLE_OK || seconds < 0)
		return 0;
	if (seconds > HTTP_CLIENT_RETRY_AFTER_SECONDS_MAX)
		seconds = HTTP_CLIENT_RETRY_AFTER_SECONDS_MAX;
	return (unsigned)seconds;
}

bool http_client_header(const struct http_client *c, const char *name, struct span *ret)
{
	struct curl_header *header = NULL;

	if (curl_easy_header(c->curl, name, 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
		return false;
	*ret = span_text(header->value);
	return true;
}

static int64_t date_of(const struct http_client *c)
{
	struct span text;
	time_t seconds = -1;

	if (http_client_header(c, "Date", &text)) /* with a NUL: it is libcurl's */
		seconds = curl_getdate(text.data, NULL);
	return seconds > 0 && seconds < INT64_MAX / NS_PER_S ? (int64_t)seconds * NS_PER_S : 0;
}

enum err_kind http_client_send(struct http_client *c, const struct http_request *request,
			       struct http_answer *ret, struct err *err)
{
	struct span url = span_text(request->url);
	struct curl_slist *headers = NULL;
	long status = 0;
	CURLcode code;

	if (!span_starts(url, SPAN("http://")) && !span_starts(url, SPAN("https://")))
		return err_set(err, ERR_CONFIG, "no http:// or https:// address");
	if (c->body.cap > BODY_KEEP_BYTES)
		buf_release(&c->body);
	buf_reset(&c->body);
	c->body.max = request->body_max;
	c->too_long = c->headers_came = false;
	curl_easy_reset(c->curl); /* keeps the connections */
	code = make_headers(request, &headers) ? set_request(c, request, headers)
					       : CURLE_OUT_OF_MEMORY;
	if (code == CURLE_OK)
		code = curl_easy_perform(c->curl);
	curl_slist_free_all(headers);
	if (code == CURLE_OK && !c->headers_came)
		code = CURLE_PARTIAL_FILE;
	if (code == CURLE_OK)
		code = curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
	if (code != CURLE_OK)
		return explain(c, code, request, err);
	*ret = (struct http_answer){
		.status = (unsigned)status,
		.body = c->body.len > 0 ? span_of(c->body.data, c->body.len) : SPAN(""),
		.retry_after_seconds = retry_after(c->curl),
		.date_ns = date_of(c),
	};
	return ERR_NONE;
}

const char *http_client_library_version(void)
{
	return curl_version_info(CURLVERSION_NOW)->version;
}
