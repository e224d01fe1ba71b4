#include "run/restore.h"

#include "base/backoff.h"
#include "base/time.h"
#include "run/act.h"
#include "sink/s3_list.h"
#include "store/replay.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
	LIST_BYTES_MAX = ARCHIVE_PREFIX_BYTES_MAX + 64,
	FIRST_COUNT = 64,
	MS_PER_S = 1000,
};

/* What each kind of object is called, and where it is listed. */
static const struct place {
	const char *class, *folder;
	enum replay_kind kind;
} places[] = {
	[ARCHIVE_LINES] = {"lines", "lines/", REPLAY_LINES},
	[ARCHIVE_SECURITY] = {"security", "events/class=security/", REPLAY_SECURITY},
	[ARCHIVE_OPERATIONS] = {"operations", "events/class=operations/", REPLAY_OPERATIONS},
};

/* What an index covers, whatever it names of it. */
struct range {
	struct id stream;
	uint64_t epoch, first_seq, last_seq;
};

struct restore {
	const struct restore_options *options;
	struct restore_counts *counts;
	struct s3_client *client;
	struct replay *replay;
	struct hasher *hasher;
	struct buf index, content; /* of the present index; of the present object */
	struct archive_entry entry;
	struct range *ranges;
	size_t range_count, range_room;
	uint64_t *named; /* of each key that an index names, a part of its hash; sorted later */
	size_t named_count, named_room;
};

bool restore_is_class(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(places); i++)
		if (strcmp(places[i].class, name) == 0)
			return true;
	return false;
}

/* --- what is known of indexes --- */

/* Room for one more of size bytes, at the end of what has count. */
static enum err_kind grow(void **array, size_t count, size_t *room, size_t size, struct err *err)
{
	size_t more = *room > 0 ? *room * 2 : FIRST_COUNT;
	void *grown;

	if (count < *room)
		return ERR_NONE;
	grown = realloc(*array, more * size);
	if (!grown)
		return err_set(err, ERR_FATAL, "out of memory for what the archive holds");
	*array = grown;
	*room = more;
	return ERR_NONE;
}

static enum err_kind add_range(struct restore *r, const struct archive_name *n, struct err *err)
{
	void *array = r->ranges;
	enum err_kind rc;

	if (r->range_count == RESTORE_INDEXES_MAX)
		return err_set(err, ERR_FULL, "the archive has more than %d indexes",
			       RESTORE_INDEXES_MAX);
	rc = grow(&array, r->range_count, &r->range_room, sizeof(*r->ranges), err);
	r->ranges = array;
	if (!rc)
		r->ranges[r->range_count++] =
			(struct range){n->stream, n->epoch, n->first_seq, n->last_seq};
	return rc;
}

static bool is_covered(const struct restore *r, const struct archive_name *n)
{
	for (size_t i = 0; i < r->range_count; i++) {
		const struct range *range = &r->ranges[i];

		if (range->epoch == n->epoch && range->first_seq <= n->first_seq &&
		    range->last_seq >= n->last_seq && id_compare(&range->stream, &n->stream) == 0)
			return true;
	}
	return false;
}

/* Of 64 bits of a SHA-256, so that nobody finds another key that has the same. */
static enum err_kind digest_of(struct restore *r, struct span key, uint64_t *ret, struct err *err)
{
	uint8_t digest[HASH_BYTES];
	enum err_kind rc = hasher_digest(r->hasher, key, digest, err);

	if (!rc)
		memcpy(ret, digest, sizeof(*ret));
	return rc;
}

static enum err_kind add_named(struct restore *r, struct span key, struct err *err)
{
	void *array = r->named;
	uint64_t digest = 0;
	enum err_kind rc;

	if (r->named_count == RESTORE_OBJECTS_MAX)
		return err_set(err, ERR_FULL,
			       "the indexes name more than %d objects: ask for less time",
			       RESTORE_OBJECTS_MAX);
	rc = digest_of(r, key, &digest, err);
	if (!rc)
		rc = grow(&array, r->named_count, &r->named_room, sizeof(*r->named), err);
	r->named = array;
	if (!rc)
		r->named[r->named_count++] = digest;
	return rc;
}

