#ifndef STAGE_DECODE_H
#define STAGE_DECODE_H

/*
 * decode: a raw line becomes a record's fields. Nothing is ever dropped.
 *
 * Three forms come in (raw_form in model/batch.h). A line that is none of
 * them, or is broken, is kept as it came: message is the whole line, decoded
 * is false and the attribute `undecoded` has a word of stage/undecoded.def
 * that says why; what could be read (app, machine, time) is filled in all the
 * same. What message cannot hold (NUL, bytes that are no UTF-8, halves of
 * surrogate pairs) becomes U+FFFD there, and raw has the bytes as decoded,
 * such halves in their three-byte form.
 *
 * Fields that no column has become attributes under dotted keys, the same for
 * all forms (error.code, http.request.method, url.full): texts, booleans and
 * integers of at most 15 digits as what they are, other numbers as text; null,
 * {} and [] as what they are. Skipped are the zero values that `fly logs --json`
 * prints for what it has not, and null where a column would be. An undotted key
 * that this file gives itself gets `line.` in front.
 *
 * Attributes that mark a record:
 *	undecoded         a word of stage/undecoded.def
 *	time              missing, unreadable or out_of_range: occurred_ns is
 *	                  not the line's own, see below
 *	claimed_time      the text of a time that was not taken
 *	fields_in_raw     true: not every field fits; raw has the whole line
 *	wrong_type        names of known fields whose value is no text, or that are
 *	                  no object though known fields belong into them; the
 *	                  value is an attribute under that name
 *	empty_message     true: the line has a message with nothing in it
 *	subject_mismatch  the NATS subject, which names another app, region or
 *	                  machine than the payload; the payload's are taken
 *	from_subject      true: app, region or machine come from the subject; a form
 *	                  that never names the app takes it from there unmarked
 *	line_bytes, line_sha256  of the whole of a line that the source cut
 *
 * A line without a time of its own that can be taken has the one at which its
 * file was last written, where it comes from a file: it was printed no later,
 * and that is the same at every reading. Else, and where that time is out of
 * range itself, it is the time of arrival. observed_ns is always that.
 *
 * A line of `fly logs` text can be forged by an application: nothing tells
 * where a message of several lines ends, so its second line may look like any
 * other. A line without prefix is not joined to the one before it: the two
 * may be in different batches, and stages keep no state.
 *
 * Ownership: the record lends from the batch, whose bytes decode() unescapes
 *            in place, and from the arena.
 * Threads:   pure but for the arena; one decoder a thread.
 * Limits:    JSON_DEPTH_MAX levels; DECODE_FIELDS_MAX fields become
 *            attributes. A text field is as long as it came: redaction cuts
 *            it to RECORD_FIELD_BYTES_MAX, when it has seen all of it.
 *            The message is not cut here: it is redacted whole, then cut.
 * Source:    the forms are those of Fly's NATS stream and of flyctl's printer.
 */

#include "base/arena.h"
#include "model/record.h"

enum {
	DECODE_PAST_MAX_DAYS = 400, /* an older line is stored under another time */
	DECODE_FUTURE_MAX_DAYS = 1,
	DECODE_FIELDS_MAX = 40, /* the rest of RECORD_ATTRS_MAX is for marks and later stages */
};

enum undecoded {
	UNDECODED_no, /* decoded */
#define UNDECODED(word, doc) UNDECODED_##word,
#include "stage/undecoded.def"
#undef UNDECODED
	UNDECODED_COUNT
};

const char *undecoded_name(enum undecoded u); /* "" for UNDECODED_no */

struct decode_context {
	struct arena *arena;
	struct span org; /* the organisation, as configured; may be empty */
	struct span app; /* for forms that do not name it; may be empty */
	bool any_time;   /* takes a time however far away: to look at lines, not to store them */
};

/* Fills *ret wholly, class and finding apart. raw may be of any content. */
void decode(const struct decode_context *ctx, struct batch *batch, const struct raw *raw,
	    struct record *ret);

#endif
