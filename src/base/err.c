#include "base/err.h"

#include "base/utf8.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void set_text(struct err *err, enum err_kind kind, const char *fmt, va_list args)
	PRINTF_LIKE(3, 0);

static void set_text(struct err *err, enum err_kind kind, const char *fmt, va_list args)
{
	err->kind = kind;
	if (vsnprintf(err->text, sizeof(err->text), fmt, args) < 0)
		err->text[0] = '\0';
	utf8_end(err->text);
}

static void append(struct err *err, const char *text)
{
	size_t len = strlen(err->text);

	(void)snprintf(err->text + len, sizeof(err->text) - len, ": %s", text);
	utf8_end(err->text);
}

enum err_kind err_set(struct err *err, enum err_kind kind, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	set_text(err, kind, fmt, args);
	va_end(args);
	return kind;
}

enum err_kind err_errno(struct err *err, enum err_kind kind, const char *fmt, ...)
{
	int saved = errno;
	char text[128]; /* glibc's longest message is about 50 bytes */
	va_list args;

	va_start(args, fmt);
	set_text(err, kind, fmt, args);
	va_end(args);
	append(err, strerror_r(saved, text, sizeof(text)));
	return kind;
}

enum err_kind err_wrap(struct err *err, const char *fmt, ...)
{
	struct err inner = *err;
	va_list args;

	va_start(args, fmt);
	set_text(err, inner.kind, fmt, args);
	va_end(args);
	append(err, inner.text);
	return inner.kind;
}
