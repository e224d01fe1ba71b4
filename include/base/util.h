#ifndef BASE_UTIL_H
#define BASE_UTIL_H

/* Compiler attributes, and the two kinds of check for bugs. Keep this file tiny. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NODISCARD __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define NORETURN __attribute__((noreturn))

/* For a large buffer on the stack that is written before it is read, where every record passes:
 * the build clears all others. */
#define NOT_CLEARED __attribute__((uninitialized))

#define ARRAY_LEN(array) (sizeof(array) / sizeof((array)[0]))

#define NS_PER_S INT64_C(1000000000)
#define TIME_DAY_NS (INT64_C(86400) * NS_PER_S)
#define NS_PER_MS INT64_C(1000000)
#define NS_PER_US INT64_C(1000)

/* Says on stderr, as a log line of this program, where the bug is, and aborts. */
NORETURN void panic(const char *file, int line, const char *expr);

/* A condition that only a bug of this program can break. Never compiled out. */
#define REQUIRE(expr) ((expr) ? (void)0 : panic(__FILE__, __LINE__, #expr))

/* A call that returns 0 unless this program is wrong, as pthread calls do. */
#define MUST0(call) ((call) == 0 ? (void)0 : panic(__FILE__, __LINE__, #call))

#endif
