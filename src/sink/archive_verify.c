#include "sink/archive_verify.h"

#include "base/backoff.h"
#include "base/time.h"
#include "sink/archive_index.h"
#include "sink/s3_list.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

enum {
	TEXT_BYTES = ARCHIVE_KEY_BYTES + ERR_TEXT_BYTES,
	FOLDER_BYTES = ARCHIVE_PREFIX_BYTES_MAX + 16,
	KEY_SHOWN_BYTES = 200,
	GROW_FROM = 256,
};

struct index {
	char *key;
	struct archive_name name;
	bool is_whole; /* it was read, and each line of it says what one should */
	/* The greatest last number, of the stream's up to this one; and of those that are whole. */
	uint64_t reach, whole_reach;
};

/* An object that an index names: its key, a NUL, and the line. */
struct item {
	char *key;
	size_t line_len;
	bool found;
};

struct verify {
	const struct archive_verify_options *options;
	const struct archive_verify_calls *calls;
	struct archive_verify_total *total;
	struct s3_client *client;
	struct archive_streams *streams;
	struct index *indexes;
	size_t index_count, index_room;
	struct item *items;
	size_t item_count, item_room;
	bool left_unindexed;        /* the listing had some that are to be read after the others */
	struct archive_entry entry; /* the present one */
	struct buf content;         /* of the present index, or object */
	int64_t now_ns;
	size_t objects_max;
};

/* --- what it says --- */

static void tell(struct verify *v, const char *word, const char *fmt, ...) PRINTF_LIKE(3, 4);

static void tell(struct verify *v, const char *word, const char *fmt, ...)
{
	char text[TEXT_BYTES];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	v->total->findings++;
	v->calls->finding(v->calls->arg, word, text);
}

/* Anybody may have chosen it. */
static const char *shown(struct span key, char text[KEY_SHOWN_BYTES])
{
	size_t len = key.len < KEY_SHOWN_BYTES - 1 ? key.len : KEY_SHOWN_BYTES - 1;

	for (size_t i = 0; i < len; i++)
		text[i] = (char)(key.data[i] > ' ' && key.data[i] <= '~' ? key.data[i] : '?');
	text[len] = '\0';
	return text;
}

/* --- asking S3 --- */

/* False: it was tried often enough, or would not help. */
static bool may_try_again(enum err_kind rc, unsigned tries)
{
	if (rc != ERR_RETRY || tries >= VERIFY_TRIES)
		return false;
	backoff_wait(tries, 0);
	return true;
}

static enum err_kind get_page(struct s3_list *list, const struct s3_listed **ret, size_t *ret_count,
			      struct err *err)
{
	enum err_kind rc;
	unsigned tries = 0;

	do
		rc = s3_list_page(list, ret, ret_count, err);
	while (may_try_again(rc, ++tries));
	return rc;
}

/* Each key of a folder of the archive goes to take(). */
static enum err_kind list_folder(struct verify *v, const char *folder,
				 enum err_kind (*take)(struct verify *, const struct s3_listed *,
						       struct err *),
				 struct err *err)
{
	const char *prefix = v->options->prefix;
	const struct s3_listed *objects = NULL;
	struct s3_list *list = NULL;
	char path[FOLDER_BYTES];
	size_t count;
	enum err_kind rc;

	(void)snprintf(path, sizeof(path), "%s%s%s", prefix, prefix[0] != '\0' ? "/" : "", folder);
	rc = s3_list_new(&list, v->client, path, "", err);
	if (rc)
		return rc;
	do {
		rc = get_page(list, &objects, &count, err);
		for (size_t i = 0; i < count && !rc; i++)
			rc = take(v, &objects[i], err);
	} while (!rc && count > 0);
	s3_list_free(list);
	return rc;
}

/* --- indexes --- */

