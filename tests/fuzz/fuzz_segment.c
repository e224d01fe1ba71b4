/*
 * Arbitrary bytes as the only segment of a spool: it opens or says why not, and
 * readers get only payloads that stand in those bytes with valid checks.
 */

#include "spool/segment.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static char folder[] = "/tmp/flytrail-fuzz-XXXXXX";

static void empty_folder(const char *path)
{
	char name[PATH_MAX];
	DIR *dir = opendir(path);
	const struct dirent *entry;

	for (entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir)) {
		(void)snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		(void)unlink(name);
	}
	if (dir)
		(void)closedir(dir);
}

static void clean(void)
{
	char quarantine[PATH_MAX];

	(void)snprintf(quarantine, sizeof(quarantine), "%s/quarantine", folder);
	empty_folder(quarantine);
	(void)rmdir(quarantine);
	empty_folder(folder);
}

static void remove_folder(void)
{
	clean();
	(void)rmdir(folder);
}

static void put_segment(const uint8_t *bytes, size_t len)
{
	struct segment_path path = segment_path(folder, 1);
	struct err err;
	int fd = -1;

	REQUIRE(file_open(&fd, path.text, FILE_CREATE, &err) == ERR_NONE);
	REQUIRE(file_write_at(fd, bytes, len, 0, &err) == ERR_NONE);
	file_close(&fd);
}

/* Somewhere in the bytes stands this frame, whole. */
static bool stands_there(const struct frame_keys *k, const uint8_t *bytes, size_t len, uint64_t seq,
			 struct span payload)
{
	struct frame f;
	size_t used;

	for (size_t at = SEGMENT_HEADER_BYTES; at < len; at++)
		if (frame_decode(k, bytes + at, len - at, &f, &used) == FRAME_WHOLE &&
		    f.seq == seq && span_equal(f.payload, payload))
			return true;
	return false;
}

static void read_all(struct spool *s, const uint8_t *bytes, size_t len)
{
	struct segment_header h = {0};
	struct frame_keys k;
	struct spool_reader *r = NULL;
	struct spool_batch b;
	struct err err;
	bool more = true;

	(void)segment_header_decode(bytes, &h);
	k = frame_keys_from(h.salt);
	REQUIRE(spool_batch_init(&b, 100, 65536, &err) == ERR_NONE);
	REQUIRE(spool_reader_new(&r, s, "fuzz", 0, &err) == ERR_NONE);
	while (more) {
		spool_batch_reset(&b);
		REQUIRE(spool_reader_read(r, &b, 0, 0, &err) == ERR_NONE);
		for (size_t i = 0; i < b.count; i++)
			REQUIRE(stands_there(&k, bytes, len, b.frames[i].seq,
					     spool_batch_payload(&b, i)));
		more = b.count > 0 || b.damage.first_seq != 0;
	}
	spool_reader_free(r);
	spool_batch_release(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct spool_options options = {.folder = folder, .max_bytes = 64 << 20};
	struct spool *s = NULL;
	struct err err;

	if (folder[sizeof(folder) - 2] == 'X') {
		REQUIRE(mkdtemp(folder));
		REQUIRE(atexit(remove_folder) == 0);
	}
	if (len < SEGMENT_HEADER_BYTES)
		return 0;
	put_segment(bytes, len);
	if (spool_open(&s, &options, &err) == ERR_NONE) {
		read_all(s, bytes, len);
		spool_close(s);
	}
	clean();
	return 0;
}
