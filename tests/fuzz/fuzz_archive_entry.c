/* No bytes crash what reads keys and lines of an index; what is taken for a key is one that
 * archive.c would write, and no entry is larger than an object can be. */

#include "sink/archive_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static struct archive_entry entry;
	struct span all = span_of(bytes, len);
	struct archive_name name;
	struct err err;

	if (archive_name_parse("", all, &name))
		REQUIRE(len < ARCHIVE_KEY_BYTES && name.from_ns < name.until_ns &&
			name.first_seq <= name.last_seq);
	if (archive_index_parse("", all, &entry, &err) != ERR_NONE)
		return 0;
	REQUIRE(archive_name_parse("", span_text(entry.key), &name));
	REQUIRE(name.kind != ARCHIVE_INDEX && name.first_seq == entry.name.first_seq);
	REQUIRE(entry.bytes <= ARCHIVE_OBJECT_BYTES_MAX);
	REQUIRE(entry.content_bytes <= ARCHIVE_OBJECT_CONTENT_BYTES_MAX);
	REQUIRE(strlen(entry.sha256) == HASH_HEX_BYTES - 1);
	REQUIRE(strlen(entry.content_sha256) == HASH_HEX_BYTES - 1);
	return 0;
}
