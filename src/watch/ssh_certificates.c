/*
 * SSH certificates that Fly issued for the organisation's machines, read from what Fly logs of
 * them. Of each there is kept for whom it is and how long it is good, and no key.
 *
 * A connection by flyctl gets one of an hour. One that is good for longer was asked for, so that
 * somebody can come back with it without asking again. Whether Fly logs all of them is not known.
 *
 * Those that had expired KEEP_DAYS before the look before support nothing any more, and are not
 * kept: a busy organisation has thousands. However long nobody looked, one that was issued since is
 * told. That a certificate is listed no longer is no fact.
 */

#include "watch/access.h"

#include "base/utf8.h"
#include "watch/ssh_cert.h"

#include <inttypes.h>
#include <stdio.h>

enum {
	FIELD_serial,
	FIELD_kind,
	FIELD_key_id,
	FIELD_principals,
	FIELD_options,
	FIELD_valid_after,
	FIELD_valid_before,
	FIELD_lifetime,
	FIELD_root
};

static const char *const fields[] = {"serial",       "kind",     "key_id",
				     "principals",   "options",  "valid_after",
				     "valid_before", "lifetime", "root"};

enum {
	KEEP_DAYS = 7,
	SECONDS_A_DAY = 24 * 3600,
	SESSION_SECONDS_MAX = 2 * 3600, /* an hour, and what clocks are set back by */
	KIND_USER = 1,
	KIND_HOST = 2,
	NUMBER_BYTES = 24,
};

/* What the field lifetime says. */
static const char for_a_session[] = "session", for_long[] = "long", for_ever[] = "for ever";

/* --- what is kept --- */

/* A text of a certificate, which may be any bytes, as one that can be shown. */
static void add_shown(struct buf *out, struct span s)
{
	while (s.len > 0) {
		size_t len = utf8_char(s);
		unsigned char c = (unsigned char)s.data[0];

		if (len == 0 || c < ' ' || c == 0x7f)
			buf_u8(out, '?');
		else
			buf_add(out, s.data, len);
		s = span_after(s, len > 0 ? len : 1);
	}
}

static void add_listed(struct buf *out, struct span s)
{
	if (out->len > 0)
		buf_str(out, ", ");
	add_shown(out, s);
}

/* In seconds, as a certificate counts; empty: since or until ever. */
static const char *moment(uint64_t seconds, char text[TIME_TEXT_BYTES])
{
	text[0] = '\0';
	if (seconds > 0 && seconds <= (uint64_t)(INT64_MAX / NS_PER_S))
		(void)time_format((int64_t)seconds * NS_PER_S, text);
	return text;
}

static const char *lifetime_of(const struct ssh_cert *cert)
{
	if (cert->valid_before > (uint64_t)(INT64_MAX / NS_PER_S))
		return for_ever;
	return cert->valid_before > cert->valid_after &&
			       cert->valid_before - cert->valid_after > SESSION_SECONDS_MAX
		       ? for_long
		       : for_a_session;
}

static bool is_over(const struct ssh_cert *cert, const struct watch_ask *ask)
{
	bool looked = ask->before_ns != LISTING_NO_TIME;
	int64_t since_ns = looked ? time_earlier(ask->before_ns, ask->now_ns) : ask->now_ns;
	int64_t oldest = since_ns / NS_PER_S - (int64_t)KEEP_DAYS * SECONDS_A_DAY;

	return oldest > 0 && cert->valid_before < (uint64_t)oldest;
}

struct texts {
	struct buf key_id, principals, options;
};

static void texts_init(struct texts *t)
{
	buf_init(&t->key_id, SSH_CERT_TEXT_BYTES_MAX);
	buf_init(&t->principals, SSH_CERT_TEXT_BYTES_MAX);
	buf_init(&t->options, SSH_CERT_TEXT_BYTES_MAX);
}

static void texts_release(struct texts *t)
{
	buf_release(&t->key_id);
	buf_release(&t->principals);
	buf_release(&t->options);
}

static enum err_kind texts_fill(struct texts *t, const struct ssh_cert *cert, struct err *err)
{
	struct span principals = cert->principals, options = cert->critical_options, next;
	enum err_kind rc;

	add_shown(&t->key_id, cert->key_id);
	while (ssh_cert_next(&principals, &next))
		add_listed(&t->principals, next);
	while (ssh_cert_next(&options, &next)) {
		add_listed(&t->options, next);
		(void)ssh_cert_next(&options, &next); /* its value */
	}
	rc = buf_check(&t->key_id, err);
	if (!rc)
		rc = buf_check(&t->principals, err);
	return rc ? rc : buf_check(&t->options, err);
}

static struct span text_of(const struct buf *b)
{
	return b->len > 0 ? span_of(b->data, b->len) : SPAN("");
}

static enum err_kind keep(const struct ssh_cert *cert, struct listing *ret, struct item *item,
			  struct err *err)
{
	char serial[NUMBER_BYTES], after[TIME_TEXT_BYTES], before[TIME_TEXT_BYTES];
	struct texts texts;
	enum err_kind rc;