static int compare_digests(const void *left, const void *right)
{
	const uint64_t *a = left, *b = right;

	return *a < *b ? -1 : *a > *b;
}

static enum err_kind is_named(struct restore *r, struct span key, bool *ret, struct err *err)
{
	uint64_t digest = 0;
	enum err_kind rc = digest_of(r, key, &digest, err);

	*ret = !rc && r->named_count > 0 &&
	       bsearch(&digest, r->named, r->named_count, sizeof(digest), compare_digests);
	return rc;
}

/* --- one thing after the other --- */

/* It is told, and the others go on. */
static void refuse(struct restore *r, const char *why)
{
	r->counts->refused++;
	r->options->refused(r->options->arg, why);
}

static void wait_for_attempt(unsigned attempt)
{
	int64_t ms = backoff_random_ms(attempt);
	struct timespec left = {.tv_sec = ms / MS_PER_S, .tv_nsec = ms % MS_PER_S * NS_PER_MS};

	while (nanosleep(&left, &left) != 0 && errno == EINTR)
		continue;
}

/* False: what failed is to be tried again, and the time for that has come. */
static bool is_settled(enum err_kind rc, unsigned *attempt)
{
	if (rc != ERR_RETRY || *attempt == RESTORE_ATTEMPTS_MAX)
		return true;
	wait_for_attempt((*attempt)++);
	return false;
}

/* What is refused is no failure of the whole. */
static enum err_kind settle(struct restore *r, enum err_kind rc, const struct err *err)
{
	if (rc != ERR_REJECT && rc != ERR_CORRUPT)
		return rc;
	refuse(r, err->text);
	return ERR_NONE;
}

static bool is_wanted(const struct restore_options *o, const struct archive_name *n)
{
	return (o->class[0] == '\0' || strcmp(o->class, places[n->kind].class) == 0) &&
	       n->until_ns > o->since_ns && n->from_ns < o->until_ns;
}

/* r->content is what r->entry says. */
static enum err_kind write_content(struct restore *r, struct err *err)
{
	const struct archive_name *n = &r->entry.name;
	const struct replay_job job = {
		.kind = places[n->kind].kind,
		.from_ns = n->from_ns,
		.until_ns = n->until_ns,
		.stream = n->stream,
		.seq = n->first_seq,
		.content = span_of(r->content.data, r->content.len),
		.app = r->options->app,
		.wanted_from_ns = r->options->since_ns,
		.wanted_until_ns = r->options->until_ns,
	};
	struct replay_result result = {.wanted = 0};
	unsigned attempt = 1;
	enum err_kind rc;

	do
		rc = replay_write(r->replay, &job, &result, err);
	while (!is_settled(rc, &attempt));
	if (rc == ERR_REJECT)
		return err_wrap(err, "%s", r->entry.key);
	r->counts->rows += result.wanted;
	r->counts->added += result.added;
	return rc;
}

static enum err_kind take(struct restore *r, enum err_kind read, uint64_t *count, struct err *err)
{
	enum err_kind rc = read ? read : write_content(r, err);

	*count += rc == ERR_NONE;
	rc = settle(r, rc, err);
	r->options->progress(r->options->arg, r->counts);
	return rc;
}

/* --- indexes --- */

static enum err_kind take_named(struct restore *r, struct err *err)
{
	unsigned attempt = 1;
	enum err_kind rc = add_named(r, span_text(r->entry.key), err);

	if (rc)
		return rc;
	do
		rc = archive_read_object(r->client, &r->entry, &r->content, err);
	while (!is_settled(rc, &attempt));
	return take(r, rc, &r->counts->indexed, err);
}

