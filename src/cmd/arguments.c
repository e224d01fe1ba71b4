/* What the commands' arguments have in common. */

#include "cmd/cmd.h"

#include "base/time.h"

#include <string.h>

enum { DATE_BYTES = 10 };

bool cmd_has_value(int argc, char **argv, int idx)
{
	return idx + 1 < argc && argv[idx + 1][0] != '\0' &&
	       strncmp(argv[idx + 1], "--", strlen("--")) != 0;
}

bool cmd_parse_time(const char *text, int64_t *ret_ns)
{
	char with_time[TIME_TEXT_BYTES];
	unsigned digits;

	if (strlen(text) == DATE_BYTES) {
		(void)snprintf(with_time, sizeof(with_time), "%.*sT00:00:00Z", DATE_BYTES, text);
		text = with_time;
	}
	return time_parse(span_text(text), true, ret_ns, &digits);
}
