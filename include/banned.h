#ifndef BANNED_H
#define BANNED_H

/*
 * banned: functions that this program does without, refused by the compiler.
 *
 * Forced into every file of src/ with -include. The system headers that
 * declare them come first, because a poisoned name may not even be declared.
 */

#include <alloca.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#undef alloca
#undef sprintf
#undef vsprintf
#undef strdup
#undef strndup
#undef strncat
#undef strncpy

#pragma GCC poison strcpy strcat strncpy strncat sprintf vsprintf gets strtok strtok_r
#pragma GCC poison atoi atol atof sscanf gmtime localtime ctime asctime mktemp alloca
#pragma GCC poison system popen strdup strndup

#endif
