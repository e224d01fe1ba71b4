#include "base/config.h"

#include "base/config_check.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Every text at its longest; numbers take no room in the pool, but an array needs a byte. */
#define ROOM_text(max) ((max) + 1)
#define ROOM_plain ROOM_text
#define ROOM_token ROOM_text
#define ROOM_nats ROOM_text
#define ROOM_subject ROOM_text
#define ROOM_network ROOM_text
#define ROOM_role ROOM_text
#define ROOM_folder ROOM_text
#define ROOM_address ROOM_text
#define ROOM_size(max) 1
#define ROOM_seconds(max) 1
#define ROOM_count(max) 1
#define ROOM_source ROOM_text
#define ROOM_api ROOM_text
#define ROOM_endpoint ROOM_text
#define ROOM_hook ROOM_text
#define ROOM_prefix ROOM_text
#define ROOM_host ROOM_text
#define ROOM_style ROOM_text
#define ROOM_send ROOM_text
#define ROOM_lock ROOM_text
#define ROOM_late ROOM_text

struct longest_texts {
#define OPTION(field, name, type, def, min, max, flags, doc) char field[ROOM_##type(max)];
#include "base/config.def"
#undef OPTION
};

_Static_assert(sizeof(struct longest_texts) <= CONFIG_POOL_BYTES, "the pool must hold every text");

static const struct config_option options[] = {
#define OPTION(field, name, type, def, min, max, flags, doc) \
	{#name, #type, def, min, max, flags, doc},
#include "base/config.def"
#undef OPTION
};

static const char prefix[] = "FLYTRAIL_";
enum { PREFIX_LEN = sizeof(prefix) - 1, NUMBER_BYTES = 32 };

/* ---- findings ---- */

static void find(struct config_report *report, enum config_finding_kind kind, const char *fmt, ...)
	PRINTF_LIKE(3, 4);

static void find(struct config_report *report, enum config_finding_kind kind, const char *fmt, ...)
{
	struct config_finding *f;
	va_list args;

	switch (kind) {
	case CONFIG_BAD: report->bad_count++; break;
	case CONFIG_UNKNOWN: report->unknown_count++; break;
	case CONFIG_WARNING: report->warning_count++; break;
	}
	if (report->count == CONFIG_FINDINGS_MAX)
		return;
	f = &report->findings[report->count++];
	f->kind = kind;
	va_start(args, fmt);
	if (vsnprintf(f->text, sizeof(f->text), fmt, args) < 0)
		f->text[0] = '\0';
	va_end(args);
}

/* ---- values ---- */

struct reading {
	struct config *c;
	struct config_report *report;
	const struct config_option *o;
};

static const char *pool_add(struct config *c, const char *value, size_t len)
{
	char *place = c->pool + c->pool_used;

	REQUIRE(len < sizeof(c->pool) - c->pool_used);
	memcpy(place, value, len);
	place[len] = '\0';
	c->pool_used += len + 1;
	return place;
}

/* The option's value in the environment; NULL: not set, or empty. */
static const char *lookup(char *const *env, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; env[i] != NULL; i++)
		if (strncmp(env[i], name, len) == 0 && env[i][len] == '=')
			return env[i][len + 1] == '\0' ? NULL : env[i] + len + 1;
	return NULL;
}

static void read_text(const struct reading *r, const char *value, const char **ret,
		      const char *(*must_be)(const char *))
{
	size_t len = value == NULL ? 0 : strlen(value);
	const char *wrong;

	*ret = r->o->def;
	if (value == NULL)
		return;
	if (len < r->o->min || len > r->o->max) {
		find(r->report, CONFIG_BAD, "%s: has %zu bytes; must have at %s %" PRIu64,
		     r->o->name, len, len < r->o->min ? "least" : "most",
		     len < r->o->min ? r->o->min : r->o->max);
		return;
	}
	wrong = must_be(value);
	if (wrong != NULL)
		find(r->report, CONFIG_BAD, "%s: %s", r->o->name, wrong);
	else
		*ret = pool_add(r->c, value, len);
}

/* `fly tokens create` prints a scheme in front, which NATS does not want. */
static const char *without_scheme(const char *token)
{
	static const char *const schemes[] = {"FlyV1 ", "Bearer "};
	size_t i = 0;

	while (i < ARRAY_LEN(schemes)) {
		size_t len = strlen(schemes[i]);

		if (strncasecmp(token, schemes[i], len) == 0) {
			token += len + strspn(token + len, " ");
			i = 0;
		} else {
			i++;
		}
	}
	return token;
}