	(void)snprintf(serial, sizeof(serial), "%" PRIu64, cert->serial);
	texts_init(&texts);
	rc = texts_fill(&texts, cert, err);
	rc = access_set(rc, ret, item, FIELD_serial, span_text(serial), err);
	rc = access_set(rc, ret, item, FIELD_kind,
			cert->kind == KIND_USER   ? SPAN("user")
			: cert->kind == KIND_HOST ? SPAN("host")
						  : SPAN("unknown"),
			err);
	rc = access_set(rc, ret, item, FIELD_key_id, text_of(&texts.key_id), err);
	rc = access_set(rc, ret, item, FIELD_principals, text_of(&texts.principals), err);
	rc = access_set(rc, ret, item, FIELD_options, text_of(&texts.options), err);
	rc = access_set(rc, ret, item, FIELD_valid_after,
			span_text(moment(cert->valid_after, after)), err);
	rc = access_set(rc, ret, item, FIELD_valid_before,
			span_text(moment(cert->valid_before, before)), err);
	rc = access_set(rc, ret, item, FIELD_lifetime, span_text(lifetime_of(cert)), err);
	texts_release(&texts);
	return rc;
}

static enum err_kind take_certificate(const struct watch_ask *ask, const struct json *certificate,
				      struct listing *ret, struct err *err)
{
	char root[TIME_TEXT_BYTES];
	struct ssh_cert cert = {.kind = 0};
	struct err unread = {.kind = ERR_NONE};
	struct item *item = NULL;
	struct buf blob;
	enum err_kind rc, read;

	buf_init(&blob, SSH_CERT_TEXT_BYTES_MAX);
	read = ssh_cert_read(&cert, watch_text(certificate, "cert"), &blob, &unread);
	if (read == ERR_FATAL)
		rc = err_set(err, ERR_FATAL, "out of memory for a certificate");
	else if (read == ERR_NONE && is_over(&cert, ask))
		rc = ERR_NONE;
	else {
		/* One that cannot be read was issued all the same. */
		rc = listing_add(ret, watch_text(certificate, "id"), &item, err);
		if (!rc && !read)
			rc = keep(&cert, ret, item, err);
		rc = access_set(rc, ret, item, FIELD_root, watch_scalar(certificate, "root", root),
				err);
	}
	buf_release(&blob);
	return rc;
}

static enum err_kind fetch(const struct watch_ask *ask, struct listing *ret, struct err *err)
{
	static const struct watch_query query = {
		.text = "query ssh_certificates($org: String!, $after: String) { "
			"organization(slug: $org) { loggedCertificates(first: 100, after: $after) "
			"{ "
			"nodes { id root cert } pageInfo { hasNextPage endCursor } } } }",
		.owner = "organization",
		.member = "loggedCertificates",
		.take = take_certificate,
	};

	return watch_fetch_query(ask, &query, ret, err);
}

/* --- what a change is --- */

static bool is_root(const struct item *certificate)
{
	return span_is(certificate->values[FIELD_root], "true");
}

static enum severity severity_of(const struct item *certificate)
{
	struct span lifetime = certificate->values[FIELD_lifetime];

	if (span_is(lifetime, for_ever))
		return SEVERITY_CRITICAL;
	return span_is(lifetime, for_a_session) && !is_root(certificate) ? SEVERITY_UNKNOWN
									 : SEVERITY_HIGH;
}

static bool describe(const struct change *c, const struct watch_ask *ask, unsigned nth,
		     struct watch_fact *ret)
{
	const struct item *item = c->item;
	struct span key_id = access_word(item->values[FIELD_key_id]);
	struct span until = access_word(item->values[FIELD_valid_before]);
	bool is_read = item->values[FIELD_lifetime].len > 0;

	(void)ask;
	if (nth > 0 || c->kind != CHANGE_ADDED)
		return false;
	ret->action = ACTION_access_certificate_issued;
	ret->target_type = "certificate";
	ret->correlation = item->key;
	ret->fly_ns = watch_field_time(item->values[FIELD_valid_after]);
	ret->severity = severity_of(item);
	watch_actor(ret, item->values[FIELD_key_id],
		    is_read ? "the certificate's key id is nobody's address"
			    : "the certificate cannot be read");
	if (!is_read)
		(void)snprintf(ret->summary, sizeof(ret->summary),
			       "an SSH certificate was issued that cannot be read");
	else
		(void)snprintf(ret->summary, sizeof(ret->summary),
			       "%s SSH certificate was issued for %.*s, good %s%.*s",
			       is_root(item) ? "a root" : "an", (int)key_id.len, key_id.data,
			       span_is(item->values[FIELD_lifetime], for_ever) ? "for ever; until "
			       : span_is(item->values[FIELD_lifetime], for_long)
				       ? "for longer than a session needs, until "
				       : "until ",
			       (int)until.len, until.data);
	return true;
}

const struct watch_resource watch_ssh_certificates = {
	.name = "ssh_certificates",
	.log = true,
	.page_max = LISTING_ITEMS_MAX + 1, /* the answer is all there is */
	.shape = {.fields = fields, .field_count = ARRAY_LEN(fields)},
	.fetch = fetch,
	.describe = describe,
};
