/* Certificates that ssh-keygen made, what it says of them, and bytes that are none. */

#include "base/base64.h"
#include "watch/ssh_cert.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdint.h>

#include <cmocka.h>

enum { TEN_O_CLOCK = 1795168800 }; /* 2026-11-20T10:00:00Z */

/* clang-format off */
static const char ed25519[] =
	"ssh-ed25519-cert-v01@openssh.com "
	"AAAAIHNzaC1lZDI1NTE5LWNlcnQtdjAxQG9wZW5zc2guY29tAAAAIOFinKRYq3PrLStewiPODUvonG+X"
	"NrhLEHTVQsyJkHnYAAAAIHAk+EFUIrNP1bd1EuQC0oLmN4LQLeKGFmIkjfVw0WftAAAAAAAAEmcAAAAB"
	"AAAAEWFsaWNlQGV4YW1wbGUuY29tAAAAEAAAAAVhbGljZQAAAANmbHkAAAAAawAaIAAAAABrACgwAAAA"
	"AAAAAIIAAAAVcGVybWl0LVgxMS1mb3J3YXJkaW5nAAAAAAAAABdwZXJtaXQtYWdlbnQtZm9yd2FyZGlu"
	"ZwAAAAAAAAAWcGVybWl0LXBvcnQtZm9yd2FyZGluZwAAAAAAAAAKcGVybWl0LXB0eQAAAAAAAAAOcGVy"
	"bWl0LXVzZXItcmMAAAAAAAAAAAAAADMAAAALc3NoLWVkMjU1MTkAAAAgc9ryCZxIzh/hfFSJiuH3PYzx"
	"DvW81hQd9sClZQUgIckAAABTAAAAC3NzaC1lZDI1NTE5AAAAQCkmzBs1ebuenqyH3EexUINSt/V5IdHj"
	"tgiNuLE24lV5KeAmvaR2Mm4fDJzHRUDSHTnrZFgqSt2ylGQgTq4HzQ0=";

static const char ecdsa[] =
	"ecdsa-sha2-nistp256-cert-v01@openssh.com "
	"AAAAKGVjZHNhLXNoYTItbmlzdHAyNTYtY2VydC12MDFAb3BlbnNzaC5jb20AAAAg8f3zUIDk0dRolTwe"
	"pMzLQqwQSfojxmw6xd522cIMIxcAAAAIbmlzdHAyNTYAAABBBPkdLyFakf/ygjlqLtyDf81/mxEet1sf"
	"5pNtd3w5HMBxTrw2Va6MBJh+Td4EJth997pEJER/ycVKwuH45YPM1sH//////////wAAAAEAAAAHa2V5"
	"IHR3bwAAAAAAAAAAAAAAAP//////////AAAAJgAAAA5zb3VyY2UtYWRkcmVzcwAAABAAAAAMMTkyLjAu"
	"Mi4wLzI0AAAAggAAABVwZXJtaXQtWDExLWZvcndhcmRpbmcAAAAAAAAAF3Blcm1pdC1hZ2VudC1mb3J3"
	"YXJkaW5nAAAAAAAAABZwZXJtaXQtcG9ydC1mb3J3YXJkaW5nAAAAAAAAAApwZXJtaXQtcHR5AAAAAAAA"
	"AA5wZXJtaXQtdXNlci1yYwAAAAAAAAAAAAAAMwAAAAtzc2gtZWQyNTUxOQAAACBz2vIJnEjOH+F8VImK"
	"4fc9jPEO9bzWFB32wKVlBSAhyQAAAFMAAAALc3NoLWVkMjU1MTkAAABAr1Pcu4ZQ9iL3P1sbBLe0s/7d"
	"q1hDz2+SN3Hozp1+aheh8yeana87u0muEls3ZfFtolKGsMIpa6K1bCLpqv9+DA==";

static const char rsa[] =
	"ssh-rsa-cert-v01@openssh.com "
	"AAAAHHNzaC1yc2EtY2VydC12MDFAb3BlbnNzaC5jb20AAAAgB4ki69mujgl45M42hZ3Ae5+wf9FozAQG"
	"rbBqEnU5LcAAAAADAQABAAAAgQDH+40qd+fuwBLuPBajZhTPRqvu9Nzdfvabrwznf0+j05xFSkgZBeJh"
	"2HaozitJAP5mM2HqqBpKHG9rjyVhDGt4ccLJO1G/dsXgXvFhZmLOMK8FXF5axmOP7402uwBJ/1tAMAe0"
	"/cDTJJuXahlr1Xeln4ISrhbF79lh9EccOacZZQAAAAAAAAAAAAAAAgAAAARob3N0AAAAEQAAAA1oLmV4"
	"YW1wbGUuY29tAAAAAGsAGiAAAAAAawFroAAAAAAAAAAAAAAAAAAAADMAAAALc3NoLWVkMjU1MTkAAAAg"
	"c9ryCZxIzh/hfFSJiuH3PYzxDvW81hQd9sClZQUgIckAAABTAAAAC3NzaC1lZDI1NTE5AAAAQJpb4KYg"
	"Om4QKo8rDnSNjM0o8RHCKJ8wbHA5x4oGkSzb9DZnwu6kwlrlUgoRe7h0RxJEBYc59H0dSbfcYYda+g0=";
