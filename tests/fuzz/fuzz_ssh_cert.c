/* No text crashes ssh_cert_read(), and what it reads are bytes of the certificate. */

#include "watch/ssh_cert.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void check_inside(const struct buf *blob, struct span s)
{
	const char *start = (const char *)blob->data;

	REQUIRE(s.len == 0 || (s.data >= start && s.data + s.len <= start + blob->len));
}

static void check_list(const struct buf *blob, struct span list)
{
	struct span next;

	check_inside(blob, list);
	while (ssh_cert_next(&list, &next))
		check_inside(blob, next);
	REQUIRE(list.len == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct ssh_cert cert;
	struct buf blob;
	struct err err;

	buf_init(&blob, SSH_CERT_TEXT_BYTES_MAX);
	if (ssh_cert_read(&cert, span_of(bytes, len), &blob, &err) == ERR_NONE) {
		check_inside(&blob, cert.type);
		check_inside(&blob, cert.key_id);
		check_list(&blob, cert.principals);
		check_list(&blob, cert.critical_options);
	}
	buf_release(&blob);
	return 0;
}
