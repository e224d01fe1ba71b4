#include "secrets.h"

#include "stage/plain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define PATH "tests/data/secrets.txt"

enum { FILE_BYTES_MAX = 64 * 1024, SHOWN_BYTES_MAX = 16 * 1024 * 1024 };

static char bytes[FILE_BYTES_MAX];
static struct secret secrets[SECRETS_MAX];
static size_t count;

/* What stands before the next `end` in *rest, which then begins behind it. */
static struct span take_until(struct span *rest, char end)
{
	const char *at = memchr(rest->data, end, rest->len);
	struct span taken = *rest;

	assert_non_null(at);
	taken.len = (size_t)(at - rest->data);
	*rest = span_after(*rest, taken.len + 1);
	return taken;
}

const struct secret *secrets_load(size_t *ret_count)
{
	FILE *f;
	struct span rest;

	if (count == 0) {
		f = fopen(PATH, "rb");
		if (!f)
			fail_msg(PATH ": not there; unit tests are run from the repository's root");
		rest = span_of(bytes, fread(bytes, 1, sizeof(bytes), f));
		assert_int_equal(fclose(f), 0);
		while (rest.len > 0) {
			struct secret *s = &secrets[count++];

			assert_true(count <= SECRETS_MAX);
			s->kind = take_until(&rest, '\t');
			s->secret = take_until(&rest, '\t');
			s->text = take_until(&rest, '\n');
			assert_non_null(
				memmem(s->text.data, s->text.len, s->secret.data, s->secret.len));
		}
	}
	*ret_count = count;
	return secrets;
}

static bool holds_piece(struct span secret, struct span text)
{
	size_t piece = secret.len < SECRET_PIECE_BYTES ? secret.len : SECRET_PIECE_BYTES;

	if (text.len == 0)
		return false;
	for (size_t i = 0; i + piece <= secret.len; i++) {
		if (memmem(text.data, text.len, secret.data + i, piece))
			return true;
	}
	return false;
}

static bool plain_form_holds_piece(struct span secret, struct span text, unsigned depth)
{
	struct buf plain;
	bool found;

	buf_init(&plain, SHOWN_BYTES_MAX);
	plain_write(text, depth, &plain);
	found = holds_piece(secret, span_of(plain.data, plain.len));
	buf_release(&plain);
	return found;
}

bool secret_is_in(struct span secret, struct span text)
{
	bool found = holds_piece(secret, text);

	for (unsigned depth = 0; depth <= PLAIN_DEPTH_MAX && !found && text.len > 0; depth++)
		found = plain_form_holds_piece(secret, text, depth);
	return found;
}