/* NULL: no memory. Room for one more. */
static void *grow(void *array, size_t count, size_t *room, size_t size)
{
	size_t wanted = *room > 0 ? *room * 2 : GROW_FROM;
	void *grown = array;

	if (count < *room)
		return array;
	grown = reallocarray(array, wanted, size);
	if (grown)
		*room = wanted;
	return grown;
}

static enum err_kind no_memory(struct err *err)
{
	return err_set(err, ERR_FATAL, "out of memory for the indexes");
}

static enum err_kind take_index(struct verify *v, const struct s3_listed *listed, struct err *err)
{
	struct span key = listed->key;
	char text[KEY_SHOWN_BYTES];
	struct index index = {.key = NULL};
	struct index *grown;

	if (!archive_name_parse(v->options->prefix, key, &index.name) ||
	    index.name.kind != ARCHIVE_INDEX) {
		tell(v, "STRANGE", "%s is no name of an index", shown(key, text));
		return ERR_NONE;
	}
	if (v->index_count == VERIFY_INDEXES_MAX)
		return err_set(err, ERR_FULL, "the archive has more than %d indexes",
			       VERIFY_INDEXES_MAX);
	grown = grow(v->indexes, v->index_count, &v->index_room, sizeof(index));
	if (!grown)
		return no_memory(err);
	v->indexes = grown;
	index.key = span_copy(key);
	if (!index.key)
		return no_memory(err);
	v->indexes[v->index_count++] = index;
	return archive_streams_add_index(v->streams, &index.name, err);
}

static int compare_indexes(const void *a, const void *b)
{
	return archive_compare_names(&((const struct index *)a)->name,
				     &((const struct index *)b)->name);
}

/* --- what they name --- */

static bool is_asked_for(const struct verify *v, const struct archive_name *n)
{
	const struct archive_verify_options *o = v->options;

	return n->until_ns > o->since_ns && n->from_ns < o->until_ns &&
	       (o->kinds == 0 || (o->kinds & 1u << n->kind) != 0);
}

static int compare_items(const void *a, const void *b)
{
	return strcmp(((const struct item *)a)->key, ((const struct item *)b)->key);
}

static struct span line_of(const struct item *item)
{
	return span_of(item->key + strlen(item->key) + 1, item->line_len);
}

/* Two indexes may name one object, where a volume was copied; and then they say the same of it.
 * It leaves room for as many as it leaves. */
static enum err_kind merge_items(struct verify *v, struct err *err)
{
	size_t kept = 0;

	if (v->item_count == 0)
		return ERR_NONE;
	qsort(v->items, v->item_count, sizeof(v->items[0]), compare_items);
	for (size_t i = 1; i < v->item_count; i++) {
		if (compare_items(&v->items[kept], &v->items[i]) != 0) {
			v->items[++kept] = v->items[i];
			continue;
		}
		if (!span_equal(line_of(&v->items[kept]), line_of(&v->items[i])))
			tell(v, "INDEX", "%s: two indexes do not say the same of it",
			     v->items[i].key);
		free(v->items[i].key);
	}
	v->item_count = kept + 1;
	if (v->item_count > v->objects_max)
		return err_set(err, ERR_FULL,
			       "the indexes name more than %zu objects of that time: ask for less",
			       v->objects_max);
	return ERR_NONE;
}

static enum err_kind add_item(struct verify *v, struct span line, struct err *err)
{
	size_t key_len = strlen(v->entry.key);
	struct item *grown;
	char *text;

	/* Some are named more than once. */
	if (v->item_count == 2 * v->objects_max && merge_items(v, err))
		return err->kind;
	grown = grow(v->items, v->item_count, &v->item_room, sizeof(v->items[0]));
	if (!grown)
		return no_memory(err);
	v->items = grown;
	text = malloc(key_len + 1 + line.len);
	if (!text)
		return no_memory(err);
	memcpy(text, v->entry.key, key_len + 1);
	memcpy(text + key_len + 1, line.data, line.len);
	v->items[v->item_count++] = (struct item){.key = text, .line_len = line.len};
	return ERR_NONE;
}

