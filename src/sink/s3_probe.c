#include "sink/s3_probe.h"

#include "base/gzip.h"
#include "base/json.h"
#include "base/time.h"

#include <inttypes.h>
#include <stdio.h>

enum {
	LOCK_DAYS = 1, /* the shortest: in compliance mode nobody can end it */
	LOWERED_SECONDS = 3600,
	VERSION_BYTES = 1025, /* Amazon's are 1024 bytes at most */
	BYTES_MAX = 1024,
	RANDOM_BYTES = 8,
};

struct probing {
	const struct s3_sink_options *options;
	struct s3_client *client;
	struct hasher *hasher;
	struct buf bytes; /* of the probe */
	struct archive_object object;
	char version[VERSION_BYTES]; /* "": it has none */
	struct s3_answer answer;     /* the newest */
	struct s3_probe *ret;
};

/* --- the probe --- */

static enum err_kind make_bytes(struct probing *p, struct err *err)
{
	const struct span content = SPAN("flytrail has tried what this bucket does\n");
	uint8_t digest[HASH_BYTES];
	struct gzip_writer *writer = NULL;
	enum err_kind rc = gzip_writer_new(&writer, err);

	if (rc)
		return rc;
	gzip_writer_begin(writer, &p->bytes);
	gzip_writer_add(writer, content);
	rc = gzip_writer_end(writer, err);
	gzip_writer_free(writer);
	if (!rc)
		rc = hasher_digest(p->hasher, content, digest, err);
	if (rc)
		return rc;
	p->object.bytes = span_of(p->bytes.data, p->bytes.len);
	p->object.records = 1;
	p->object.content_bytes = content.len;
	(void)hash_hex(digest, p->object.content_sha256);
	return ERR_NONE;
}

static enum err_kind name_it(struct probing *p, int64_t now_ns, struct err *err)
{
	const char *prefix = p->options->archive.prefix;
	uint8_t random[RANDOM_BYTES];
	char at[TIME_TEXT_BYTES];
	enum err_kind rc = hash_random(random, sizeof(random), err);
	uint64_t number;

	if (rc)
		return rc;
	memcpy(&number, random, sizeof(number));
	(void)snprintf(p->object.key, sizeof(p->object.key), "%s%sprobe/%.19sZ-%016" PRIx64 ".gz",
		       prefix, prefix[0] != '\0' ? "/" : "", time_format(now_ns, at), number);
	memcpy(p->ret->key, p->object.key, sizeof(p->ret->key));
	return ERR_NONE;
}

/* As the archive's objects are put, and under the same proofs. */
static enum err_kind put(struct probing *p, struct err *err)
{
	struct s3_put_options options = p->options->put;
	struct s3_put *put = NULL;
	struct s3_stored stored;
	bool in_doubt = false;
	enum err_kind rc;

	p->object.kind = ARCHIVE_LINES;
	options.lock.days[ARCHIVE_LINES] = LOCK_DAYS;
	rc = s3_put_new(&put, &p->options->client, &options, err);
	if (!rc)
		rc = s3_put_once(put, &p->object, &in_doubt, &stored, &p->answer, err);
	s3_put_free(put);
	if (rc == ERR_REJECT)
		err->kind = rc = ERR_CONFIG;
	return rc;
}

/* --- questions --- */

/* Sends a request whose refusal is an answer, too. */
static enum err_kind ask(struct probing *p, const struct s3_request *request, enum s3_known *ret,
			 struct err *err)
{
	enum err_kind rc;

	p->answer = (struct s3_answer){.status = 0};
	rc = s3_client_send(p->client, request, &p->answer, err);
	if (rc == ERR_FATAL || (rc && p->answer.status == 0) ||
	    (rc == ERR_RETRY && p->answer.status != 409))
		return rc;
	*ret = p->answer.status < 300 ? S3_YES : p->answer.status == 403 ? S3_NO : S3_UNKNOWN;
	return ERR_NONE;
}

static bool answer_holds(const struct probing *p, const char *text)
{
	return p->answer.body.len > 0 &&
	       memmem(p->answer.body.data, p->answer.body.len, text, strlen(text));
}

static void remember_version(struct probing *p)
{
	struct span version;

	p->version[0] = '\0';
	if (s3_client_header(p->client, "x-amz-version-id", &version) &&
	    !span_is(version, "null") && version.len < sizeof(p->version)) {
		memcpy(p->version, version.data, version.len);
		p->version[version.len] = '\0';
	}
}

static enum err_kind read_back(struct probing *p, struct err *err)
{
	struct s3_request request = {.method = "HEAD", .key = span_text(p->object.key)};
	const char *wanted = p->options->put.sse;
	struct span sse;
	enum err_kind rc = ask(p, &request, &p->ret->reads, err);

