#include "base/gzip.h"

#include "base/bytes.h"

#include <limits.h>
#include <stdlib.h>
#define ZLIB_CONST
#include <zlib.h>

static uint32_t crc_by_zlib(uint32_t crc, const void *bytes, size_t len)
{
	return len > 0 ? (uint32_t)crc32_z(crc, bytes, len) : crc;
}

#if defined(__x86_64__)

#include <immintrin.h>

/*
 * zlib 1.2.13 takes 180 ns for a record's 350 bytes, and its tables push other
 * things out of the cache; every record is checked when it is written and when
 * it is read. x86-64 multiplies polynomials: bytes can be folded onto those 64
 * or 16 bytes further on, by multiplying with x^n mod P for that distance, and
 * the CRC stays what it is. What is left at the end is reduced mod P, by
 * multiplying with the inverse of P (Barrett).
 *
 * All polynomials are bit-reflected; x^n stands for x^n mod P.
 */
enum { FOLD_BYTES = 64, LANE_BYTES = 16, LANES = FOLD_BYTES / LANE_BYTES };

#define FOLD_TARGET __attribute__((target("pclmul,sse4.1")))
#define BY_64 _mm_set_epi64x(0x01c6e41596, 0x0154442bd4)   /* x^(512-32), x^(512+32) */
#define BY_16 _mm_set_epi64x(0x00ccaa009e, 0x01751997d0)   /* x^(128-32), x^(128+32) */
#define BY_8 _mm_set_epi64x(0, 0x0163cd6124)               /* x^64 */
#define BARRETT _mm_set_epi64x(0x01f7011641, 0x01db710641) /* x^64 / P, and P */

FOLD_TARGET static inline __m128i load(const uint8_t *p)
{
	return _mm_loadu_si128((const __m128i *)(const void *)p);
}

FOLD_TARGET static inline __m128i fold(__m128i lane, __m128i by, __m128i onto)
{
	__m128i low = _mm_clmulepi64_si128(lane, by, 0x00);
	__m128i high = _mm_clmulepi64_si128(lane, by, 0x11);

	return _mm_xor_si128(_mm_xor_si128(low, high), onto);
}

/* The last len bytes, fewer than a lane; the 16 bytes before end can be read. */
FOLD_TARGET static inline __m128i fold_tail(__m128i lane, const uint8_t *end, size_t len)
{
	/* Control bytes with the high bit set make zeros. */
	static const uint8_t shifts[3 * LANE_BYTES] = {
		0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
		0x80, 0x80, 0x80, 0x80, 0,    1,    2,    3,    4,    5,    6,    7,
		8,    9,    10,   11,   12,   13,   14,   15,   0x80, 0x80, 0x80, 0x80,
		0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
	};
	__m128i to_the_end = load(shifts + len), to_the_start = load(shifts + LANE_BYTES + len);
	/* The lane's first len bytes, and then its rest with the tail behind it. */
	__m128i first = _mm_shuffle_epi8(lane, to_the_end);
	__m128i rest = _mm_blendv_epi8(_mm_shuffle_epi8(lane, to_the_start), load(end - LANE_BYTES),
				       to_the_start);

	return fold(first, BY_16, rest);
}

/* The CRC of a lane. */
FOLD_TARGET static inline uint32_t reduce(__m128i lane)
{
	const __m128i low_halves = _mm_set_epi32(0, -1, 0, -1);
	__m128i x, q;

	x = _mm_xor_si128(_mm_srli_si128(lane, 8), _mm_clmulepi64_si128(lane, BY_16, 0x10));
	x = _mm_xor_si128(_mm_srli_si128(x, 4),
			  _mm_clmulepi64_si128(_mm_and_si128(x, low_halves), BY_8, 0x00));
	q = _mm_clmulepi64_si128(_mm_and_si128(x, low_halves), BARRETT, 0x10);
	q = _mm_clmulepi64_si128(_mm_and_si128(q, low_halves), BARRETT, 0x00);
	return ~(uint32_t)_mm_extract_epi32(_mm_xor_si128(x, q), 1);
}

