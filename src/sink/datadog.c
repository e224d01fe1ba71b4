#include "sink/datadog.h"

#include "base/gzip.h"
#include "base/hash.h"
#include "base/http_client.h"
#include "base/time.h"
#include "base/version.h"

#include <stdlib.h>

enum {
	LOGS_MAX = DATADOG_REQUESTS_MAX * DATADOG_REQUEST_LOGS_MAX,
	HALVINGS_MAX = 10, /* 2 to this power is more than DATADOG_REQUEST_LOGS_MAX */
	ENDS_MAX = DATADOG_REQUESTS_MAX + HALVINGS_MAX,
	BODY_BYTES_MAX = DATADOG_REQUEST_BYTES_MAX + 1024 * 1024, /* gzip adds a little at worst */
	ANSWER_BYTES_MAX = 256 * 1024,
	ADDRESS_BYTES_MAX = 4096, /* and of the header with the key */
	KEEP_BYTES = 1024 * 1024, /* more memory than this is given back */
};

static const char ORIGIN_VERSION[] = "DD-EVP-ORIGIN-VERSION: " FLYTRAIL_VERSION;

_Static_assert(1 << HALVINGS_MAX >= DATADOG_REQUEST_LOGS_MAX, "down to one log");
_Static_assert(DATADOG_LOG_BYTES_MAX + 2 <= DATADOG_REQUEST_BYTES_MAX, "each has room in one");

struct log {
	uint64_t seq;
	int64_t occurred_ns;
	size_t start, len; /* in the text */
};

struct datadog {
	struct datadog_options o; /* without the texts */
	char *url, *key;          /* whole: the address, the header */
	struct http_client *client;
	struct gzip_writer *gzip;
	struct hasher *hasher;
	struct record scratch;
	struct buf one;  /* the log that is added */
	struct buf text; /* all logs of the delivery, one behind the other */
	struct buf body; /* of the present request */
	struct log logs[LOGS_MAX];
	size_t count;
	size_t starts[DATADOG_REQUESTS_MAX]; /* of each request: its first log */
	size_t requests;
	size_t request_bytes; /* of the last one, which is filled */
	/* While it is delivered: what is before next is dealt with. */
	size_t next;
	bool is_begun;         /* some was accepted */
	size_t ends[ENDS_MAX]; /* of what is sent at once, the last being the next */
	size_t end_count;
	int64_t now_ns;    /* when the present request was made */
	unsigned refusals; /* of records, since a request was accepted */
};

/* --- open and close --- */

static void datadog_close(void *ctx)
{
	struct datadog *d = ctx;

	if (!d)
		return;
	http_client_free(d->client);
	gzip_writer_free(d->gzip);
	hasher_free(d->hasher);
	buf_release(&d->one);
	buf_release(&d->text);
	buf_release(&d->body);
	secret_free(d->key);
	free(d->url);
	free(d);
}

/* One text of two, the caller's to free; NULL: no memory. */
static char *join(const char *one, const char *other)
{
	char *joined = NULL;
	struct buf b;

	buf_init(&b, ADDRESS_BYTES_MAX);
	buf_fmt(&b, "%s%s", one, other);
	REQUIRE(b.failed != ERR_FULL); /* base/config.def bounds both */
	if (!b.failed)
		joined = span_copy(span_of(b.data, b.len));
	if (b.data)
		explicit_bzero(b.data, b.len);
	buf_release(&b);
	return joined;
}

static enum err_kind open_parts(struct datadog *d, const struct datadog_options *o, struct err *err)
{
	const struct http_client_options client = {
		.ca_file = o->ca_file, .cut = o->cut, .proxies = true};
	enum err_kind rc = ERR_NONE;

	d->o = *o;
	d->url = join(o->url, "/api/v2/logs");
	d->key = join("DD-API-KEY: ", o->api_key);
	d->o.url = d->o.api_key = d->o.ca_file = NULL;
	if (!d->url || !d->key)
		return err_set(err, ERR_FATAL, "out of memory for Datadog");
	rc = http_client_new(&d->client, &client, err);
	if (!rc)
		rc = gzip_writer_new(&d->gzip, err);
	if (!rc)
		rc = hasher_new(&d->hasher, err);
	return rc;
}

/* --- filling a delivery --- */

static void give_back(struct buf *b)
{
	if (b->cap > KEEP_BYTES)
		buf_release(b);
	else
		buf_reset(b);
}

static void datadog_begin(void *ctx, uint64_t first_seq, bool again)
{
	struct datadog *d = ctx;

	(void)first_seq;
	(void)again; /* nobody can be asked what arrived */
	give_back(&d->text);
	give_back(&d->body);
	d->count = d->requests = d->end_count = d->next = 0;
	d->is_begun = false;
}

