#include "sink/s3_list.h"

#include "base/time.h"
#include "base/xml.h"

#include <stdlib.h>

enum {
	TOKEN_BYTES_MAX = XML_TEXT_BYTES_MAX,
	KEY_BYTES_MAX = 1024,                                  /* S3's own */
	KEYS_BYTES_MAX = S3_LIST_PAGE_MAX * 3 * KEY_BYTES_MAX, /* %XX for each byte */
	VERSIONS_BYTES_MAX = S3_LIST_PAGE_MAX * 1024,
	QUERY_MAX = 5,
	HEX = 16,
};

/* What a listing's elements are called, and the parts of the query that lead on. */
struct form {
	const char *root, *truncated, *encoding, *next, *next_version;
	const char *object, *key, *version, *bytes, *modified, *deleted_key;
	const char *query, *query_value, *after, *token, *version_token;
};

#define ROOT "ListBucketResult"
static const struct form form_of_objects = {
	.root = ROOT,
	.truncated = ROOT "/IsTruncated",
	.encoding = ROOT "/EncodingType",
	.next = ROOT "/NextContinuationToken",
	.next_version = "",
	.object = ROOT "/Contents",
	.key = ROOT "/Contents/Key",
	.version = "",
	.bytes = ROOT "/Contents/Size",
	.modified = ROOT "/Contents/LastModified",
	.deleted_key = "",
	.query = "list-type",
	.query_value = "2",
	.after = "start-after",
	.token = "continuation-token",
};
#undef ROOT
#define ROOT "ListVersionsResult"
/* Its markers of deletion are elements of another name, and passed over. */
static const struct form form_of_versions = {
	.root = ROOT,
	.truncated = ROOT "/IsTruncated",
	.encoding = ROOT "/EncodingType",
	.next = ROOT "/NextKeyMarker",
	.next_version = ROOT "/NextVersionIdMarker",
	.object = ROOT "/Version",
	.key = ROOT "/Version/Key",
	.version = ROOT "/Version/VersionId",
	.bytes = ROOT "/Version/Size",
	.modified = ROOT "/Version/LastModified",
	.deleted_key = ROOT "/DeleteMarker/Key",
	.query = "versions",
	.query_value = "",
	.after = "key-marker",
	.token = "key-marker",
	.version_token = "version-id-marker",
};
#undef ROOT

struct s3_list {
	const struct form *form;
	struct s3_client *client;
	char *prefix, *after;
	struct buf token, version_token; /* of the page that is next; empty: the first */
	size_t pages;
	bool ended;
	/* of the present page */
	struct s3_listed objects[S3_LIST_PAGE_MAX];
	/* Of each key in keys, and version in versions; it begins where the one before ends. */
	size_t ends[S3_LIST_PAGE_MAX], version_ends[S3_LIST_PAGE_MAX];
	size_t count;
	struct buf keys, versions, next_token, next_version;
	struct buf last_key; /* of the page, as it came; also of a marker of deletion */
	bool is_listing, is_truncated, is_encoded, is_wrong;
};

static enum err_kind list_new(struct s3_list **ret, struct s3_client *client,
			      const struct form *form, const char *prefix, const char *after,
			      struct err *err)
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
	l->form = form;
	l->client = client;
	buf_init(&l->token, TOKEN_BYTES_MAX);
	buf_init(&l->version_token, TOKEN_BYTES_MAX);
	buf_init(&l->next_token, TOKEN_BYTES_MAX);
	buf_init(&l->next_version, TOKEN_BYTES_MAX);
	buf_init(&l->keys, KEYS_BYTES_MAX);
	buf_init(&l->last_key, TOKEN_BYTES_MAX);
	buf_init(&l->versions, VERSIONS_BYTES_MAX);
	*ret = l;
	return ERR_NONE;
}

enum err_kind s3_list_new(struct s3_list **ret, struct s3_client *client, const char *prefix,
			  const char *after, struct err *err)
{
	return list_new(ret, client, &form_of_objects, prefix, after, err);
}

enum err_kind s3_list_new_versions(struct s3_list **ret, struct s3_client *client,
				   const char *prefix, const char *after, struct err *err)
{
	return list_new(ret, client, &form_of_versions, prefix, after, err);
}

void s3_list_free(struct s3_list *l)
{
	if (!l)
		return;
	free(l->prefix);
	free(l->after);
	buf_release(&l->token);
	buf_release(&l->version_token);
	buf_release(&l->next_token);
	buf_release(&l->next_version);
	buf_release(&l->keys);
	buf_release(&l->versions);
	buf_release(&l->last_key);
	free(l);
}

/* --- a page --- */

