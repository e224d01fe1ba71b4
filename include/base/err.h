#ifndef BASE_ERR_H
#define BASE_ERR_H

/*
 * err: what went wrong, said in the terms of what the caller must do next.
 *
 * Every fallible function returns an err_kind (ERR_NONE is 0, so that
 * `if (rc)` reads as "if it failed") and takes `struct err *err` last. On
 * success *err is untouched, so calls can be chained. On failure it holds one
 * line fit for an operator: what happened, to what, and what to do. It never
 * holds a secret or a byte of a record.
 *
 * Threads: none; every thread has its own struct err.
 * Limits:  a longer text is cut at ERR_TEXT_BYTES, between two characters.
 */

#include "base/util.h"

enum { ERR_TEXT_BYTES = 320 };

enum err_kind {
	ERR_NONE = 0,
	ERR_RETRY,   /* may work later: network, lock, a database that is away */
	ERR_REJECT,  /* this input can never work: park it, go on              */
	ERR_CORRUPT, /* stored bytes fail their check: quarantine, tell        */
	ERR_FULL,    /* a configured limit is reached: push back               */
	ERR_CONFIG,  /* an operator must act: bad option, bad credential       */
	ERR_FATAL,   /* this process cannot go on: out of memory, fsync        */
};

struct err {
	enum err_kind kind;
	char text[ERR_TEXT_BYTES];
};

/* Sets *err and returns kind, so that `return err_set(...)` reads well. */
enum err_kind err_set(struct err *err, enum err_kind kind, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* As err_set, with ": " and the text of errno at the end. */
enum err_kind err_errno(struct err *err, enum err_kind kind, const char *fmt, ...)
	PRINTF_LIKE(3, 4);

/* Puts "context: " in front of the text; keeps and returns the kind. */
enum err_kind err_wrap(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
