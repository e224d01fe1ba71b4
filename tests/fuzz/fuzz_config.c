/* No environment crashes the configuration, and what it takes is within its bounds. */

#include "base/config.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	enum { ENTRIES_MAX = 100 };
	static struct config c;
	static struct config_report report;
	char text[CONFIG_VALUE_BYTES];
	char *env[ENTRIES_MAX + 1] = {NULL};
	char *copy = malloc(len + 1);
	size_t count = 0;

	REQUIRE(copy != NULL);
	memcpy(copy, bytes, len);
	copy[len] = '\0';
	/* Entries are separated by NUL, as in /proc/PID/environ. */
	for (size_t at = 0; at < len && count < ENTRIES_MAX; at += strlen(copy + at) + 1)
		env[count++] = copy + at;
	config_read(&c, &report, env);
	config_require(&c, ~0u, &report);
	REQUIRE(c.pool_used <= sizeof(c.pool));
	REQUIRE(report.count <= CONFIG_FINDINGS_MAX);
	for (size_t i = 0; i < report.count; i++)
		REQUIRE(memchr(report.findings[i].text, 0, sizeof(report.findings[i].text)));
	for (size_t i = 0; i < config_option_count(); i++) {
		const struct config_option *o = config_option(i);

		config_value(&c, i, text);
		REQUIRE(!(o->flags & CONFIG_SECRET) || text[0] == '\0' || strcmp(text, "***") == 0);
	}
	REQUIRE(c.drain_seconds <= 290);
	REQUIRE(c.spool_max_bytes <= CONFIG_SPOOL_BYTES_MAX);
	free(copy);
	return 0;
}
