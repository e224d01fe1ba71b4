#include "source/nats_check.h"

#include "base/util.h"

#include <string.h>
#include <strings.h>

struct span nats_bare_token(struct span token)
{
	static const struct span schemes[] = {{"FlyV1", 5}, {"Bearer", 6}};
	bool again = true;

	while (again) {
		again = false;
		while (token.len > 0 && strchr(" \t\r\n", token.data[0]))
			token = span_after(token, 1);
		for (size_t i = 0; i < ARRAY_LEN(schemes) && !again; i++) {
			again = token.len > schemes[i].len && token.data[schemes[i].len] == ' ' &&
				strncasecmp(token.data, schemes[i].data, schemes[i].len) == 0;
			if (again)
				token = span_after(token, schemes[i].len);
		}
	}
	while (token.len > 0 && strchr(" \t\r\n", token.data[token.len - 1]))
		token.len--;
	return token;
}

enum err_kind nats_check_credential(const char *name, struct span s, struct err *err)
{
	if (s.len == 0)
		return err_set(err, ERR_CONFIG, "%s is not set", name);
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.data[i];

		if (c == '"' || c == '\\' || c < 0x20 || c == 0x7f)
			return err_set(
				err, ERR_CONFIG,
				"%s holds a quote, a backslash or a control character, which "
				"the NATS library cannot send: set it again without",
				name);
	}
	return ERR_NONE;
}

enum err_kind nats_check_url(const char *url, struct err *err)
{
	const char *authority = strstr(url, "://");
	size_t len;

	authority = authority ? authority + 3 : url;
	len = strcspn(authority, "/");
	if (len == 0)
		return err_set(err, ERR_CONFIG, "NATS_URL names no host: nats://HOST:PORT");
	if (memchr(authority, '@', len))
		return err_set(err, ERR_CONFIG,
			       "NATS_URL holds credentials: put the user into ORG and the password "
			       "into ACCESS_TOKEN");
	return ERR_NONE;
}