/* An index speaks of its own range alone. */
static bool is_within(const struct archive_name *n, const struct archive_name *index)
{
	return archive_compare_streams(n, index) == 0 && n->first_seq >= index->first_seq &&
	       n->last_seq <= index->last_seq;
}

static void tell_line(struct verify *v, struct index *index, const char *what)
{
	index->is_whole = false;
	tell(v, "INDEX", "%s: %s", index->key, what);
}

static enum err_kind read_line(struct verify *v, struct index *index, struct span line,
			       struct err *err)
{
	enum err_kind rc = archive_index_parse(v->options->prefix, line, &v->entry, err);

	if (rc == ERR_FATAL)
		return rc;
	if (rc)
		tell_line(v, index, err->text);
	else if (!is_within(&v->entry.name, &index->name))
		tell_line(v, index, "it names an object of another range");
	else if (is_asked_for(v, &v->entry.name))
		return add_item(v, line, err);
	return ERR_NONE;
}

static enum err_kind read_lines(struct verify *v, struct index *index, struct err *err)
{
	struct span left = span_of(v->content.data, v->content.len);
	enum err_kind rc = ERR_NONE;

	index->is_whole = true;
	while (left.len > 0 && !rc) {
		const char *end = memchr(left.data, '\n', left.len);
		size_t len = end ? (size_t)(end - left.data) : left.len;

		rc = read_line(v, index, span_of(left.data, len), err);
		left = span_after(left, end ? len + 1 : len);
	}
	return rc;
}

/* Up to one more than there may be. */
static size_t count_lines(struct span left)
{
	size_t count = 0;

	while (left.len > 0 && count <= INDEX_ENTRIES_MAX) {
		const char *end = memchr(left.data, '\n', left.len);

		left = span_after(left, end ? (size_t)(end - left.data) + 1 : left.len);
		count++;
	}
	return count;
}

static enum err_kind read_index(struct verify *v, struct index *index, struct err *err)
{
	unsigned tries = 0;
	enum err_kind rc;

	do
		rc = archive_read_index(v->client, span_text(index->key), &v->content, err);
	while (may_try_again(rc, ++tries));
	if (rc == ERR_CORRUPT || rc == ERR_REJECT) {
		tell(v, "INDEX", "%s", err->text);
		return ERR_NONE;
	}
	if (!rc && count_lines(span_of(v->content.data, v->content.len)) > INDEX_ENTRIES_MAX) {
		tell(v, "INDEX", "%s: it has more than %d lines", index->key, INDEX_ENTRIES_MAX);
		return ERR_NONE;
	}
	v->total->indexes++;
	return rc ? rc : read_lines(v, index, err);
}

static void set_reaches(struct verify *v)
{
	for (size_t i = 0; i < v->index_count; i++) {
		struct index *index = &v->indexes[i];
		bool goes_on = i > 0 && archive_compare_streams(&index[-1].name, &index->name) == 0;

		index->reach = index->name.last_seq;
		index->whole_reach = index->is_whole ? index->name.last_seq : 0;
		if (goes_on && index[-1].reach > index->reach)
			index->reach = index[-1].reach;
		if (goes_on && index[-1].whole_reach > index->whole_reach)
			index->whole_reach = index[-1].whole_reach;
	}
}

static enum err_kind read_indexes(struct verify *v, struct err *err)
{
	enum err_kind rc = list_folder(v, "index/", take_index, err);

	if (rc)
		return rc;
	if (v->index_count > 0)
		qsort(v->indexes, v->index_count, sizeof(v->indexes[0]), compare_indexes);
	for (size_t i = 0; i < v->index_count && !rc; i++)
		rc = read_index(v, &v->indexes[i], err);
	set_reaches(v);
	return rc ? rc : merge_items(v, err);
}

/* --- what is there --- */

static struct item *find_item(struct verify *v, struct span key)
{
	char text[ARCHIVE_KEY_BYTES];
	const struct item wanted = {.key = text};

