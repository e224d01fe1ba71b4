#ifndef SUPPORT_ONE_LINE_H
#define SUPPORT_ONE_LINE_H

/*
 * one_line: a single line through decode(), for tests and fuzzing.
 *
 * Ownership: owns a batch, an arena and the record; what it lends lives until
 *            the next line. Failures to set up end the test program.
 */

#include "stage/decode.h"

struct one_line {
	struct arena arena;
	struct batch *batch;
	struct record record;
	struct span org, app; /* of the context; set them before decoding */
};

#define ONE_LINE_RECEIVED_NS INT64_C(1777846458000000000) /* 2026-05-03T22:14:18Z */

/* One for a program of tests, and how cmocka makes and frees it. */
extern struct one_line line;
int one_line_set_up(void **state);
int one_line_tear_down(void **state);

void one_line_init(struct one_line *l);
void one_line_release(struct one_line *l);

/* Decodes text as if it had just come; the raw may be changed through batch->raws[0] in between. */
void one_line_put(struct one_line *l, enum raw_form form, struct span subject, struct span text);
const struct record *one_line_decode(struct one_line *l);

/* Both in one. */
const struct record *one_line(struct one_line *l, enum raw_form form, struct span text);

/* The attribute with that key, or NULL. */
const struct attr *one_line_attr(const struct record *r, const char *key);

/* A text attribute has that text; false too when there is none. */
bool one_line_attr_is(const struct record *r, const char *key, const char *text);

#endif
