#include "sink/archive_read.h"

#include "base/gzip.h"
#include "base/json.h"
#include "base/time.h"
#include "sink/archive_index.h"

#include <inttypes.h>
#include <stdio.h>

enum {
	DATE_BYTES = 10, /* 2026-11-26 */
	HOUR_BYTES = 2,
	SEQ_DIGITS = 20,
	TIME_BYTES_MAX = 32,
};

#define HOUR_NS (3600 * NS_PER_S)

/* --- names --- */

/* What is left of a key; after the first thing that does not fit, bad stays set. */
struct key_reader {
	struct span left;
	bool bad;
};

static struct span take(struct key_reader *r, size_t len)
{
	struct span taken = r->left;

	if (r->bad || len > r->left.len) {
		r->bad = true;
		return SPAN("");
	}
	taken.len = len;
	r->left = span_after(r->left, len);
	return taken;
}

static bool take_if(struct key_reader *r, const char *text)
{
	if (r->bad || !span_starts(r->left, span_text(text)))
		return false;
	r->left = span_after(r->left, strlen(text));
	return true;
}

static void take_text(struct key_reader *r, const char *text)
{
	if (!take_if(r, text))
		r->bad = true;
}

static uint64_t take_seq(struct key_reader *r)
{
	uint64_t value = 0;

	if (!span_digits(take(r, SEQ_DIGITS), &value))
		r->bad = true;
	return value;
}

/* Up to the character, which is taken as well; as it would be written again. */
static uint64_t take_number_until(struct key_reader *r, char end)
{
	const char *at = r->bad ? NULL : memchr(r->left.data, end, r->left.len);
	struct span digits = take(r, at ? (size_t)(at - r->left.data) : 0);
	uint64_t value = 0;

	if (!at || !span_digits(digits, &value) || (digits.len > 1 && digits.data[0] == '0'))
		r->bad = true;
	(void)take(r, 1);
	return value;
}

static void take_id(struct key_reader *r, struct id *ret)
{
	char again[ID_TEXT_BYTES];
	struct span text = take(r, ID_TEXT_BYTES - 1);

	/* Capitals are an id's, too, and not those of a key that archive.c wrote. */
	if (r->bad || !id_parse(text, ret) || !span_is(text, id_format(ret, again)))
		r->bad = true;
}

static void take_times(struct key_reader *r, struct archive_name *name)
{
	char text[TIME_BYTES_MAX];
	struct span date = take(r, DATE_BYTES), hour = SPAN("00");
	bool has_hour = name->kind == ARCHIVE_LINES;
	unsigned digits;

	if (has_hour) {
		take_text(r, "/hour=");
		hour = take(r, HOUR_BYTES);
	}
	(void)snprintf(text, sizeof(text), "%.*sT%.*s:00:00Z", (int)date.len, date.data,
		       (int)hour.len, hour.data);
	if (r->bad || !time_parse(span_text(text), false, &name->from_ns, &digits) ||
	    __builtin_add_overflow(name->from_ns, has_hour ? HOUR_NS : TIME_DAY_NS,
				   &name->until_ns))
		r->bad = true;
}

static void take_place(struct key_reader *r, struct archive_name *name)
{
	static const struct {
		const char *text;
		enum archive_kind kind;
	} places[] = {
		{"lines/date=", ARCHIVE_LINES},
		{"events/class=security/date=", ARCHIVE_SECURITY},
		{"events/class=operations/date=", ARCHIVE_OPERATIONS},
		{"index/date=", ARCHIVE_INDEX},
	};

	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		if (!take_if(r, places[i].text))
			continue;
		name->kind = places[i].kind;
		take_times(r, name);
		return;
	}
	r->bad = true;
}

bool archive_name_parse(const char *prefix, struct span key, struct archive_name *ret)
{
	struct key_reader r = {.left = key, .bad = key.len >= ARCHIVE_KEY_BYTES};
	struct archive_name name = {.epoch = 0};

	take_text(&r, prefix);
	if (prefix[0] != '\0')
		take_text(&r, "/");
	take_place(&r, &name);
	take_text(&r, "/");
	take_id(&r, &name.stream);
	take_text(&r, ".");
	name.epoch = take_number_until(&r, '-');
	name.first_seq = take_seq(&r);
	take_text(&r, "-");
	name.last_seq = take_seq(&r);
	take_text(&r, ".ndjson.gz");
	if (r.bad || r.left.len > 0 || name.first_seq > name.last_seq)
		return false;
	*ret = name;
	return true;
}