	if (key.len >= sizeof(text) || v->item_count == 0)
		return NULL;
	(void)snprintf(text, sizeof(text), "%.*s", (int)key.len, key.data);
	return bsearch(&wanted, v->items, v->item_count, sizeof(wanted), compare_items);
}

/* The last index of that stream which does not begin behind first_seq; NULL: none. */
static const struct index *find_index(const struct verify *v, const struct archive_name *n,
				      uint64_t first_seq)
{
	const struct archive_name wanted = {
		.stream = n->stream, .epoch = n->epoch, .first_seq = first_seq};
	size_t from = 0, until = v->index_count;

	while (from < until) {
		size_t middle = from + (until - from) / 2;

		if (archive_compare_names(&v->indexes[middle].name, &wanted) <= 0)
			from = middle + 1;
		else
			until = middle;
	}
	if (from == 0 || archive_compare_streams(&v->indexes[from - 1].name, n) != 0)
		return NULL;
	return &v->indexes[from - 1];
}

/* Behind all that the indexes have of its stream. */
static bool is_behind(const struct verify *v, const struct archive_name *n)
{
	const struct index *last = find_index(v, n, UINT64_MAX);

	return !last || last->reach < n->first_seq;
}

/* An index has its range, and would name it. */
static bool is_covered(const struct verify *v, const struct archive_name *n)
{
	const struct index *index = find_index(v, n, n->first_seq);

	return index && index->whole_reach >= n->last_seq;
}

/* An index has its range, and that one is told of as no index that can be read. */
static bool is_in_doubt(const struct verify *v, const struct archive_name *n)
{
	const struct index *index = find_index(v, n, n->first_seq);

	return index && index->reach >= n->last_seq && !is_covered(v, n);
}

/* v->entry and v->content are an object, if reading it went well. */
static enum err_kind judge_object(struct verify *v, enum err_kind read, uint64_t *count,
				  struct err *err)
{
	if (read == ERR_REJECT)
		tell(v, "MISSING", "%s", err->text);
	else if (read == ERR_CORRUPT)
		tell(v, "DIFFERS", "%s", err->text);
	if (read)
		return read == ERR_REJECT || read == ERR_CORRUPT ? ERR_NONE : read;
	(*count)++;
	v->total->records += v->entry.records;
	v->total->bytes += v->entry.bytes;
	return v->calls->object(v->calls->arg, &v->entry, span_of(v->content.data, v->content.len),
				err);
}

static enum err_kind read_unindexed(struct verify *v, struct span key, struct err *err)
{
	unsigned tries = 0;
	enum err_kind rc;

	do
		rc = archive_read_unindexed(v->client, v->options->prefix, key, &v->entry,
					    &v->content, err);
	while (may_try_again(rc, ++tries));
	return judge_object(v, rc, &v->total->unindexed, err);
}

static enum err_kind call_named(struct verify *v, const struct archive_name *n, struct err *err)
{
	return v->calls->named ? v->calls->named(v->calls->arg, n, err) : ERR_NONE;
}

static void count_unindexed(struct verify *v, const struct s3_listed *listed)
{
	v->total->unindexed++;
	if (listed->stored_ns != 0 &&
	    listed->stored_ns < v->now_ns - ARCHIVE_LATE_SECONDS * NS_PER_S)
		v->total->overdue++;
}

static enum err_kind take_object(struct verify *v, const struct s3_listed *listed, struct err *err)
{
	struct span key = listed->key;
	char text[KEY_SHOWN_BYTES];
	struct archive_name name;
	struct item *item;
	enum err_kind rc;
	bool behind;

