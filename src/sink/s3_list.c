#include "sink/s3_list.h"

#include "base/time.h"
#include "base/xml.h"

#include <stdlib.h>

enum {
	TOKEN_BYTES_MAX = XML_TEXT_BYTES_MAX,
	KEY_BYTES_MAX = 1024,                                  /* S3's own */
	KEYS_BYTES_MAX = S3_LIST_PAGE_MAX * 3 * KEY_BYTES_MAX, /* %XX for each byte */
	QUERY_MAX = 5,
	HEX = 16,
};

struct s3_list {
	struct s3_client *client;
	char *prefix, *after;
	struct buf token; /* of the page that is next; empty: the first */
	size_t pages;
	bool ended;
	/* of the present page */
	struct s3_listed objects[S3_LIST_PAGE_MAX];
	size_t ends[S3_LIST_PAGE_MAX]; /* of each key in keys; it begins where the one before ends
					*/
	size_t count;
	struct buf keys, next_token;
	bool is_listing, is_truncated, is_encoded, is_wrong;
};

enum err_kind s3_list_new(struct s3_list **ret, struct s3_client *client, const char *prefix,
			  const char *after, struct err *err)
{
	struct s3_list *l = calloc(1, sizeof(*l));

	if (l) {
		l->prefix = span_copy(span_text(prefix));
		l->after = span_copy(span_text(after));
	}
	if (!l || !l->prefix || !l->after) {
		s3_list_free(l);
		return err_set(err, ERR_FATAL, "out of memory for a listing");
	}
	l->client = client;
	buf_init(&l->token, TOKEN_BYTES_MAX);
	buf_init(&l->next_token, TOKEN_BYTES_MAX);
	buf_init(&l->keys, KEYS_BYTES_MAX);
	*ret = l;
	return ERR_NONE;
}

void s3_list_free(struct s3_list *l)
{
	if (!l)
		return;
	free(l->prefix);
	free(l->after);
	buf_release(&l->token);
	buf_release(&l->next_token);
	buf_release(&l->keys);
	free(l);
}

/* --- a page --- */

/* The key and the size of an object come before the end of it. */
static void read_element(void *arg, struct span path, struct span text)
{
	struct s3_list *l = arg;

	if (span_is(path, "ListBucketResult")) {
		l->is_listing = true;
	} else if (span_is(path, "ListBucketResult/IsTruncated")) {
		l->is_truncated = span_is(text, "true");
	} else if (span_is(path, "ListBucketResult/EncodingType")) {
		l->is_encoded = span_is(text, "url");
	} else if (span_is(path, "ListBucketResult/NextContinuationToken")) {
		buf_span(&l->next_token, text);
	} else if (l->count == S3_LIST_PAGE_MAX) {
		l->is_wrong = l->is_wrong || span_is(path, "ListBucketResult/Contents");
	} else if (span_is(path, "ListBucketResult/Contents/Key")) {
		buf_span(&l->keys, text);
	} else if (span_is(path, "ListBucketResult/Contents/Size")) {
		if (!span_digits(text, &l->objects[l->count].bytes))
			l->is_wrong = true;
	} else if (span_is(path, "ListBucketResult/Contents/LastModified")) {
		unsigned digits;

		if (!time_parse(text, false, &l->objects[l->count].stored_ns, &digits))
			l->objects[l->count].stored_ns = 0;
	} else if (span_is(path, "ListBucketResult/Contents")) {
		l->ends[l->count++] = l->keys.len;
	}
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* In place: a key becomes no longer by that. */
static size_t decode(char *key, size_t len)
{
	size_t to = 0;

	for (size_t from = 0; from < len; from++) {
		int high = key[from] == '%' && from + 2 < len ? hex_digit(key[from + 1]) : -1;
		int low = high >= 0 ? hex_digit(key[from + 2]) : -1;

		if (low >= 0) {
			key[to++] = (char)(high * HEX + low);
			from += 2;
		} else {
			key[to++] = (char)(key[from] == '+' ? ' ' : key[from]);
		}
	}
	return to;
}

static void find_keys(struct s3_list *l)
{
	size_t start = 0;

	for (size_t i = 0; i < l->count; i++) {
		size_t len = l->ends[i] - start;
		char *key = len > 0 ? (char *)l->keys.data + start : NULL;

		if (len > 0 && l->is_encoded)
			len = decode(key, len);
		l->objects[i].key = len > 0 ? span_of(key, len) : SPAN("");
		start = l->ends[i];
	}
}

static enum err_kind read_page(struct s3_list *l, struct span body, struct err *err)
{
	const struct xml_calls calls = {.element = read_element, .arg = l};
	enum err_kind rc;

	l->count = 0;
	memset(l->objects, 0, sizeof(l->objects));
	buf_reset(&l->keys);
	buf_reset(&l->next_token);
	l->is_listing = l->is_truncated = l->is_encoded = l->is_wrong = false;
	rc = xml_read(body, &calls, err);
	if (!rc)
		rc = buf_check(&l->keys, err);
	if (!rc)
		rc = buf_check(&l->next_token, err);
	if (rc == ERR_FATAL)
		return rc;
	/* A page that does not lead on would be asked for again for ever. */
	if (rc || !l->is_listing || l->is_wrong ||
	    (l->is_truncated &&
	     (l->next_token.len == 0 || span_equal(span_of(l->next_token.data, l->next_token.len),
						   span_of(l->token.data, l->token.len)))))
		return err_set(err, ERR_RETRY, "what S3 answers is no listing");
	find_keys(l);
	return ERR_NONE;
}

static void add_pair(struct sigv4_pair *query, size_t *count, const char *name, struct span value)
{
	if (value.len > 0)
		query[(*count)++] = (struct sigv4_pair){name, value};
}

static enum err_kind ask(struct s3_list *l, struct s3_answer *ret, struct err *err)
{
	struct sigv4_pair query[QUERY_MAX];
	struct s3_request request = {
		.method = "GET", .query = query, .body_max = S3_LIST_ANSWER_BYTES_MAX};

	add_pair(query, &request.query_count, "list-type", SPAN("2"));
	add_pair(query, &request.query_count, "encoding-type", SPAN("url"));
	add_pair(query, &request.query_count, "prefix", span_text(l->prefix));
	add_pair(query, &request.query_count, "start-after", span_text(l->after));
	add_pair(query, &request.query_count, "continuation-token",
		 span_of(l->token.data, l->token.len));
	return s3_client_send(l->client, &request, ret, err);
}

static enum err_kind next_page(struct s3_list *l, struct err *err)
{
	struct s3_answer answer = {.status = 0};
	enum err_kind rc;

	if (l->pages == S3_LIST_PAGES_MAX)
		return err_set(err, ERR_FULL, "the bucket's listing has more than %d pages",
			       S3_LIST_PAGES_MAX);
	rc = ask(l, &answer, err);
	if (!rc)
		rc = read_page(l, answer.body, err);
	if (rc)
		return rc;
	l->pages++;
	l->ended = !l->is_truncated;
	buf_reset(&l->token);
	buf_add(&l->token, l->next_token.data, l->next_token.len);
	return buf_check(&l->token, err);
}

enum err_kind s3_list_page(struct s3_list *l, const struct s3_listed **ret, size_t *ret_count,
			   struct err *err)
{
	*ret_count = 0;
	while (*ret_count == 0 && !l->ended) { /* a page may be empty, and not the last */
		enum err_kind rc = next_page(l, err);

		if (rc)
			return rc;
		*ret = l->objects;
		*ret_count = l->count;
	}
	return ERR_NONE;
}
