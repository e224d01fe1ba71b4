#ifndef STAGE_PATTERN_H
#define STAGE_PATTERN_H

/*
 * pattern: the small language in which stage/rules.def says what a line looks
 * like.
 *
 * A pattern is literal text with fields in braces, and must use up the whole
 * line:
 *
 *	{int:pid}      a field of the type `int`, named pid
 *	{machine}      a field with its type's usual name, here machine
 *	{int:}         a field that is not kept
 *	{text:error}   anything, as far as the last place where the literal that
 *	               follows it stands; at the pattern's end: all of the rest
 *	{failure:note} all of the rest, where a word in it speaks of a failure
 *	{scaling:note} all of the rest, where it speaks of machines
 *	{one|other}    one of these literals, the first that stands there
 *	{?}...{/}      what may be absent as a whole; not nested
 *
 * A field takes the longest run of bytes that its type allows, at least one
 * (names, paths and words leave the dots that end a sentence), and no choice is ever
 * taken back (but for leaving out one {?}), so matching takes time linear in
 * the line.
 *
 * Ownership: what is matched lends from the line and the pattern.
 * Threads:   pure functions over constants.
 * Limits:    PATTERN_FIELDS_MAX fields kept.
 */

#include "base/span.h"
#include "base/util.h"

enum { PATTERN_FIELDS_MAX = 12 };

/* What a field's bytes mean to who keeps them. */
enum field_kind {
	FIELD_TEXT,
	FIELD_VALUE,    /* of a Go log line: quoted where it must be */
	FIELD_INTEGER,  /* at most 18 digits, perhaps signed         */
	FIELD_BOOL,     /* true or false                             */
	FIELD_DURATION, /* as Go writes it: 1m2.5s                   */
};

struct field {
	struct span name;
	enum field_kind kind;
	struct span value;
};

struct fields {
	struct field list[PATTERN_FIELDS_MAX];
	size_t count;
};

/* True when all of the line is as the pattern says. *ret is meaningful only then. */
NODISCARD bool pattern_match(const char *pattern, struct span line, struct fields *ret);

/* The field of that name; NULL: the line had none. */
const struct field *fields_get(const struct fields *fields, const char *name);

/* Why a pattern is none, or NULL. Only tests ask, of the table of rules; it stands here because it
 * reads patterns as pattern_match() does. */
const char *pattern_fault(const char *pattern);

/* The nanoseconds of a FIELD_DURATION; false where they are too many for an int64_t. */
NODISCARD bool duration_parse(struct span text, int64_t *ret_ns);

#endif