/* An index speaks of its own range alone. */
static bool is_inside(const struct archive_name *index, const struct archive_name *n)
{
	return index->epoch == n->epoch && index->first_seq <= n->first_seq &&
	       index->last_seq >= n->last_seq && id_compare(&index->stream, &n->stream) == 0;
}

static enum err_kind take_line(struct restore *r, const struct archive_name *index, struct span key,
			       struct span line, struct err *err)
{
	enum err_kind rc = archive_index_parse(r->options->prefix, line, &r->entry, err);

	if (!rc && !is_inside(index, &r->entry.name))
		rc = err_set(err, ERR_CORRUPT, "an object is named that is not of its range");
	if (rc) {
		(void)err_wrap(err, "%.*s", (int)key.len, key.data);
		return settle(r, rc, err);
	}
	return is_wanted(r->options, &r->entry.name) ? take_named(r, err) : ERR_NONE;
}

static enum err_kind take_lines(struct restore *r, const struct archive_name *index,
				struct span key, struct err *err)
{
	struct span left = span_of(r->index.data, r->index.len);
	enum err_kind rc = ERR_NONE;

	while (left.len > 0 && !rc) {
		const char *end = memchr(left.data, '\n', left.len);
		size_t len = end ? (size_t)(end - left.data) : left.len;

		rc = take_line(r, index, key, span_of(left.data, len), err);
		left = span_after(left, end ? len + 1 : len);
	}
	return rc;
}

static enum err_kind take_index(struct restore *r, struct span key, const struct archive_name *n,
				struct err *err)
{
	unsigned attempt = 1;
	enum err_kind rc = add_range(r, n, err);

	if (rc)
		return rc;
	do
		rc = archive_read_index(r->client, key, &r->index, err);
	while (!is_settled(rc, &attempt));
	if (rc)
		return settle(r, rc, err);
	r->counts->indexes++;
	return take_lines(r, n, key, err);
}

/* --- what is listed --- */

static enum err_kind take_unindexed(struct restore *r, struct span key, struct err *err)
{
	unsigned attempt = 1;
	enum err_kind rc;

	do
		rc = archive_read_unindexed(r->client, r->options->prefix, key, &r->entry,
					    &r->content, err);
	while (!is_settled(rc, &attempt));
	return take(r, rc, &r->counts->unindexed, err);
}

static enum err_kind take_listed(struct restore *r, struct span key, const struct archive_name *n,
				 struct err *err)
{
	bool named = false;
	enum err_kind rc = ERR_NONE;

	if (!is_wanted(r->options, n))
		return ERR_NONE;
	if (!is_covered(r, n))
		return take_unindexed(r, key, err);
	rc = is_named(r, key, &named, err);
	if (rc || named)
		return rc;
	rc = err_set(err, ERR_CORRUPT, "%.*s: the index of its range does not name it",
		     (int)key.len, key.data);
	return settle(r, rc, err);
}

static enum err_kind take_key(struct restore *r, struct span key, bool is_index, struct err *err)
{
	struct archive_name n;

	if (!archive_name_parse(r->options->prefix, key, &n) ||
	    (n.kind == ARCHIVE_INDEX) != is_index) {
		refuse(r, "a key in the archive is none of its layout, and is passed over");
		return ERR_NONE;
	}
	return is_index ? take_index(r, key, &n, err) : take_listed(r, key, &n, err);
}

/* Of one folder of the archive, in the order of keys. */
static enum err_kind take_folder(struct restore *r, const char *folder, bool is_index,
				 struct err *err)
{
	const char *prefix = r->options->prefix;
	const struct s3_listed *objects = NULL;
	struct s3_list *list = NULL;
	char path[LIST_BYTES_MAX];
	size_t count = 0;
	enum err_kind rc;