/* --- a line of an index --- */

/* JSON's own numbers are doubles, which are exact so far; and a longer one is a text. */
static bool read_count(const struct json *object, const char *key, uint64_t max, uint64_t *ret)
{
	const struct json *v = json_member(object, key);
	double number = v && json_type(v) == JSON_NUMBER ? json_number(v) : -1;

	if (number < 0 || number > (double)max)
		return false;
	*ret = (uint64_t)number;
	return (double)*ret == number;
}

static struct span text_of(const struct json *object, const char *key)
{
	const struct json *v = json_member(object, key);

	return v && json_type(v) == JSON_TEXT ? json_text(v) : SPAN("");
}

/* What the key says already, said again. */
static bool is_seq(const struct json *object, const char *key, uint64_t seq)
{
	uint64_t value;

	return span_digits(text_of(object, key), &value) && value == seq;
}

static bool copy_key(const char *prefix, struct span key, struct archive_entry *ret)
{
	if (!archive_name_parse(prefix, key, &ret->name) || ret->name.kind == ARCHIVE_INDEX)
		return false;
	memcpy(ret->key, key.data, key.len);
	ret->key[key.len] = '\0';
	return true;
}

static bool read_entry(const char *prefix, const struct json *v, struct archive_entry *ret)
{
	return copy_key(prefix, text_of(v, "key"), ret) &&
	       read_count(v, "bytes", ARCHIVE_OBJECT_BYTES_MAX, &ret->bytes) &&
	       read_count(v, "content_bytes", ARCHIVE_OBJECT_CONTENT_BYTES_MAX,
			  &ret->content_bytes) &&
	       read_count(v, "records", ARCHIVE_OBJECT_CONTENT_BYTES_MAX, &ret->records) &&
	       hash_hex_copy(text_of(v, "sha256"), ret->sha256) &&
	       hash_hex_copy(text_of(v, "content_sha256"), ret->content_sha256) &&
	       is_seq(v, "first_seq", ret->name.first_seq) &&
	       is_seq(v, "last_seq", ret->name.last_seq);
}

enum err_kind archive_index_parse(const char *prefix, struct span line, struct archive_entry *ret,
				  struct err *err)
{
	struct json *v = NULL;
	enum err_kind rc = json_parse(&v, line, err);

	if (rc == ERR_FATAL)
		return rc;
	rc = !rc && read_entry(prefix, v, ret)
		     ? ERR_NONE
		     : err_set(err, ERR_CORRUPT, "a line of the index names no object of it");
	json_free(v);
	return rc;
}

/* --- an object --- */

static enum err_kind differs(const char *key, const char *how, struct err *err)
{
	return err_set(err, ERR_CORRUPT, "%s: %s", key, how);
}

static enum err_kind hash_of(struct span bytes, char ret[HASH_HEX_BYTES], struct err *err)
{
	uint8_t digest[HASH_BYTES];
	struct hasher *hasher = NULL;
	enum err_kind rc = hasher_new(&hasher, err);

	if (!rc)
		rc = hasher_digest(hasher, bytes, digest, err);
	if (!rc)
		(void)hash_hex(digest, ret);
	hasher_free(hasher);
	return rc;
}

static enum err_kind check_stored(const struct archive_entry *e, struct span stored,
				  struct err *err)
{
	char hex[HASH_HEX_BYTES];
	enum err_kind rc;

	if (stored.len != e->bytes)
		return differs(e->key, "its length is not what is on record", err);
	if (e->sha256[0] == '\0')
		return ERR_NONE;
	rc = hash_of(stored, hex, err);
	if (rc)
		return rc;
	return strcmp(hex, e->sha256) == 0
		       ? ERR_NONE
		       : differs(e->key, "its bytes are not those that are on record", err);
}

static enum err_kind check_content(const struct archive_entry *e, struct span content,
				   struct err *err)
{
	char hex[HASH_HEX_BYTES];
	uint64_t lines = 0;
	enum err_kind rc;