static bool is_left_out(const struct datadog *d, struct span payload)
{
	struct record_key key;
	struct err ignored;

	return d->o.send == DATADOG_EVENTS && payload_kind(payload) == PAYLOAD_LINE &&
	       !record_decode_key(payload, &key, &ignored) && key.class == CLASS_app_log;
}

/* Where a log of len bytes goes; false: the delivery has no room for it. */
static bool make_room(struct datadog *d, size_t len)
{
	bool fits = d->requests > 0 &&
		    d->count - d->starts[d->requests - 1] < DATADOG_REQUEST_LOGS_MAX &&
		    d->request_bytes + len + 1 <= DATADOG_REQUEST_BYTES_MAX;

	if (d->text.len + len > DATADOG_BYTES_MAX || (!fits && d->requests == DATADOG_REQUESTS_MAX))
		return false;
	if (!fits) {
		d->starts[d->requests++] = d->count;
		d->request_bytes = 1; /* the brackets, and no comma before the first */
	}
	d->request_bytes += len + 1;
	return true;
}

static enum err_kind append(struct datadog *d, uint64_t seq, int64_t occurred_ns, struct err *err)
{
	size_t start = d->text.len;

	if (!make_room(d, d->one.len))
		return err_set(err, ERR_FULL, "there is room for no more in one delivery");
	buf_add(&d->text, d->one.data, d->one.len);
	d->logs[d->count++] = (struct log){seq, occurred_ns, start, d->one.len};
	return buf_check(&d->text, err);
}

static enum err_kind datadog_add(void *ctx, uint64_t seq, struct span payload, bool *ret_taken,
				 struct err *err)
{
	struct datadog *d = ctx;
	int64_t occurred_ns;
	enum err_kind rc;

	*ret_taken = !is_left_out(d, payload);
	if (!*ret_taken)
		return ERR_NONE;
	rc = datadog_log_write(payload, &d->scratch, &d->one, &occurred_ns, err);
	if (!rc)
		rc = append(d, seq, occurred_ns, err);
	else if (rc != ERR_FATAL)
		err->kind = rc = ERR_REJECT;
	give_back(&d->one);
	return rc;
}

/* How many, and the hash of them. */
static enum err_kind datadog_seal(void *ctx, uint64_t last_seq, struct buf *cut, struct err *err)
{
	struct datadog *d = ctx;
	struct span text = d->text.len > 0 ? span_of(d->text.data, d->text.len) : SPAN("");
	uint8_t digest[HASH_BYTES];
	char hex[HASH_HEX_BYTES];
	enum err_kind rc = hasher_digest(d->hasher, text, digest, err);

	(void)last_seq; /* the cursor has it */
	if (rc)
		return rc;
	buf_fmt(cut, "%zu logs %s\n", d->count, hash_hex(digest, hex));
	for (size_t i = d->requests; i > 0; i--)
		d->ends[d->end_count++] = i == d->requests ? d->count : d->starts[i];
	return buf_check(cut, err);
}

/* --- delivering --- */

static size_t end_of_part(const struct datadog *d)
{
	return d->ends[d->end_count - 1];
}

/* Of the moment in which the request was made. */
static bool is_skipped(const struct datadog *d, const struct log *l)
{
	return d->o.late == DATADOG_LATE_SKIP &&
	       l->occurred_ns < d->now_ns - DATADOG_LATE_SECONDS * NS_PER_S;
}

/* *ret_logs: how many are in it. */
static enum err_kind make_body(struct datadog *d, size_t *ret_logs, struct err *err)
{
	d->now_ns = time_now_ns();
	buf_reset(&d->body);
	gzip_writer_begin(d->gzip, &d->body);
	*ret_logs = 0;
	for (size_t i = d->next; i < end_of_part(d); i++) {
		const struct log *l = &d->logs[i];

		if (is_skipped(d, l))
			continue;
		gzip_writer_add(d->gzip, (*ret_logs)++ == 0 ? SPAN("[") : SPAN(","));
		gzip_writer_add(d->gzip, span_of(d->text.data + l->start, l->len));
	}
	gzip_writer_add(d->gzip, SPAN("]"));
	return gzip_writer_end(d->gzip, err);
}

static enum err_kind post(struct datadog *d, struct http_answer *ret, struct err *err)
{
	const char *const headers[] = {
		"Content-Type: application/json",
		"Content-Encoding: gzip",
		"DD-EVP-ORIGIN: flytrail",
		ORIGIN_VERSION,
		d->key,
		NULL,
	};

	return http_client_send(d->client,
				&(struct http_request){
					.method = "POST",
					.url = d->url,
					.headers = headers,
					.body = span_of(d->body.data, d->body.len),
					.body_max = ANSWER_BYTES_MAX,
					.seconds = DATADOG_SECONDS,
				},
				ret, err);
}