	if (rc || p->ret->reads != S3_YES)
		return rc;
	p->ret->lock = s3_lock_read(p->client);
	remember_version(p);
	if (wanted[0] != '\0')
		p->ret->encrypted =
			s3_client_header(p->client, "x-amz-server-side-encryption", &sse) &&
					span_is(sse, wanted)
				? S3_YES
				: S3_NO;
	request.method = "GET";
	rc = ask(p, &request, &p->ret->reads, err);
	if (rc || p->ret->reads != S3_YES)
		return rc;
	if (!span_equal(p->answer.body, p->object.bytes))
		return err_set(err, ERR_CONFIG,
			       "S3 gives back other bytes than it was given, of %s: what stands "
			       "between?",
			       p->object.key);
	return ERR_NONE;
}

static enum err_kind look_for_what_is_not_there(struct probing *p, struct err *err)
{
	char key[ARCHIVE_KEY_BYTES + sizeof(".none")];
	struct s3_request request = {.method = "HEAD"};
	enum err_kind rc;

	(void)snprintf(key, sizeof(key), "%s.none", p->object.key);
	request.key = span_text(key);
	rc = ask(p, &request, &p->ret->lists, err);
	if (!rc && p->answer.status == 404)
		p->ret->lists = S3_YES;
	return rc;
}

static enum err_kind ask_of_bucket(struct probing *p, const char *what, const char *proof,
				   enum s3_known *ret, struct err *err)
{
	const struct sigv4_pair query = {what, SPAN("")};
	const struct s3_request request = {.method = "GET", .query = &query, .query_count = 1};
	enum err_kind rc = ask(p, &request, ret, err);

	if (rc)
		return rc;
	if (p->answer.status == 403) /* it may not be asked */
		*ret = S3_UNKNOWN;
	else if (*ret == S3_YES)
		*ret = answer_holds(p, proof) ? S3_YES : S3_NO;
	else if (strcmp(p->answer.code, "ObjectLockConfigurationNotFoundError") == 0)
		*ret = S3_NO;
	return ERR_NONE;
}

/* --- what should be refused --- */

static enum err_kind try_to_lower(struct probing *p, bool bypass, enum s3_known *ret,
				  struct err *err)
{
	const struct s3_lock_target target = {
		.key = p->object.key, .version = p->version, .bypass = bypass};
	const struct s3_lock lower = {.mode = p->ret->lock.mode,
				      .until_ns = time_now_ns() + LOWERED_SECONDS * NS_PER_S};
	enum err_kind rc;

	p->answer = (struct s3_answer){.status = 0};
	rc = s3_lock_set(p->client, p->hasher, &target, &lower, &p->answer, err);
	if (rc == ERR_FATAL || (rc && p->answer.status == 0))
		return rc;
	*ret = !rc ? S3_YES : p->answer.status == 403 ? S3_NO : S3_UNKNOWN;
	return ERR_NONE;
}

static enum err_kind try_to_delete(struct probing *p, const char *version, bool bypass,
				   enum s3_known *ret, struct err *err)
{
	const struct sigv4_pair query = {"versionId", span_text(version)};
	const struct sigv4_pair header = {"x-amz-bypass-governance-retention", SPAN("true")};
	const struct s3_request request = {
		.method = "DELETE",
		.key = span_text(p->object.key),
		.query = &query,
		.query_count = version[0] != '\0' ? 1 : 0,
		.headers = &header,
		.header_count = bypass ? 1 : 0,
	};

	return ask(p, &request, ret, err);
}

/* For ever: what is locked should not go, whoever asks. */
static enum err_kind try_to_destroy(struct probing *p, struct err *err)
{
	bool is_locked = p->ret->lock.mode != S3_LOCK_OFF;
	enum s3_known done = S3_UNKNOWN;
	enum err_kind rc = try_to_delete(p, p->version, false, &done, err);

	if (rc)
		return rc;
	if (done == S3_YES && is_locked)
		return err_set(err, ERR_CONFIG,
			       "S3 deleted what it says it had locked, %s: its locks hold nothing",
			       p->object.key);
	if (done != S3_YES && is_locked) {
		rc = try_to_delete(p, p->version, true, &done, err);
		if (!rc && done == S3_YES)
			p->ret->bypasses_lock = S3_YES;
	}
	p->ret->removed = done == S3_YES;
	/* Of what is locked a refusal says nothing about what is not. */
	if (!rc && (done == S3_YES || !is_locked))
		p->ret->deletes_versions = done;
	return rc;
}

/* Where there are versions, it is hidden behind a marker, which is a version and never locked. */
static enum err_kind try_to_hide(struct probing *p, struct err *err)
{
	char *marker = p->version;
	enum s3_known done = S3_UNKNOWN;
	bool has_versions = p->version[0] != '\0';
	enum err_kind rc = try_to_delete(p, "", false, &p->ret->deletes, err);

