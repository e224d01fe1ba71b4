/*
 * identity: which stream a spool is: what Postgres knows it by.
 *
 *	the file `stream`, little-endian; all of it or the one before, after any crash
 *	0    8   "FLYSTRMS"
 *	8    4   version: 1 until the spool is adopted, then 2
 *	12   4   zero
 *	16   16  uuid
 *	32   8   epoch: 1, and one more each time that it is adopted
 *	40   8   numbers up to here are used, though no segment may say so
 *	48   8   version 2: numbers up to here are not of this stream
 *	56   8   version 2: segments that begin up to here were adopted
 *	     4   CRC-32 of all before it
 *
 * The headers of segments say whose they are as well. Those that were adopted
 * keep the name that they had; the first frame after that begins a segment, so
 * that soon one has the new name.
 */

#include "spool/inside.h"

#include "base/bytes.h"
#include "base/gzip.h"

#include <stdio.h>

#define STREAM_NAME "stream"

enum {
	STREAM_VERSION_OWN = 1,
	STREAM_VERSION_ADOPTED = 2,
	STREAM_BODY_OWN_BYTES = 48,
	STREAM_BODY_ADOPTED_BYTES = 64,
	STREAM_CRC_BYTES = 4,
	STREAM_BYTES_MAX = STREAM_BODY_ADOPTED_BYTES + STREAM_CRC_BYTES,
};

static const uint8_t stream_magic[8] = {'F', 'L', 'Y', 'S', 'T', 'R', 'M', 'S'};

/* An older flytrail can go on with a spool that was never adopted. */
enum err_kind identity_write(const struct spool *s, struct err *err)
{
	bool adopted = s->adopted_seq > 0;
	size_t body = adopted ? STREAM_BODY_ADOPTED_BYTES : STREAM_BODY_OWN_BYTES;
	uint8_t bytes[STREAM_BYTES_MAX] = {0};

	memcpy(bytes, stream_magic, sizeof(stream_magic));
	put_u32_le(bytes + 8, adopted ? STREAM_VERSION_ADOPTED : STREAM_VERSION_OWN);
	memcpy(bytes + 16, s->stream.uuid.bytes, ID_BYTES);
	put_u64_le(bytes + 32, s->stream.epoch);
	put_u64_le(bytes + 40, s->appended_seq);
	if (adopted) {
		put_u64_le(bytes + 48, s->stream.start_seq);
		put_u64_le(bytes + 56, s->adopted_seq);
	}
	put_u32_le(bytes + body, gzip_crc32(0, bytes, body));
	return file_replace(s->folder, STREAM_NAME, bytes, body + STREAM_CRC_BYTES, err);
}

static bool is_whole(const uint8_t *bytes, size_t len, size_t body)
{
	return len >= body + STREAM_CRC_BYTES &&
	       get_u32_le(bytes + body) == gzip_crc32(0, bytes, body);
}

enum err_kind identity_read(struct spool *s, bool *ret_found, struct err *err)
{
	uint8_t bytes[STREAM_BYTES_MAX] = {0};
	char path[PATH_MAX];
	bool own, adopted;
	size_t got = 0;
	enum err_kind rc;
	int fd = -1;
	int len = snprintf(path, sizeof(path), "%s/" STREAM_NAME, s->folder);

	REQUIRE(len > 0 && len < PATH_MAX);
	*ret_found = false;
	if (file_is_missing(path))
		return ERR_NONE;
	rc = file_open(&fd, path, FILE_READ, err);
	if (rc)
		return rc;
	rc = file_read_at(fd, bytes, sizeof(bytes), 0, &got, err);
	file_close(&fd);
	if (rc)
		return rc;
	own = is_whole(bytes, got, STREAM_BODY_OWN_BYTES);
	adopted = !own && is_whole(bytes, got, STREAM_BODY_ADOPTED_BYTES);
	if (memcmp(bytes, stream_magic, sizeof(stream_magic)) != 0 || (!own && !adopted))
		return err_set(err, ERR_CORRUPT, "%s fails its check", path);
	if (get_u32_le(bytes + 8) != (own ? STREAM_VERSION_OWN : STREAM_VERSION_ADOPTED))
		return err_set(err, ERR_CONFIG, "%s is of a newer flytrail: run that one", path);
	memcpy(s->stream.uuid.bytes, bytes + 16, ID_BYTES);
	s->stream.epoch = get_u64_le(bytes + 32);
	s->appended_seq = get_u64_le(bytes + 40);
	s->stream.start_seq = adopted ? get_u64_le(bytes + 48) : 0;
	s->adopted_seq = adopted ? get_u64_le(bytes + 56) : 0;
	*ret_found = true;
	return ERR_NONE;
}

/*
 * Every segment's header names a stream: the newest this one's, those before it that name
 * another were adopted. False: none can be read.
 */
static bool find_in_segments(struct spool *s)
{
	struct segment_header h;
	bool found = false;
	struct err err;

	for (size_t i = s->segment_count; i-- > 0 && s->adopted_seq == 0;) {
		uint64_t first_seq = s->segments[i].first_seq;
		struct segment_path path = segment_path(s->folder, first_seq);
		enum err_kind rc;
		int fd = -1;

		if (file_open(&fd, path.text, FILE_READ, &err))
			continue;
		rc = segment_read_header(fd, first_seq, &h, &err);
		file_close(&fd);
		if (rc || h.version != SEGMENT_FORMAT_VERSION)
			continue;
		if (!found) {
			s->stream = (struct spool_stream){.uuid = h.uuid, .epoch = h.epoch};
			found = true;
		} else if (id_compare(&h.uuid, &s->stream.uuid) != 0 && h.epoch < s->stream.epoch) {
			s->adopted_seq = first_seq;
			s->stream.start_seq = s->segments[0].first_seq - 1;
		}
	}
	return found;
}

enum err_kind identity_find(struct spool *s, struct err *err)
{
	bool found = false;
	enum err_kind rc = identity_read(s, &found, err);

	if (found || (rc && rc != ERR_CORRUPT))
		return rc;
	if (find_in_segments(s)) {
		s->damage_count++;
		return identity_write(s, err);
	}
	if (rc || s->segment_count > 0)
		return err_set(err, ERR_CORRUPT,
			       "%s is no spool, or not even its name can be read: move it away",
			       s->folder);
	rc = id_random(&s->stream.uuid, err);
	if (rc)
		return rc;
	s->stream.epoch = 1;
	return identity_write(s, err);
}

enum err_kind identity_adopt(struct spool *s, struct err *err)
{
	enum err_kind rc = id_random(&s->stream.uuid, err);

	if (rc)
		return rc;
	s->stream.epoch++;
	s->stream.start_seq = s->segment_count > 0 ? s->segments[0].first_seq - 1 : s->accepted_seq;
	s->adopted_seq = s->accepted_seq > 0 ? s->accepted_seq : 1;
	return identity_write(s, err);
}
