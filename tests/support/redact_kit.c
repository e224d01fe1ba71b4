#include "redact_kit.h"

enum { ARENA_BYTES_MAX = 64 * 1024 * 1024 };

struct redactor *redactor;
struct arena arena;

int redact_kit_set_up(void **state)
{
	struct err err;

	(void)state;
	arena_init(&arena, ARENA_BYTES_MAX);
	return redactor_new(&redactor, &err) ? -1 : 0;
}

int redact_kit_tear_down(void **state)
{
	(void)state;
	redactor_free(redactor);
	arena_release(&arena);
	return 0;
}