	if (content.len != e->content_bytes)
		return differs(e->key, "what is compressed in it is not as long as is on record",
			       err);
	rc = hash_of(content, hex, err);
	if (rc)
		return rc;
	if (strcmp(hex, e->content_sha256) != 0)
		return differs(e->key, "what is compressed in it is not what is on record", err);
	for (size_t i = 0; i < content.len; i++)
		lines += content.data[i] == '\n';
	if (lines != e->records || (content.len > 0 && content.data[content.len - 1] != '\n'))
		return differs(e->key, "its lines are not as many as are on record", err);
	return ERR_NONE;
}

static enum err_kind inflate(const char *key, struct span stored, struct buf *content,
			     struct err *err)
{
	enum err_kind rc = gzip_read(stored, content, err);

	if (rc == ERR_FULL)
		return differs(key, "more is compressed in it than is on record", err);
	if (rc == ERR_REJECT) {
		err->kind = ERR_CORRUPT;
		return err_wrap(err, "%s", key);
	}
	return rc;
}

enum err_kind archive_check(const struct archive_entry *entry, struct span stored,
			    struct buf *content, struct err *err)
{
	enum err_kind rc = check_stored(entry, stored, err);

	buf_reset(content);
	content->max = (size_t)entry->content_bytes + 1; /* a byte too many is noticed */
	if (!rc)
		rc = inflate(entry->key, stored, content, err);
	if (!rc)
		rc = check_content(entry, span_of(content->data, content->len), err);
	return rc;
}

static enum err_kind get(struct s3_client *client, struct span key, size_t body_max,
			 struct s3_answer *ret, struct err *err)
{
	const struct s3_request request = {.method = "GET", .key = key, .body_max = body_max};
	enum err_kind rc = s3_client_send(client, &request, ret, err);

	if (!rc && ret->status == 404)
		rc = err_set(err, ERR_REJECT, "%.*s: it is not in the bucket", (int)key.len,
			     key.data);
	return rc;
}

enum err_kind archive_read_object(struct s3_client *client, const struct archive_entry *entry,
				  struct buf *content, struct err *err)
{
	struct s3_answer answer = {.status = 0};
	enum err_kind rc =
		get(client, span_text(entry->key), ARCHIVE_OBJECT_BYTES_MAX, &answer, err);

	return rc ? rc : archive_check(entry, answer.body, content, err);
}

static bool read_header(const struct s3_client *client, const char *name, uint64_t max,
			uint64_t *ret)
{
	struct span text;

	return s3_client_header(client, name, &text) && span_digits(text, ret) && *ret <= max;
}

static bool read_metadata(const struct s3_client *client, struct archive_entry *ret)
{
	struct span sha256;

	return s3_client_header(client, "x-amz-meta-content-sha256", &sha256) &&
	       hash_hex_copy(sha256, ret->content_sha256) &&
	       read_header(client, "x-amz-meta-content-bytes", ARCHIVE_OBJECT_CONTENT_BYTES_MAX,
			   &ret->content_bytes) &&
	       read_header(client, "x-amz-meta-records", ARCHIVE_OBJECT_CONTENT_BYTES_MAX,
			   &ret->records);
}

enum err_kind archive_read_unindexed(struct s3_client *client, const char *prefix, struct span key,
				     struct archive_entry *ret, struct buf *content,
				     struct err *err)
{
	struct s3_answer answer = {.status = 0};
	enum err_kind rc;

	*ret = (struct archive_entry){.bytes = 0};
	if (!copy_key(prefix, key, ret))
		return err_set(err, ERR_CORRUPT, "a key is none of the archive's layout");
	rc = get(client, key, ARCHIVE_OBJECT_BYTES_MAX, &answer, err);
	if (rc)
		return rc;
	if (!read_metadata(client, ret))
		return differs(ret->key, "it does not say what it holds, as flytrail's objects do",
			       err);
	ret->bytes = answer.body.len;
	return archive_check(ret, answer.body, content, err);
}

enum err_kind archive_read_index(struct s3_client *client, struct span key, struct buf *content,
				 struct err *err)
{
	struct s3_answer answer = {.status = 0};
	char name[ARCHIVE_KEY_BYTES];
	enum err_kind rc = get(client, key, ARCHIVE_OBJECT_BYTES_MAX, &answer, err);

	REQUIRE(key.len < sizeof(name));
	(void)snprintf(name, sizeof(name), "%.*s", (int)key.len, key.data);
	buf_reset(content);
	content->max = INDEX_BYTES_MAX;
	return rc ? rc : inflate(name, answer.body, content, err);
}
