#include "base/util.h"

#include <stdio.h>
#include <stdlib.h>

void panic(const char *file, int line, const char *expr)
{
	(void)fprintf(stderr,
		      "{\"level\":\"error\",\"event\":\"panic\",\"file\":\"%s\",\"line\":%d,"
		      "\"error\":\"a bug in flytrail: please report this line\"}\n",
		      file, line);
	(void)expr;
	abort();
}