/* len is at least LANE_BYTES. */
FOLD_TARGET static uint32_t crc_by_folding(uint32_t crc, const uint8_t *p, size_t len)
{
	const uint8_t *end = p + len;
	__m128i lane = _mm_xor_si128(load(p), _mm_cvtsi32_si128((int)~crc));

	if (len >= FOLD_BYTES) {
		__m128i lanes[LANES] = {lane, load(p + 16), load(p + 32), load(p + 48)};

		for (p += FOLD_BYTES; (size_t)(end - p) >= FOLD_BYTES; p += FOLD_BYTES)
			for (size_t i = 0; i < LANES; i++)
				lanes[i] = fold(lanes[i], BY_64, load(p + i * LANE_BYTES));
		lane = lanes[0];
		for (size_t i = 1; i < LANES; i++)
			lane = fold(lane, BY_16, lanes[i]);
	} else {
		p += LANE_BYTES;
	}
	for (; (size_t)(end - p) >= LANE_BYTES; p += LANE_BYTES)
		lane = fold(lane, BY_16, load(p));
	if (p < end)
		lane = fold_tail(lane, end, (size_t)(end - p));
	return reduce(lane);
}

uint32_t gzip_crc32(uint32_t crc, const void *bytes, size_t len)
{
	if (len >= LANE_BYTES && __builtin_cpu_supports("pclmul") &&
	    __builtin_cpu_supports("sse4.1"))
		return crc_by_folding(crc, bytes, len);
	return crc_by_zlib(crc, bytes, len);
}

#else

uint32_t gzip_crc32(uint32_t crc, const void *bytes, size_t len)
{
	return crc_by_zlib(crc, bytes, len);
}

#endif

enum {
	LEVEL = 1,
	MEMORY = 8,               /* as zlib's own default */
	WINDOW_OF_GZIP = 15 + 16, /* 32 kB, and gzip's header and end */
	WINDOW_RAW = -15,         /* 32 kB, and neither */
	STEP_BYTES = 32 * 1024,   /* out grows by so much */
};

/* Deflate, no flags, no time, the fastest level, Unix: as zlib itself writes it. */
static const uint8_t gzip_header[] = {0x1f, 0x8b, 0x08, 0, 0, 0, 0, 0, 0x04, 0x03};

/* What stands around the compressed bytes is written here: zlib's CRC is ten times as slow. */
struct gzip_writer {
	z_stream stream;
	struct buf *out;
	uint32_t crc, len; /* of what was added; the length modulo 2^32, as gzip has it */
};

enum err_kind gzip_writer_new(struct gzip_writer **ret, struct err *err)
{
	struct gzip_writer *w = calloc(1, sizeof(*w));

	if (!w || deflateInit2(&w->stream, LEVEL, Z_DEFLATED, WINDOW_RAW, MEMORY,
			       Z_DEFAULT_STRATEGY) != Z_OK) {
		free(w);
		return err_set(err, ERR_FATAL, "out of memory for compressing");
	}
	*ret = w;
	return ERR_NONE;
}

void gzip_writer_free(struct gzip_writer *w)
{
	if (!w)
		return;
	(void)deflateEnd(&w->stream);
	free(w);
}

void gzip_writer_begin(struct gzip_writer *w, struct buf *out)
{
	REQUIRE(deflateReset(&w->stream) == Z_OK);
	w->out = out;
	w->crc = w->len = 0;
	buf_add(out, gzip_header, sizeof(gzip_header));
}

/* Room at the end of out for what zlib writes next; NULL: out failed. */
static uint8_t *make_room(struct buf *out, z_stream *z)
{
	size_t left = out->max - out->len, room = left < STEP_BYTES ? left : STEP_BYTES;
	uint8_t *at = buf_extend(out, room > 0 ? room : 1);

	z->next_out = at;
	z->avail_out = (uInt)room;
	return at;
}

/* zlib fails only where it is called wrongly; what can fail is out. */
static void run(struct gzip_writer *w, struct span bytes, int flush)
{
	z_stream *z = &w->stream;
	int rc;

	REQUIRE(bytes.len <= UINT_MAX);
	z->next_in = (const Bytef *)bytes.data;
	z->avail_in = (uInt)bytes.len;
	do {
		if (!make_room(w->out, z))
			return;
		rc = deflate(z, flush);
		REQUIRE(rc == Z_OK || rc == Z_STREAM_END || rc == Z_BUF_ERROR);
		buf_cut(w->out, w->out->len - z->avail_out);
	} while (z->avail_out == 0);
}

void gzip_writer_add(struct gzip_writer *w, struct span bytes)
{
	if (bytes.len == 0)
		return;
	w->crc = gzip_crc32(w->crc, bytes.data, bytes.len);
	w->len += (uint32_t)bytes.len;
	run(w, bytes, Z_NO_FLUSH);
}

enum err_kind gzip_writer_end(struct gzip_writer *w, struct err *err)
{
	uint8_t end[2 * sizeof(uint32_t)];

	run(w, SPAN(""), Z_FINISH);
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
		if (!make_room(out, z))
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

const char *gzip_library_version(void)
{
	return zlibVersion();
}
