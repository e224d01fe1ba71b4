#ifndef SUPPORT_REDACT_KIT_H
#define SUPPORT_REDACT_KIT_H

/* redact_kit: a redactor and an arena for all tests of a program, made and freed by cmocka. */

#include "stage/redact.h"

extern struct redactor *redactor;
extern struct arena arena;

int redact_kit_set_up(void **state);
int redact_kit_tear_down(void **state);

#endif
