/*
 * What a machine runs, and with what. A change of it without another release is one that somebody
 * made past the releases. That it has another release is only what its metadata says, which anybody
 * may write who may change machines: so that is told too, as what it is. Values that may be secret
 * (of the environment, of files, of commands, of headers) are compared by their HMAC, and only
 * their names are kept.
 */

#include "base/utf8.h"
#include "watch/flat.h"
#include "watch/resource.h"

#include <stdio.h>

enum {
	IMAGE_BYTES_MAX = 512,
	DIGEST_BYTES_MAX = 128,
	NAMES_BYTES_MAX = 300,
	PARTS_BYTES_MAX = 2048,
	CLAIM_BYTES_MAX = 64
};

enum {
	FIELD_version,
	FIELD_release,
	FIELD_replaced_at, /* by the newest event of a replacement */
	FIELD_source,      /* of that event */
	FIELD_image,
	FIELD_guest, /* the first of the parts, in the order of part_names */
	FIELD_services,
	FIELD_mounts,
	FIELD_restart,
	FIELD_checks,
	FIELD_metadata,
	FIELD_env,
	FIELD_files,
	FIELD_processes,
	FIELD_other, /* the last of the parts */
	FIELDS_OF_UPDATE,
	FIELD_updated_at = FIELDS_OF_UPDATE /* moves with each start and stop, too */
};

static const char *const fields[] = {
	"version",  "release",   "replaced_at", "source",     "image",    "guest",
	"services", "mounts",    "restart",     "checks",     "metadata", "env",
	"files",    "processes", "other",       "updated_at",
};

/* --- what may be shown --- */

static bool shows_all(struct span path)
{
	(void)path;
	return true;
}

/* Headers may hold what opens doors. */
static bool shows_no_headers(struct span path)
{
	static const char word[] = "headers";

	for (size_t i = 0; i + sizeof(word) - 1 <= path.len; i++)
		if (span_starts(span_after(path, i), SPAN("headers")))
			return false;
	return true;
}

static bool shows_flys_own(struct span path)
{
	return span_starts(path, SPAN("fly_"));
}

static bool shows_harmless(struct span path)
{
	return span_is(path, "auto_destroy") || span_is(path, "schedule") ||
	       span_starts(path, SPAN("standbys.")) || span_starts(path, SPAN("stop_config."));
}

static const struct part {
	const char *member; /* of the config; NULL: all that no other part has */
	const char *also;   /* another that goes with it, both by their names */
	bool (*may_show)(struct span path);
} parts[] = {
	{"guest", NULL, shows_all},
	{"services", NULL, shows_no_headers},
	{"mounts", NULL, shows_all},
	{"restart", NULL, shows_all},
	{"checks", NULL, shows_no_headers},
	{"metadata", NULL, shows_flys_own},
	{"env", NULL, NULL},
	{"files", NULL, NULL},
	{"processes", "containers", NULL},
	{NULL, NULL, shows_harmless},
};

_Static_assert(ARRAY_LEN(parts) == FIELD_other - FIELD_guest + 1, "a part for each field");

/* --- what Fly says --- */

static bool has_own_field(struct span member)
{
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		if ((parts[i].member && span_is(member, parts[i].member)) ||
		    (parts[i].also && span_is(member, parts[i].also)))
			return true;
	return span_is(member, "image");
}

static enum err_kind add_part(struct flat *flat, const struct part *part, const struct json *config,
			      struct err *err)
{
	enum err_kind rc = ERR_NONE;

	if (part->also) {
		rc = flat_add(flat, span_text(part->member), json_member(config, part->member),
			      err);
		return rc ? rc
			  : flat_add(flat, span_text(part->also), json_member(config, part->also),
				     err);
	}
	if (part->member)
		return flat_add(flat, SPAN(""), json_member(config, part->member), err);
	for (const struct json *v = json_first(config); v && !rc; v = json_next(v))
		if (!has_own_field(json_key(v)))
			rc = flat_add(flat, json_key(v), v, err);
	return rc;
}

static enum err_kind take_part(const struct watch_ask *ask, const struct json *config, size_t nth,
			       struct listing *l, struct err *err)
{
	const struct flat_options options = {.api = ask->api, .may_show = parts[nth].may_show};
	struct flat *flat = NULL;
	struct buf text;
	enum err_kind rc = flat_new(&flat, &options, err);

	if (rc)
		return rc;
	buf_init(&text, FLAT_BYTES_MAX);
	rc = add_part(flat, &parts[nth], config, err);
	if (!rc)
		rc = flat_write(flat, &text, err);
	if (!rc)
		rc = listing_set(l, &l->items[0], FIELD_guest + nth, span_of(text.data, text.len),
				 err);
	buf_release(&text);
	flat_free(flat);
	return rc;
}