	if (!archive_name_parse(v->options->prefix, key, &name)) {
		tell(v, "STRANGE", "%s is no name of the archive's", shown(key, text));
		return ERR_NONE;
	}
	behind = is_behind(v, &name);
	rc = archive_streams_add_object(v->streams, &name, listed->stored_ns, behind, err);
	if (rc || !is_asked_for(v, &name))
		return rc;
	item = find_item(v, key);
	if (item)
		item->found = true;
	else if (v->options->unindexed_too && !is_covered(v, &name))
		v->left_unindexed = true;
	else if (behind || is_in_doubt(v, &name))
		count_unindexed(v, listed);
	else
		tell(v, "STRANGE", "%s is in no index, and its range is", shown(key, text));
	return call_named(v, &name, err);
}

static enum err_kind take_unindexed(struct verify *v, const struct s3_listed *listed,
				    struct err *err)
{
	struct span key = listed->key;
	struct archive_name name;

	if (!archive_name_parse(v->options->prefix, key, &name) || !is_asked_for(v, &name) ||
	    find_item(v, key) || is_covered(v, &name))
		return ERR_NONE;
	return read_unindexed(v, key, err);
}

static enum err_kind read_object(struct verify *v, const struct item *item, struct err *err)
{
	unsigned tries = 0;
	enum err_kind rc = archive_index_parse(v->options->prefix, line_of(item), &v->entry, err);

	if (rc)
		return rc;
	if (!item->found) {
		tell(v, "MISSING", "%s: it is not in the bucket", item->key);
		return call_named(v, &v->entry.name, err);
	}
	do
		rc = archive_read_object(v->client, &v->entry, &v->content, err);
	while (may_try_again(rc, ++tries));
	return judge_object(v, rc, &v->total->objects, err);
}

static enum err_kind list_objects(struct verify *v,
				  enum err_kind (*take)(struct verify *, const struct s3_listed *,
							struct err *),
				  struct err *err)
{
	enum err_kind rc = list_folder(v, "lines/", take, err);

	return rc ? rc : list_folder(v, "events/", take, err);
}

static void tell_missing(void *arg, const char *text)
{
	tell(arg, "RANGE", "%s", text);
}

static enum err_kind call_stream(void *arg, const struct archive_stream *s, struct err *err)
{
	struct verify *v = arg;

	return v->calls->stream(v->calls->arg, s, err);
}

/* What an index vouches for comes first: who takes the first of two that claim one id must not
 * take that which anybody may have put there. */
static enum err_kind read_objects(struct verify *v, struct err *err)
{
	const struct archive_streams_calls calls = {
		.missing = tell_missing, .stream = call_stream, .arg = v};
	enum err_kind rc = list_objects(v, take_object, err);

	if (!rc)
		rc = archive_streams_tell(v->streams, v->options->all_sent, &calls, err);
	for (size_t i = 0; i < v->item_count && !rc; i++)
		rc = read_object(v, &v->items[i], err);
	if (!rc && v->left_unindexed)
		rc = list_objects(v, take_unindexed, err);
	return rc;
}

enum err_kind archive_verify(const struct archive_verify_options *options,
			     const struct archive_verify_calls *calls,
			     struct archive_verify_total *ret, struct err *err)
{
	struct verify v = {.options = options,
			   .calls = calls,
			   .total = ret,
			   .now_ns = time_now_ns(),
			   .objects_max = options->objects_max > 0 ? options->objects_max
								   : VERIFY_OBJECTS_MAX};
	enum err_kind rc = s3_client_new(&v.client, &options->client, err);

	*ret = (struct archive_verify_total){.indexes = 0};
	buf_init(&v.content, ARCHIVE_OBJECT_CONTENT_BYTES_MAX);
	if (!rc)
		rc = archive_streams_new(&v.streams, err);
	if (!rc)
		rc = read_indexes(&v, err);
	if (!rc)
		rc = read_objects(&v, err);
	for (size_t i = 0; i < v.index_count; i++)
		free(v.indexes[i].key);
	for (size_t i = 0; i < v.item_count; i++)
		free(v.items[i].key);
	free(v.indexes);
	free(v.items);
	buf_release(&v.content);
	archive_streams_free(v.streams);
	s3_client_free(v.client);
	return rc;
}
