/* RFC 4648's own examples, bytes that need every bit, and a buffer that is full. */

#include "base/base64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void assert_becomes(struct span bytes, const char *text)
{
	struct buf b;

	buf_init(&b, 64);
	base64_write(&b, bytes);
	assert_int_equal(b.failed, ERR_NONE);
	assert_int_equal(b.len, strlen(text));
	assert_int_equal(b.len, BASE64_BYTES(bytes.len));
	if (b.len > 0)
		assert_memory_equal(b.data, text, b.len);
	buf_reset(&b);
	assert_true(base64_read(&b, span_text(text)));
	assert_int_equal(b.len, bytes.len);
	if (b.len > 0)
		assert_memory_equal(b.data, bytes.data, b.len);
	buf_release(&b);
}

static void the_rfcs_examples_come_out(void **state)
{
	(void)state;
	assert_becomes(SPAN(""), "");
	assert_becomes(SPAN("f"), "Zg==");
	assert_becomes(SPAN("fo"), "Zm8=");
	assert_becomes(SPAN("foo"), "Zm9v");
	assert_becomes(SPAN("foob"), "Zm9vYg==");
	assert_becomes(SPAN("fooba"), "Zm9vYmE=");
	assert_becomes(SPAN("foobar"), "Zm9vYmFy");
}

static void bytes_of_any_value_are_text(void **state)
{
	(void)state;
	assert_becomes(span_of("\0\0\0", 3), "AAAA");
	assert_becomes(span_of("\xff\xff\xff", 3), "////");
	assert_becomes(span_of("\xfb\xef\xbe\x00", 4), "++++AA==");
}

static void what_does_not_fit_is_told_by_the_buffer(void **state)
{
	struct buf b;
	struct err err;

	(void)state;
	buf_init(&b, 7);
	base64_write(&b, SPAN("foob"));
	assert_int_equal(buf_check(&b, &err), ERR_FULL);
	buf_release(&b);
}

static void what_is_no_text_of_bytes_is_not_read(void **state)
{
	static const char *const texts[] = {
		"Z",    "Zg",   "Zg=",  "Zg==Zg==", "Zh==", "Zm9=",     "Zm9v\n",          "Zm 9",
		"====", "Z===", "=g==", "Zg=x",     "Zm9-", "Zm9v====", "\xff\xff\xff\xff"};
	struct buf b;

	(void)state;
	buf_init(&b, 64);
	buf_str(&b, "before");
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		assert_false(base64_read(&b, span_text(texts[i])));
		assert_int_equal(b.len, strlen("before"));
	}
	buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_rfcs_examples_come_out),
		cmocka_unit_test(bytes_of_any_value_are_text),
		cmocka_unit_test(what_is_no_text_of_bytes_is_not_read),
		cmocka_unit_test(what_does_not_fit_is_told_by_the_buffer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
