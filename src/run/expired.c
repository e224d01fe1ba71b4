/*
 *	the file `store-expired`, little-endian; all of it or the one before, after any crash
 *	0    8    "FLYEXPRD"
 *	8    4    version, 1
 *	12   4    zero
 *	16   16   uuid of the stream
 *	32   8    where the cursor is when what is noted counts
 *	40   128  of each kind: what waits, what is noted, what is told, and the time of that
 *	424  4    CRC-32 of all before it
 */

#include "run/expired.h"

#include "base/bytes.h"
#include "base/file.h"
#include "base/gzip.h"
#include "base/log.h"
#include "base/time.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	VERSION = 1,
	VERSION_AT = 8,
	UUID_AT = 16,
	NOTED_AT = 32,
	KINDS_AT = 40,
	NUMBER_BYTES = 8,
	KIND_BYTES = 16 * NUMBER_BYTES,
	CRC_AT = KINDS_AT + LIMITS_KINDS * KIND_BYTES,
	FILE_BYTES = CRC_AT + 4,
};

static const uint8_t magic[VERSION_AT] = {'F', 'L', 'Y', 'E', 'X', 'P', 'R', 'D'};

struct expired_kind {
	struct limits_expired waiting; /* is passed, and to be told */
	struct limits_expired noted;   /* is passed once the cursor is at noted_seq */
	struct limits_expired telling; /* is in a fact that may be stored already */
	int64_t telling_ns;            /* the time of that */
	int64_t told_ns;               /* the newest fact; by the clock that never steps, 0: none */
};

struct expired {
	char folder[PATH_MAX];
	struct id stream;
	uint64_t noted_seq;
	struct expired_kind kinds[LIMITS_KINDS];
	bool is_saved; /* the file is as this is, but for what the cursor says */
};

/* --- the file --- */

static uint8_t *put_number(uint8_t *at, uint64_t n)
{
	put_u64_le(at, n);
	return at + NUMBER_BYTES;
}

static uint8_t *put_rows(uint8_t *at, const struct limits_expired *rows)
{
	at = put_number(at, rows->rows);
	at = put_number(at, (uint64_t)rows->first_us);
	at = put_number(at, (uint64_t)rows->last_us);
	at = put_number(at, rows->first_seq);
	return put_number(at, rows->last_seq);
}

static const uint8_t *get_number(const uint8_t *at, uint64_t *ret)
{
	*ret = get_u64_le(at);
	return at + NUMBER_BYTES;
}

static const uint8_t *get_time(const uint8_t *at, int64_t *ret)
{
	*ret = (int64_t)get_u64_le(at);
	return at + NUMBER_BYTES;
}

static const uint8_t *get_rows(const uint8_t *at, struct limits_expired *ret)
{
	at = get_number(at, &ret->rows);
	at = get_time(at, &ret->first_us);
	at = get_time(at, &ret->last_us);
	at = get_number(at, &ret->first_seq);
	return get_number(at, &ret->last_seq);
}

static enum err_kind save(struct expired *e, struct err *err)
{
	uint8_t bytes[FILE_BYTES] = {0};
	uint8_t *at = bytes + KINDS_AT;
	enum err_kind rc;

	memcpy(bytes, magic, sizeof(magic));
	put_u32_le(bytes + VERSION_AT, VERSION);
	memcpy(bytes + UUID_AT, e->stream.bytes, ID_BYTES);
	(void)put_number(bytes + NOTED_AT, e->noted_seq);
	for (size_t i = 0; i < LIMITS_KINDS; i++) {
		const struct expired_kind *k = &e->kinds[i];

		at = put_rows(at, &k->waiting);
		at = put_rows(at, &k->noted);
		at = put_rows(at, &k->telling);
		at = put_number(at, (uint64_t)k->telling_ns);
	}
	put_u32_le(bytes + CRC_AT, gzip_crc32(0, bytes, CRC_AT));
	rc = file_replace(e->folder, EXPIRED_NAME, bytes, sizeof(bytes), err);
	e->is_saved = rc == ERR_NONE;
	if (rc && rc != ERR_FATAL) /* a disk that is full is not for ever */
		err->kind = ERR_RETRY;
	return rc ? err_wrap(err, "keep in mind which rows came too late to be stored") : rc;
}

static bool is_whole(const uint8_t bytes[FILE_BYTES], size_t len)
{
	return len == FILE_BYTES && memcmp(bytes, magic, sizeof(magic)) == 0 &&
	       get_u32_le(bytes + VERSION_AT) == VERSION &&
	       get_u32_le(bytes + CRC_AT) == gzip_crc32(0, bytes, CRC_AT);
}

static void decode(struct expired *e, const uint8_t bytes[FILE_BYTES])
{
	const uint8_t *at = bytes + KINDS_AT;

	if (memcmp(bytes + UUID_AT, e->stream.bytes, ID_BYTES) != 0)
		return;
	(void)get_number(bytes + NOTED_AT, &e->noted_seq);
	for (size_t i = 0; i < LIMITS_KINDS; i++) {
		struct expired_kind *k = &e->kinds[i];

		at = get_rows(at, &k->waiting);
		at = get_rows(at, &k->noted);
		at = get_rows(at, &k->telling);
		at = get_time(at, &k->telling_ns);
	}
	e->is_saved = true;
}

