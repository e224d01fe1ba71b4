#include "spool/segment.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define NEXT_NAME "next"
#define QUARANTINE_NAME "quarantine"

enum {
	NAME_DIGITS = 20, /* of UINT64_MAX */
	COPY_CHUNK_BYTES = 64 * 1024,
};

static const char name_suffix[] = ".seg";

static struct segment_path path_in(const char *folder, const char *name)
{
	struct segment_path p;
	int len = snprintf(p.text, sizeof(p.text), "%s/%s", folder, name);

	REQUIRE(len > 0 && (size_t)len < sizeof(p.text));
	return p;
}

struct segment_path segment_path(const char *folder, uint64_t first_seq)
{
	char name[NAME_DIGITS + sizeof(name_suffix)];

	(void)snprintf(name, sizeof(name), "%0*" PRIu64 "%s", NAME_DIGITS, first_seq, name_suffix);
	return path_in(folder, name);
}

bool segment_parse_name(const char *name, uint64_t *ret_first_seq)
{
	char *end = NULL;
	uint64_t seq;

	if (strspn(name, "0123456789") != NAME_DIGITS ||
	    strcmp(name + NAME_DIGITS, name_suffix) != 0)
		return false;
	errno = 0;
	seq = strtoull(name, &end, 10);
	if (errno != 0 || end != name + NAME_DIGITS || seq == 0)
		return false;
	*ret_first_seq = seq;
	return true;
}

enum err_kind segment_prepare(const char *folder, int *ret_fd, struct err *err)
{
	struct segment_path path = path_in(folder, NEXT_NAME);
	enum err_kind rc;
	int fd = -1;

	(void)unlink(path.text); /* if it cannot go, it cannot be made either */
	rc = file_open(&fd, path.text, FILE_CREATE, err);
	if (rc)
		return rc;
	rc = file_allocate(fd, SPOOL_SEGMENT_BYTES, err);
	if (rc) {
		file_close(&fd);
		(void)unlink(path.text); /* gives back the part that was there */
		return rc;
	}
	*ret_fd = fd;
	return ERR_NONE;
}

enum err_kind segment_publish(const char *folder, uint64_t first_seq, struct err *err)
{
	struct segment_path from = path_in(folder, NEXT_NAME);
	struct segment_path to = segment_path(folder, first_seq);
	enum err_kind rc = file_rename(from.text, to.text, err);

	return rc ? rc : file_sync_folder(folder, err);
}

enum err_kind segment_read_header(int fd, uint64_t first_seq, struct segment_header *ret,
				  struct err *err)
{
	uint8_t bytes[SEGMENT_HEADER_BYTES];
	struct segment_header h;
	size_t got = 0;
	enum err_kind rc = file_read_at(fd, bytes, sizeof(bytes), 0, &got, err);

	if (rc)
		return rc;
	if (got < sizeof(bytes) || !segment_header_decode(bytes, &h))
		return err_set(err, ERR_CORRUPT,
			       "the header of segment %" PRIu64 " fails its check", first_seq);
	if (h.version == SEGMENT_FORMAT_VERSION && h.first_seq != first_seq)
		return err_set(err, ERR_CORRUPT, "segment %" PRIu64 " has the name of %" PRIu64,
			       h.first_seq, first_seq);
	*ret = h;
	return ERR_NONE;
}

enum err_kind segment_open(const struct segment_home *home, uint64_t first_seq, enum file_mode mode,
			   int *ret_fd, struct segment_header *ret_header, struct err *err)
{
	struct segment_path path = segment_path(home->folder, first_seq);
	const struct spool_stream *stream = home->stream;
	struct segment_header h;
	enum err_kind rc;
	int fd = -1;

	rc = file_open(&fd, path.text, mode, err);
	if (rc)
		return rc;
	rc = segment_read_header(fd, first_seq, &h, err);
	if (!rc && h.version != SEGMENT_FORMAT_VERSION)
		rc = err_set(err, ERR_CONFIG,
			     "%s has format version %" PRIu32 ", this flytrail knows %d: run the "
			     "flytrail that wrote it",
			     path.text, h.version, SEGMENT_FORMAT_VERSION);
	else if (!rc && first_seq > home->adopted_seq &&
		 (id_compare(&h.uuid, &stream->uuid) != 0 || h.epoch > stream->epoch))
		rc = err_set(err, ERR_CONFIG,
			     "%s belongs to another stream than this spool: move it away",
			     path.text);
	if (rc) {
		file_close(&fd);
		return rc;
	}
	*ret_fd = fd;
	*ret_header = h;
	return ERR_NONE;
}

enum err_kind segment_remove(const char *folder, uint64_t first_seq, struct err *err)
{
	struct segment_path path = segment_path(folder, first_seq);

	return file_remove(path.text, err);
}

static size_t count_segments(const char *folder)
{
	DIR *dir = opendir(folder);
	const struct dirent *entry;
	size_t count = 0;
	uint64_t seq;

	if (!dir)
		return 0;
	for (entry = readdir(dir); entry; entry = readdir(dir))
		count += segment_parse_name(entry->d_name, &seq);
	(void)closedir(dir);
	return count;
}

static enum err_kind copy_bytes(int from, int to, struct err *err)
{
	uint8_t chunk[COPY_CHUNK_BYTES];
	enum err_kind rc = ERR_NONE;
	uint64_t at = 0;
	size_t got = sizeof(chunk);

	while (!rc && got == sizeof(chunk) && at < SPOOL_SEGMENT_BYTES) {
		rc = file_read_at(from, chunk, sizeof(chunk), at, &got, err);
		if (!rc)
			rc = file_write_at(to, chunk, got, at, err);
		at += got;
	}
	return rc ? rc : file_sync(to, err);
}

size_t segment_quarantine_count(const char *folder)
{
	return count_segments(path_in(folder, QUARANTINE_NAME).text);
}

enum err_kind segment_quarantine_copy(const char *folder, uint64_t first_seq, struct err *err)
{
	struct segment_path quarantine = path_in(folder, QUARANTINE_NAME);
	struct segment_path from = segment_path(folder, first_seq);
	struct segment_path to;
	enum err_kind rc;
	int in = -1, out = -1;

	rc = file_make_folder(quarantine.text, err);
	if (rc)
		return rc;
	to = segment_path(quarantine.text, first_seq);
	if (access(to.text, F_OK) == 0 ||
	    segment_quarantine_count(folder) >= SPOOL_QUARANTINE_FILES_MAX)
		return ERR_NONE;
	rc = file_open(&in, from.text, FILE_READ, err);
	if (rc)
		goto out;
	rc = file_open(&out, to.text, FILE_CREATE, err);
	if (rc)
		goto out;
	rc = copy_bytes(in, out, err);
	if (rc)
		(void)unlink(to.text); /* half a copy proves nothing */
out:
	file_close(&in);
	file_close(&out);
	return rc;
}

enum err_kind segment_quarantine_move(const char *folder, uint64_t first_seq, struct err *err)
{
	struct segment_path quarantine = path_in(folder, QUARANTINE_NAME);
	struct segment_path from = segment_path(folder, first_seq);
	struct segment_path to;
	enum err_kind rc;

	rc = file_make_folder(quarantine.text, err);
	if (rc)
		return rc;
	to = segment_path(quarantine.text, first_seq);
	rc = file_rename(from.text, to.text, err);
	return rc ? rc : file_sync_folder(folder, err);
}