static bool parse_number(const char *value, uint64_t *ret, const char **ret_rest)
{
	uint64_t n = 0;
	const char *p = value;

	for (; isdigit((unsigned char)*p); p++)
		if (__builtin_mul_overflow(n, 10u, &n) ||
		    __builtin_add_overflow(n, (unsigned)(*p - '0'), &n))
			return false;
	*ret = n;
	*ret_rest = p;
	return p > value;
}

static bool parse_size(const char *value, uint64_t *ret)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} units[] = {{"", 1}, {"B", 1}, {"KiB", 1u << 10}, {"MiB", 1u << 20}, {"GiB", 1u << 30}};
	const char *rest;
	uint64_t n;

	if (!parse_number(value, &n, &rest))
		return false;
	rest += strspn(rest, " ");
	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		if (strcmp(rest, units[i].text) == 0)
			return !__builtin_mul_overflow(n, units[i].bytes, ret);
	return false;
}

static bool parse_seconds(const char *value, uint64_t *ret)
{
	const char *rest;

	return parse_number(value, ret, &rest) && *rest == '\0';
}

static bool parse_count(const char *value, uint64_t *ret)
{
	return parse_seconds(value, ret);
}

/* A bound as people would write it. */
static const char *show_bound(uint64_t n, bool is_size, char text[NUMBER_BYTES])
{
	static const char *const units[] = {"", " KiB", " MiB", " GiB"};
	size_t unit = 0;

	for (; is_size && n > 0 && n % 1024 == 0 && unit + 1 < ARRAY_LEN(units); unit++)
		n /= 1024;
	(void)snprintf(text, NUMBER_BYTES, "%" PRIu64 "%s", n, units[unit]);
	return text;
}

static void read_number(const struct reading *r, const char *value, uint64_t *ret,
			bool (*parse)(const char *, uint64_t *))
{
	char min[NUMBER_BYTES], max[NUMBER_BYTES];
	uint64_t n = 0;
	bool good;

	REQUIRE(parse(r->o->def, ret));
	if (value == NULL)
		return;
	good = parse(value, &n) && n <= r->o->max &&
	       (n >= r->o->min || (n == 0 && (r->o->flags & CONFIG_ZERO_TOO)));
	if (good)
		*ret = n;
	else
		find(r->report, CONFIG_BAD, "%s: must be a whole number%s from %s to %s%s",
		     r->o->name,
		     parse == parse_size      ? " of bytes, or of KiB, MiB or GiB,"
		     : parse == parse_seconds ? " of seconds"
					      : "",
		     show_bound(r->o->min, parse == parse_size, min),
		     show_bound(r->o->max, parse == parse_size, max),
		     r->o->flags & CONFIG_ZERO_TOO ? ", or 0" : "");
}

#define READ_text(r, value, ret) read_text(r, value, ret, must_be_text)
#define READ_plain(r, value, ret) read_text(r, value, ret, must_be_plain)
#define READ_token(r, value, ret) \
	read_text(r, (value) == NULL ? NULL : without_scheme(value), ret, must_be_plain)
#define READ_nats(r, value, ret) read_text(r, value, ret, must_be_nats)
#define READ_subject(r, value, ret) read_text(r, value, ret, must_be_subject)
#define READ_network(r, value, ret) read_text(r, value, ret, must_be_network)
#define READ_role(r, value, ret) read_text(r, value, ret, must_be_role)
#define READ_folder(r, value, ret) read_text(r, value, ret, must_be_folder)
#define READ_address(r, value, ret) read_text(r, value, ret, must_be_address)
#define READ_size(r, value, ret) read_number(r, value, ret, parse_size)
#define READ_seconds(r, value, ret) read_number(r, value, ret, parse_seconds)
#define READ_count(r, value, ret) read_number(r, value, ret, parse_count)
#define READ_source(r, value, ret) read_text(r, value, ret, must_be_source)
#define READ_api(r, value, ret) read_text(r, value, ret, must_be_api)
#define READ_endpoint(r, value, ret) read_text(r, value, ret, must_be_endpoint)
#define READ_hook(r, value, ret) read_text(r, value, ret, must_be_hook)
#define READ_prefix(r, value, ret) read_text(r, value, ret, must_be_prefix)
#define READ_host(r, value, ret) read_text(r, value, ret, must_be_host)
#define READ_style(r, value, ret) read_text(r, value, ret, must_be_style)
#define READ_send(r, value, ret) read_text(r, value, ret, must_be_send)
#define READ_lock(r, value, ret) read_text(r, value, ret, must_be_lock)
#define READ_late(r, value, ret) read_text(r, value, ret, must_be_late)

