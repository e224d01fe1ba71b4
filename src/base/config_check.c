#include "base/config_check.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HOST_BYTES = 512, NETWORK_BYTES_MAX = 64 };

const char *must_be_text(const char *value)
{
	for (const char *p = value; *p != '\0'; p++)
		if (iscntrl((unsigned char)*p))
			return "has a control character, perhaps a line break at its end";
	return NULL;
}

/* nats.c puts these into JSON of its own without escaping. */
const char *must_be_plain(const char *value)
{
	for (const char *p = value; *p != '\0'; p++)
		if (!isgraph((unsigned char)*p) || *p == '"' || *p == '\\' || *p == '\'')
			return "must be printable ASCII without blanks, quotes and backslashes";
	return NULL;
}

static bool is_address(int family, const char *text)
{
	struct in6_addr parsed; /* the larger of the two */

	return inet_pton(family, text, &parsed) == 1;
}

/* What is made of it must be an address: see derive_nats_url(). */
const char *must_be_network(const char *value)
{
	char address[NETWORK_BYTES_MAX + sizeof("::3")];

	(void)snprintf(address, sizeof(address), "%s::3", value);
	return is_address(AF_INET6, address)
		       ? NULL
		       : "must be the first groups of an IPv6 address, like fdaa or fdaa:0:1";
}

const char *must_be_role(const char *value)
{
	for (const char *p = value; *p != '\0'; p++)
		if (!islower((unsigned char)*p) && *p != '_' &&
		    (p == value || !isdigit((unsigned char)*p)))
			return "must be a name of a-z, 0-9 and _, not beginning with a digit";
	return NULL;
}

const char *must_be_folder(const char *value)
{
	size_t len = strlen(value);

	if (value[0] != '/')
		return "must be an absolute path";
	return value[len - 1] == ' ' ? "must not end with a blank" : must_be_text(value);
}

static bool port_is_good(const char *text)
{
	enum { PORT_DIGITS_MAX = 5, PORT_MAX = 65535 };
	size_t len = strspn(text, "0123456789");
	unsigned long port = strtoul(text, NULL, 10);

	return len > 0 && len <= PORT_DIGITS_MAX && text[len] == '\0' && port > 0 &&
	       port <= PORT_MAX;
}

/* HOST:PORT or [ADDRESS]:PORT in parts. port is NULL where there is none. */
struct host_port {
	char host[HOST_BYTES];
	bool bracketed;
	const char *port;
};

/* False: not even of that form. */
static bool split_host_port(const char *value, struct host_port *ret)
{
	const char *start = value[0] == '[' ? value + 1 : value;
	size_t len = strcspn(start, value[0] == '[' ? "]" : ":");
	const char *rest = start + len;

	ret->bracketed = value[0] == '[';
	if (len == 0 || len >= sizeof(ret->host) || (ret->bracketed && *rest++ != ']'))
		return false;
	memcpy(ret->host, start, len);
	ret->host[len] = '\0';
	ret->port = *rest == ':' ? rest + 1 : NULL;
	return *rest == ':' || *rest == '\0';
}

const char *must_be_address(const char *value)
{
	struct host_port at;

	if (!split_host_port(value, &at) || at.port == NULL || !port_is_good(at.port))
		return "must be ADDRESS:PORT, like [::]:8080 or 127.0.0.1:8080, and the port from "
		       "1 to 65535";
	if (!is_address(at.bracketed ? AF_INET6 : AF_INET, at.host))
		return "must have a numeric address before the port, like 127.0.0.1, or [::] for "
		       "IPv6";
	return NULL;
}

static bool is_host_name(const char *host)
{
	for (const char *p = host; *p != '\0'; p++)
		if (!isalnum((unsigned char)*p) && strchr("-._", *p) == NULL)
			return false;
	/* Numbers and dots alone are an address or nothing. */
	return strspn(host, "0123456789.") < strlen(host) || is_address(AF_INET, host);
}

const char *must_be_nats(const char *value)
{
	static const char scheme[] = "nats://";
	const char *host = value + sizeof(scheme) - 1;
	struct host_port at;

	if (strncmp(value, scheme, sizeof(scheme) - 1) != 0 || *host == '\0')
		return "must be nats://HOST:PORT";
	if (strchr(host, '@') != NULL)
		return "must not hold credentials; set ORG and ACCESS_TOKEN instead";
	if (strpbrk(host, "/?#,") != NULL)
		return "must be one address, nats://HOST:PORT and nothing behind it";
	if (!split_host_port(host, &at))
		return "must be nats://HOST:PORT, or nats://[ADDRESS]:PORT for IPv6";
	if (at.port != NULL && !port_is_good(at.port))
		return "must have a port from 1 to 65535 at its end; an IPv6 address stands in "
		       "brackets before it";
	if (at.bracketed ? !is_address(AF_INET6, at.host) : !is_host_name(at.host))
		return "must have a host name, an IPv4 address, or an IPv6 address in brackets";
	return NULL;
}

static const char *must_be_one_of(const char *value, const char *const *words, const char *wrong)
{
	for (; *words; words++)
		if (strcmp(value, *words) == 0)
			return NULL;
	return wrong;
}

const char *must_be_source(const char *value)
{
	static const char *const words[] = {"nats", "http", NULL};

	return must_be_one_of(value, words, "must be nats or http");
}

const char *must_be_style(const char *value)
{
	static const char *const words[] = {"auto", "path", "host", NULL};

	return must_be_one_of(value, words, "must be auto, path or host");
}