	if (rc || p->ret->deletes != S3_YES)
		return rc;
	if (!has_versions) {
		p->ret->removed = true;
		return ERR_NONE;
	}
	remember_version(p);
	if (marker[0] == '\0')
		return ERR_NONE;
	rc = try_to_delete(p, marker, false, &done, err);
	if (!rc && p->ret->deletes_versions == S3_UNKNOWN)
		p->ret->deletes_versions = done;
	return rc;
}

static enum err_kind try_to_harm(struct probing *p, struct err *err)
{
	struct s3_probe *ret = p->ret;
	enum err_kind rc = ERR_NONE;

	if (ret->lock.mode != S3_LOCK_OFF) {
		rc = try_to_lower(p, false, &ret->lowers_lock, err);
		if (!rc && ret->lowers_lock != S3_YES)
			rc = try_to_lower(p, true, &ret->bypasses_lock, err);
	}
	if (!rc && p->version[0] != '\0')
		rc = try_to_destroy(p, err);
	if (!rc)
		rc = try_to_hide(p, err);
	return rc;
}

/* --- all of it --- */

static enum err_kind find_out(struct probing *p, struct err *err)
{
	enum err_kind rc = put(p, err);

	if (!rc)
		rc = read_back(p, err);
	if (!rc)
		rc = look_for_what_is_not_there(p, err);
	if (!rc)
		rc = ask_of_bucket(p, "versioning", "<Status>Enabled</Status>", &p->ret->versioned,
				   err);
	if (!rc && p->ret->versioned == S3_UNKNOWN && p->version[0] != '\0')
		p->ret->versioned = S3_YES;
	if (!rc)
		rc = ask_of_bucket(p, "object-lock",
				   "<ObjectLockEnabled>Enabled</ObjectLockEnabled>",
				   &p->ret->has_lock, err);
	if (!rc)
		rc = try_to_harm(p, err);
	return rc;
}

enum err_kind s3_probe(const struct s3_sink_options *options, struct s3_probe *ret, struct err *err)
{
	int64_t now_ns = time_now_ns() / NS_PER_S * NS_PER_S;
	struct probing p = {.options = options, .object = {.day_end_ns = now_ns}, .ret = ret};
	enum err_kind rc;

	*ret = (struct s3_probe){.removed = false};
	buf_init(&p.bytes, BYTES_MAX);
	rc = hasher_new(&p.hasher, err);
	if (!rc)
		rc = s3_client_new(&p.client, &options->client, err);
	if (!rc)
		rc = make_bytes(&p, err);
	if (!rc)
		rc = name_it(&p, now_ns, err);
	if (!rc)
		rc = find_out(&p, err);
	s3_client_free(p.client);
	hasher_free(p.hasher);
	buf_release(&p.bytes);
	return rc;
}

/* --- what it says --- */

const char *s3_probe_harm(const struct s3_probe *p, char text[S3_PROBE_HARM_BYTES])
{
	const struct {
		enum s3_known can;
		const char *what;
	} harms[] = {
		{p->deletes, p->versioned == S3_YES ? "hide objects" : "delete objects"},
		{p->deletes_versions, "delete versions for ever"},
		{p->lowers_lock, "lower locks"},
		{p->bypasses_lock, "lift locks in governance mode"},
	};
	size_t len = 0;

	text[0] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(harms); i++)
		if (harms[i].can == S3_YES)
			len += (size_t)snprintf(text + len, S3_PROBE_HARM_BYTES - len, "%s%s",
						len > 0 ? ", " : "", harms[i].what);
	REQUIRE(len < S3_PROBE_HARM_BYTES);
	return text;
}

bool s3_probe_can_harm(const struct s3_probe *p)
{
	char text[S3_PROBE_HARM_BYTES];

	return s3_probe_harm(p, text)[0] != '\0';
}

static void write_member(struct buf *out, const char *key, const char *value)
{
	json_write_key(out, key);
	json_write_text(out, span_text(value));
}

void s3_probe_json(const struct s3_probe *p, struct buf *out)
{
	static const char *const known[] = {"unknown", "no", "yes"};

	buf_str(out, "{");
	write_member(out, "key", p->key);
	write_member(out, "removed", p->removed ? "yes" : "no");
	if (p->lock.mode != S3_LOCK_OFF) {
		write_member(out, "lock", s3_lock_mode_name(p->lock.mode));
		json_write_time(out, "lock_until", p->lock.until_ns);
	}
	write_member(out, "reads", known[p->reads]);
	write_member(out, "lists", known[p->lists]);
	write_member(out, "encrypted", known[p->encrypted]);
	write_member(out, "versioned", known[p->versioned]);
	write_member(out, "has_lock", known[p->has_lock]);
	write_member(out, "deletes", known[p->deletes]);
	write_member(out, "deletes_versions", known[p->deletes_versions]);
	write_member(out, "lowers_lock", known[p->lowers_lock]);
	write_member(out, "bypasses_lock", known[p->bypasses_lock]);
	buf_str(out, "}");
}