/* With its digest where its name has none: a tag may be given to another image. */
static enum err_kind take_image(const struct json *machine, const struct json *config,
				struct listing *l, struct err *err)
{
	struct span name = watch_text(config, "image");
	struct span image = utf8_cut(name, IMAGE_BYTES_MAX);
	struct span digest = watch_text(json_member(machine, "image_ref"), "digest");
	bool has_digest = name.len > 0 && memchr(name.data, '@', name.len);
	char text[IMAGE_BYTES_MAX + 1 + DIGEST_BYTES_MAX + 1];

	if (has_digest || digest.len == 0)
		return listing_set(l, &l->items[0], FIELD_image, image, err);
	digest = utf8_cut(digest, DIGEST_BYTES_MAX);
	(void)snprintf(text, sizeof(text), "%.*s@%.*s", (int)image.len,
		       image.len > 0 ? image.data : "", (int)digest.len, digest.data);
	return listing_set(l, &l->items[0], FIELD_image, span_text(text), err);
}

/* When the machine was given its version, and by what, if Fly still has that among its events. */
static enum err_kind take_replacement(const struct json *machine, struct listing *l,
				      struct err *err)
{
	const struct json *newest = NULL, *events = json_member(machine, "events");
	char newest_at[TIME_TEXT_BYTES] = "", at[TIME_TEXT_BYTES];
	enum err_kind rc;

	if (!events || json_type(events) != JSON_ARRAY)
		return ERR_NONE;
	for (const struct json *e = json_first(events); e; e = json_next(e))
		if (span_is(watch_text(e, "type"), "update") &&
		    strcmp(watch_time(e, "timestamp", at), newest_at) > 0) {
			newest = e;
			(void)snprintf(newest_at, sizeof(newest_at), "%s", at);
		}
	if (!newest)
		return ERR_NONE;
	rc = listing_set(l, &l->items[0], FIELD_replaced_at, span_text(newest_at), err);
	return watch_set(rc, l, &l->items[0], FIELD_source, watch_text(newest, "source"), err);
}

static enum err_kind take_release(const struct json *metadata, struct listing *l, struct err *err)
{
	char text[TIME_TEXT_BYTES];
	struct span release = watch_scalar(metadata, "fly_release_version", text);

	if (release.len == 0)
		release = watch_text(metadata, "fly_release_id");
	return listing_set(l, &l->items[0], FIELD_release, utf8_cut(release, CLAIM_BYTES_MAX), err);
}

static enum err_kind take(const struct watch_ask *ask, const struct json *machine,
			  const struct json *config, struct listing *ret, struct err *err)
{
	char updated[TIME_TEXT_BYTES];
	struct item *item = NULL;
	enum err_kind rc = listing_add(ret, span_text(ask->item), &item, err);

	rc = watch_set(rc, ret, item, FIELD_version, watch_text(machine, "instance_id"), err);
	rc = watch_set(rc, ret, item, FIELD_updated_at,
		       span_text(watch_time(machine, "updated_at", updated)), err);
	if (!rc)
		rc = take_release(json_member(config, "metadata"), ret, err);
	if (!rc)
		rc = take_image(machine, config, ret, err);
	if (!rc)
		rc = take_replacement(machine, ret, err);
	for (size_t i = 0; i < ARRAY_LEN(parts) && !rc; i++)
		rc = take_part(ask, config, i, ret, err);
	return rc ? rc : listing_end(ret, err);
}

/* What is not known of a machine now is no change of it. */
static enum err_kind check(const struct watch_ask *ask, const struct json *machine,
			   const struct json *config, struct err *err)
{
	struct span host = watch_text(machine, "host_status");
	const struct item *before = listing_find(ask->before, span_text(ask->item));
	int64_t was_ns, is_ns;
	char text[TIME_TEXT_BYTES];

	if (!span_is(watch_text(machine, "id"), ask->item))
		return err_set(err, ERR_RETRY, "the answer is not the machine that was asked for");
	if (host.len > 0 && !span_is(host, "ok"))
		return err_set(err, ERR_RETRY, "the machine's host cannot be reached");
	if (!config || json_type(config) != JSON_OBJECT)
		return err_set(err, ERR_RETRY, "the machine has no config");
	was_ns = before ? watch_field_time(before->values[FIELD_updated_at]) : LISTING_NO_TIME;
	is_ns = watch_field_time(span_text(watch_time(machine, "updated_at", text)));
	if (is_ns != LISTING_NO_TIME && is_ns < was_ns)
		return err_set(err, ERR_RETRY, "the answer is older than the one before it");
	return ERR_NONE;
}

