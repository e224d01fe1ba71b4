#include "base/gzip.h"

#include "base/bytes.h"

#include <isa-l.h>
#include <limits.h>
#include <stdlib.h>
#define ZLIB_CONST
#include <zlib.h>

uint32_t gzip_crc32(uint32_t crc, const void *bytes, size_t len)
{
	return crc32_gzip_refl(crc, bytes, len);
}

enum {
	LEVEL = 1,
	WINDOW_OF_GZIP = 15 + 16, /* 32 kB, and gzip's header and end */
	STEP_BYTES = 32 * 1024,   /* out grows by so much */
};

/* Deflate, no flags, no time, the fastest level, Unix. */
static const uint8_t gzip_header[] = {0x1f, 0x8b, 0x08, 0, 0, 0, 0, 0, 0x04, 0x03};

struct gzip_writer {
	struct isal_zstream stream;
	uint8_t tables[ISAL_DEF_LVL1_DEFAULT];
	struct buf *out;
	uint32_t crc, len; /* of what was added; the length modulo 2^32, as gzip has it */
};

enum err_kind gzip_writer_new(struct gzip_writer **ret, struct err *err)
{
	struct gzip_writer *w = malloc(sizeof(*w));

	if (!w)
		return err_set(err, ERR_FATAL, "out of memory for compressing");
	isal_deflate_init(&w->stream);
	w->stream.level = LEVEL;
	w->stream.level_buf = w->tables;
	w->stream.level_buf_size = sizeof(w->tables);
	*ret = w;
	return ERR_NONE;
}

void gzip_writer_free(struct gzip_writer *w)
{
	free(w);
}

void gzip_writer_begin(struct gzip_writer *w, struct buf *out)
{
	isal_deflate_reset(&w->stream);
	w->out = out;
	w->crc = w->len = 0;
	buf_add(out, gzip_header, sizeof(gzip_header));
}

/* Room at the end of out for what a library writes next; NULL: out failed. */
static uint8_t *make_room(struct buf *out, uint32_t *ret_room)
{
	size_t left = out->max - out->len, room = left < STEP_BYTES ? left : STEP_BYTES;

	*ret_room = (uint32_t)room;
	return buf_extend(out, room > 0 ? room : 1);
}

/* ISA-L fails only where it is called wrongly; what can fail is out. */
static void run(struct gzip_writer *w, struct span bytes, bool is_last)
{
	struct isal_zstream *z = &w->stream;

	REQUIRE(bytes.len <= UINT_MAX);
	z->next_in = (uint8_t *)(uintptr_t)bytes.data; /* which is only read */
	z->avail_in = (uint32_t)bytes.len;
	z->end_of_stream = is_last;
	do {
		z->next_out = make_room(w->out, &z->avail_out);
		if (!z->next_out)
			return;
		REQUIRE(isal_deflate(z) == COMP_OK);
		buf_cut(w->out, w->out->len - z->avail_out);
	} while (z->avail_out == 0);
}

void gzip_writer_add(struct gzip_writer *w, struct span bytes)
{
	if (bytes.len == 0)
		return;
	w->crc = gzip_crc32(w->crc, bytes.data, bytes.len);
	w->len += (uint32_t)bytes.len;
	run(w, bytes, false);
}

enum err_kind gzip_writer_end(struct gzip_writer *w, struct err *err)
{
	uint8_t end[2 * sizeof(uint32_t)];

	run(w, SPAN(""), true);
	put_u32_le(end, w->crc);
	put_u32_le(end + sizeof(uint32_t), w->len);
	buf_add(w->out, end, sizeof(end));
	return buf_check(w->out, err);
}

/* ERR_NONE: the member has ended. */
static enum err_kind inflate_all(z_stream *z, struct buf *out, struct err *err)
{
	int rc = Z_OK;

	while (rc == Z_OK) {
		z->next_out = make_room(out, &z->avail_out);
		if (!z->next_out)
			return buf_check(out, err);
		rc = inflate(z, Z_NO_FLUSH);
		buf_cut(out, out->len - z->avail_out);
	}
	if (rc == Z_MEM_ERROR)
		return err_set(err, ERR_FATAL, "out of memory for what is compressed");
	if (rc == Z_BUF_ERROR)
		return err_set(err, ERR_REJECT, "what is compressed by gzip is cut short");
	if (rc != Z_STREAM_END)
		return err_set(err, ERR_REJECT, "it is not what gzip makes, or is damaged");
	if (z->avail_in > 0)
		return err_set(err, ERR_REJECT, "something follows what is compressed by gzip");
	return ERR_NONE;
}

enum err_kind gzip_read(struct span bytes, struct buf *out, struct err *err)
{
	z_stream z = {.next_in = (const Bytef *)bytes.data, .avail_in = (uInt)bytes.len};
	enum err_kind rc;

	REQUIRE(bytes.len <= UINT_MAX);
	if (inflateInit2(&z, WINDOW_OF_GZIP) != Z_OK)
		return err_set(err, ERR_FATAL, "out of memory for what is compressed");
	rc = inflate_all(&z, out, err);
	(void)inflateEnd(&z);
	return rc;
}

const char *gzip_reader_library_version(void)
{
	return zlibVersion();
}

#define TEXT_OF(number) #number
#define DOTTED(major, minor, patch) TEXT_OF(major) "." TEXT_OF(minor) "." TEXT_OF(patch)

const char *gzip_writer_library_version(void)
{
	return DOTTED(ISAL_MAJOR_VERSION, ISAL_MINOR_VERSION, ISAL_PATCH_VERSION);
}
