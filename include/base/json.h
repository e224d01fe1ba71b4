#ifndef BASE_JSON_H
#define BASE_JSON_H

/*
 * json: reading by cJSON, which is met here alone, and writing to a buf.
 *
 * Reading is bounded: JSON_DEPTH_MAX levels, JSON_VALUES_MAX values, duplicate
 * keys refused, keys compared with case. A number that a double might change
 * (more than 15 digits, a huge exponent) is a JSON_TEXT of its digits. A \u0000
 * and half a surrogate pair read as U+FFFD.
 * Writing makes valid UTF-8 of whatever it is given: a byte that is none
 * becomes U+FFFD, and so does NUL, which jsonb refuses.
 *
 * Ownership: json_free() frees what json_parse() gave; values lend.
 * Threads:   none shared.
 * Errors:    ERR_REJECT for what is not JSON within the bounds, ERR_FATAL out
 *            of memory.
 */

#include "base/buf.h"

enum {
	JSON_DEPTH_MAX = 32,
	JSON_VALUES_MAX = 65536, /* cJSON takes some 100 bytes for each */
};

struct json; /* a value; cJSON's node */

NODISCARD enum err_kind json_parse(struct json **ret, struct span text, struct err *err);
void json_free(struct json *root); /* NULL is fine */

/* Why this thread's last json_parse() said ERR_REJECT; otherwise without meaning. */
enum json_fault {
	JSON_FAULT_SYNTAX,    /* it is no JSON                        */
	JSON_FAULT_END,       /* it ends too early to be JSON         */
	JSON_FAULT_DEPTH,     /* more levels than JSON_DEPTH_MAX      */
	JSON_FAULT_COUNT,     /* more values than JSON_VALUES_MAX     */
	JSON_FAULT_KEY_TWICE, /* a key stands twice in one object     */
};
enum json_fault json_fault(void);

enum json_type { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_TEXT, JSON_ARRAY, JSON_OBJECT };

enum json_type json_type(const struct json *v);
const struct json *json_member(const struct json *object, const char *key); /* NULL: none */
const struct json *json_first(const struct json *container);
const struct json *json_next(const struct json *v);
struct span json_key(const struct json *v);  /* of a member */
struct span json_text(const struct json *v); /* of a JSON_TEXT */
bool json_bool(const struct json *v);
double json_number(const struct json *v);

/* Writing. Commas are the caller's, by the order of calls: key, value, next key. */
void json_write_text(struct buf *out, struct span s);  /* quoted and escaped */
void json_write_key(struct buf *out, const char *key); /* with a comma unless first, and ':' */
void json_write_key_span(struct buf *out, struct span key);
void json_write_time(struct buf *out, const char *key, int64_t ns); /* a member; RFC 3339 */

/* A member that is any whole number, as a text of its digits: as a number a reader might change it.
 */
void json_write_digits(struct buf *out, const char *key, uint64_t number);
/* False: there is none. */
NODISCARD bool json_read_digits(const struct json *object, const char *key, uint64_t *ret);

const char *json_library_version(void); /* of cJSON */

#endif
