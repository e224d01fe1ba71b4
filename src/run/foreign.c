#include "run/foreign.h"

#include "base/file.h"

#include <limits.h>
#include <stdio.h>

enum { TEXT_BYTES = 256 };

static const char text_before[] = "Postgres had records of stream ";
static const char text_after[] = " that are not of this spool\n";

static bool path_of(const char *folder, char path[PATH_MAX])
{
	int len = snprintf(path, PATH_MAX, "%s/" FOREIGN_NAME, folder);

	return len > 0 && len < PATH_MAX;
}

bool foreign_is_marked(const char *folder, const struct spool_stream *stream)
{
	const size_t before_len = sizeof(text_before) - 1;
	char text[TEXT_BYTES] = "";
	char path[PATH_MAX];
	struct id named;
	struct err err;
	size_t len = 0;
	int fd = -1;
	enum err_kind rc;

	if (!path_of(folder, path) || file_is_missing(path))
		return false;
	rc = file_open(&fd, path, FILE_READ, &err);
	if (!rc)
		rc = file_read_at(fd, text, sizeof(text), 0, &len, &err);
	file_close(&fd);
	if (rc || len < before_len + ID_TEXT_BYTES - 1 ||
	    memcmp(text, text_before, before_len) != 0 ||
	    !id_parse(span_of(text + before_len, ID_TEXT_BYTES - 1), &named))
		return true;
	return id_compare(&named, &stream->uuid) == 0;
}

enum err_kind foreign_mark(const char *folder, const struct spool_stream *stream, struct err *err)
{
	char text[TEXT_BYTES], uuid[ID_TEXT_BYTES];
	int len = snprintf(text, sizeof(text), "%s%s%s", text_before,
			   id_format(&stream->uuid, uuid), text_after);

	REQUIRE(len > 0 && (size_t)len < sizeof(text));
	return file_replace(folder, FOREIGN_NAME, text, (size_t)len, err);
}

enum err_kind foreign_clear(const char *folder, struct err *err)
{
	char path[PATH_MAX];
	enum err_kind rc;

	if (!path_of(folder, path) || file_is_missing(path))
		return ERR_NONE;
	rc = file_remove(path, err);
	return rc ? rc : file_sync_folder(folder, err);
}
