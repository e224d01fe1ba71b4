#include "store/url.h"

#include "base/span.h"

#include <libpq-fe.h>

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static enum err_kind unreadable(struct err *err)
{
	return err_set(err, ERR_CONFIG,
		       "cannot be read: give postgres://USER:PASSWORD@HOST:PORT/DATABASE, with "
		       "special characters of the password as %%XX, such as %%40 for @");
}

/* Behind the scheme; NULL: it is of the form key=value. */
static const char *behind_scheme(const char *url)
{
	static const char *const schemes[] = {"postgres://", "postgresql://"};

	for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
		if (strncmp(url, schemes[i], strlen(schemes[i])) == 0)
			return url + strlen(schemes[i]);
	return NULL;
}

/*
 * libpq takes the first @ for the end of the password, unless a / comes before, and takes a ? for
 * a part of it; so half a password can end up in any other part. Elsewhere none of the three has
 * to be written as itself.
 */
static enum err_kind check_at_signs(const char *url, struct err *err)
{
	const char *rest = behind_scheme(url);
	const char *at = rest ? strchr(rest, '@') : NULL;

	if (!at)
		return ERR_NONE;
	if (strchr(at + 1, '@') || strcspn(rest, "/?") < (size_t)(at - rest))
		return err_set(err, ERR_CONFIG,
			       "may have one @, before its host, and no / or ? before that: in a "
			       "password write @ as %%40, / as %%2F and ? as %%3F");
	return ERR_NONE;
}

/* A list by commas, in which an empty one stands for the usual port. */
static bool ports_are_good(const char *list)
{
	enum { PORT_DIGITS_MAX = 5, PORT_MAX = 65535 };

	for (const char *p = list;; p++) {
		size_t len = strspn(p, "0123456789");
		unsigned long port = strtoul(p, NULL, 10);

		if ((p[len] != ',' && p[len] != '\0') || len > PORT_DIGITS_MAX ||
		    (len > 0 && (port == 0 || port > PORT_MAX)))
			return false;
		p += len;
		if (*p == '\0')
			return true;
	}
}

static bool is_sslmode(const char *value)
{
	static const char *const modes[] = {"",        "disable",   "allow",      "prefer",
					    "require", "verify-ca", "verify-full"};

	for (size_t i = 0; i < ARRAY_LEN(modes); i++)
		if (strcmp(value, modes[i]) == 0)
			return true;
	return false;
}

static enum err_kind check_part(const char *keyword, const char *value, struct err *err)
{
	static const char *const told[] = {"host", "hostaddr", "dbname"};

	if (strcmp(keyword, "port") == 0 && !ports_are_good(value))
		return err_set(err, ERR_CONFIG,
			       "has a port that is no number from 1 to 65535; if that is a part of "
			       "the password, write its special characters as %%XX");
	if (strcmp(keyword, "sslmode") == 0 && !is_sslmode(value))
		return err_set(err, ERR_CONFIG,
			       "must have an sslmode of disable, allow, prefer, require, verify-ca "
			       "or verify-full");
	for (size_t i = 0; i < ARRAY_LEN(told); i++)
		if (strcmp(keyword, told[i]) == 0 && strchr(value, '@'))
			return unreadable(err);
	return ERR_NONE;
}

/* Of a list with commas. */
static int count_listed(const char *list)
{
	int count = 1;

	for (const char *c = list; *c != '\0'; c++)
		count += *c == ',';
	return count;
}

enum err_kind url_check(const char *url, int *ret_hosts, struct err *err)
{
	PQconninfoOption *parsed = PQconninfoParse(url, NULL);
	enum err_kind rc = parsed ? check_at_signs(url, err) : unreadable(err);
	int hosts = 1;

	for (const PQconninfoOption *p = parsed; !rc && p->keyword; p++) {
		if (!p->val)
			continue;
		rc = check_part(p->keyword, p->val, err);
		if (!rc && (strcmp(p->keyword, "host") == 0 || strcmp(p->keyword, "hostaddr") == 0))
			hosts = count_listed(p->val) > hosts ? count_listed(p->val) : hosts;
	}
	PQconninfoFree(parsed);
	if (!rc)
		*ret_hosts = hosts;
	return rc;
}

/* Takes the end away, whatever the case of its letters. */
static bool cut_end(struct span *host, const char *end)
{
	size_t len = strlen(end);

	if (host->len <= len || strncasecmp(host->data + host->len - len, end, len) != 0)
		return false;
	host->len -= len;
	return true;
}

/* The label before the network's: what else there is says which machines of it. */
static void app_of_host(struct span host, char ret[URL_APP_BYTES])
{
	static const char bytes[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
	size_t start;

	(void)cut_end(&host, ".");
	if (!cut_end(&host, ".internal") && !cut_end(&host, ".flycast"))
		return;
	for (start = host.len; start > 0 && host.data[start - 1] != '.'; start--)
		;
	if (host.len - start >= URL_APP_BYTES)
		return;
	for (size_t i = start; i < host.len; i++) {
		char c = host.data[i];

		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		if (!memchr(bytes, c, sizeof(bytes) - 1)) {
			ret[0] = '\0';
			return;
		}
		ret[i - start] = c;
		ret[i - start + 1] = '\0';
	}
}

void url_app(const char *url, char ret[URL_APP_BYTES])
{
	PQconninfoOption *parsed = PQconninfoParse(url, NULL);

	ret[0] = '\0';
	for (const PQconninfoOption *p = parsed; p && p->keyword; p++)
		if (p->val && strcmp(p->keyword, "host") == 0)
			app_of_host(span_of(p->val, strcspn(p->val, ",")), ret);
	PQconninfoFree(parsed);
}