const char *must_be_send(const char *value)
{
	static const char *const words[] = {"all", "events", NULL};

	return must_be_one_of(value, words, "must be all or events");
}

const char *must_be_lock(const char *value)
{
	static const char *const words[] = {"off", "governance", "compliance", NULL};

	return must_be_one_of(value, words, "must be off, governance or compliance");
}

const char *must_be_late(const char *value)
{
	static const char *const words[] = {"skip", "send", NULL};

	return must_be_one_of(value, words, "must be skip or send");
}

const char *must_be_host(const char *value)
{
	return is_host_name(value) ? NULL : "must be the name of a host and nothing else";
}

/* No part of a key may be one that tools on the way take for a folder of another name. */
const char *must_be_prefix(const char *value)
{
	for (const char *part = value;; part++) {
		size_t len = strcspn(part, "/");

		if (len == 0 || (len <= 2 && strspn(part, ".") >= len))
			return "must be parts between slashes, none of them empty, . or ..";
		part += len;
		if (*part == '\0')
			return must_be_plain(value);
	}
}

/* This machine itself, or Fly's private network, where there is no TLS and no way to listen in. */
static bool is_near(const char *host)
{
	return strcmp(host, "_api.internal") == 0 || strcmp(host, "localhost") == 0 ||
	       strcmp(host, "127.0.0.1") == 0 || strcmp(host, "::1") == 0;
}

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), end_len = strlen(end);

	return len > end_len && strcmp(text + len - end_len, end) == 0;
}

static bool is_private(const char *host)
{
	return is_near(host) || ends_with(host, ".internal") || ends_with(host, ".flycast");
}

/* What is plain_wrong about a URL with http:// to a host of which may_be_plain is not true. */
static const char *check_url(const char *value, bool (*may_be_plain)(const char *host),
			     const char *plain_wrong)
{
	static const char safe[] = "https://", plain[] = "http://";
	bool is_safe = strncmp(value, safe, sizeof(safe) - 1) == 0;
	const char *host = value + (is_safe ? sizeof(safe) : sizeof(plain)) - 1;
	struct host_port at;

	if (!is_safe && strncmp(value, plain, sizeof(plain) - 1) != 0)
		return "must be https://HOST or https://HOST:PORT";
	if (strchr(host, '@') != NULL)
		return "must not hold credentials; these have options of their own";
	if (strpbrk(host, "/?#,") != NULL || !split_host_port(host, &at))
		return "must be https://HOST or https://HOST:PORT, and nothing behind it";
	if (at.port != NULL && !port_is_good(at.port))
		return "must have a port from 1 to 65535 at its end; an IPv6 address stands in "
		       "brackets before it";
	if (at.bracketed ? !is_address(AF_INET6, at.host) : !is_host_name(at.host))
		return "must have a host name, an IPv4 address, or an IPv6 address in brackets";
	return is_safe || may_be_plain(at.host) ? NULL : plain_wrong;
}

const char *must_be_api(const char *value)
{
	return check_url(value, is_near,
			 "must begin with https://, because a token is sent there; http:// is for "
			 "_api.internal and this machine itself");
}

const char *must_be_endpoint(const char *value)
{
	char text[HOST_BYTES + sizeof("https://")];
	size_t len = strlen(value);

	if (len >= sizeof(text))
		return "is too long";
	memcpy(text, value, len + 1);
	if (len > 0 && text[len - 1] == '/')
		text[len - 1] = '\0';
	return check_url(text, is_private,
			 "must begin with https://; http:// is for this machine itself and for "
			 "*.internal and *.flycast");
}

/* A path and a query may follow, of which flytrail knows nothing. */
const char *must_be_hook(const char *value)
{
	char text[HOST_BYTES + sizeof("https://")];
	const char *host = strstr(value, "://");
	size_t len = host ? (size_t)(host - value) + 3 : 0;

	len += strcspn(value + len, "/?#");
	if (len >= sizeof(text))
		return "has a host's name that is too long";
	memcpy(text, value, len);
	text[len] = '\0';
	if (must_be_plain(value))
		return "must be an address, without blanks, quotes and backslashes";
	if (strchr(value + len, '#') != NULL)
		return "must not have a # in it: what follows that is sent to nobody";
	return check_url(text, is_private,
			 "must begin with https://; http:// is for this machine itself and for "
			 "*.internal and *.flycast");
}

/* What nats-server takes for a subject to subscribe to, and would not silently match nothing. */
const char *must_be_subject(const char *value)
{
	for (const char *part = value;; part++) {
		size_t len = strcspn(part, ".");
		bool last = part[len] == '\0';

		if (len == 0)
			return "must not have an empty part: no dot at its ends, no two in a row";
		if (len > 1 && memchr(part, '*', len) != NULL)
			return "must have * alone between its dots: it stands for one whole part";
		if (memchr(part, '>', len) != NULL && (len > 1 || !last))
			return "must have > alone after its last dot: it stands for all that "
			       "follows";
		if (last)
			return must_be_plain(value);
		part += len;
	}
}

bool subject_is_flys(const char *value)
{
	enum { PARTS = 4 }; /* logs.<app>.<region>.<machine> */
	const char *part = value;

	for (int i = 0; i < PARTS; i++) {
		size_t len = strcspn(part, ".");

		if (part[0] == '>')
			return true;
		if (i == 0 && part[0] != '*' && (len != 4 || memcmp(part, "logs", len) != 0))
			return false;
		part += len;
		if (*part == '\0')
			return i + 1 == PARTS;
		part++;
	}
	return false;
}
