/* What is found in a text, where, and how little it takes to say that there is nothing. */

#include "stage/search.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct searcher *searcher;

static int set_up(void **state)
{
	struct err err;

	(void)state;
	return searcher_new(&searcher, &err) ? -1 : 0;
}

static int tear_down(void **state)
{
	(void)state;
	searcher_free(searcher);
	return 0;
}

static void assert_hit(struct span text, const char *expected)
{
	const struct hits *hits = searcher_find(searcher, text, NULL);
	const struct hit *hit;

	assert_non_null(hits);
	assert_int_equal(hits_count(hits), 1);
	hit = hits_at(hits, 0);
	assert_true(span_is(span_of(text.data + hit->start, hit->end - hit->start), expected));
}

static void hits_are_places_in_the_text_itself(void **state)
{
	(void)state;
	assert_hit(SPAN("a password=b c"), "b");
	assert_hit(SPAN("a pass\x1b[0mword=b c"), "b");
	assert_hit(SPAN("a password%3D%2562 c"), "%2562");
	assert_hit(SPAN("{\"password\":{\"a\":[1,\"]}\"]},\"b\":1}"), "{\"a\":[1,\"]}\"]}");
}

static void a_known_hit_is_one_of_them(void **state)
{
	struct hit known = {0, 3, SECRET_pem_private_key};
	const struct hits *hits = searcher_find(searcher, SPAN("abc password=b"), &known);

	(void)state;
	assert_non_null(hits);
	assert_int_equal(hits_count(hits), 2);
	assert_int_equal(hits_at(hits, 0)->kind, SECRET_pem_private_key);
	assert_int_equal(hits_at(hits, 1)->kind, SECRET_password);
}

static void bytes_that_are_no_text_are_searched_in_their_plain_form(void **state)
{
	struct span bytes = SPAN("pass\xffword=b");

	(void)state;
	assert_int_equal(hits_count(searcher_find(searcher, bytes, NULL)), 0);
	assert_int_equal(hits_count(searcher_find_in_bytes(searcher, bytes)), 1);
}

static void that_a_key_began_is_told_once(void **state)
{
	(void)state;
	(void)searcher_saw_pem(searcher);
	assert_non_null(searcher_find(searcher, SPAN("-----BEGIN CERTIFICATE-----"), NULL));
	assert_non_null(searcher_find(searcher, SPAN("x"), NULL));
	assert_true(searcher_saw_pem(searcher));
	assert_false(searcher_saw_pem(searcher));
}

static void only_a_text_without_any_sign_can_be_skipped(void **state)
{
	(void)state;
	assert_true(searcher_can_skip(searcher, SPAN("GET /feed 200 100%")));
	assert_false(searcher_can_skip(searcher, SPAN("a token")));
	assert_false(searcher_can_skip(searcher, SPAN("a\\b")));
	assert_false(searcher_can_skip(searcher, SPAN("a%20b")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hits_are_places_in_the_text_itself),
		cmocka_unit_test(a_known_hit_is_one_of_them),
		cmocka_unit_test(bytes_that_are_no_text_are_searched_in_their_plain_form),
		cmocka_unit_test(that_a_key_began_is_told_once),
		cmocka_unit_test(only_a_text_without_any_sign_can_be_skipped),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
