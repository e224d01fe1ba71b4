/* No bytes crash gzip_read() or get more out of it than there is room for; what is written is read.
 */

#include "base/gzip.h"

enum { OUT_BYTES_MAX = 256 * 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void must(enum err_kind rc)
{
	REQUIRE(rc == ERR_NONE);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static struct gzip_writer *w;
	struct span all = span_of(bytes, len);
	struct buf out, back;
	struct err err;

	buf_init(&out, OUT_BYTES_MAX);
	buf_init(&back, OUT_BYTES_MAX);
	if (gzip_read(all, &out, &err) == ERR_NONE)
		REQUIRE(out.len <= OUT_BYTES_MAX);
	buf_reset(&out);
	if (!w)
		must(gzip_writer_new(&w, &err));
	gzip_writer_begin(w, &out);
	gzip_writer_add(w, span_of(bytes, len / 2));
	gzip_writer_add(w, span_after(all, len / 2));
	must(gzip_writer_end(w, &err));
	must(gzip_read(span_of(out.data, out.len), &back, &err));
	REQUIRE(span_equal(span_of(back.data, back.len), all));
	buf_release(&out);
	buf_release(&back);
	return 0;
}
