#include "watch/ssh_cert.h"

#include "base/base64.h"
#include "base/bytes.h"

#include <string.h>

enum { U32_BYTES = 4, U64_BYTES = 8 };

/* How many strings the public key has. */
static const struct {
	const char *type;
	unsigned key_strings;
} types[] = {
	{"ssh-ed25519-cert-v01@openssh.com", 1},
	{"ecdsa-sha2-nistp256-cert-v01@openssh.com", 2},
	{"ecdsa-sha2-nistp384-cert-v01@openssh.com", 2},
	{"ecdsa-sha2-nistp521-cert-v01@openssh.com", 2},
	{"ssh-rsa-cert-v01@openssh.com", 2},
	{"rsa-sha2-256-cert-v01@openssh.com", 2},
	{"rsa-sha2-512-cert-v01@openssh.com", 2},
	{"sk-ssh-ed25519-cert-v01@openssh.com", 2},
	{"sk-ecdsa-sha2-nistp256-cert-v01@openssh.com", 3},
};

/* What is left to read; after the first read past the end nothing is, and it has failed. */
struct reader {
	struct span rest;
	bool failed;
};

static const uint8_t *take(struct reader *r, size_t len)
{
	const char *at = r->rest.data;

	if (r->failed || r->rest.len < len) {
		r->failed = true;
		return NULL;
	}
	r->rest = span_after(r->rest, len);
	return (const uint8_t *)at;
}

static uint32_t take_u32(struct reader *r)
{
	const uint8_t *at = take(r, U32_BYTES);

	return at ? get_u32_be(at) : 0;
}

static uint64_t take_u64(struct reader *r)
{
	const uint8_t *at = take(r, U64_BYTES);

	return at ? get_u64_be(at) : 0;
}

static struct span take_string(struct reader *r)
{
	uint32_t len = take_u32(r);
	const uint8_t *at = take(r, len);

	return at ? span_of(at, len) : SPAN("");
}

/* A string that is strings in a row, in pairs where they have values. */
static struct span take_strings(struct reader *r, bool in_pairs)
{
	struct span all = take_string(r);
	struct reader inside = {.rest = all};

	while (inside.rest.len > 0) {
		(void)take_string(&inside);
		if (in_pairs)
			(void)take_string(&inside);
		if (inside.failed)
			break;
	}
	r->failed = r->failed || inside.failed;
	return all;
}

static void take_public_key(struct reader *r, struct span type)
{
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		if (!span_is(type, types[i].type))
			continue;
		for (unsigned n = 0; n < types[i].key_strings; n++)
			(void)take_string(r);
		return;
	}
	r->failed = true;
}

static bool read_blob(struct span blob, struct ssh_cert *ret)
{
	struct reader r = {.rest = blob};

	ret->type = take_string(&r);
	(void)take_string(&r); /* a nonce */
	take_public_key(&r, ret->type);
	ret->serial = take_u64(&r);
	ret->kind = take_u32(&r);
	ret->key_id = take_string(&r);
	ret->principals = take_strings(&r, false);
	ret->valid_after = take_u64(&r);
	ret->valid_before = take_u64(&r);
	ret->critical_options = take_strings(&r, true);
	(void)take_strings(&r, true); /* extensions */
	(void)take_string(&r);        /* reserved */
	(void)take_string(&r);        /* who signed it */
	(void)take_string(&r);        /* and the signature */
	return !r.failed && r.rest.len == 0;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct span next_word(struct span *text)
{
	struct span word;

	while (text->len > 0 && is_space(text->data[0]))
		*text = span_after(*text, 1);
	word = *text;
	while (text->len > 0 && !is_space(text->data[0]))
		*text = span_after(*text, 1);
	word.len -= text->len;
	return word;
}

enum err_kind ssh_cert_read(struct ssh_cert *ret, struct span text, struct buf *blob,
			    struct err *err)
{
	struct ssh_cert cert = {.kind = 0};
	struct span base64;
	enum err_kind rc;

	buf_reset(blob);
	if (text.len > SSH_CERT_TEXT_BYTES_MAX)
		return err_set(err, ERR_REJECT, "no SSH certificate: too long");
	(void)next_word(&text); /* the type, which the bytes say again */
	base64 = next_word(&text);
	if (!base64_read(blob, base64))
		return err_set(err, ERR_REJECT, "no SSH certificate: no base64");
	rc = buf_check(blob, err);
	if (rc)
		return rc;
	if (!read_blob(span_of(blob->data, blob->len), &cert))
		return err_set(err, ERR_REJECT, "no SSH certificate of a type that is known");
	*ret = cert;
	return ERR_NONE;
}

bool ssh_cert_next(struct span *list, struct span *ret)
{
	struct reader r = {.rest = *list};
	struct span next = take_string(&r);

	if (r.failed)
		return false;
	*list = r.rest;
	*ret = next;
	return true;
}
