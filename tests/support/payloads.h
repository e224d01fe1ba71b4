#ifndef SUPPORT_PAYLOADS_H
#define SUPPORT_PAYLOADS_H

/* payloads: what must hold of both kinds of spool payload, lines and events. Failures end the test.
 */

#include "base/buf.h"
#include "base/span.h"

struct payload_codec {
	void (*encode)(struct buf *out); /* one with every field set */
	enum err_kind (*decode)(struct span payload, struct err *err);
};

/* What is in b, which has not failed. */
struct span payload_of(const struct buf *b);

void assert_span(struct span got, struct span wanted);

void assert_pieces_are_corrupt(const struct payload_codec *codec);
void assert_no_memory_fault_is_missed(const struct payload_codec *codec);

#endif
