#include "sink/dead_reader.h"

#include "base/file.h"
#include "sink/dead_settled.h"

#include <inttypes.h>
#include <stdlib.h>

enum { PLACES_MIN = 64 };

struct place {
	struct dead_key key;
	uint64_t at;
	uint32_t len; /* with its newline */
	bool is_old;  /* settled, or there is a newer one of its key */
};

struct dead_reader {
	int fd;
	struct place *places;
	size_t count, room;
	struct dead_keys settled;
	struct dead_damages damages;
	struct buf line, payload; /* of the letter that was read last */
	struct json *json;        /* likewise */
};

/* --- a line --- */

static bool member_text(const struct json *line, const char *key, struct span *ret)
{
	const struct json *v = json_member(line, key);

	if (!v || json_type(v) != JSON_TEXT)
		return false;
	*ret = json_text(v);
	return true;
}

/* ERR_REJECT: it is no letter. ERR_NONE: *ret_json is the caller's to free, and ret lends from it.
 */
static enum err_kind parse(struct span line, struct dead_key *ret_key, struct dead_letter *ret,
			   struct json **ret_json, struct err *err)
{
	struct json *v = NULL;
	enum err_kind rc = json_parse(&v, line, err);

	if (rc)
		return rc;
	ret->answer = SPAN("");
	if (!dead_key_read(v, ret_key) || !member_text(v, "time", &ret->time) ||
	    !dead_time_read(v, &ret->written_ns) || !member_text(v, "reason", &ret->reason) ||
	    !member_text(v, "payload", &ret->payload)) {
		json_free(v);
		return err_set(err, ERR_REJECT, "a line is no dead letter");
	}
	if (json_member(v, "answer") && !member_text(v, "answer", &ret->answer))
		ret->answer = SPAN("");
	*ret_json = v;
	return ERR_NONE;
}

/* Into r->payload. ERR_REJECT: it is no payload's text. */
static enum err_kind decode(struct dead_reader *r, struct span text, struct err *err)
{
	enum err_kind rc;

	buf_reset(&r->payload);
	if (!base64_read(&r->payload, text))
		return err_set(err, ERR_REJECT, "a dead letter's payload is no base64");
	rc = buf_check(&r->payload, err);
	if (rc == ERR_FULL)
		err->kind = rc = ERR_REJECT;
	return rc;
}

/* --- open --- */

static void add_damage(struct dead_reader *r, uint64_t at)
{
	if (r->damages.count < ARRAY_LEN(r->damages.places))
		r->damages.places[r->damages.count] = at;
	r->damages.count++;
}

static enum err_kind add_place(struct dead_reader *r, const struct place *place, struct err *err)
{
	if (r->count == r->room) {
		size_t room = r->room > 0 ? 2 * r->room : PLACES_MIN;
		struct place *places = realloc(r->places, room * sizeof(*places));

		if (!places)
			return err_set(err, ERR_FATAL, "no memory for %zu dead letters", room);
		r->places = places;
		r->room = room;
	}
	r->places[r->count++] = *place;
	return ERR_NONE;
}

static enum err_kind add_line(void *arg, const struct dead_line *line, struct err *err)
{
	struct dead_reader *r = arg;
	struct place place = {.at = line->at, .len = (uint32_t)(line->end - line->at)};
	struct dead_letter letter = {.payload = SPAN("")};
	struct json *v = NULL;
	struct err why;
	enum err_kind rc = ERR_REJECT;

	if (!line->is_too_long)
		rc = parse(line->text, &place.key, &letter, &v, &why);
	if (!rc)
		rc = decode(r, letter.payload, &why);
	json_free(v);
	if (rc == ERR_FATAL) {
		*err = why;
		return rc;
	}
	if (rc) {
		add_damage(r, line->at);
		return ERR_NONE;
	}
	place.is_old = dead_keys_have(&r->settled, &place.key, letter.written_ns);
	return add_place(r, &place, err);
}

static int by_key(const void *a, const void *b)
{
	const struct place *x = a, *y = b;
	int order = dead_key_compare(&x->key, &y->key);

	return order != 0 ? order : (x->at > y->at) - (x->at < y->at);
}

static int by_place(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	return (x->at > y->at) - (x->at < y->at);
}

