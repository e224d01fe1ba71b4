#include "serve/token.h"

#include <string.h>
#include <strings.h>

static const char scheme[] = "Bearer ";

/* All of wanted is looked at, however soon the two differ. */
static bool is_equal(const char *wanted, const char *given)
{
	size_t wanted_len = strlen(wanted), given_len = strlen(given);
	volatile unsigned char difference = wanted_len != given_len;

	for (size_t i = 0; i < wanted_len; i++) {
		size_t at = given_len > 0 ? i % given_len : 0; /* 0: its NUL */

		difference = (unsigned char)(difference |
					     ((unsigned char)wanted[i] ^ (unsigned char)given[at]));
	}
	return difference == 0;
}

bool token_admits(const char *token, const char *header)
{
	if (token[0] == '\0')
		return true;
	if (header == NULL || strncasecmp(header, scheme, sizeof(scheme) - 1) != 0)
		return false;
	return is_equal(token, header + sizeof(scheme) - 1);
}
