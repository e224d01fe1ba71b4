/*
 * No bytes stop the source of lines: it comes to their end, the pieces in which they come make
 * no difference to the units, and no byte but blanks is lost between units.
 */

#include "base/file.h"
#include "source/lines.h"
#include "source/splitter.h"

#include <stdio.h>
#include <sys/mman.h>

enum { PATH_BYTES = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* The units' count and a sum over them, when step more bytes come each time. */
static uint64_t split(struct span text, size_t step)
{
	struct splitter s;
	size_t start = 0, end = 0;
	uint64_t sum = 0;

	splitter_reset(&s);
	while (start < text.len) {
		struct unit unit;

		if (!splitter_next(&s, span_of(text.data + start, end - start), end == text.len,
				   &unit)) {
			REQUIRE(end < text.len);
			end = text.len - end < step ? text.len : end + step;
			continue;
		}
		REQUIRE(unit.used > 0 && unit.used <= end - start && unit.bytes.len <= unit.used);
		sum = sum * 31 + unit.bytes.len * 7 + unit.used + splitter_form(unit.bytes);
		for (size_t i = unit.bytes.len; i < unit.used; i++)
			REQUIRE(memchr(" \t\r\n", text.data[start + i], 4) != NULL);
		start += unit.used;
	}
	return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static struct batch *batch;
	static int fd = -1;
	static char name[PATH_BYTES];
	const char *path = name;
	struct source source;
	struct err err;
	enum err_kind rc;

	if (fd < 0) {
		fd = memfd_create("lines", 0);
		(void)snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
		rc = batch_new(&batch, &err);
		REQUIRE(fd >= 0 && rc == ERR_NONE);
	}
	for (size_t step = 1; step < 8; step += 3)
		REQUIRE(split(span_of(bytes, len), step) == split(span_of(bytes, len), len + 1));

	rc = file_truncate(fd, 0, &err);
	REQUIRE(rc == ERR_NONE);
	rc = file_write_at(fd, bytes, len, 0, &err);
	REQUIRE(rc == ERR_NONE);
	rc = lines_open(&source, &path, 1, &err);
	REQUIRE(rc == ERR_NONE);
	do {
		batch_reset(batch);
		rc = source.ops->read(source.ctx, batch, &err);
		REQUIRE(rc == ERR_NONE);
	} while (!batch->last);
	source.ops->close(source.ctx);
	return 0;
}