static enum err_kind fetch(const struct watch_ask *ask, struct listing *ret, struct err *err)
{
	const struct watch_names names = {.app = ask->app, .item = ask->item};
	struct json *machine = NULL;
	const struct json *config;
	enum err_kind rc;

	rc = watch_api_get(ask->api, "v1/apps/{app}/machines/{item}", &names, &machine, err);
	if (rc)
		return rc;
	config = json_member(machine, "config");
	rc = check(ask, machine, config, err);
	if (!rc)
		rc = take(ask, machine, config, ret, err);
	json_free(machine);
	return watch_not_gone(rc, err);
}

/* --- what a change means --- */

/* Fly need not say an image's digest each time. */
static bool has_other_image(const struct change *c)
{
	struct span was = c->before->values[FIELD_image], is = c->after->values[FIELD_image];
	struct span brief = was.len < is.len ? was : is, full = was.len < is.len ? is : was;

	if (span_equal(was, is))
		return false;
	return !(span_starts(full, brief) && full.data[brief.len] == '@');
}

/* "image, env (LOG_LEVEL), guest (memory_mb)" */
static void name_parts(const struct change *c, struct buf *out)
{
	const struct span *was = c->before->values, *is = c->after->values;

	if (has_other_image(c))
		buf_str(out, fields[FIELD_image]);
	for (size_t i = FIELD_guest; i <= FIELD_other; i++) {
		size_t room = out->len < NAMES_BYTES_MAX ? NAMES_BYTES_MAX - out->len : 0;
		struct buf names;

		buf_init(&names, NAMES_BYTES_MAX);
		if (flat_differences(was[i], is[i], room, &names) > 0)
			buf_fmt(out, "%s%s%s%.*s%s", out->len > 0 ? ", " : "", fields[i],
				names.len > 0 ? " (" : "", (int)names.len,
				names.len > 0 ? (const char *)names.data : "",
				names.len > 0 ? ")" : "");
		buf_release(&names);
	}
}

/* Empty: it claims none, or that of before. */
static struct span claimed_release(const struct change *c)
{
	struct span was = c->before->values[FIELD_release], is = c->after->values[FIELD_release];

	return span_equal(was, is) ? SPAN("") : is;
}

static void sum_up(const struct change *c, const struct watch_ask *ask, const struct buf *what,
		   struct watch_fact *ret)
{
	struct span claim = claimed_release(c);
	char how[CLAIM_BYTES_MAX + sizeof("by release , as its metadata says")] =
		"without a release";

	if (claim.len > 0)
		(void)snprintf(how, sizeof(how), "by release %.*s, as its metadata says",
			       (int)claim.len, claim.data);
	if (what->len > 0)
		(void)snprintf(ret->summary, sizeof(ret->summary),
			       "machine %.100s of %.64s was changed %s: %.*s", ask->item, ask->app,
			       how, (int)what->len, (const char *)what->data);
	else
		(void)snprintf(ret->summary, sizeof(ret->summary),
			       "machine %.100s of %.64s was given another version %s, and nothing "
			       "that Fly shows of it differs",
			       ask->item, ask->app, how);
	ret->severity = claim.len > 0 ? SEVERITY_INFO : SEVERITY_UNKNOWN;
}

static bool describe(const struct change *c, const struct watch_ask *ask, unsigned nth,
		     struct watch_fact *ret)
{
	const struct span *was, *is;
	bool new_version;
	struct buf what;

	if (nth > 0 || c->kind != CHANGE_CHANGED)
		return false;
	was = c->before->values;
	is = c->after->values;
	new_version = !span_equal(was[FIELD_version], is[FIELD_version]);
	buf_init(&what, PARTS_BYTES_MAX);
	name_parts(c, &what);
	if (!new_version && what.len == 0)
		return false;
	ret->action = ACTION_deploy_machine_updated;
	ret->target_type = "machine";
	ret->field_count = FIELDS_OF_UPDATE;
	ret->machine = c->item->key;
	ret->correlation = is[FIELD_version];
	if (new_version && !span_equal(was[FIELD_replaced_at], is[FIELD_replaced_at])) {
		ret->fly_ns = watch_field_time(is[FIELD_replaced_at]);
		watch_actor(ret, is[FIELD_source], "Fly says that it was a user, and not which");
	} else {
		watch_actor(ret, SPAN(""), "Fly does not say who changed the machine");
	}
	sum_up(c, ask, &what, ret);
	buf_release(&what);
	return true;
}

const struct watch_resource watch_machine_config = {
	.name = "machine_config",
	.of = &watch_machines,
	.stirred_by = &watch_machines,
	.every = 48,
	.shape = {.fields = fields, .field_count = ARRAY_LEN(fields)},
	.fetch = fetch,
	.describe = describe,
};
