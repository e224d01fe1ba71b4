#ifndef SUPPORT_NAMES_H
#define SUPPORT_NAMES_H

/*
 * names: what tests ask by name, and the program does not.
 *
 * Threads: pure functions.
 */

#include "base/err.h"
#include "model/class.h"

static inline const char *err_kind_name(enum err_kind kind)
{
	switch (kind) {
	case ERR_NONE: return "none";
	case ERR_RETRY: return "retry";
	case ERR_REJECT: return "reject";
	case ERR_CORRUPT: return "corrupt";
	case ERR_FULL: return "full";
	case ERR_CONFIG: return "config";
	case ERR_FATAL: return "fatal";
	}
	return "unknown";
}

/* False: no class has that name. */
static inline bool class_parse(struct span name, enum line_class *ret)
{
	for (unsigned c = 0; c < CLASS_COUNT; c++) {
		*ret = (enum line_class)c;
		if (span_is(name, class_name(*ret)))
			return true;
	}
	return false;
}

#endif