/* ---- what is not an option ---- */

static bool is_option(const char *name, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		if (strlen(options[i].name) == len && memcmp(options[i].name, name, len) == 0)
			return true;
	return false;
}

static void find_unknown(struct config_report *report, char *const *env)
{
	enum { NAME_SHOWN_MAX = 64 };
	size_t len;

	for (size_t i = 0; env[i] != NULL; i++) {
		if (strncmp(env[i], prefix, PREFIX_LEN) != 0)
			continue;
		len = strcspn(env[i], "=");
		if (is_option(env[i], len))
			continue;
		/* Only what a name is made of: what follows may be anything. */
		len = PREFIX_LEN +
		      strspn(env[i] + PREFIX_LEN, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
		if (is_option(env[i] + PREFIX_LEN, len - PREFIX_LEN))
			find(report, CONFIG_UNKNOWN, "%.*s: is no option; %.*s is", (int)len,
			     env[i], (int)(len - PREFIX_LEN), env[i] + PREFIX_LEN);
		else
			find(report, CONFIG_UNKNOWN,
			     "%.*s: is no option; `flytrail help` lists them",
			     (int)(len > NAME_SHOWN_MAX ? NAME_SHOWN_MAX : len), env[i]);
	}
}

/* ---- public ---- */

/* Where Fly's Machines API is near: only inside of Fly's network is the name _api.internal known.
 */
static void derive_machines_url(struct config *c)
{
	if (c->machines_url[0] == '\0')
		c->machines_url = c->fly_app_name[0] != '\0' ? "http://_api.internal:4280"
							     : "https://api.machines.dev";
}

static void derive_nats_url(struct config *c)
{
	enum { URL_BYTES = 64 };
	char url[URL_BYTES]; /* network has at most 39 */
	int len;

	if (c->nats_url[0] != '\0')
		return;
	len = snprintf(url, sizeof(url), "nats://[%s::3]:4223", c->network);
	REQUIRE(len > 0 && len < URL_BYTES);
	c->nats_url = pool_add(c, url, (size_t)len);
}

void config_read(struct config *ret, struct config_report *ret_report, char *const *env)
{
	struct reading r = {.c = ret, .report = ret_report, .o = options};

	memset(ret, 0, sizeof(*ret));
	memset(ret_report, 0, sizeof(*ret_report));
#define OPTION(field, name, type, def, min, max, flags, doc) \
	READ_##type(&r, lookup(env, #name), &ret->field);    \
	r.o++;
#include "base/config.def"
#undef OPTION
	derive_nats_url(ret);
	derive_machines_url(ret);
	find_unknown(ret_report, env);
	if (!subject_is_flys(ret->subject))
		find(ret_report, CONFIG_WARNING,
		     "SUBJECT: matches no line of Fly's, whose subjects are "
		     "logs.<app>.<region>.<machine>; nothing is likely to come");
	if (config_by_http(ret) && (lookup(env, "SUBJECT") || lookup(env, "FLYTRAIL_QUEUE")))
		find(ret_report, CONFIG_WARNING,
		     "SUBJECT, FLYTRAIL_QUEUE: are of the log stream, and do nothing with "
		     "FLYTRAIL_SOURCE=http: all applications are read, by each replica");
	if (lookup(env, "QUEUE") != NULL)
		find(ret_report, CONFIG_WARNING,
		     "QUEUE: is not honoured, because a running fly-log-shipper in the same queue "
		     "group would take some of the lines; to share them among flytrail's replicas "
		     "set FLYTRAIL_QUEUE to a name of its own");
}

static bool is_set(const struct config *c, size_t idx)
{
	char text[CONFIG_VALUE_BYTES];

	return config_value(c, idx, text)[0] != '\0';
}

void config_add_bad(struct config_report *report, const char *name, const char *wrong)
{
	find(report, CONFIG_BAD, "%s: %s", name, wrong);
}

void config_add_warning(struct config_report *report, const char *name, const char *wrong)
{
	find(report, CONFIG_WARNING, "%s: %s", name, wrong);
}

bool config_is_bad(const struct config_report *report, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < report->count; i++) {
		const struct config_finding *f = &report->findings[i];

		if (f->kind == CONFIG_BAD && strncmp(f->text, name, len) == 0 &&
		    f->text[len] == ':')
			return true;
	}
	return false;
}

