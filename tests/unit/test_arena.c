#include "base/arena.h"
#include "fault.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { SMALL_MAX = 1024, LARGE_MAX = 8 * 1024 * 1024 };

static void what_it_hands_out_is_aligned_and_apart(void **state)
{
	uint8_t *blocks[100];
	struct arena a;

	(void)state;
	arena_init(&a, LARGE_MAX);
	for (size_t i = 0; i < ARRAY_LEN(blocks); i++) {
		blocks[i] = arena_alloc(&a, i * 37);
		assert_non_null(blocks[i]);
		assert_int_equal((uintptr_t)blocks[i] % 8, 0);
		memset(blocks[i], (int)i, i * 37);
	}
	for (size_t i = 0; i < ARRAY_LEN(blocks); i++) {
		for (size_t at = 0; at < i * 37; at++)
			assert_int_equal(blocks[i][at], i);
	}
	arena_release(&a);
}

static void the_ceiling_holds(void **state)
{
	struct arena a;
	size_t total = 0;

	(void)state;
	arena_init(&a, SMALL_MAX);
	assert_null(arena_alloc(&a, SMALL_MAX + 1));
	assert_null(arena_alloc(&a, SIZE_MAX));
	while (arena_alloc(&a, 64))
		total += 64;
	assert_int_equal(total, SMALL_MAX);
	arena_reset(&a);
	assert_non_null(arena_alloc(&a, SMALL_MAX));
	arena_release(&a);
}

static void a_reset_keeps_one_ordinary_block(void **state)
{
	struct arena a;

	(void)state;
	arena_init(&a, LARGE_MAX);
	assert_non_null(arena_alloc(&a, 10));
	assert_non_null(arena_alloc(&a, 1024 * 1024));
	assert_non_null(arena_alloc(&a, 10));
	assert_true(a.used > 1024 * 1024);
	arena_reset(&a);
	assert_true(a.used > 0 && a.used < 100 * 1024);
	assert_non_null(arena_alloc(&a, LARGE_MAX - a.used));
	arena_release(&a);
	arena_reset(&a);
	assert_int_equal(a.used, 0);
}

static void shrinking_gives_back_the_tail(void **state)
{
	struct arena a;
	uint8_t *first, *second;

	(void)state;
	arena_init(&a, SMALL_MAX);
	first = arena_alloc(&a, 1000);
	assert_non_null(first);
	arena_shrink(&a, first, 1000, 3);
	second = arena_alloc(&a, 1000);
	assert_ptr_equal(second, first + 8);
	arena_shrink(&a, second, 1000, 1000);
	arena_release(&a);
}

static void a_copy_is_equal_and_elsewhere(void **state)
{
	struct arena a;
	struct span copy;

	(void)state;
	arena_init(&a, SMALL_MAX);
	copy = arena_copy(&a, SPAN("a\0b"));
	assert_true(span_equal(copy, SPAN("a\0b")));
	copy = arena_copy(&a, SPAN(""));
	assert_non_null(copy.data);
	assert_int_equal(copy.len, 0);
	assert_null(arena_copy(&a, span_of(copy.data, SMALL_MAX + 1)).data);
	arena_release(&a);
}

static void fill(void *arg)
{
	struct arena a;

	(void)arg;
	arena_init(&a, LARGE_MAX);
	for (size_t i = 0; i < 20; i++) {
		void *block = arena_alloc(&a, 20 * 1024);

		if (block)
			memset(block, 1, 20 * 1024);
		if (i == 10)
			arena_reset(&a);
	}
	arena_release(&a);
}

static void no_memory_fault_leaks_or_crashes(void **state)
{
	(void)state;
	fault_everywhere(fill, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_it_hands_out_is_aligned_and_apart),
		cmocka_unit_test(the_ceiling_holds),
		cmocka_unit_test(a_reset_keeps_one_ordinary_block),
		cmocka_unit_test(shrinking_gives_back_the_tail),
		cmocka_unit_test(a_copy_is_equal_and_elsewhere),
		cmocka_unit_test(no_memory_fault_leaks_or_crashes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
