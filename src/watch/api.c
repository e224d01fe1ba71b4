#include "watch/api.h"

#include "base/fly_client.h"
#include "base/time.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const int64_t REFILL_NS = NS_PER_S;

enum {
	URL_BYTES = 4096,
	NAME_BYTES_MAX = 512,
	BUCKETS = 256, /* more than what is asked for in the seconds that a burst is remembered */
	NAP_MS = 50,
	CODE_BYTES_MAX = 40,
};

/* How many requests of one kind about one application, or one thing in it, may go out at once. */
struct bucket {
	const char *path; /* of a resource's own, which is constant */
	char whose[NAME_BYTES_MAX + 1];
	int64_t full_ns; /* on the monotonic clock: when WATCH_BURST may go out again */
};

struct watch_api {
	/* const after watch_api_new() */
	char *machines_url, *api_url, *org, *own_app, *hmac_key;
	char key_id[WATCH_KEY_ID_BYTES + 1]; /* tells keys apart, and nothing of them */
	const _Atomic bool *cut;

	struct fly_client *client;
	struct bucket buckets[BUCKETS];
	size_t next_bucket;
	bool answered, refused; /* the newest question */
	uint64_t sent;
};

void watch_api_free(struct watch_api *a)
{
	if (!a)
		return;
	fly_client_free(a->client);
	secret_free(a->hmac_key);
	free(a->own_app);
	free(a->org);
	free(a->api_url);
	free(a->machines_url);
	free(a);
}

static enum err_kind make_key_id(struct watch_api *a, struct err *err)
{
	uint8_t mac[HASH_BYTES];
	char hex[HASH_HEX_BYTES];
	enum err_kind rc = hash_hmac(span_text(a->hmac_key), SPAN("flytrail key id"), mac, err);

	if (rc == ERR_NONE)
		(void)snprintf(a->key_id, sizeof(a->key_id), "%.*s", WATCH_KEY_ID_BYTES,
			       hash_hex(mac, hex));
	return rc;
}

enum err_kind watch_api_new(struct watch_api **ret, const struct watch_api_options *options,
			    struct err *err)
{
	const struct fly_client_options client = {
		.token = options->token, .cut = options->cut, .seconds = options->seconds};
	struct watch_api *a = calloc(1, sizeof(*a));
	enum err_kind rc;

	if (!a)
		return err_set(err, ERR_FATAL, "out of memory for watching");
	a->cut = options->cut;
	a->machines_url = span_copy(span_text(options->machines_url));
	a->api_url = span_copy(span_text(options->api_url));
	a->org = span_copy(span_text(options->org));
	a->own_app = span_copy(span_text(options->own_app));
	a->hmac_key = span_copy(span_text(options->hmac_key));
	if (a->machines_url && a->api_url && a->org && a->own_app && a->hmac_key)
		rc = fly_client_new(&a->client, &client, err);
	else
		rc = err_set(err, ERR_FATAL, "out of memory for watching");
	if (rc == ERR_NONE)
		rc = make_key_id(a, err);
	if (rc)
		watch_api_free(a);
	else
		*ret = a;
	return rc;
}

const char *watch_api_own_app(const struct watch_api *a)
{
	return a->own_app;
}

int64_t watch_api_wait_ns(const struct watch_api *a)
{
	return fly_client_wait_ns(a->client);
}

uint64_t watch_api_sent(const struct watch_api *a)
{
	return a->sent;
}

bool watch_api_answered(const struct watch_api *a)
{
	return a->answered;
}

bool watch_api_refused(const struct watch_api *a)
{
	return a->refused;
}

/* --- as often as Fly wants it --- */

/* However much is asked for. */
static bool is_same_kind(const char *a, const char *b)
{
	size_t len = strcspn(a, "?");

	return strcspn(b, "?") == len && memcmp(a, b, len) == 0;
}

static struct bucket *bucket_of(struct watch_api *a, const char *path, const char *whose)
{
	struct bucket *b;

	for (size_t i = 0; i < BUCKETS; i++) {
		b = &a->buckets[i];
		if (b->path && is_same_kind(b->path, path) && strcmp(b->whose, whose) == 0)
			return b;
	}
	b = &a->buckets[a->next_bucket++ % BUCKETS];
	*b = (struct bucket){.path = path};
	(void)snprintf(b->whose, sizeof(b->whose), "%s", whose);
	return b;
}

