#ifndef SUPPORT_SKIP_H
#define SUPPORT_SKIP_H

/* skip: no test is left out without a word. After cmocka.h. */

static inline void skip_because(const char *why)
{
	print_message("# skipped because %s\n", why); /* tests/run.py reads it */
	skip();
}

#endif
