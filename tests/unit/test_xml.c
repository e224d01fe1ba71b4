/* What an XML document says, element by element, and what is refused of it. */
#include "base/xml.h"

#include "fault.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

enum { TOLD_BYTES_MAX = 4096, DOCUMENT_BYTES_MAX = 64 * 1024 };

static struct buf told;

static int set_up(void **state)
{
	(void)state;
	buf_init(&told, TOLD_BYTES_MAX);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	buf_release(&told);
	return 0;
}

static void element(void *arg, struct span path, struct span text)
{
	buf_span(arg, path);
	buf_str(arg, "=");
	buf_span(arg, text);
	buf_str(arg, ";");
}

static enum err_kind read_all(struct span document, struct err *err)
{
	const struct xml_calls calls = {.element = element, .arg = &told};

	return xml_read(document, &calls, err);
}

static void assert_told(const char *document, const char *expected)
{
	struct err err;

	buf_reset(&told);
	assert_int_equal(read_all(span_text(document), &err), ERR_NONE);
	assert_string_equal((const char *)told.data, expected);
}

static void assert_refused(struct span document, const char *why)
{
	struct err err;

	buf_reset(&told);
	assert_int_equal(read_all(document, &err), ERR_REJECT);
	assert_non_null(strstr(err.text, why));
}

static void each_element_is_told_with_its_place_and_text(void **state)
{
	(void)state;
	assert_told("<?xml version=\"1.0\"?><a><b>one</b><c d=\"e\"><b>two</b></c></a>",
		    "a/b=one;a/c/b=two;a/c=;a=;");
}

static void a_prefix_is_no_part_of_a_name(void **state)
{
	(void)state;
	assert_told("<x:a xmlns:x=\"y\"><x:b/></x:a>", "a/b=;a=;");
}

static void text_in_pieces_is_one(void **state)
{
	(void)state;
	assert_told("<a>1&lt;&#x32;<![CDATA[<3>]]><!-- 4 --><?e 5?>6</a>", "a=1<2<3>6;");
}

static void a_doctype_and_what_it_declares_are_refused(void **state)
{
	(void)state;
	assert_refused(SPAN("<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>"), "document type");
	assert_refused(SPAN("<!DOCTYPE a SYSTEM \"file:///etc/hostname\"><a/>"), "document type");
	assert_int_equal(told.len, 0);
	assert_refused(SPAN("<a>&b;</a>"), "undefined entity");
}

static void what_is_no_document_is_refused(void **state)
{
	static const char *const documents[] = {"",         "a",           "<a>",        "<a></b>",
						"<a/><b/>", "<a>\x01</a>", "<a>\xff</a>"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(documents); i++)
		assert_refused(span_text(documents[i]), "no XML");
}

static void nest(struct buf *out, size_t depth)
{
	buf_reset(out);
	for (size_t i = 0; i + 1 < depth; i++)
		buf_str(out, "<a>");
	buf_str(out, "<a/>");
	for (size_t i = 0; i + 1 < depth; i++)
		buf_str(out, "</a>");
}

static void depth_and_texts_have_bounds(void **state)
{
	struct buf document;
	struct err err;

	(void)state;
	buf_init(&document, DOCUMENT_BYTES_MAX);
	nest(&document, XML_DEPTH_MAX);
	assert_int_equal(read_all(span_of(document.data, document.len), &err), ERR_NONE);
	nest(&document, XML_DEPTH_MAX + 1);
	assert_refused(span_of(document.data, document.len), "too many elements");
	buf_reset(&document);
	buf_str(&document, "<a>");
	for (size_t i = 0; i <= XML_TEXT_BYTES_MAX; i++)
		buf_str(&document, "b");
	buf_str(&document, "</a>");
	assert_refused(span_of(document.data, document.len), "too long a text");
	buf_release(&document);
}

static void read_under_faults(void *arg)
{
	struct err err;
	enum err_kind rc;

	(void)arg;
	buf_reset(&told);
	rc = read_all(SPAN("<a><b>one</b><c>two</c></a>"), &err);
	if (rc)
		assert_int_equal(rc, ERR_FATAL);
}

static void no_memory_is_said(void **state)
{
	(void)state;
	fault_everywhere(read_under_faults, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(each_element_is_told_with_its_place_and_text),
		TEST(a_prefix_is_no_part_of_a_name),
		TEST(text_in_pieces_is_one),
		TEST(a_doctype_and_what_it_declares_are_refused),
		TEST(what_is_no_document_is_refused),
		TEST(depth_and_texts_have_bounds),
		TEST(no_memory_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