/* Fly counts by machine what is asked of a machine. */
static const char *whose(const struct watch_names *names)
{
	if (names->item && names->item[0] != '\0')
		return names->item;
	return names->app ? names->app : "";
}

static bool is_cut(const struct watch_api *a)
{
	return a->cut && atomic_load(a->cut);
}

/* Until another request of the kind may go out, and Fly wants to be asked at all. */
static void await_turn(struct watch_api *a, const char *path, const char *whose)
{
	static const struct timespec nap = {.tv_nsec = NAP_MS * NS_PER_MS};
	struct bucket *b = bucket_of(a, path, whose);
	int64_t now_ns = time_monotonic_ns();

	while ((b->full_ns - now_ns > (WATCH_BURST - 1) * REFILL_NS ||
		fly_client_wait_ns(a->client) > 0) &&
	       !is_cut(a)) {
		(void)nanosleep(&nap, NULL);
		now_ns = time_monotonic_ns();
	}
	b->full_ns = time_later(b->full_ns, now_ns) + REFILL_NS;
	a->sent++;
}

/* --- requests --- */

/* As it may stand in a path or a query. */
static bool add_name(struct buf *url, const char *name)
{
	static const char bytes[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~";
	size_t len = strlen(name);

	if (len == 0 || len > NAME_BYTES_MAX || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return false;
	for (const char *c = name; *c != '\0'; c++) {
		if (memchr(bytes, *c, sizeof(bytes) - 1))
			buf_add(url, c, 1);
		else
			buf_fmt(url, "%%%02X", (unsigned char)*c);
	}
	return true;
}

static const char *name_of(const struct watch_api *a, const struct watch_names *names,
			   struct span word)
{
	const struct {
		const char *word, *name;
	} known[] = {{"org", a->org},
		     {"app", names->app},
		     {"item", names->item},
		     {"cursor", names->cursor},
		     {"since", names->since}};

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (span_is(word, known[i].word))
			return known[i].name;
	return NULL;
}

/* The path with names in the place of its words, of which those behind '?' may be empty. */
static enum err_kind make_url(const struct watch_api *a, const char *path,
			      const struct watch_names *names, struct buf *url, struct err *err)
{
	bool in_query = false;

	buf_str(url, strncmp(path, "api/", 4) == 0 ? a->api_url : a->machines_url);
	buf_u8(url, '/');
	for (const char *p = path; *p != '\0';) {
		const char *end = strchr(p, '}');
		const char *name;

		in_query = in_query || *p == '?';
		if (*p != '{') {
			buf_add(url, p++, 1);
			continue;
		}
		REQUIRE(end);
		name = name_of(a, names, span_of(p + 1, (size_t)(end - p - 1)));
		REQUIRE(name);
		if (!(in_query && name[0] == '\0') && !add_name(url, name))
			return err_set(err, ERR_REJECT, "no name that Fly gives");
		p = end + 1;
	}
	return buf_check(url, err);
}

static enum err_kind read_answer(struct span body, struct json **ret, struct err *err)
{
	enum err_kind rc = json_parse(ret, body, err);
	enum json_type type = rc == ERR_NONE ? json_type(*ret) : JSON_NULL;

	if (rc == ERR_NONE && type != JSON_OBJECT && type != JSON_ARRAY && type != JSON_NULL) {
		json_free(*ret);
		rc = ERR_REJECT;
	}
	/* Fly's 404 is the only ERR_REJECT: this may be better the next time. */
	return rc == ERR_REJECT ? err_set(err, ERR_RETRY, "the answer is no JSON object or list")
				: rc;
}

enum err_kind watch_api_get(struct watch_api *a, const char *path, const struct watch_names *names,
			    struct json **ret, struct err *err)
{
	struct buf url;
	struct span body = {NULL, 0};
	enum err_kind rc;

	a->answered = a->refused = false;
	buf_init(&url, URL_BYTES);
	rc = make_url(a, path, names, &url, err);
	if (!rc) {
		await_turn(a, path, whose(names));
		rc = fly_client_get(a->client, (const char *)url.data, WATCH_ANSWER_BYTES_MAX,
				    &body, err);
		a->refused = rc && fly_client_refused(a->client);
		a->answered = !rc || a->refused;
	}
	if (!rc)
		rc = fly_client_done(a->client, read_answer(body, ret, err));
	buf_release(&url);
	return rc ? err_wrap(err, "%.*s", (int)strcspn(path, "?"), path) : ERR_NONE;
}

/* --- GraphQL --- */

static void write_question(const struct watch_api *a, const char *query,
			   const struct watch_names *names, struct buf *out)
{
	buf_u8(out, '{');
	json_write_key(out, "query");
	json_write_text(out, span_text(query));
	json_write_key(out, "variables");
	buf_u8(out, '{');
	json_write_key(out, "org");
	json_write_text(out, span_text(a->org));
	if (names->app && names->app[0] != '\0') {
		json_write_key(out, "app");
		json_write_text(out, span_text(names->app));
	}
	if (names->cursor) {
		json_write_key(out, "after");
		json_write_text(out, span_text(names->cursor));
	}
	buf_str(out, "}}");
}

/* The code of an error, which says what may be shown of it: Fly's texts are not. */
static enum err_kind tell_error(const struct json *errors, struct err *err)
{
	const struct json *first = json_first(errors);
	const struct json *more = first ? json_member(first, "extensions") : NULL;
	const struct json *code = more ? json_member(more, "code") : NULL;
	struct span text = code && json_type(code) == JSON_TEXT ? json_text(code) : SPAN("");

	for (size_t i = 0; i < text.len; i++)
		if (text.len > CODE_BYTES_MAX || text.data[i] < 'A' || text.data[i] > '_')
			text.len = 0;
	return err_set(err, ERR_RETRY, "GraphQL says that it is an error%s%.*s",
		       text.len > 0 ? ": " : "", (int)text.len, text.data);
}

static enum err_kind check_data(struct watch_api *a, const struct json *answer, struct err *err)
{
	const struct json *errors, *data;

	if (json_type(answer) != JSON_OBJECT)
		return err_set(err, ERR_RETRY, "the answer is no JSON object");
	errors = json_member(answer, "errors");
	data = json_member(answer, "data");
	if (errors && json_type(errors) != JSON_NULL) {
		a->refused = true;
		return tell_error(errors, err);
	}
	if (!data || json_type(data) != JSON_OBJECT)
		return err_set(err, ERR_RETRY, "the answer has no data");
	return ERR_NONE;
}

enum err_kind watch_api_query(struct watch_api *a, const char *query,
			      const struct watch_names *names, struct json **ret, struct err *err)
{
	struct json *answer = NULL;
	struct buf url, question;
	struct span body = {NULL, 0};
	enum err_kind rc;

	a->answered = a->refused = false;
	buf_init(&url, URL_BYTES);
	buf_init(&question, URL_BYTES);
	buf_fmt(&url, "%s/graphql", a->api_url);
	write_question(a, query, names, &question);
	rc = buf_check(&url, err);
	if (!rc)
		rc = buf_check(&question, err);
	if (!rc) {
		await_turn(a, query, names->app ? names->app : "");
		rc = fly_client_post(a->client, (const char *)url.data,
				     span_of(question.data, question.len), WATCH_ANSWER_BYTES_MAX,
				     &body, err);
		a->refused = rc && fly_client_refused(a->client);
		a->answered = !rc || a->refused;
	}
	if (!rc)
		rc = fly_client_done(a->client, read_answer(body, &answer, err));
	if (!rc)
		rc = check_data(a, answer, err);
	buf_release(&question);
	buf_release(&url);
	if (rc) {
		json_free(answer);
		return err_wrap(err, "graphql");
	}
	*ret = answer;
	return ERR_NONE;
}

/* --- what must not be kept --- */

enum err_kind watch_api_mac(const struct watch_api *a, struct span secret,
			    char ret[WATCH_MAC_BYTES], struct err *err)
{
	uint8_t mac[HASH_BYTES];
	char hex[HASH_HEX_BYTES];
	enum err_kind rc;

	ret[0] = '\0';
	if (a->hmac_key[0] == '\0' || secret.len == 0)
		return ERR_NONE;
	rc = hash_hmac(span_text(a->hmac_key), secret, mac, err);
	if (rc == ERR_NONE)
		(void)snprintf(ret, WATCH_MAC_BYTES, "%s:%s", a->key_id, hash_hex(mac, hex));
	return rc;
}

bool watch_macs_differ(struct span a, struct span b)
{
	return a.len > WATCH_KEY_ID_BYTES && b.len > WATCH_KEY_ID_BYTES &&
	       memcmp(a.data, b.data, WATCH_KEY_ID_BYTES) == 0 && !span_equal(a, b);
}