void config_require(const struct config *c, unsigned for_flags, struct config_report *report)
{
	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
		const struct config_option *o = &options[i];

		/* A bad value was told already; it left the option unset. */
		if ((o->flags & for_flags) && !is_set(c, i) && !config_is_bad(report, o->name))
			find(report, CONFIG_BAD, "%s: is not set (%s)", o->name, o->doc);
	}
	if (!(for_flags & CONFIG_FOR_MIGRATE) && c->admin_database_url[0] != '\0')
		find(report, CONFIG_WARNING,
		     "FLYTRAIL_ADMIN_DATABASE_URL: is set, and is for `flytrail migrate`, "
		     "`retention` "
		     "and `hold` alone; take it away from what only needs to add to the trail");
}

void config_wipe(char *const *env)
{
	size_t i = 0;

	/* unsetenv() moves the rest of the list up, so i stays after it. */
	while (env[i] != NULL) {
		size_t name_len = strcspn(env[i], "=");
		const struct config_option *secret = NULL;

		for (size_t o = 0; o < ARRAY_LEN(options) && secret == NULL; o++)
			if ((options[o].flags & CONFIG_SECRET) && env[i][name_len] == '=' &&
			    strlen(options[o].name) == name_len &&
			    memcmp(options[o].name, env[i], name_len) == 0)
				secret = &options[o];
		if (secret == NULL) {
			i++;
			continue;
		}
		explicit_bzero(env[i] + name_len + 1, strlen(env[i] + name_len + 1));
		MUST0(unsetenv(secret->name));
	}
}

const char *config_report_text(const struct config_report *report, enum config_finding_kind kind,
			       char *text, size_t text_bytes)
{
	enum { MORE_BYTES = 32 }; /* "; and 18446744073709551615 more" */
	size_t total = kind == CONFIG_BAD       ? report->bad_count
		       : kind == CONFIG_UNKNOWN ? report->unknown_count
						: report->warning_count;
	size_t len = 0;
	size_t shown = 0;

	REQUIRE(text_bytes > MORE_BYTES);
	text[0] = '\0';
	for (size_t i = 0; i < report->count; i++) {
		const struct config_finding *f = &report->findings[i];

		if (f->kind != kind)
			continue;
		if (len + strlen(f->text) + MORE_BYTES >= text_bytes)
			break;
		len += (size_t)snprintf(text + len, text_bytes - len, "%s%s", shown > 0 ? "; " : "",
					f->text);
		shown++;
	}
	if (shown < total)
		(void)snprintf(text + len, text_bytes - len, "; and %zu more", total - shown);
	return text;
}

size_t config_option_count(void)
{
	return ARRAY_LEN(options);
}

const struct config_option *config_option(size_t idx)
{
	REQUIRE(idx < ARRAY_LEN(options));
	return &options[idx];
}

static void show_text(const char *const *value, unsigned flags, char *text)
{
	bool masked = (flags & CONFIG_SECRET) && (*value)[0] != '\0';

	(void)snprintf(text, CONFIG_VALUE_BYTES, "%s", masked ? "***" : *value);
}

static void show_number(const uint64_t *value, unsigned flags, char *text)
{
	(void)flags;
	(void)snprintf(text, CONFIG_VALUE_BYTES, "%" PRIu64, *value);
}

#define SHOW_text show_text
#define SHOW_plain show_text
#define SHOW_token show_text
#define SHOW_nats show_text
#define SHOW_subject show_text
#define SHOW_network show_text
#define SHOW_role show_text
#define SHOW_folder show_text
#define SHOW_address show_text
#define SHOW_size show_number
#define SHOW_seconds show_number
#define SHOW_count show_number
#define SHOW_source show_text
#define SHOW_api show_text
#define SHOW_endpoint show_text
#define SHOW_hook show_text
#define SHOW_prefix show_text
#define SHOW_host show_text
#define SHOW_style show_text
#define SHOW_send show_text
#define SHOW_lock show_text
#define SHOW_late show_text

const char *config_value(const struct config *c, size_t idx, char text[CONFIG_VALUE_BYTES])
{
	size_t at = 0;

	REQUIRE(idx < ARRAY_LEN(options));
	text[0] = '\0';
#define OPTION(field, name, type, def, min, max, flags, doc) \
	if (at++ == idx)                                     \
		SHOW_##type(&c->field, flags, text);
#include "base/config.def"
#undef OPTION
	return text;
}
