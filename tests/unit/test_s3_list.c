/* A bucket's listing: page after page, keys as they are, and answers that are none. */
#include "sink/s3_list.h"

#include "s3_kit.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct tiny_http server;
static struct s3_kit_script script;
static struct s3_client *client;
static struct s3_list *list;
static const struct s3_listed *objects;
static size_t count;
static struct err err;

static void answer(unsigned status, const char *body)
{
	s3_kit_answer(&script, status, "", body);
}

#define PAGE(inside)                                                                  \
	"<?xml version=\"1.0\" encoding=\"UTF-8\"?>"                                  \
	"<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">" inside \
	"</ListBucketResult>"
#define MORE(token)                       \
	"<IsTruncated>true</IsTruncated>" \
	"<NextContinuationToken>" token "</NextContinuationToken>"
#define OBJECT(key, size) "<Contents><Key>" key "</Key><Size>" size "</Size></Contents>"
#define URL "<EncodingType>url</EncodingType>"

static int set_up(void **state)
{
	(void)state;
	script.count = 0;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	s3_list_free(list);
	s3_client_free(client);
	tiny_http_stop(&server);
	return 0;
}

static void begin_by(enum err_kind (*list_new)(struct s3_list **, struct s3_client *, const char *,
					       const char *, struct err *),
		     const char *after)
{
	struct s3_options options;

	tiny_http_start(&server, script.answers);
	options = s3_kit_options(server.url);
	assert_int_equal(s3_client_new(&client, &options, &err), ERR_NONE);
	assert_int_equal(list_new(&list, client, "audit/lines/", after, &err), ERR_NONE);
}

static void begin(const char *after)
{
	begin_by(s3_list_new, after);
}

static void assert_page(size_t expected)
{
	assert_int_equal(s3_list_page(list, &objects, &count, &err), ERR_NONE);
	assert_int_equal(count, expected);
}

static void assert_object(size_t idx, const char *key, uint64_t bytes)
{
	assert_true(span_is(objects[idx].key, key));
	assert_int_equal(objects[idx].bytes, bytes);
}

static void assert_asked(size_t idx, const char *text)
{
	assert_true(idx < atomic_load(&server.count));
	assert_non_null(strstr(server.requests[idx], text));
}

static void pages_follow_each_other_by_their_tokens(void **state)
{
	(void)state;
	answer(200, PAGE(MORE("1/a=&amp;") OBJECT("audit/lines/a", "7")));
	answer(200, PAGE(MORE("2")));
	answer(200, PAGE("<IsTruncated>false</IsTruncated>" OBJECT("audit/lines/b", "0")
				 OBJECT("audit/lines/c", "18446744073709551615")));
	begin("audit/lines/0");
	assert_page(1);
	assert_object(0, "audit/lines/a", 7);
	assert_page(2);
	assert_object(0, "audit/lines/b", 0);
	assert_object(1, "audit/lines/c", UINT64_MAX);
	assert_page(0);
	assert_page(0);
	assert_asked(0, "GET /trail?encoding-type=url&list-type=2&prefix=audit%2Flines%2F"
			"&start-after=audit%2Flines%2F0 ");
	assert_asked(1, "continuation-token=1%2Fa%3D%26&");
	assert_asked(2, "continuation-token=2&");
	assert_int_equal(atomic_load(&server.count), 3);
}

static void when_an_object_was_stored_is_said(void **state)
{
	(void)state;
	answer(200, PAGE(MORE("1") "<Contents><Key>a</Key><LastModified>2022-09-27T20:34:39.660Z"
				   "</LastModified><Size>1</Size></Contents>" OBJECT("b", "1")));
	answer(200, PAGE("<Contents><Key>c</Key><LastModified>yesterday</LastModified>"
			 "<Size>1</Size></Contents>"));
	begin("");
	assert_page(2);
	assert_int_equal(objects[0].stored_ns, INT64_C(1664310879660000000));
	assert_int_equal(objects[1].stored_ns, 0);
	assert_page(1);
	assert_int_equal(objects[0].stored_ns, 0);
}

static void a_key_is_as_it_is_and_not_as_it_came(void **state)
{
	(void)state;
	answer(200, PAGE(OBJECT("d%3D1/%01+%2b%2", "1") URL));
	begin("");
	assert_page(1);
	assert_object(0, "d=1/\x01 +%2", 1);
	assert_null(strstr(server.requests[0], "start-after"));
}

static void who_does_not_encode_is_taken_at_its_word(void **state)
{
	(void)state;
	answer(200, PAGE(OBJECT("d%3D1+", "1")));
	begin("");
	assert_page(1);
	assert_object(0, "d%3D1+", 1);
}

static void a_page_that_failed_is_asked_for_again(void **state)
{
	(void)state;
	answer(200, PAGE(MORE("2") OBJECT("a", "1")));
	answer(503, "");
	answer(200, PAGE(OBJECT("b", "1")));
	begin("");
	assert_page(1);
	assert_int_equal(s3_list_page(list, &objects, &count, &err), ERR_RETRY);
	assert_page(1);
	assert_object(0, "b", 1);
	assert_asked(2, "continuation-token=2&");
}

