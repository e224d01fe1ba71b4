#ifndef SINK_SINK_H
#define SINK_SINK_H

/*
 * sink: a place that records go to from the spool, beside Postgres. sink/s3.c
 * implements it; run/forwarder.h calls it from one thread of its own for each sink.
 *
 *	begin, add, add, ... seal            a range of the spool becomes a delivery
 *	deliver, deliver, ...                until it is done; then the next begin
 *
 * A delivery is a function of its range: begun and filled again, after a crash or in
 * the same process, it is the same. So deliver may be called again at any time, and
 * what is there already is not doubled, as far as the place lets that be known.
 * It goes on where it stopped.
 *
 * Ownership: ctx is the implementation's own; what add is given is lent for the call.
 * Threads:   one thread calls all of it.
 */

#include "base/buf.h"

#include <stdint.h>

enum { SINK_SAID_BYTES_MAX = 200 };

struct sink {
	const struct sink_ops *ops;
	void *ctx;
	unsigned gather_seconds; /* a delivery waits so long for more, from its first record on */
	/*
	 * Where the records go, as the options say it, and no secret; lent until close. Another
	 * text is another place, of which nothing is true that was found of the first.
	 */
	const char *place;
};

/* What a place says beside yes and no. */
struct sink_answer {
	unsigned wait_seconds; /* it wants to be left alone so long; 0: it says nothing of that */
	uint64_t refused_seq;  /* of ERR_REJECT */
	/* Of ERR_REJECT, the first bytes of the place's own words: for the dead letter, no log. */
	char said[SINK_SAID_BYTES_MAX];
	size_t said_len;
	bool is_begun;   /* some of the delivery is there */
	bool is_its_own; /* of ERR_CONFIG: it is about this delivery, and no other is kept by it */
};

static inline void sink_keep_said(struct sink_answer *a, struct span words)
{
	a->said_len = words.len < sizeof(a->said) ? words.len : sizeof(a->said);
	if (a->said_len > 0)
		memcpy(a->said, words.data, a->said_len);
}

struct sink_ops {
	const char *name; /* in metrics, logs and the names of files */

	/* again: this delivery may have been made before, in part or whole. */
	void (*begin)(void *ctx, uint64_t first_seq, bool again);
	/*
	 * ERR_FULL: the delivery ends before this record, which begins the next.
	 * ERR_REJECT: it can never be delivered; the delivery is without it. *ret_taken false: it
	 * is none of those that the sink is to have, by its options.
	 */
	enum err_kind (*add)(void *ctx, uint64_t seq, struct span payload, bool *ret_taken,
			     struct err *err);
	/* No more is added. Appends to cut a text that is equal where the delivery is. */
	enum err_kind (*seal)(void *ctx, uint64_t last_seq, struct buf *cut, struct err *err);
	/*
	 * ERR_NONE: all of it is there. ERR_RETRY: later. ERR_CONFIG: an operator must act.
	 * ERR_REJECT: the record refused_seq can never be delivered, and the delivery is without
	 * it from now on. *ret is to be zeros.
	 */
	enum err_kind (*deliver)(void *ctx, struct sink_answer *ret, struct err *err);
	/* Ends it; frees ctx. */
	void (*close)(void *ctx);
};

#endif
