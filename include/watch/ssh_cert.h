#ifndef WATCH_SSH_CERT_H
#define WATCH_SSH_CERT_H

/*
 * ssh_cert: what an OpenSSH certificate says of itself: for whom it was issued, and from when
 * until when it is good. Its signature is not checked: who hands it over is believed, or not.
 *
 * A certificate is text, "TYPE BASE64 COMMENT", and in its bytes, with strings as a big-endian
 * u32 of their length and what they are:
 *
 *	string type, string nonce, strings of the public key (by type), u64 serial,
 *	u32 1: of a user, 2: of a host, string key id, string principals (strings in a row),
 *	u64 valid after, u64 valid before (seconds since 1970), string critical options,
 *	string extensions, string reserved, string signature key, string signature
 *
 * Ownership: spans of a certificate lend from the blob that was given.
 * Threads:   pure functions.
 * Limits:    SSH_CERT_TEXT_BYTES_MAX of text.
 * Errors:    ERR_REJECT: it is no certificate of a type that is known. ERR_FATAL: no memory.
 */

#include "base/buf.h"
#include "base/util.h"

enum { SSH_CERT_TEXT_BYTES_MAX = 64 * 1024 };

#define SSH_CERT_FOR_EVER UINT64_MAX /* valid_before */

struct ssh_cert {
	struct span type;
	uint64_t serial;
	uint32_t kind; /* 1: of a user, 2: of a host */
	struct span key_id;
	struct span principals; /* see ssh_cert_next(); empty: good for any */
	uint64_t valid_after, valid_before;
	struct span critical_options; /* names and values by turns */
};

/* *blob is initialised, for SSH_CERT_TEXT_BYTES_MAX, and becomes the bytes. */
NODISCARD enum err_kind ssh_cert_read(struct ssh_cert *ret, struct span text, struct buf *blob,
				      struct err *err);

/* Takes the next string off a list; false: there is none. */
bool ssh_cert_next(struct span *list, struct span *ret);

#endif
