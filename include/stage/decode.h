#ifndef STAGE_DECODE_H
#define STAGE_DECODE_H

/*
 * decode: a raw line becomes a record's fields. Nothing is ever dropped.
 *
 * Three forms come in (raw_form in model/batch.h). A line that is none of
 * them, or is broken, is kept as it came: message is the whole line, decoded
 * is false and the attribute `undecoded` says why. What message cannot hold
 * (NUL, bytes that are no UTF-8, lone surrogates) becomes U+FFFD there, and
 * raw has what came.
 *
 * Ownership: the record lends from the batch, whose bytes decode() unescapes
 *            in place, and from the arena.
 * Threads:   pure but for the arena; one decoder a thread.
 * Limits:    JSON_DEPTH_MAX levels; unknown fields become attributes up to
 *            RECORD_ATTRS_MAX; a text field is cut at RECORD_FIELD_BYTES_MAX.
 *            The message is not cut here: it is redacted whole, then cut.
 * Source:    the forms are those of Fly's NATS stream and of flyctl's printer.
 */

#include "base/arena.h"
#include "model/record.h"

enum {
	DECODE_PAST_MAX_DAYS = 400, /* an older line is stored under its time of arrival */
	DECODE_FUTURE_MAX_DAYS = 1,
};

struct decode_context {
	struct arena *arena;
	struct span org; /* the organisation, as configured; may be empty */
	struct span app; /* for forms that do not name it; may be empty */
};

/* Fills *ret wholly, class and finding apart. raw may be of any content. */
void decode(const struct decode_context *ctx, struct batch *batch, const struct raw *raw,
	    struct record *ret);

#endif