	REQUIRE(strlen(prefix) <= ARCHIVE_PREFIX_BYTES_MAX);
	(void)snprintf(path, sizeof(path), "%s%s%s", prefix, prefix[0] != '\0' ? "/" : "", folder);
	rc = s3_list_new(&list, r->client, path, "", err);
	while (!rc) {
		unsigned attempt = 1;

		do
			rc = s3_list_page(list, &objects, &count, err);
		while (!is_settled(rc, &attempt));
		if (rc || count == 0)
			break;
		for (size_t i = 0; i < count && !rc; i++)
			rc = take_key(r, objects[i].key, is_index, err);
	}
	s3_list_free(list);
	return rc;
}

static enum err_kind take_all(struct restore *r, struct err *err)
{
	const char *class = r->options->class;
	enum err_kind rc = take_folder(r, "index/", true, err);

	if (r->named_count > 0)
		qsort(r->named, r->named_count, sizeof(*r->named), compare_digests);
	for (size_t i = 0; i < ARRAY_LEN(places) && !rc; i++)
		if (class[0] == '\0' || strcmp(class, places[i].class) == 0)
			rc = take_folder(r, places[i].folder, false, err);
	return rc;
}

/* --- the whole --- */

static const char *time_or_nothing(int64_t ns, char text[TIME_TEXT_BYTES])
{
	return ns == INT64_MIN || ns == INT64_MAX ? "" : time_format(ns, text);
}

static enum err_kind put_on_record(const struct restore_options *o,
				   const struct restore_counts *counts, struct err *err)
{
	char since[TIME_TEXT_BYTES], until[TIME_TEXT_BYTES];
	const struct act_text texts[] = {
		{"class", o->class},
		{"app", o->app},
		{"since", time_or_nothing(o->since_ns, since)},
		{"until", time_or_nothing(o->until_ns, until)},
	};
	const struct act_number numbers[] = {
		{"indexes", counts->indexes},
		{"objects_indexed", counts->indexed},
		{"objects_unindexed", counts->unindexed},
		{"refused", counts->refused},
		{"rows_added", counts->added},
		{"rows_there", counts->rows - counts->added},
	};
	const struct act act = {
		.action = ACTION_trail_replayed,
		.command = "replay",
		.target_type = "archive",
		.target = o->from,
		.why = "",
		.numbers = numbers,
		.number_count = ARRAY_LEN(numbers),
		.texts = texts,
		.text_count = ARRAY_LEN(texts),
	};
	struct apart_result result;
	struct apart *apart = NULL;
	enum err_kind rc = apart_open(&apart, o->config->database_url, err);

	if (!rc)
		rc = act_add(apart, o->config, &act, err);
	if (!rc)
		rc = apart_commit(apart, &result, err);
	apart_close(apart);
	return rc ? err_wrap(err, "it is done, but not on record") : ERR_NONE;
}

static void release(struct restore *r)
{
	s3_client_free(r->client);
	replay_close(r->replay);
	hasher_free(r->hasher);
	buf_release(&r->index);
	buf_release(&r->content);
	free(r->ranges);
	free(r->named);
	free(r);
}

enum err_kind restore_run(const struct restore_options *options, struct restore_counts *ret,
			  struct err *err)
{
	struct restore *r = calloc(1, sizeof(*r));
	struct err aside;
	enum err_kind rc;

	*ret = (struct restore_counts){.indexes = 0};
	if (!r)
		return err_set(err, ERR_FATAL, "out of memory for an archive");
	r->options = options;
	r->counts = ret;
	buf_init(&r->index, ARCHIVE_OBJECT_CONTENT_BYTES_MAX);
	buf_init(&r->content, ARCHIVE_OBJECT_CONTENT_BYTES_MAX);
	rc = hasher_new(&r->hasher, err);
	if (!rc)
		rc = s3_client_new(&r->client, options->s3, err);
	if (!rc)
		rc = replay_open(&r->replay, options->config->database_url, err);
	if (!rc)
		rc = take_all(r, err);
	release(r);
	if (!rc)
		return put_on_record(options, ret, err);
	if (ret->indexed + ret->unindexed > 0 && put_on_record(options, ret, &aside))
		return err_wrap(err, "what was done is not on record");
	return rc;
}