/* clang-format on */

static struct buf blob;
static struct err err;

static struct ssh_cert read_good(const char *text)
{
	struct ssh_cert cert;

	assert_int_equal(ssh_cert_read(&cert, span_text(text), &blob, &err), ERR_NONE);
	return cert;
}

static void assert_list(struct span list, const char *const *texts)
{
	struct span next;

	for (; *texts; texts++) {
		assert_true(ssh_cert_next(&list, &next));
		assert_true(span_is(next, *texts));
	}
	assert_false(ssh_cert_next(&list, &next));
	assert_int_equal(list.len, 0);
}

static void a_users_certificate_says_who_and_from_when_until_when(void **state)
{
	struct ssh_cert cert = read_good(ed25519);

	(void)state;
	assert_true(span_is(cert.type, "ssh-ed25519-cert-v01@openssh.com"));
	assert_int_equal(cert.serial, 4711);
	assert_int_equal(cert.kind, 1);
	assert_true(span_is(cert.key_id, "alice@example.com"));
	assert_list(cert.principals, (const char *[]){"alice", "fly", NULL});
	assert_int_equal(cert.valid_after, TEN_O_CLOCK);
	assert_int_equal(cert.valid_before, TEN_O_CLOCK + 3600);
	assert_int_equal(cert.critical_options.len, 0);
}

static void numbers_of_64_bits_and_options_are_read(void **state)
{
	struct ssh_cert cert = read_good(ecdsa);
	struct span name;

	(void)state;
	assert_true(cert.serial == UINT64_MAX);
	assert_int_equal(cert.valid_after, 0);
	assert_true(cert.valid_before == SSH_CERT_FOR_EVER);
	assert_int_equal(cert.principals.len, 0);
	assert_true(ssh_cert_next(&cert.critical_options, &name));
	assert_true(span_is(name, "source-address"));
}

static void a_hosts_certificate_is_told_apart(void **state)
{
	struct ssh_cert cert = read_good(rsa);

	(void)state;
	assert_int_equal(cert.kind, 2);
	assert_int_equal(cert.serial, 0);
	assert_true(span_is(cert.key_id, "host"));
}

static void a_comment_and_the_ends_of_lines_are_no_part_of_it(void **state)
{
	char text[1024];

	(void)state;
	(void)snprintf(text, sizeof(text), "\n %s a comment\r\n", ed25519);
	assert_int_equal(read_good(text).serial, 4711);
}

/* Each start of the bytes, as a text of its own. */
static void every_shorter_start_of_it_is_none(void **state)
{
	struct buf whole, text;
	struct ssh_cert cert;

	(void)state;
	(void)read_good(ed25519);
	buf_init(&whole, SSH_CERT_TEXT_BYTES_MAX);
	buf_init(&text, SSH_CERT_TEXT_BYTES_MAX);
	buf_add(&whole, blob.data, blob.len);
	for (size_t len = 0; len <= whole.len; len++) {
		buf_reset(&text);
		buf_str(&text, "type ");
		base64_write(&text, span_of(whole.data, len));
		assert_int_equal(ssh_cert_read(&cert, span_of(text.data, text.len), &blob, &err),
				 len < whole.len ? ERR_REJECT : ERR_NONE);
	}
	buf_u8(&whole, 0);
	buf_reset(&text);
	buf_str(&text, "type ");
	base64_write(&text, span_of(whole.data, whole.len));
	assert_int_equal(ssh_cert_read(&cert, span_of(text.data, text.len), &blob, &err),
			 ERR_REJECT);
	buf_release(&text);
	buf_release(&whole);
}

static void what_is_no_certificate_is_rejected(void **state)
{
	static const char *const texts[] = {
		"", " ", "ssh-ed25519-cert-v01@openssh.com", "ssh-ed25519-cert-v01@openssh.com !",
		/* A public key, and a length of four thousand million. */
		"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		"x /////w==", "-----BEGIN CERTIFICATE-----"};
	struct ssh_cert cert;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		assert_int_equal(ssh_cert_read(&cert, span_text(texts[i]), &blob, &err),
				 ERR_REJECT);
}

static void one_that_is_too_long_is_rejected(void **state)
{
	static char text[SSH_CERT_TEXT_BYTES_MAX + 2];
	struct ssh_cert cert;

	(void)state;
	memset(text, ' ', sizeof(text) - 1);
	memcpy(text, ed25519, sizeof(ed25519) - 1);
	assert_int_equal(ssh_cert_read(&cert, span_text(text), &blob, &err), ERR_REJECT);
	text[sizeof(text) - 2] = '\0';
	assert_int_equal(ssh_cert_read(&cert, span_text(text), &blob, &err), ERR_NONE);
}

static int set_up(void **state)
{
	(void)state;
	buf_init(&blob, SSH_CERT_TEXT_BYTES_MAX);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	buf_release(&blob);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(a_users_certificate_says_who_and_from_when_until_when),
		TEST(numbers_of_64_bits_and_options_are_read),
		TEST(a_hosts_certificate_is_told_apart),
		TEST(a_comment_and_the_ends_of_lines_are_no_part_of_it),
		TEST(every_shorter_start_of_it_is_none),
		TEST(what_is_no_certificate_is_rejected),
		TEST(one_that_is_too_long_is_rejected),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