/* One of each key, and none that is settled. */
static void drop_old(struct dead_reader *r)
{
	size_t kept = 0;

	if (r->count == 0)
		return;
	qsort(r->places, r->count, sizeof(r->places[0]), by_key);
	for (size_t i = 0; i < r->count; i++)
		if (i + 1 < r->count &&
		    dead_key_compare(&r->places[i].key, &r->places[i + 1].key) == 0)
			r->places[i].is_old = true;
	for (size_t i = 0; i < r->count; i++)
		if (!r->places[i].is_old)
			r->places[kept++] = r->places[i];
	r->count = kept;
	qsort(r->places, r->count, sizeof(r->places[0]), by_place);
}

enum err_kind dead_reader_open(struct dead_reader **ret, const char *folder, const char *sink,
			       struct err *err)
{
	struct dead_reader *r = calloc(1, sizeof(*r));
	char path[PATH_MAX];
	enum err_kind rc;

	if (!r)
		return err_set(err, ERR_FATAL, "no memory to read dead letters");
	r->fd = -1;
	buf_init(&r->line, DEAD_LINE_BYTES_MAX);
	buf_init(&r->payload, RECORD_PAYLOAD_BYTES_MAX);
	rc = dead_file_path(path, folder, sink, DEAD_LETTERS, err);
	/* What is settled comes first: after the letters it might be cleared away, and they would
	 * seem not to be. */
	if (!rc)
		rc = dead_keys_read(&r->settled, folder, sink, err);
	if (!rc && !file_is_missing(path)) {
		rc = file_open(&r->fd, path, FILE_READ, err);
		if (!rc)
			rc = dead_lines_each(r->fd, add_line, r, err);
	}
	if (rc) {
		dead_reader_close(r);
		return err_wrap(err, "read the dead letters of %s", sink);
	}
	drop_old(r);
	*ret = r;
	return ERR_NONE;
}

void dead_reader_close(struct dead_reader *r)
{
	if (!r)
		return;
	file_close(&r->fd);
	json_free(r->json);
	buf_release(&r->line);
	buf_release(&r->payload);
	dead_keys_release(&r->settled);
	free(r->places);
	free(r);
}

/* --- what there is --- */

size_t dead_reader_count(const struct dead_reader *r)
{
	return r->count;
}

const struct dead_key *dead_reader_key(const struct dead_reader *r, size_t idx)
{
	REQUIRE(idx < r->count);
	return &r->places[idx].key;
}

bool dead_reader_find(const struct dead_reader *r, const struct dead_key *key, size_t *ret_idx)
{
	for (size_t i = 0; i < r->count; i++)
		if (dead_key_compare(&r->places[i].key, key) == 0) {
			*ret_idx = i;
			return true;
		}
	return false;
}

bool dead_reader_is_settled(const struct dead_reader *r, const struct dead_key *key)
{
	return dead_keys_have(&r->settled, key, INT64_MIN);
}

const struct dead_damages *dead_reader_damages(const struct dead_reader *r)
{
	return &r->damages;
}

/* ERR_REJECT: it is not there any more. */
static enum err_kind read_line(struct dead_reader *r, const struct place *place, struct err *err)
{
	size_t got = 0;
	uint8_t *room;
	enum err_kind rc;

	buf_reset(&r->line);
	room = buf_extend(&r->line, place->len);
	if (!room)
		return buf_check(&r->line, err);
	rc = file_read_at(r->fd, room, place->len, place->at, &got, err);
	if (!rc && got < place->len)
		rc = err_set(err, ERR_REJECT, "the file of dead letters has become shorter");
	return rc;
}

enum err_kind dead_reader_read(struct dead_reader *r, size_t idx, struct dead_letter *ret,
			       struct err *err)
{
	const struct place *place = &r->places[idx];
	struct dead_key key;
	enum err_kind rc;

	REQUIRE(idx < r->count);
	json_free(r->json);
	r->json = NULL;
	rc = read_line(r, place, err);
	if (!rc)
		rc = parse(span_of(r->line.data, place->len - 1), &key, ret, &r->json, err);
	if (!rc)
		rc = dead_key_compare(&key, &place->key) == 0 ? decode(r, ret->payload, err)
							      : ERR_REJECT;
	if (rc == ERR_REJECT) /* it was a letter when its place was noted */
		return err_set(err, ERR_CORRUPT,
			       "the file of dead letters was changed while it was read, at byte "
			       "%" PRIu64,
			       place->at);
	if (!rc)
		ret->payload = span_of(r->payload.data, r->payload.len);
	return rc;
}
