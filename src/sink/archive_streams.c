#include "sink/archive_streams.h"

#include "base/time.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	GROW_FROM = 256,
	TEXT_BYTES = 256,
	ROOM_MAX = 2 * ARCHIVE_RANGES_MAX, /* with what is named more than once */
};

/* Of an index, or of objects behind the last index. */
struct range {
	struct archive_name name; /* kind: of an index, or anything else */
	int64_t stored_ns;        /* the last of its objects */
};

struct archive_streams {
	struct archive_stream *streams; /* in order */
	size_t stream_count, stream_room;
	struct range *ranges;
	size_t range_count, range_room;
};

enum err_kind archive_streams_new(struct archive_streams **ret, struct err *err)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? ERR_NONE : err_set(err, ERR_FATAL, "out of memory for an archive's streams");
}

void archive_streams_free(struct archive_streams *s)
{
	if (!s)
		return;
	free(s->streams);
	free(s->ranges);
	free(s);
}

/* --- order --- */

static int compare_numbers(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

int archive_compare_streams(const struct archive_name *a, const struct archive_name *b)
{
	int by_id = id_compare(&a->stream, &b->stream);

	return by_id != 0 ? by_id : compare_numbers(a->epoch, b->epoch);
}

int archive_compare_names(const struct archive_name *a, const struct archive_name *b)
{
	int by_stream = archive_compare_streams(a, b);

	return by_stream != 0 ? by_stream : compare_numbers(a->first_seq, b->first_seq);
}

/* A stream's indexes come first. */
static int compare_ranges(const void *a, const void *b)
{
	const struct archive_name *x = &((const struct range *)a)->name;
	const struct archive_name *y = &((const struct range *)b)->name;
	int by_stream = archive_compare_streams(x, y);
	int by_first = compare_numbers(x->first_seq, y->first_seq);

	if (by_stream != 0)
		return by_stream;
	if ((x->kind == ARCHIVE_INDEX) != (y->kind == ARCHIVE_INDEX))
		return x->kind == ARCHIVE_INDEX ? -1 : 1;
	return by_first != 0 ? by_first : compare_numbers(x->last_seq, y->last_seq);
}

/* --- what is there --- */

/* Room for one more in an array of *room. False: no memory, and nothing is changed. */
static bool grow(void **array, size_t count, size_t *room, size_t size)
{
	size_t wanted = *room > 0 ? *room * 2 : GROW_FROM;
	void *grown;

	if (count < *room)
		return true;
	grown = reallocarray(*array, wanted, size);
	if (!grown)
		return false;
	*array = grown;
	*room = wanted;
	return true;
}

static enum err_kind no_memory(struct err *err)
{
	return err_set(err, ERR_FATAL, "out of memory for an archive's streams");
}

/* The range of an object stands in the name of each of its objects. */
static enum err_kind merge(struct archive_streams *s, struct err *err)
{
	size_t kept = 0;

	if (s->range_count == 0)
		return ERR_NONE;
	qsort(s->ranges, s->range_count, sizeof(s->ranges[0]), compare_ranges);
	for (size_t i = 1; i < s->range_count; i++) {
		struct range *r = &s->ranges[kept];

		if (compare_ranges(r, &s->ranges[i]) == 0 && r->name.kind != ARCHIVE_INDEX)
			r->stored_ns = time_later(r->stored_ns, s->ranges[i].stored_ns);
		else
			s->ranges[++kept] = s->ranges[i];
	}
	s->range_count = kept + 1;
	if (s->range_count > ARCHIVE_RANGES_MAX)
		return err_set(err, ERR_FULL,
			       "the archive has more than %d indexes and ranges without one",
			       ARCHIVE_RANGES_MAX);
	return ERR_NONE;
}

static enum err_kind add_range(struct archive_streams *s, const struct archive_name *n,
			       int64_t stored_ns, struct err *err)
{
	void *ranges = s->ranges;

	if (s->range_count == ROOM_MAX && merge(s, err))
		return err->kind;
	if (!grow(&ranges, s->range_count, &s->range_room, sizeof(s->ranges[0])))
		return no_memory(err);
	s->ranges = ranges;
	s->ranges[s->range_count++] = (struct range){.name = *n, .stored_ns = stored_ns};
	return ERR_NONE;
}

static int compare_to(const struct archive_name *n, const struct archive_stream *s)
{
	const struct archive_name name = {.stream = s->uuid, .epoch = s->epoch};

	return archive_compare_streams(n, &name);
}

/* Where the stream is, or would be. */
static size_t find(const struct archive_streams *s, const struct archive_name *n)
{
	size_t from = 0, until = s->stream_count;

	while (from < until) {
		size_t middle = from + (until - from) / 2;

		if (compare_to(n, &s->streams[middle]) > 0)
			from = middle + 1;
		else
			until = middle;
	}
	return from;
}

static enum err_kind add_stream(struct archive_streams *s, const struct archive_name *n,
				struct err *err)
{
	size_t at = find(s, n);
	void *streams = s->streams;
	struct archive_stream *stream;

	if (at == s->stream_count || compare_to(n, &s->streams[at]) != 0) {
		if (s->stream_count == ARCHIVE_STREAMS_MAX)
			return err_set(err, ERR_FULL, "the archive has more than %d streams",
				       ARCHIVE_STREAMS_MAX);
		if (!grow(&streams, s->stream_count, &s->stream_room, sizeof(s->streams[0])))
			return no_memory(err);
		s->streams = streams;
		memmove(s->streams + at + 1, s->streams + at,
			(s->stream_count - at) * sizeof(s->streams[0]));
		s->streams[at] = (struct archive_stream){.uuid = n->stream,
							 .epoch = n->epoch,
							 .first_seq = UINT64_MAX,
							 .first_line_seq = UINT64_MAX};
		s->stream_count++;
	}
	stream = &s->streams[at];
	if (n->first_seq < stream->first_seq)
		stream->first_seq = n->first_seq;
	if (n->kind == ARCHIVE_LINES && n->first_seq < stream->first_line_seq)
		stream->first_line_seq = n->first_seq;
	return ERR_NONE;
}

enum err_kind archive_streams_add_index(struct archive_streams *s, const struct archive_name *n,
					struct err *err)
{
	enum err_kind rc = add_stream(s, n, err);

	return rc ? rc : add_range(s, n, 0, err);
}

enum err_kind archive_streams_add_object(struct archive_streams *s, const struct archive_name *n,
					 int64_t stored_ns, bool is_behind, struct err *err)
{
	enum err_kind rc = add_stream(s, n, err);

	return rc || !is_behind ? rc : add_range(s, n, stored_ns, err);
}

/* --- what it says --- */

static void tell(const struct archive_streams_calls *calls, const struct archive_stream *s,
		 const struct archive_name *missing, const char *what)
{
	char text[TEXT_BYTES], uuid[ID_TEXT_BYTES];

	(void)snprintf(text, sizeof(text),
		       "stream %s.%" PRIu64 ": no %s has %" PRIu64 " to %" PRIu64 "%s",
		       id_format(&s->uuid, uuid), s->epoch,
		       missing->kind == ARCHIVE_INDEX ? "index" : "object", missing->first_seq,
		       missing->last_seq, what);
	calls->missing(calls->arg, text);
}

/* Whether n does not follow on what goes up to last_seq. */
static bool is_hole(uint64_t last_seq, const struct archive_name *n, struct archive_name *ret)
{
	*ret = (struct archive_name){
		.kind = n->kind, .first_seq = last_seq + 1, .last_seq = n->first_seq - 1};
	return n->first_seq > last_seq && n->first_seq - last_seq > 1;
}

static void tell_indexes(struct archive_stream *s, const struct range *ranges, size_t count,
			 const struct archive_streams_calls *calls)
{
	for (size_t i = 0; i < count; i++) {
		const struct archive_name *n = &ranges[i].name;
		struct archive_name hole;

		if (i > 0 && is_hole(s->last_seq, n, &hole))
			tell(calls, s, &hole, "");
		/* A copied volume closes what it has of a stream that goes on elsewhere. */
		if (i == 0 || n->last_seq >= s->last_seq) {
			s->last_seq = n->last_seq;
			s->date_ns = n->from_ns;
		}
		s->indexes++;
	}
}

static void tell_holes(const struct archive_stream *s, const struct range *ranges, size_t count,
		       const struct archive_streams_calls *calls)
{
	uint64_t last_seq = s->last_seq;

	for (size_t i = 0; i < count; i++) {
		struct archive_name hole;

		if ((i > 0 || s->indexes > 0) && is_hole(last_seq, &ranges[i].name, &hole))
			tell(calls, s, &hole, ", and later ones are there");
		if (i == 0 || ranges[i].name.last_seq > last_seq)
			last_seq = ranges[i].name.last_seq;
	}
}

static void tell_late(const struct archive_stream *s, const struct range *ranges, size_t count,
		      const struct archive_streams_calls *calls)
{
	struct archive_name late = {.kind = ARCHIVE_INDEX, .first_seq = UINT64_MAX};
	int64_t newest_ns = 0;
	bool any = false;

	for (size_t i = 0; i < count; i++)
		newest_ns = time_later(newest_ns, ranges[i].stored_ns);
	for (size_t i = 0; i < count; i++) {
		const struct archive_name *n = &ranges[i].name;

		if (ranges[i].stored_ns >= newest_ns - ARCHIVE_LATE_SECONDS * NS_PER_S)
			continue;
		any = true;
		if (n->first_seq < late.first_seq)
			late.first_seq = n->first_seq;
		if (n->last_seq > late.last_seq)
			late.last_seq = n->last_seq;
	}
	if (any)
		tell(calls, s, &late, ", which were stored a day and more before later ones");
}

static bool is_of(const struct range *r, const struct archive_stream *s, bool index)
{
	return compare_to(&r->name, s) == 0 && (r->name.kind == ARCHIVE_INDEX) == index;
}

enum err_kind archive_streams_tell(struct archive_streams *s, bool all_sent,
				   const struct archive_streams_calls *calls, struct err *err)
{
	enum err_kind rc = merge(s, err);
	size_t at = 0;

	for (size_t i = 0; i < s->stream_count && !rc; i++) {
		struct archive_stream *stream = &s->streams[i];
		size_t indexes = at, objects, end;

		while (at < s->range_count && is_of(&s->ranges[at], stream, true))
			at++;
		objects = at;
		while (at < s->range_count && is_of(&s->ranges[at], stream, false))
			at++;
		end = at;
		tell_indexes(stream, s->ranges + indexes, objects - indexes, calls);
		if (all_sent)
			tell_holes(stream, s->ranges + objects, end - objects, calls);
		tell_late(stream, s->ranges + objects, end - objects, calls);
		rc = calls->stream(calls->arg, stream, err);
	}
	return rc;
}
