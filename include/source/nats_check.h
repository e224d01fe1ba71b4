#ifndef SOURCE_NATS_CHECK_H
#define SOURCE_NATS_CHECK_H

/*
 * nats_check: whether what an operator set can be given to the NATS library.
 *
 * Threads: pure functions.
 * Errors:  ERR_CONFIG names the variable to mend, never its value.
 */

#include "base/err.h"
#include "base/span.h"

/* A token as `fly tokens create` prints it, without `FlyV1 ` or `Bearer `. */
struct span nats_bare_token(struct span token);

/* name is the variable's. libnats 3.4.1 puts credentials into its CONNECT line as they are. */
NODISCARD enum err_kind nats_check_credential(const char *name, struct span s, struct err *err);

/* Credentials in a URL would have to be percent-decoded, which the library does not do. */
NODISCARD enum err_kind nats_check_url(const char *url, struct err *err);

#endif
