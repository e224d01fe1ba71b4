#ifndef STORE_URL_H
#define STORE_URL_H

/*
 * url: whether a connection string can be used, and its parts be told.
 *
 * libpq's words about one that it cannot read quote it, password and all. So do
 * its words about a host, a port or a database whose name is half a password,
 * because of an @, a / or a ? in it that was not escaped. What passes here can
 * be given to libpq, and its words to an operator.
 *
 * Threads: pure.
 * Errors:  ERR_CONFIG says what to write instead; it quotes nothing.
 */

#include "base/err.h"

/* *ret_hosts: how many the string names. */
NODISCARD enum err_kind url_check(const char *url, int *ret_hosts, struct err *err);

enum { URL_APP_BYTES = 64 };

/*
 * The application of Fly's whose name in the private network the first host is, in any of its
 * forms (X.internal, X.flycast, ID.vm.X.internal); empty: it is none, or cannot be told.
 */
void url_app(const char *url, char ret[URL_APP_BYTES]);

#endif
