#include "base/gzip.h"
#include "base/hash.h"
#include "fault.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct hasher *make(void)
{
	struct hasher *h = NULL;
	struct err err;

	assert_int_equal(hasher_new(&h, &err), ERR_NONE);
	return h;
}

/* The vectors of FIPS 180-2. */
static void the_standards_vectors_come_out(void **state)
{
	static const struct {
		const char *text, *hex;
	} cases[] = {
		{"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		{"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
		{"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
		 "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
	};
	struct hasher *h = make();
	uint8_t digest[HASH_BYTES];
	char hex[HASH_HEX_BYTES];
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(hasher_digest(h, span_text(cases[i].text), digest, &err), 0);
		assert_string_equal(hash_hex(digest, hex), cases[i].hex);
	}
	hasher_free(h);
	hasher_free(NULL);
}

static void what_hash_hex_would_not_write_is_no_hash(void **state)
{
	static const char sha[] =
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	char text[HASH_HEX_BYTES], ret[HASH_HEX_BYTES];

	(void)state;
	assert_true(hash_hex_copy(span_text(sha), ret));
	assert_string_equal(ret, sha);
	assert_false(hash_hex_copy(span_of(sha, sizeof(sha) - 2), ret));
	assert_false(hash_hex_copy(span_of(sha, sizeof(sha)), ret));
	assert_false(hash_hex_copy(SPAN(""), ret));
	for (size_t i = 0; i < sizeof(sha) - 1; i++)
		for (const char *bad = "/:`gAF\"\\ \n"; *bad; bad++) {
			memcpy(text, sha, sizeof(sha));
			text[i] = *bad;
			assert_false(hash_hex_copy(span_text(text), ret));
		}
	assert_string_equal(ret, sha);
}

/* Of RFC 4231: the first, the second, and one whose key is longer than a block. */
static void hmac_is_the_standards(void **state)
{
	static const struct {
		const char *text, *hex;
		uint8_t key_byte;
		size_t key_len;
	} cases[] = {
		{"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
		 0x0b, 20},
		{"Test Using Larger Than Block-Size Key - Hash Key First",
		 "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54", 0xaa, 131},
	};
	uint8_t digest[HASH_BYTES], key[131];
	char hex[HASH_HEX_BYTES];
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		memset(key, cases[i].key_byte, sizeof(key));
		assert_int_equal(hash_hmac(span_of(key, cases[i].key_len), span_text(cases[i].text),
					   digest, &err),
				 ERR_NONE);
		assert_string_equal(hash_hex(digest, hex), cases[i].hex);
	}
	assert_int_equal(
		hash_hmac(SPAN("Jefe"), SPAN("what do ya want for nothing?"), digest, &err),
		ERR_NONE);
	assert_string_equal(hash_hex(digest, hex),
			    "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	assert_int_equal(hash_hmac(SPAN("Jefe"), SPAN(""), digest, &err), ERR_NONE);
}

static void pieces_make_the_digest_of_the_whole(void **state)
{
	struct span text = SPAN("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq");
	struct hasher *h = make();
	uint8_t whole[HASH_BYTES], pieces[HASH_BYTES];
	struct err err;

	(void)state;
	assert_int_equal(hasher_digest(h, text, whole, &err), ERR_NONE);
	for (size_t cut = 0; cut <= text.len; cut++) {
		assert_int_equal(hasher_begin(h, &err), ERR_NONE);
		hasher_add(h, text.data, cut);
		hasher_add(h, text.data + cut, text.len - cut);
		assert_int_equal(hasher_end(h, pieces, &err), ERR_NONE);
		assert_memory_equal(whole, pieces, HASH_BYTES);
	}
	hasher_free(h);
}

static void random_bytes_differ(void **state)
{
	uint8_t a[32] = {0}, b[32] = {0};
	struct err err;

	(void)state;
	assert_int_equal(hash_random(a, sizeof(a), &err), ERR_NONE);
	assert_int_equal(hash_random(b, sizeof(b), &err), ERR_NONE);
	assert_memory_not_equal(a, b, sizeof(a));
}

static void crc32_is_gzips(void **state)
{
	(void)state;
	assert_int_equal(gzip_crc32(0, "123456789", 9), 0xcbf43926);
	assert_int_equal(gzip_crc32(gzip_crc32(0, "1234", 4), "56789", 5), 0xcbf43926);
	assert_int_equal(gzip_crc32(7, NULL, 0), 7);
}

static void work_under_faults(void *arg)
{
	struct hasher *h = NULL;
	uint8_t bytes[8];
	struct err err;
	enum err_kind rc = hasher_new(&h, &err);

	(void)arg;
	assert_true(rc == ERR_NONE || rc == ERR_FATAL);
	hasher_free(h);
	rc = hash_random(bytes, sizeof(bytes), &err);
	assert_true(rc == ERR_NONE || rc == ERR_FATAL);
}

static void no_fault_leaks_or_crashes(void **state)
{
	(void)state;
	fault_everywhere(work_under_faults, NULL);
}

/* Bit by bit, as the standard says it. */
static uint32_t crc32_plainly(uint32_t crc, const uint8_t *p, size_t len)
{
	crc = ~crc;
	for (size_t i = 0; i < len; i++) {
		crc ^= p[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0xedb88320) : 0);
	}
	return ~crc;
}

static void crc32_is_the_same_for_every_length_and_alignment(void **state)
{
	enum { LEN_MAX = 700, OFFSETS = 17 };
	uint8_t bytes[LEN_MAX + OFFSETS];
	uint32_t n = 1;

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++) {
		n = n * 1664525 + 1013904223;
		bytes[i] = (uint8_t)(n >> 24);
	}
	for (size_t len = 0; len <= LEN_MAX; len++) {
		const uint8_t *p = bytes + len % OFFSETS;

		assert_int_equal(gzip_crc32(0, p, len), crc32_plainly(0, p, len));
		assert_int_equal(gzip_crc32(n, p, len), crc32_plainly(n, p, len));
		assert_int_equal(gzip_crc32(gzip_crc32(n, p, len / 3), p + len / 3, len - len / 3),
				 crc32_plainly(n, p, len));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_standards_vectors_come_out),
		cmocka_unit_test(what_hash_hex_would_not_write_is_no_hash),
		cmocka_unit_test(hmac_is_the_standards),
		cmocka_unit_test(pieces_make_the_digest_of_the_whole),
		cmocka_unit_test(random_bytes_differ),
		cmocka_unit_test(crc32_is_gzips),
		cmocka_unit_test(crc32_is_the_same_for_every_length_and_alignment),
		cmocka_unit_test(no_fault_leaks_or_crashes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