static enum err_kind kind_of(unsigned status)
{
	switch (status) {
	case 200:
	case 202: return ERR_NONE;
	case 400:
	case 413: return ERR_REJECT;
	case 408:
	case 429: return ERR_RETRY;
	default: return status >= 500 ? ERR_RETRY : ERR_CONFIG;
	}
}

static enum err_kind explain(unsigned status, struct err *err)
{
	enum err_kind kind = kind_of(status);
	const char *advice = "";

	if (kind == ERR_REJECT)
		advice = status == 413 ? ": this record alone is too large for it"
				       : ": it does not take this record";
	else if (status == 401 || status == 403)
		advice = ": check DATADOG_API_KEY, and that DATADOG_SITE is the site it is of";
	else if (kind == ERR_CONFIG)
		advice = ": that is no intake of logs; check DATADOG_SITE and FLYTRAIL_DATADOG_URL";
	return err_set(err, kind, "Datadog answers %u%s", status, advice);
}

/* Of so many one after the other, none is at fault, but who takes none. */
static enum err_kind suspect(struct datadog *d, unsigned status, struct err *err)
{
	d->refusals = 0;
	return err_set(
		err, ERR_CONFIG,
		"Datadog answers %u to %d records one after the other: check DATADOG_SITE and "
		"FLYTRAIL_DATADOG_URL",
		status, DATADOG_REFUSALS_MAX);
}

/* What is sent at once is dealt with. */
static void pass_part(struct datadog *d)
{
	uint64_t late = 0;

	for (; d->next < end_of_part(d); d->next++)
		late += is_skipped(d, &d->logs[d->next]);
	d->end_count--;
	if (d->o.late_count && late > 0)
		atomic_fetch_add(d->o.late_count, late);
}

static void halve_part(struct datadog *d)
{
	size_t half = (end_of_part(d) - d->next) / 2;

	REQUIRE(half > 0 && d->end_count < ENDS_MAX);
	d->ends[d->end_count++] = d->next + half;
}

/* *ret_status: 0 where there was nothing to send. */
static enum err_kind send_part(struct datadog *d, struct sink_answer *ret, unsigned *ret_status,
			       struct err *err)
{
	struct http_answer answer;
	size_t logs;
	enum err_kind rc = make_body(d, &logs, err);

	*ret_status = 0;
	if (rc || logs == 0)
		return rc;
	rc = post(d, &answer, err);
	if (rc)
		return rc;
	*ret_status = answer.status;
	ret->wait_seconds = kind_of(answer.status) == ERR_RETRY ? answer.retry_after_seconds : 0;
	sink_keep_said(ret, answer.body);
	return ERR_NONE;
}

static enum err_kind datadog_deliver(void *ctx, struct sink_answer *ret, struct err *err)
{
	struct datadog *d = ctx;

	ret->is_begun = d->is_begun;
	while (d->end_count > 0) {
		size_t first = d->next;
		unsigned status;
		enum err_kind rc = send_part(d, ret, &status, err);
		enum err_kind kind = status == 0 ? ERR_NONE : kind_of(status);

		if (rc)
			return rc;
		if (kind == ERR_REJECT && end_of_part(d) - first > 1) {
			halve_part(d);
			continue;
		}
		if (kind == ERR_REJECT && d->o.suspects && d->refusals == DATADOG_REFUSALS_MAX)
			return suspect(d, status, err);
		if (kind == ERR_NONE || kind == ERR_REJECT)
			pass_part(d);
		if (kind == ERR_REJECT) {
			ret->refused_seq = d->logs[first].seq;
			d->refusals++;
		}
		if (kind)
			return explain(status, err);
		if (status != 0) {
			d->refusals = 0;
			d->is_begun = ret->is_begun = true;
		}
	}
	return ERR_NONE;
}

static const struct sink_ops ops = {
	.name = "datadog",
	.begin = datadog_begin,
	.add = datadog_add,
	.seal = datadog_seal,
	.deliver = datadog_deliver,
	.close = datadog_close,
};

enum err_kind datadog_open(struct sink *ret, const struct datadog_options *options, struct err *err)
{
	struct datadog *d = calloc(1, sizeof(*d));
	enum err_kind rc;

	if (!d)
		return err_set(err, ERR_FATAL, "out of memory for Datadog");
	buf_init(&d->one, DATADOG_LOG_ROOM_BYTES);
	buf_init(&d->text, DATADOG_BYTES_MAX);
	buf_init(&d->body, BODY_BYTES_MAX);
	rc = open_parts(d, options, err);
	if (rc)
		datadog_close(d);
	else
		*ret = (struct sink){&ops, d, DATADOG_GATHER_SECONDS, d->url};
	return rc;
}
