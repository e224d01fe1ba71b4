#ifndef BASE_CONFIG_H
#define BASE_CONFIG_H

/*
 * config: what the environment says, by the one table base/config.def.
 *
 * The table makes struct config, its parser with bounds, `flytrail config`,
 * the help, and the check that README names each option. A name that is set
 * but empty counts as not set. There is no reload: a restart is the reload.
 *
 *	struct config c;
 *	struct config_report report;
 *	config_read(&c, &report, environ);
 *	config_require(&c, CONFIG_FOR_NATS | CONFIG_FOR_STORE, &report);
 *	...config_add_bad(&report, "FLYTRAIL_DATABASE_URL", "cannot be read"), if need be
 *	config_wipe(environ);
 *	if (report.bad_count > 0) ...
 *
 * Types: text     anything without control characters
 *        plain    printable ASCII without quotes, backslash and blanks
 *        token    as plain; `FlyV1 ` and `Bearer ` in front are taken off
 *        nats     nats://HOST:PORT or nats://[ADDRESS]:PORT, without credentials
 *        subject  a NATS subject: parts between dots; * is one part, > all that follow
 *        network  the first groups of an IPv6 address: with ::3 behind it is one
 *        role     a Postgres name: a-z, 0-9 and _, not beginning with a digit
 *        folder   an absolute path
 *        address  ADDRESS:PORT, or [ADDRESS]:PORT for IPv6
 *        size     bytes, or a number with KiB, MiB or GiB
 *        seconds  a whole number
 *        count    a whole number
 *        source   nats or http
 *        api      https://HOST[:PORT]; http:// only to _api.internal and to this machine itself,
 *                 because a token goes there
 *        endpoint as api, with a slash at its end or without; http:// also to *.internal and
 *                 *.flycast, which are of Fly's private network
 *        prefix   of keys: plain, parts between slashes, none of them empty, . or ..
 *        hook     https://HOST[:PORT]/ANYTHING, without credentials before the host; http:// as
 *                 for an endpoint
 *        host     the name of a host
 *        style    auto, path or host
 *        send     all or events
 *        lock     off, governance or compliance
 *        late     skip or send
 *
 * Ownership: texts point into the struct's own pool, so it is never copied.
 * Threads:   filled by one; constant from then on.
 * Limits:    every option's own; CONFIG_FINDINGS_MAX findings are kept.
 * Errors:    none: what is wrong is listed, all of it, and a wrong value
 *            leaves the default. A finding never holds a value, because
 *            people put secrets into the wrong variable.
 */

#include "base/util.h"

#include <string.h>

#define CONFIG_SPOOL_BYTES_MIN (UINT64_C(64) << 20) /* four segments */
#define CONFIG_SPOOL_BYTES_MAX (UINT64_C(16) << 40)

/* An option's flags; CONFIG_FOR_x: that part of the program cannot do without it. */
enum config_flag {
	CONFIG_SECRET = 1,   /* shown as ***, wiped from the environment */
	CONFIG_ZERO_TOO = 2, /* 0 is allowed although it is below min */
	CONFIG_FOR_NATS = 4,
	CONFIG_FOR_STORE = 8,
	CONFIG_FOR_MIGRATE = 16,
};

#define CONFIG_C_TYPE_text const char *
#define CONFIG_C_TYPE_plain const char *
#define CONFIG_C_TYPE_token const char *
#define CONFIG_C_TYPE_nats const char *
#define CONFIG_C_TYPE_subject const char *
#define CONFIG_C_TYPE_network const char *
#define CONFIG_C_TYPE_role const char *
#define CONFIG_C_TYPE_folder const char *
#define CONFIG_C_TYPE_address const char *
#define CONFIG_C_TYPE_size uint64_t
#define CONFIG_C_TYPE_seconds uint64_t
#define CONFIG_C_TYPE_count uint64_t
#define CONFIG_C_TYPE_source const char *
#define CONFIG_C_TYPE_api const char *
#define CONFIG_C_TYPE_endpoint const char *
#define CONFIG_C_TYPE_hook const char *
#define CONFIG_C_TYPE_prefix const char *
#define CONFIG_C_TYPE_host const char *
#define CONFIG_C_TYPE_style const char *
#define CONFIG_C_TYPE_send const char *
#define CONFIG_C_TYPE_lock const char *
#define CONFIG_C_TYPE_late const char *

enum { CONFIG_POOL_BYTES = 96 * 1024 }; /* config.c checks that all texts fit */

struct config {
#define OPTION(field, name, type, def, min, max, flags, doc) CONFIG_C_TYPE_##type field;
#include "base/config.def"
#undef OPTION
	size_t pool_used;
	char pool[CONFIG_POOL_BYTES];
};

enum { CONFIG_FINDINGS_MAX = 64, CONFIG_FINDING_BYTES = 240 };

enum config_finding_kind {
	CONFIG_BAD,     /* a value out of bounds, or one that is needed and missing */
	CONFIG_UNKNOWN, /* a FLYTRAIL_ name that is no option */
	CONFIG_WARNING, /* works, but not as somebody may think */
};

struct config_finding {
	enum config_finding_kind kind;
	char text[CONFIG_FINDING_BYTES]; /* names the variable and says what to do */
};

struct config_report {
	struct config_finding findings[CONFIG_FINDINGS_MAX];
	size_t count; /* kept; past the maximum findings are only counted below */
	size_t bad_count, unknown_count, warning_count;
};

/* Lines come by Fly's HTTP logs API, not by the log stream. */
static inline bool config_by_http(const struct config *c)
{
	return strcmp(c->source, "http") == 0;
}

/* Fills both wholly. env is a list of NAME=value, ended by NULL. */
void config_read(struct config *ret, struct config_report *ret_report, char *const *env);

/*
 * Adds a CONFIG_BAD for every option that one of these flags needs and that is
 * not set, and a CONFIG_WARNING for the admin's URL where it is not needed.
 */
void config_require(const struct config *c, unsigned for_flags, struct config_report *report);

/* Adds a finding about an option's value, that somebody else had to look at: "NAME: wrong". */
void config_add_bad(struct config_report *report, const char *name, const char *wrong);
void config_add_warning(struct config_report *report, const char *name, const char *wrong);

/* Whether the option of this name has a value that cannot be used, or needs one. */
bool config_is_bad(const struct config_report *report, const char *name);

/* Overwrites the secrets in the environment's own memory, then takes their names away. */
void config_wipe(char *const *env);

/* All texts of one kind in one, separated by "; ", cut with "and N more". Returns text. */
const char *config_report_text(const struct config_report *report, enum config_finding_kind kind,
			       char *text, size_t text_bytes);

/* The table, to print it. */
struct config_option {
	const char *name;
	const char *type;
	const char *def;
	uint64_t min, max;
	unsigned flags;
	const char *doc;
};

size_t config_option_count(void);
const struct config_option *config_option(size_t idx);

enum { CONFIG_VALUE_BYTES = 4096 + 1 };

/* The value as it may be shown: a secret is *** where it is set. Returns text. */
const char *config_value(const struct config *c, size_t idx, char text[CONFIG_VALUE_BYTES]);

#endif
