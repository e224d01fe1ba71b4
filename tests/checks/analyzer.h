#ifndef CHECKS_ANALYZER_H
#define CHECKS_ANALYZER_H

/*
 * analyzer: what clang's analyzer cannot see from one file alone.
 *
 * Functions of another file may return anything, so it takes `return err_set(...)`
 * for a possible success that leaves its results unset. Here it is told that
 * these never return ERR_NONE. Forced into files by tidy.sh only.
 */

#include "base/err.h"

#define err_set(...) (__extension__((err_set)(__VA_ARGS__) ?: ERR_FATAL))
#define err_errno(...) (__extension__((err_errno)(__VA_ARGS__) ?: ERR_FATAL))
#define err_wrap(...) (__extension__((err_wrap)(__VA_ARGS__) ?: ERR_FATAL))

#endif