/* What is in an object's element comes before the end of it. */
static void read_inside(struct s3_list *l, struct span path, struct span text)
{
	const struct form *f = l->form;
	struct s3_listed *o = &l->objects[l->count]; /* not looked at where there is none */
	unsigned digits;

	if (span_is(path, f->key) || span_is(path, f->deleted_key)) {
		buf_reset(&l->last_key);
		buf_span(&l->last_key, text);
	}
	if (l->count == S3_LIST_PAGE_MAX) {
		l->is_wrong = l->is_wrong || span_is(path, f->object);
	} else if (span_is(path, f->key)) {
		buf_span(&l->keys, text);
	} else if (span_is(path, f->version)) {
		buf_span(&l->versions, text);
	} else if (span_is(path, f->bytes)) {
		if (!span_digits(text, &o->bytes))
			l->is_wrong = true;
	} else if (span_is(path, f->modified)) {
		if (!time_parse(text, false, &o->stored_ns, &digits))
			o->stored_ns = 0;
	} else if (span_is(path, f->object)) {
		l->ends[l->count] = l->keys.len;
		l->version_ends[l->count++] = l->versions.len;
	}
}

static void read_element(void *arg, struct span path, struct span text)
{
	struct s3_list *l = arg;
	const struct form *f = l->form;

	if (span_is(path, f->root))
		l->is_listing = true;
	else if (span_is(path, f->truncated))
		l->is_truncated = span_is(text, "true");
	else if (span_is(path, f->encoding))
		l->is_encoded = span_is(text, "url");
	else if (span_is(path, f->next))
		buf_span(&l->next_token, text);
	else if (span_is(path, f->next_version))
		buf_span(&l->next_version, text);
	else
		read_inside(l, path, text);
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

static struct span part_of(const struct buf *b, size_t from, size_t end)
{
	return end > from ? span_of(b->data + from, end - from) : SPAN("");
}

static struct span text_of(const struct buf *b)
{
	return part_of(b, 0, b->len);
}

static void find_keys(struct s3_list *l)
{
	size_t start = 0, version_start = 0;

	for (size_t i = 0; i < l->count; i++) {
		size_t len = l->ends[i] - start;
		char *key = len > 0 ? (char *)l->keys.data + start : NULL;

		if (len > 0 && l->is_encoded)
			len = decode(key, len);
		l->objects[i].key = len > 0 ? span_of(key, len) : SPAN("");
		l->objects[i].version = part_of(&l->versions, version_start, l->version_ends[i]);
		start = l->ends[i];
		version_start = l->version_ends[i];
	}
}

/*
 * A key leads on from page to page of versions: the last one, as Amazon encodes it; Ceph gives it
 * as it is. Whoever takes the one for the other may pass over what anybody's keys let him.
 */
static void find_token(struct s3_list *l)
{
	if (l->form == &form_of_versions && l->is_encoded && l->next_token.len > 0 &&
	    span_equal(text_of(&l->next_token), text_of(&l->last_key)))
		buf_cut(&l->next_token, decode((char *)l->next_token.data, l->next_token.len));
}

/* A page that does not lead on would be asked for again for ever. */
static bool leads_on(const struct s3_list *l)
{
	return l->next_token.len > 0 &&
	       !(span_equal(text_of(&l->next_token), text_of(&l->token)) &&
		 span_equal(text_of(&l->next_version), text_of(&l->version_token)));
}

static enum err_kind check_texts(const struct s3_list *l, struct err *err)
{
	enum err_kind rc = buf_check(&l->keys, err);

	if (!rc)
		rc = buf_check(&l->versions, err);
	if (!rc)
		rc = buf_check(&l->last_key, err);
	if (!rc)
		rc = buf_check(&l->next_token, err);
	return rc ? rc : buf_check(&l->next_version, err);
}

static enum err_kind read_page(struct s3_list *l, struct span body, struct err *err)
{
	const struct xml_calls calls = {.element = read_element, .arg = l};
	enum err_kind rc;

	l->count = 0;
	memset(l->objects, 0, sizeof(l->objects));
	buf_reset(&l->keys);
	buf_reset(&l->versions);
	buf_reset(&l->last_key);
	buf_reset(&l->next_token);
	buf_reset(&l->next_version);
	l->is_listing = l->is_truncated = l->is_encoded = l->is_wrong = false;
	rc = xml_read(body, &calls, err);
	if (!rc)
		rc = check_texts(l, err);
	if (rc == ERR_FATAL)
		return rc;
	if (!rc && l->is_listing && !l->is_wrong)
		find_keys(l);
	if (!rc)
		find_token(l);
	if (rc || !l->is_listing || l->is_wrong || (l->is_truncated && !leads_on(l)))
		return err_set(err, ERR_RETRY, "what S3 answers is no listing");
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

	const struct form *f = l->form;
	bool is_next = l->token.len > 0;

	query[request.query_count++] = (struct sigv4_pair){f->query, span_text(f->query_value)};
	add_pair(query, &request.query_count, "encoding-type", SPAN("url"));
	add_pair(query, &request.query_count, "prefix", span_text(l->prefix));
	/* Of versions both are one: the key behind which the page begins. */
	if (!is_next || f != &form_of_versions)
		add_pair(query, &request.query_count, f->after, span_text(l->after));
	if (is_next)
		add_pair(query, &request.query_count, f->token, text_of(&l->token));
	if (is_next && f == &form_of_versions)
		add_pair(query, &request.query_count, f->version_token, text_of(&l->version_token));
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
	buf_reset(&l->version_token);
	buf_span(&l->token, text_of(&l->next_token));
	buf_span(&l->version_token, text_of(&l->next_version));
	rc = buf_check(&l->token, err);
	return rc ? rc : buf_check(&l->version_token, err);
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
