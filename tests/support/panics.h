#ifndef SUPPORT_PANICS_H
#define SUPPORT_PANICS_H

/* panics: whether a body ends in panic(), tried in a child process. For REQUIRE and locks. */

#include <stdbool.h>

bool panics(void (*body)(void));

#endif