static enum err_kind load(struct expired *e, struct err *err)
{
	uint8_t bytes[FILE_BYTES + 1]; /* one that is longer is none */
	char path[PATH_MAX];
	size_t read = 0;
	int fd = -1;
	int len = snprintf(path, sizeof(path), "%s/" EXPIRED_NAME, e->folder);
	enum err_kind rc;

	if (len < 0 || (size_t)len >= sizeof(path))
		return err_set(err, ERR_CONFIG, "the spool's folder has too long a name");
	if (file_is_missing(path))
		return ERR_NONE;
	rc = file_open(&fd, path, FILE_READ, err);
	if (!rc)
		rc = file_read_at(fd, bytes, sizeof(bytes), 0, &read, err);
	file_close(&fd);
	if (rc)
		return rc;
	if (is_whole(bytes, read))
		decode(e, bytes);
	else
		log_error(expired_damaged, LOG_TEXT("file", path));
	return ERR_NONE;
}

/* --- the handle --- */

enum err_kind expired_open(struct expired **ret, const char *folder,
			   const struct spool_stream *stream, struct err *err)
{
	struct expired *e = calloc(1, sizeof(*e));
	enum err_kind rc;

	if (!e)
		return err_set(err, ERR_FATAL, "out of memory for rows that come too late");
	(void)snprintf(e->folder, sizeof(e->folder), "%s", folder);
	e->stream = stream->uuid;
	rc = load(e, err);
	if (rc) {
		expired_close(e);
		return rc;
	}
	*ret = e;
	return ERR_NONE;
}

void expired_close(struct expired *e)
{
	free(e);
}

enum err_kind expired_note(struct expired *e, const struct limits_expired *rows, uint64_t last_seq,
			   struct err *err)
{
	for (size_t i = 0; i < LIMITS_KINDS; i++)
		e->kinds[i].noted = rows[i];
	e->noted_seq = last_seq;
	return save(e, err);
}

enum err_kind expired_settle(struct expired *e, uint64_t cursor, struct err *err)
{
	bool is_passed = cursor >= e->noted_seq, is_dropped = false;

	for (size_t i = 0; i < LIMITS_KINDS; i++) {
		struct expired_kind *k = &e->kinds[i];

		if (is_passed)
			limits_add(&k->waiting, &k->noted);
		is_dropped = is_dropped || (!is_passed && k->noted.rows > 0);
		k->noted = (struct limits_expired){.rows = 0};
	}
	e->noted_seq = 0;
	/* Of what is passed the file comes to the same as it is. */
	return is_dropped ? save(e, err) : ERR_NONE;
}

static bool is_due(const struct expired_kind *k, bool is_end)
{
	return k->waiting.rows > 0 &&
	       (is_end || k->told_ns == 0 ||
		time_monotonic_ns() - k->told_ns >= EXPIRED_TELL_SECONDS * NS_PER_S);
}

static struct fact fact_of(const struct expired_kind *k, enum limits_kind kind)
{
	const struct limits_expired *rows = &k->telling;
	struct fact fact = {
		.action = ACTION_trail_expired,
		.noticed_ns = k->telling_ns,
		.gap = {.start_ns = rows->first_us * NS_PER_US,
			.end_ns = rows->last_us * NS_PER_US,
			.lines_lost = rows->rows},
		.first_seq = rows->first_seq,
		.last_seq = rows->last_seq,
	};

	(void)snprintf(fact.found.subject, sizeof(fact.found.subject), "%s",
		       limits_kind_name(kind));
	return fact;
}

enum err_kind expired_tell(struct expired *e, enum limits_kind kind, bool is_end, struct fact *ret,
			   bool *ret_any, struct err *err)
{
	struct expired_kind *k = &e->kinds[kind];
	enum err_kind rc = ERR_NONE;

	*ret_any = false;
	if (k->telling.rows == 0) {
		if (!is_due(k, is_end))
			return ERR_NONE;
		k->telling = k->waiting;
		k->telling_ns = time_now_ns();
		k->waiting = (struct limits_expired){.rows = 0};
		e->is_saved = false;
	}
	if (!e->is_saved)
		rc = save(e, err);
	*ret = fact_of(k, kind);
	*ret_any = !rc;
	return rc;
}

enum err_kind expired_told(struct expired *e, struct err *err)
{
	bool any = false;

	for (size_t i = 0; i < LIMITS_KINDS; i++) {
		struct expired_kind *k = &e->kinds[i];
		const struct limits_expired *rows = &k->telling;

		if (rows->rows == 0)
			continue;
		log_warn(rows_expired, LOG_TEXT("kind", limits_kind_name((enum limits_kind)i)),
			 LOG_NUMBER("rows", rows->rows), LOG_NUMBER("first_seq", rows->first_seq),
			 LOG_NUMBER("last_seq", rows->last_seq));
		k->telling = (struct limits_expired){.rows = 0};
		k->told_ns = time_monotonic_ns();
		any = true;
	}
	return any ? save(e, err) : ERR_NONE;
}
