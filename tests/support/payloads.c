#include "payloads.h"

#include "fault.h"
#include "model/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

struct span payload_of(const struct buf *b)
{
	struct err err;

	assert_int_equal(buf_check(b, &err), ERR_NONE);
	return span_of(b->data, b->len);
}

void assert_span(struct span got, struct span wanted)
{
	assert_true(span_equal(got, wanted));
}

void assert_pieces_are_corrupt(const struct payload_codec *codec)
{
	struct err err;
	struct buf b;

	buf_init(&b, RECORD_PAYLOAD_BYTES_MAX);
	codec->encode(&b);
	for (size_t len = 0; len < b.len; len++) {
		char *copy = malloc(len + 1); /* of its own size, for ASan to watch */

		memcpy(copy, b.data, len);
		assert_int_equal(codec->decode(span_of(copy, len), &err), ERR_CORRUPT);
		free(copy);
	}
	buf_u8(&b, 0);
	assert_int_equal(codec->decode(payload_of(&b), &err), ERR_CORRUPT);
	buf_release(&b);
}

static void encode_under_faults(void *arg)
{
	const struct payload_codec *const *codec = arg;
	struct err err;
	struct buf b;

	buf_init(&b, RECORD_PAYLOAD_BYTES_MAX);
	(*codec)->encode(&b);
	if (buf_check(&b, &err))
		assert_int_equal(err.kind, ERR_FATAL);
	else
		assert_int_equal((*codec)->decode(payload_of(&b), &err), ERR_NONE);
	buf_release(&b);
}

void assert_no_memory_fault_is_missed(const struct payload_codec *codec)
{
	fault_everywhere(encode_under_faults, &codec);
}
