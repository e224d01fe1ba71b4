#ifndef BASE_CONFIG_CHECK_H
#define BASE_CONFIG_CHECK_H

/*
 * config_check: what a text of each of config's types has to be.
 *
 * must_be_x() returns NULL for a good value, or the end of a sentence that says
 * what it must be, and never quotes it. The types are explained in
 * base/config.h.
 *
 * Threads: pure.
 */

#include "base/util.h"

const char *must_be_text(const char *value);
const char *must_be_plain(const char *value);
const char *must_be_network(const char *value);
const char *must_be_role(const char *value);
const char *must_be_folder(const char *value);
const char *must_be_address(const char *value);
const char *must_be_nats(const char *value);
const char *must_be_subject(const char *value);
const char *must_be_source(const char *value);
const char *must_be_api(const char *value);
const char *must_be_endpoint(const char *value);
const char *must_be_hook(const char *value);
const char *must_be_prefix(const char *value);
const char *must_be_host(const char *value);
const char *must_be_style(const char *value);
const char *must_be_send(const char *value);
const char *must_be_lock(const char *value);
const char *must_be_late(const char *value);

/* Whether a good subject can match one of Fly's. */
bool subject_is_flys(const char *value);

#endif