static void assert_no_listing(const char *body)
{
	script.count = 0;
	answer(200, body);
	begin("");
	assert_int_equal(s3_list_page(list, &objects, &count, &err), ERR_RETRY);
	assert_string_equal(err.text, "what S3 answers is no listing");
	assert_int_equal(count, 0);
	(void)tear_down(NULL);
	list = NULL;
	client = NULL;
}

static void what_is_no_listing_is_no_empty_one(void **state)
{
	(void)state;
	assert_no_listing("");
	assert_no_listing("<html></html>");
	assert_no_listing("<ListBucketResult>");
	assert_no_listing(PAGE(OBJECT("a", "-1")));
	assert_no_listing(PAGE("<IsTruncated>true</IsTruncated>"));
}

static void a_token_that_leads_nowhere_is_refused(void **state)
{
	(void)state;
	answer(200, PAGE(MORE("2") OBJECT("a", "1")));
	answer(200, PAGE(MORE("2") OBJECT("a", "1")));
	begin("");
	assert_page(1);
	assert_int_equal(s3_list_page(list, &objects, &count, &err), ERR_RETRY);
}

#define VERSIONS(inside) "<ListVersionsResult>" inside "</ListVersionsResult>"
#define VERSION(key, id)                                                         \
	"<Version><Key>" key "</Key><VersionId>" id "</VersionId><Size>7</Size>" \
	"<LastModified>1970-01-01T00:00:01.000Z</LastModified></Version>"
#define DELETED(key) "<DeleteMarker><Key>" key "</Key><VersionId>d</VersionId></DeleteMarker>"

static void assert_version(size_t idx, const char *key, const char *version)
{
	assert_true(span_is(objects[idx].key, key));
	assert_true(span_is(objects[idx].version, version));
	assert_int_equal(objects[idx].bytes, 7);
	assert_int_equal(objects[idx].stored_ns, INT64_C(1000000000));
}

static void all_versions_are_told_also_those_that_a_marker_hides(void **state)
{
	(void)state;
	answer(200, VERSIONS("<IsTruncated>true</IsTruncated><NextKeyMarker>a%3D1</NextKeyMarker>"
			     "<NextVersionIdMarker>v2</NextVersionIdMarker>" URL DELETED("a%3D1")
				     VERSION("a%3D1", "v1") VERSION("a%3D1", "v2")));
	answer(200, VERSIONS("<IsTruncated>true</IsTruncated><NextKeyMarker>a%3D1</NextKeyMarker>"
			     "<NextVersionIdMarker>v3</NextVersionIdMarker>" URL));
	answer(200, VERSIONS(URL VERSION("a%3D1", "null")));
	begin_by(s3_list_new_versions, "audit/lines/0");
	assert_page(2);
	assert_version(0, "a=1", "v1");
	assert_version(1, "a=1", "v2");
	assert_page(1);
	assert_version(0, "a=1", "null");
	assert_page(0);
	assert_asked(0, "GET /trail?encoding-type=url&key-marker=audit%2Flines%2F0"
			"&prefix=audit%2Flines%2F&versions= ");
	assert_asked(1, "key-marker=a%3D1&prefix=audit%2Flines%2F&version-id-marker=v2&versions= ");
	assert_asked(2, "version-id-marker=v3&");
}

static void a_page_of_versions_that_leads_nowhere_is_refused(void **state)
{
	static const char page[] =
		VERSIONS("<IsTruncated>true</IsTruncated><NextKeyMarker>a</NextKeyMarker>"
			 "<NextVersionIdMarker>v</NextVersionIdMarker>" VERSION("a", "v"));

	(void)state;
	answer(200, page);
	answer(200, page);
	begin_by(s3_list_new_versions, "");
	assert_page(1);
	assert_int_equal(s3_list_page(list, &objects, &count, &err), ERR_RETRY);
}

static void a_listing_of_objects_is_none_of_versions(void **state)
{
	(void)state;
	answer(200, PAGE(OBJECT("a", "1")));
	begin_by(s3_list_new_versions, "");
	assert_int_equal(s3_list_page(list, &objects, &count, &err), ERR_RETRY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(pages_follow_each_other_by_their_tokens),
		TEST(when_an_object_was_stored_is_said),
		TEST(a_key_is_as_it_is_and_not_as_it_came),
		TEST(who_does_not_encode_is_taken_at_its_word),
		TEST(a_page_that_failed_is_asked_for_again),
		cmocka_unit_test_setup(what_is_no_listing_is_no_empty_one, set_up),
		TEST(a_token_that_leads_nowhere_is_refused),
		TEST(all_versions_are_told_also_those_that_a_marker_hides),
		TEST(a_page_of_versions_that_leads_nowhere_is_refused),
		TEST(a_listing_of_objects_is_none_of_versions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
